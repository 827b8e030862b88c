"""Ids never recur, whatever forks; keys of two actors are never spelt alike."""

from __future__ import annotations

import subprocess
import sys

from dms_tags.model import Actor, new_id, new_trace_id

FORKING = """
import os
from dms_tags.model import new_id
new_id()
for _ in range(2):
    child = os.fork()
    if child == 0:
        break
    os.waitpid(child, 0)
print(*(new_id() for _ in range(5)), flush=True)
"""


def test_ids_are_all_different() -> None:
    """Of thousands no id comes twice."""
    assert 3000 == len({new_id() for _ in range(3000)})
    assert (32, 16) == (len(new_id()), len(new_trace_id()))


def test_a_process_that_was_forked_off_makes_ids_of_its_own() -> None:
    """Two children and their parent have nothing in common, though they began with the same memory."""
    told = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=True, timeout=60)

    assert 15 == len(set(told.stdout.split()))


def test_keys_of_two_actors_are_never_spelt_alike() -> None:
    """Names of actors may have slashes, and percent signs, and so may keys."""
    words = ["a", "a/b", "a%2Fb", "b/c", "c", "%2F", "/", "a/", "/a", "%252F", "%"]
    whose = [(Actor(name, kind), key) for name in words for kind in ("jwt", "token") for key in words]

    assert len(whose) == len({actor.own(key) for actor, key in whose})
