"""`dms-tags actor`: erasing a person, or a reason, at the store."""

from __future__ import annotations

import pytest

from dms_tags.audit.trail.relay import Relay
from dms_tags.cli import actor as module
from dms_tags.cli.main import main
from dms_tags.model import Action, Actor, Change, Kind, Resource, Verb
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore

CREATE = ["token", "create", "--name", "ann", "--allow", "write"]


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Where the commands find the store."""
    monkeypatch.setenv("DMS_TAGS_MONGO_URI", str(settings.mongo_uri))
    monkeypatch.setenv("DMS_TAGS_DATABASE", settings.database)


def changed(database: Database) -> None:
    """A change by the token `ann`, for a reason, pending."""
    of = Resource("default", Kind.OBJECT, "o")
    TagStore(database).change(Change(of, "ocr", Verb.SET, Actor("ann", "token"), 1, reason="because"))


def test_erase(database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A token in force, or just revoked, is refused; then name and token are gone, and the name is free again."""
    main(CREATE)
    changed(database)
    assert 1 == main(["actor", "erase", "ann"])
    assert "a token of that name that is in force: revoke it first" in capsys.readouterr().err
    main(["token", "revoke", "--name", "ann"])
    assert 1 == main(["actor", "erase", "ann"])
    assert "revoked less than 10 seconds ago" in capsys.readouterr().err
    monkeypatch.setattr(module, "REFUSED_EVERYWHERE", module.REFUSED_EVERYWHERE * 0)
    capsys.readouterr()

    assert 0 == main(["actor", "erase", "ann"])
    assert "erased from 1 entry of default" in capsys.readouterr().err
    assert 0 == database.trail.count_documents({"createdBy": "ann"})
    assert 0 == database.collection("credentials").count_documents({})
    assert 3 == main(["actor", "erase", "ann"])
    assert 0 == main(CREATE)


def test_erase_reason(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """By the position of its entry; where there is none it says so."""
    changed(database)
    assert 0 == main(["actor", "erase-reason", "1"])
    while Relay(database).run_once():
        pass

    assert [None, None] == [entry["reason"] for entry in database.trail.find(sort=[("position", 1)])]
    assert 1 == database.trail.count_documents({"action": Action.ACTOR_ERASED})
    assert 1 == main(["actor", "erase-reason", "2"])
    assert "has no reason that could be erased" in capsys.readouterr().err
