"""The restore drill on a real MongoDB: everything that was there is there again, and the service goes on from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dms_tags.audit.log.keys import Identities
from dms_tags.audit.verify.file import verify_file
from dms_tags.audit.verify.report import HOLDS
from dms_tags.identity.store import TokenStore
from dms_tags.model import Action, Actor, Change, Kind, Resource, Verb
from dms_tags.serving.mongod import Client
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.backup.conftest import Command
from tests.support.app import running
from tests.support.backups import contents, load
from tests.support.workflow import claim, post, rows, run_out, tag


def test_drill(
    signing: Settings,
    elsewhere: Settings,
    mongo_client: Client,
    tmp_path: Path,
    command: Command,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two backups, the second with changes that no relay has moved yet, then a restore: all is as it was, and goes on."""
    folder, export = str(tmp_path / "backups"), tmp_path / "old.ndjson"
    with running(signing) as service:
        loaded = load(service)
        assert 0 == command(signing, "backup", "--to", folder)
        tag(service, "doc1", "index", 9, overwrite="true")
        tag(service, "late", "ocr", 1)
        etag = service.client.get("/api/dms/objects/doc1/tags/index").headers["ETag"]
        service.entries()
        export.write_bytes(service.client.get("/api/dms/audit/export?format=ndjson").data)
        service.entries()
    database = Database.connect(signing)
    pending = Change(Resource("default", Kind.OBJECT, "late"), "index", Verb.ADD, Actor("anna", "token"), 4, trace_id="beef")
    TagStore(database).change(pending)
    database.close()

    assert 0 == command(signing, "backup", "--to", folder)
    before = contents(mongo_client, signing.database)
    assert 0 == command(signing, "backup", "verify", folder)
    mongo_client.drop_database(signing.database)
    assert 0 == command(elsewhere, "restore", "--from", folder)
    assert "signed up to here" in capsys.readouterr().err

    after = contents(mongo_client, elsewhere.database)
    checkpoints = [kept.pop("log_checkpoints") for kept in (before, after)]
    assert before == after
    assert {"credentials", "session_credentials", "subscription_secrets", "value_spellings"} <= after.keys()
    assert checkpoints[0] == checkpoints[1][: len(checkpoints[0])]
    assert 1 == sum(len(document["outbox"]) for document in after["tags"])

    with running(elsewhere) as service:
        assert 4 == rows(service, "late")["index"][1]
        repeated = service.client.post("/api/dms/objects/doc3/tags/ocr/state/1", headers={"Idempotency-Key": "key3"})
        assert "true" == repeated.headers["Idempotent-Replayed"]
        again = claim(service, state=2, headers={"Idempotency-Key": "claim1", "X-B3-TraceId": "cafe"}, leaseSeconds=600)
        assert [loaded.claimed] == [object_["system:objectId"]["value"] for object_ in again]
        run_out(service, loaded.claimed)
        assert 1 == rows(service, loaded.claimed)["ocr"][1]
        assert 409 == service.client.post("/api/dms/objects/doc9/tags/ocr/state/1").status_code
        post(service, "/objects/doc1/tags/ocr/state/7", status=422, query_string={"overwrite": "true"})
        changed = service.client.post("/api/dms/objects/doc1/tags/index/state/1?overwrite=true", headers={"If-Match": etag})
        assert 200 == changed.status_code
        assert etag != changed.headers["ETag"]
        assert 412 == service.client.delete("/api/dms/objects/doc1/tags/index", headers={"If-Match": etag}).status_code
        assert 200 == service.client.get("/auth/get-tags?chain_id=1", headers=loaded.session).status_code
        added = service.client.post(
            "/auth/add-tag", json={"chain_id": 1, "value": "new", "model_class": "user"}, headers=loaded.session
        ).json
        assert added is not None
        assert 2 == added["results"]["tag"]["id"]
        (token,) = TokenStore(service.database, service.services.store).in_force()
        assert loaded.token.split("_")[1] == token.id
        positions = [entry["position"] for entry in service.entries()]
        assert list(range(1, len(positions) + 1)) == positions
        assert Action.OBJECT_TAG_CREATED == service.entries("second")[-1]["action"]
        assert HOLDS == command(elsewhere, "audit", "checkpoint")
    assert HOLDS == command(elsewhere, "audit", "verify", "--database")
    assert HOLDS == _verified(export, elsewhere)


def _verified(export: Path, settings: Settings) -> int:
    """Whether an export of before the restore holds, by the key of the log as it now is."""
    database = Database.connect(settings)
    identity = Identities(database).current()
    database.close()
    assert identity is not None
    assert "log.example/audit" == identity.origin
    return verify_file(export, [identity.verifier("default")], None, lambda _done, _total: None).status
