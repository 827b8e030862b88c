"""A trail of every kind of resource and of every way that tags come and go: each way to verify it says that it holds."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from dms_tags.audit.verify import replay
from dms_tags.audit.verify.database import verify_database
from dms_tags.audit.verify.file import verify_file
from dms_tags.audit.verify.live import verify_live
from dms_tags.audit.verify.report import Report
from dms_tags.settings import Settings
from tests.support.app import Service, running
from tests.support.chains import add, prepare
from tests.support.metadata import define, put
from tests.support.objects import ROOT, patch, patch_many
from tests.support.trails import keyed

USER = {"chain_id": 1, "user_id": 77}
MANY = {f"m{number}": [["ocr", number], ["index:resistant", 1]] for number in range(40)}


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]
) -> Iterator[Service]:
    """A service with a signed trail: users of chains, free metadata, labels, objects of one write and of one transaction."""
    settings = Settings(mongo_uri=mongo_uri, database=f"test_{uuid.uuid4().hex}", auth="none")
    with running(keyed(settings, tmp_path_factory.mktemp("kinds"))) as service:
        change_everything(service)
        service.services.checkpointer.checkpoint("default")
        yield service
    mongo_client.drop_database(settings.database)


def change_everything(service: Service) -> None:
    """Makes, changes and removes something of each kind; objects are made again after they were deleted."""
    client, session = service.client, prepare(service)
    number = add(service, session, "vip")
    asked = USER | {"tag_id": number}
    done = [
        client.post("/auth/add-user-tag", json=asked, headers=session),
        client.delete("/auth/delete-user-tag", query_string=asked, headers=session),
        client.post("/auth/add-user-tag", json=asked, headers=session),
        client.post("/auth/alter-tag", json={"id": number, "active": False}, headers=session),
        client.delete("/auth/delete-tag", query_string={"id": number}, headers=session),
        client.put("/metadata/m1", json={"metadata": {"name": "Bern", "owner": "Jürgen \N{GRINNING FACE}", "floor": "3"}}),
        client.put("/metadata/m1", json={"metadata": {"name": "Bern", "owner": "Ann"}}),
        client.delete("/metadata/m1"),
        client.put("/metadata/m1", json={"metadata": {"name": "Basel"}}),
        put(service, define(service, "Region"), "site-1", "EMEA"),
        patch(client, "o1", ["ocr", 1], ["index:resistant", 0], ["checked", 2]),
        client.post(f"{ROOT}/o1/versions"),
        client.delete(f"{ROOT}/o1"),
        patch(client, "o1", ["ocr", 5]),
        patch_many(client, dict(MANY)),
        *(client.delete(f"{ROOT}/m{each}") for each in range(0, 40, 3)),
    ]
    assert [] == [(answer.request.path, answer.text) for answer in done if answer.status_code >= 400]


def silent(_done: int, _total: int) -> None:
    """Says nothing of how far it is."""


def holds(report: Report, service: Service) -> None:
    """Asserts that the report is one of the whole trail as it was signed, and that it holds."""
    assert (0, []) == (report.status, report.findings), report
    assert 120 < report.entries <= len(service.entries())


def test_kinds(service: Service) -> None:
    """The trail has them all, and replayed it gives what is kept."""
    entries = service.entries()
    kinds = {entry["resource"].partition("/")[0] for entry in entries}

    assert {"object", "chain", "chain-tag", "chain-user", "metadata", "definition", "site"} <= kinds
    assert [110, 110, 110, 210, 210, 210] == [entry["action"] for entry in entries if entry["resource"] == "object/o1"][:6]
    assert [] == replay.check(service.database, "default")


def test_in_the_database(service: Service) -> None:
    """`audit verify --database` holds, with the tags as they stand."""
    identity = service.services.checkpointer.identities.current()
    assert identity is not None

    holds(verify_database(service.database, "default", identity.verifiers("default"), None, silent), service)


def test_at_the_service(service: Service) -> None:
    """`audit verify` holds, asked over HTTP."""
    with httpx.Client(transport=httpx.WSGITransport(app=service.app), base_url="http://localhost") as client:
        holds(verify_live(client, [], None, silent), service)


@pytest.mark.parametrize("query", ["", "&proofs=true"])
def test_of_a_file(service: Service, tmp_path: Path, query: str) -> None:
    """`audit verify` of an export holds, whole and with a proof in each line."""
    identity = service.services.checkpointer.identities.current()
    assert identity is not None
    file = tmp_path / "export.ndjson"
    file.write_bytes(service.client.get(f"/api/dms/audit/export?format=ndjson{query}").data)

    holds(verify_file(file, identity.verifiers("default"), None, silent), service)


@pytest.mark.parametrize("resource", ["chain-user/1.user_id.77", "metadata/m1", "object/o1"])
def test_of_one_resource(service: Service, tmp_path: Path, resource: str) -> None:
    """The part of one resource can be proven alone."""
    identity = service.services.checkpointer.identities.current()
    assert identity is not None
    file = tmp_path / "part.ndjson"
    file.write_bytes(service.client.get(f"/api/dms/audit/export?format=ndjson&proofs=true&resource={resource}").data)

    report = verify_file(file, identity.verifiers("default"), None, silent)

    assert (0, []) == (report.status, report.findings), report
    assert report.entries == len([entry for entry in service.entries() if entry["resource"] == resource]) > 2
