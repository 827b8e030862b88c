from __future__ import annotations

from datetime import timedelta

import pytest

from dms_tags.model import Actor, Change, Kind, Resource, Verb, now
from dms_tags.settings import Settings
from dms_tags.store.clock import DatabaseClock
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.proofs.clocks import outlive_the_fast_one


def test_the_death_of_a_fast_clock_stops_nobody(settings: Settings, database: Database) -> None:
    """Of three services whose clocks are 150 s apart the fast one is killed: the trail goes on within seconds."""
    outlive_the_fast_one(settings, database)


@pytest.mark.parametrize("hours", [3, -3])
def test_a_wrong_clock_does_not_move_a_change_in_time(database: Database, hours: int, caplog: pytest.LogCaptureFixture) -> None:
    """A service whose clock is hours off records its changes with MongoDB's time, and says in its log what is wrong."""
    database.clock = DatabaseClock(database.now, lambda: now() + timedelta(hours=hours))
    change = Change(Resource("default", Kind.OBJECT, "a"), "ocr", Verb.ADD, Actor("caller", "token"), 1)

    tag = TagStore(database).change(change).tag

    assert tag is not None
    assert abs(tag.changed - database.now()) < timedelta(seconds=2)
    assert "set the clock" in caplog.text
