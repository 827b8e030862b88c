"""The schema version of a database: who brings it up to date, and who stays away from it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dms_tags.errors import CannotStart
from dms_tags.store import database as module
from dms_tags.store.database import SCHEMA_VERSION, Database
from dms_tags.store.turn import RELAY, Turn


def version(database: Database) -> int:
    document = database.collection("schema").find_one({"_id": "version"})
    assert document is not None
    return int(document["version"])


def test_a_database_of_an_earlier_version_is_brought_up_to_date(database: Database) -> None:
    """Once no service of that version is at work: one that stopped has given its turn at the relay back."""
    database.collection("schema").update_one({"_id": "version"}, {"$set": {"version": 1}})

    database.prepare()

    assert version(database) == SCHEMA_VERSION


def test_a_service_of_an_earlier_version_is_not_worked_beside(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hash entries of schema 2 wrongly: the newer one does not start beside it, says so, and changes nothing."""
    monkeypatch.setattr(module, "ALONE_SECONDS", 0.1)
    database.collection("schema").update_one({"_id": "version"}, {"$set": {"version": 1}})
    earlier = Turn(database, RELAY, "an earlier service", timedelta(seconds=30))
    earlier.take()

    with pytest.raises(CannotStart, match="a service of an older version is at work on this database"):
        database.prepare()
    assert version(database) == 1
    earlier.give_back()
    database.prepare()
    assert version(database) == SCHEMA_VERSION


def test_a_newer_database_is_refused(database: Database) -> None:
    """In one line that names both versions."""
    database.collection("schema").update_one({"_id": "version"}, {"$set": {"version": SCHEMA_VERSION + 1}})

    with pytest.raises(CannotStart, match=f"the database has schema version {SCHEMA_VERSION + 1}, this service knows up to"):
        database.prepare()
