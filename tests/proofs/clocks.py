"""Services on machines whose clocks are minutes apart: the trail goes on, whichever of them dies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from dms_tags.model import Actor, Change, Kind, Resource, Verb
from dms_tags.serving.mongod import eventually
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.proofs import oracle

OFF_SECONDS: Final = 150

KEEPER: Final = """
import sys
from datetime import timedelta
from dms_tags import model
right = model.now
model.now = lambda: right() + timedelta(seconds=float(sys.argv[1]))
from dms_tags.serving import keeper
keeper.main()
"""
"""The keeper as `dms-tags serve` runs it, on a machine whose clock is off by the seconds of its argument."""


def outlive_the_fast_one(settings: Settings, database: Database, *, patience: float = 5.0) -> float:
    """Three keepers with clocks 150 s apart; the fast one is killed while it moves changes.  The seconds until the others go on.

    Asserts that the trail goes on within `patience` seconds, and that neither the changes nor their entries have another time
    than MongoDB's.
    """
    store = TagStore(database)
    began = database.now()
    with keepers(settings, [OFF_SECONDS]) as (fast,):
        _change(store, 1)
        assert eventually(lambda: _recorded(database) == 1, 30), "the fast keeper moves nothing"
        with keepers(settings, [0, -OFF_SECONDS]):
            for number in range(2, 20):
                _change(store, number)
            fast.kill()
            fast.wait()
            killed = time.monotonic()
            _change(store, 20)
            went_on = eventually(lambda: _recorded(database) == 20, patience)
            seconds = time.monotonic() - killed
            assert went_on, f"the trail stands still for more than {patience:g} s"
    now = database.now()
    for entry in oracle.trail_at_rest(database):
        for member in ("creationDate", "recordedAt"):
            assert began - timedelta(seconds=2) <= entry[member] <= now + timedelta(seconds=2), (member, entry)
    return seconds


@contextmanager
def keepers(settings: Settings, offs: Sequence[float]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Running keepers, one for each of the seconds that their clocks are off; those that still run end with the context."""
    environment = {
        **os.environ,
        "DMS_TAGS_MONGO_URI": settings.mongo_uri or "",
        "DMS_TAGS_DATABASE": settings.database,
        "DMS_TAGS_LOG": "console",
    }
    running = [
        subprocess.Popen([sys.executable, "-c", KEEPER, str(off)], env=environment, stderr=subprocess.DEVNULL) for off in offs
    ]
    try:
        yield running
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(20)


def _change(store: TagStore, number: int) -> None:
    resource = Resource("default", Kind.OBJECT, f"object-{number}")
    store.change(Change(resource, "ocr", Verb.ADD, Actor("caller", "token"), number))


def _recorded(database: Database) -> int:
    return int(database.trail.count_documents({}))
