"""A database that version 0.1.0 has made is served as it was left, by the new code: nothing of it is lost or told otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from bson import json_util

from dms_tags.audit.log.keys import Identities
from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.verify.database import verify_database
from dms_tags.audit.verify.file import verify_file
from dms_tags.audit.verify.report import HOLDS
from dms_tags.backup import folder as backups
from dms_tags.backup.restorer import Restorer
from dms_tags.backup.writer import Backup
from dms_tags.cli.main import main
from dms_tags.errors import CannotStart
from dms_tags.serving.mongod import Client
from dms_tags.settings import Settings
from dms_tags.store.database import SCHEMA_VERSION, Database
from dms_tags.store.indexes import EXPIRING
from dms_tags.tags.store import TagStore
from tests.support.app import Service, running
from tests.support.backups import contents

MADE: Final = Path(__file__).with_name("0.1.0.ndjson")
"""Made by `python -m tests.upgrades.make`, which says how."""

TAGS: Final = "/api/dms/objects"


@pytest.fixture
def told() -> dict[str, Any]:
    """What callers of the old service were answered, and what they hold."""
    with MADE.open(encoding="utf-8") as lines:
        answered: dict[str, Any] = json.loads(next(lines))
    return answered


@pytest.fixture
def upgraded(settings: Settings, mongo_client: Client, told: dict[str, Any], tmp_path: Path) -> Settings:
    """The settings of a service on the old database, with its signing key and the index that has outlived itself."""
    with MADE.open(encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            collection, document = json_util.loads(line)
            mongo_client[settings.database][collection].insert_one(document)
    mongo_client[settings.database]["trail_baselines"].create_index(
        [("tenant", 1), ("resource", 1)], name="resource", unique=True
    )
    key = tmp_path / "old.key"
    key.write_text(told["key"])
    return replace(settings, signing_key_file=key, log_origin="old.example/audit", auth="tokens")


@pytest.fixture
def service(upgraded: Settings, told: dict[str, Any]) -> Iterator[Service]:
    with running(upgraded) as service:
        service.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {told['token']}"
        yield service


def answer(service: Service, path: str, **more: Any) -> Any:
    response = service.client.get(path, **more)
    assert 200 == response.status_code, response.text
    return response.json


def rows(objects: Any) -> list[list[Any]]:
    found: list[list[Any]] = objects["objects"][0]["properties"]["system:tags"]["value"]
    return found


def test_tags_history_and_the_past(service: Service, told: dict[str, Any]) -> None:
    """Tokens open it; rows, history and looking back tell what they told, also of what was archived; a lease that ran out goes back."""
    claimed = told["claimed"]["objects"][0]["properties"]["system:objectId"]["value"]
    for name, before in told["tags"].items():
        now = rows(answer(service, f"{TAGS}/{name}/tags"))
        if name == claimed:
            assert ["ocr", 1] == next(row[:2] for row in now if row[0] == "ocr")
        else:
            assert rows(before) == now
    kept = [entry["properties"] for entry in told["history"]["objects"]]
    now = [entry["properties"] for entry in answer(service, f"{TAGS}/doc2/history")["objects"]]
    assert kept == [{name: entry[name] for name in kept[0]} for entry in now]
    past = rows(answer(service, f"{TAGS}/doc2/tags", query_string={"at": told["at"]}))
    assert [told["at"]] == [row[2] for row in past]
    assert 410 == service.client.get("/api/dms/audit?after=0").status_code


def test_what_callers_held(service: Service, told: dict[str, Any]) -> None:
    """Idempotency keys, definitions, values and sessions of before stand; an ETag of before is a condition."""
    headers = {"Idempotency-Key": "key3"}
    repeated = service.client.post(f"{TAGS}/doc3/tags/ocr/state/1", headers=headers)
    assert (200, "true") == (repeated.status_code, repeated.headers["Idempotent-Replayed"])
    assert 422 == service.client.post(f"{TAGS}/doc3/tags/ocr/state/2?overwrite=true", headers=headers).status_code
    assert 422 == service.client.post(f"{TAGS}/doc3/tags/ocr/state/9?overwrite=true").status_code
    etag = service.client.get(f"{TAGS}/quiet/tags/ocr").headers["ETag"]
    moved = service.client.post(f"{TAGS}/quiet/tags/ocr/state/3?overwrite=true", headers={"If-Match": etag})
    assert 200 == moved.status_code
    (definition,) = answer(service, "/tags")
    assert (told["definition"], "Region", "Nord") == (definition["id"], definition["key"], definition["values"][0]["value"])
    assert 409 == service.client.post("/tags", json={"key": "REGION", "color": "#3F51B5"}).status_code
    session = {"X-Spaaza-Session-User-Id": "7", "X-Spaaza-Session-Key": told["session"]}
    body = {"chain_id": 1, "value": "silver", "model_class": "user"}
    added = service.client.post("/auth/add-tag", json=body, headers=session)
    assert 2 == (added.json or {})["results"]["tag"]["id"]
    query = "SELECT * FROM document WHERE system:tags[ocr].state=1"
    won = service.client.post(f"{TAGS}/tags/ocr/state/2", query_string={"query": query}, headers={"Idempotency-Key": "new1"})
    assert 1 == len((won.json or {})["objects"])


def test_the_proof_goes_on(service: Service, upgraded: Settings, told: dict[str, Any], tmp_path: Path) -> None:
    """The trail, archived part and all, verifies under the old key before and after new checkpoints; so does an old export."""

    def verdict() -> int:
        return verify_database(service.database, "default", [], None, lambda _done, _total: None).status

    service.entries()
    assert HOLDS == verdict()
    assert 200 == service.client.post(f"{TAGS}/doc1/tags/fresh/state/1").status_code
    service.entries()
    signed = Checkpointer.of(service.database, upgraded).checkpoint("default")
    assert signed is not None
    assert HOLDS == verdict()
    export = tmp_path / "old.ndjson"
    export.write_text(told["export"])
    identity = Identities(service.database).current()
    assert identity is not None
    assert HOLDS == verify_file(export, identity.verifiers("default"), None, lambda _done, _total: None).status


def test_it_can_be_backed_up_and_restored(service: Service, upgraded: Settings, mongo_client: Client, tmp_path: Path) -> None:
    """A backup of the upgraded database gives all of it back."""
    service.entries()
    name = f"{upgraded.database}_again"
    again = Database.connect(replace(upgraded, database=name))
    try:
        Backup(service.database, Checkpointer.of(service.database, upgraded), TagStore(service.database)).make(
            tmp_path / "backups"
        )
        Restorer(again).restore(backups.sets(tmp_path / "backups"))

        before, after = (contents(mongo_client, database) for database in (upgraded.database, name))
        for kept in (before, after):
            for expiring in EXPIRING:  # what is a day old goes by itself, at a moment of MongoDB's own
                kept.pop(expiring, None)
        assert before == after
    finally:
        again.close()
        mongo_client.drop_database(name)


def test_an_older_service_cannot_go_on(upgraded: Settings, mongo_client: Client) -> None:
    """The database goes to the next schema version, which 0.1.0 refuses; what comes after this one is refused in one line."""
    database = Database.connect(upgraded)
    try:
        database.prepare()
        schema = mongo_client[upgraded.database]["schema"]
        assert {"_id": "version", "version": SCHEMA_VERSION} == schema.find_one()
        schema.update_one({"_id": "version"}, {"$set": {"version": SCHEMA_VERSION + 1}})
        with pytest.raises(CannotStart, match=rf"the database has schema version {SCHEMA_VERSION + 1}, this service knows up to"):
            database.prepare()
    finally:
        database.close()


def test_a_newer_database_is_refused_in_one_line(
    upgraded: Settings, mongo_client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command says so too, and ends with 2."""
    mongo_client[upgraded.database]["schema"].update_one({"_id": "version"}, {"$set": {"version": 99}})
    monkeypatch.setenv("DMS_TAGS_MONGO_URI", upgraded.mongo_uri or "")
    monkeypatch.setenv("DMS_TAGS_DATABASE", upgraded.database)

    assert 2 == main(["token", "list"])
    assert "dms-tags: the database has schema version 99, this service knows up to" in capsys.readouterr().err
