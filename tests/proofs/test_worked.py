"""The judge of worked queues finds what it is there to find."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from dms_tags.audit.trail.relay import Relay
from dms_tags.model import Actor, Change, Kind, Resource, Verb
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.proofs.worked import REAPER, Told, Verdict, judge
from tests.proofs.worker import DONE, NAME, QUEUED, RUNNING

ANN = Actor("ann", "token")
LEASE = Actor(REAPER, "system")
ASKED = Told(asked={"a1", "b1"})
Step = tuple[int, str, Actor]
ADDED: Step = (QUEUED, "a0", ANN)
CLAIMED: Step = (RUNNING, "a1", ANN)
FINISHED: Step = (DONE, "a1", ANN)


def trail_of(database: Database, steps: Sequence[Step]) -> None:
    """Takes the object `doc` through states, each set under a trace by an actor."""
    store = TagStore(database)
    resource = Resource("default", Kind.OBJECT, "doc")
    for state, trace_id, actor in steps:
        store.change(Change(resource, NAME, Verb.SET, actor, state, trace_id))
    while Relay(database).run_once():
        pass


def test_work_that_was_lost_and_done_again_is_sound(database: Database) -> None:
    """A claim that was taken back once its lease was over, and the next one, which was finished."""
    trail_of(database, [ADDED, (RUNNING, "b1", ANN)])
    time.sleep(1)
    trail_of(database, [(QUEUED, "c0", LEASE), CLAIMED, FINISHED])

    assert Verdict(claims=2, taken_back=1, given_back=0, refused=1, most_attempts=2) == judge(
        database,
        replace(
            ASKED, claimed={"b1": "doc", "a1": "doc"}, finished={"a1": "doc"}, refused={"b1"}, held={"doc": [(3, 4), (1, 2)]}
        ),
        objects=1,
        lease_seconds=1,
    )


@pytest.mark.parametrize(
    ("steps", "known", "says"),
    [
        ([ADDED, CLAIMED], ASKED, "ends with a claim"),
        ([ADDED, CLAIMED, (DONE, "b1", ANN)], ASKED, "not finished by its last holder"),
        ([ADDED, (RUNNING, "b1", ANN), CLAIMED, FINISHED, FINISHED], ASKED, "doc"),
        ([ADDED, (RUNNING, "b1", ANN), (QUEUED, "c0", LEASE), CLAIMED, FINISHED], ASKED, "was taken back after"),
        ([ADDED, CLAIMED, FINISHED, CLAIMED, FINISHED], ASKED, "doc"),
        ([ADDED, CLAIMED, FINISHED], Told(), "claimed by nobody"),
        ([ADDED, CLAIMED, FINISHED], replace(ASKED, claimed={"b1": "doc"}), "a claim was answered"),
        ([ADDED, CLAIMED, FINISHED], replace(ASKED, finished={"b1": "doc"}), "the end of some work was answered"),
        ([ADDED, CLAIMED, FINISHED], replace(ASKED, refused={"a1"}), "a worker was refused"),
        ([ADDED, CLAIMED, FINISHED], replace(ASKED, held={"doc": [(1, 3), (2, 4)]}), "two workers at once"),
    ],
)
def test_what_must_not_be_is_found(database: Database, steps: list[Step], known: Told, says: str) -> None:
    """Double work, work that is lost, leases that end too early, answers that are not true."""
    trail_of(database, steps)

    with pytest.raises(AssertionError, match=says):
        judge(database, known, objects=1, lease_seconds=5)
