"""What tests of backups share: a database with something of everything, and comparing what two databases hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from dms_tags.backup.kept import PASSED_OVER
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.model import now
from dms_tags.serving.mongod import Client
from tests.support import chains, metadata
from tests.support.app import Service
from tests.support.workflow import claim, post, tag

IN_FLIGHT: Final = frozenset({"log_tiles"}) | PASSED_OVER
"""Collections that are no measure: a level of tiles may be narrower than it could be, and the others are not kept."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What callers of the loaded service hold in their hands."""

    token: str
    session: dict[str, str]
    claimed: str


def load(service: Service) -> Loaded:
    """Puts something of everything that is kept into the service's database."""
    definition = {"states": {"1": "queued", "2": "running", "3": "done"}, "enforce": True}
    assert 200 == service.client.put("/api/dms/tag-definitions/ocr", json=definition).status_code
    for number in range(12):
        post(service, f"/objects/doc{number}/tags/ocr/state/1", headers={"Idempotency-Key": f"key{number}"})
    tag(service, "doc1", "index", 7)
    tag(service, "doc1", "index", 8, overwrite="true")
    assert 200 == service.client.delete("/api/dms/objects/doc2/tags/ocr").status_code
    claimed = claim(service, state=2, headers={"Idempotency-Key": "claim1", "X-B3-TraceId": "cafe"}, leaseSeconds=600)
    region = metadata.define(service, "region")
    metadata.body_of(metadata.put(service, region, "site1", "Nord"))
    headers = chains.prepare(service)
    number = chains.add(service, headers, "gold")
    assert 200 == service.client.post("/auth/alter-tag", json={"id": number, "active": False}, headers=headers).status_code
    grant = Grant(frozenset({Permission.READ, Permission.WRITE}), expires=now() + timedelta(days=1))
    token = TokenStore(service.database, service.services.store).create("default", "worker", grant, chains.ADMIN)
    for name in ("read", "other"):
        assert (
            200
            == service.client.post(
                f"/api/dms/objects/doc1/tags/{name}/state/1", headers={"X-ID-TENANT-NAME": "second"}
            ).status_code
        )
    assert 200 == service.client.put("/api/dms/subscriptions/hook", json={"url": "https://h.example/", "after": 0}).status_code
    service.entries()
    return Loaded(token, headers, claimed[0]["system:objectId"]["value"])


def contents(client: Client, database: str) -> dict[str, list[dict[str, Any]]]:
    """All documents of a database by collection, in order of their ids; collections without any are left out."""
    names = set(client[database].list_collection_names()) - IN_FLIGHT
    kept = {name: list(client[database][name].find(sort=[("_id", 1)])) for name in sorted(names)}
    return {name: documents for name, documents in kept.items() if documents}
