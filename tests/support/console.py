"""A day in the life of a service, for the console to show: a trail of many hours, queues, leases, labels, a chain."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

from dms_tags.audit.trail.commitments import commitment
from dms_tags.audit.trail.entry import Entry
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.model import now
from dms_tags.tags.store import TagStore
from tests.support.app import Service
from tests.support.identity import ADMIN
from tests.support.trails import BEGIN, actor_key, entries, place_tags

TRACE: Final = "463ac35c9f6413ad"
"""The trace of a change that goes over several APIs."""

OCR: Final = {
    "states": {"1": "queued", "2": "running", "3": "done", "4": "failed", "5": "to be checked"},
    "transitions": {"1": [2], "2": [1, 3, 4], "4": [1], "3": [5], "5": [1, 3]},
    "initial": [1],
}
EXPORT: Final = {"states": {"0": "wanted", "1": "sent", "2": "confirmed"}, "transitions": {"0": [1], "1": [0, 2]}, "initial": [0]}
NAMES: Final = {"anna": "a.lindner", "ocr-worker": "ocr-worker", "Jürgen \N{GRINNING FACE}": "import"}


def token(service: Service, name: str, *permissions: Permission, **more: Any) -> str:
    """A new token of the tenant `default`, as it is handed out."""
    store = TokenStore(service.database, TagStore(service.database))
    return store.create("default", name, Grant(frozenset(permissions), **more), ADMIN)


def revoke(service: Service, name: str) -> None:
    """Ends a token."""
    TokenStore(service.database, TagStore(service.database)).revoke("default", name, ADMIN)


def past_day(count: int) -> Iterator[Entry]:
    """A trail of the last 23 hours, busier in the middle of them."""
    begin = now() - timedelta(hours=23)
    for entry in entries(count, objects=max(7, count // 60)):
        share = entry["position"] / count
        moment = begin + timedelta(hours=22.9 * (share - 0.11 * math.sin(2 * math.pi * share)))
        moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        resource = f"object/R-{4100 + int(entry['objectId'])}"
        traces = {name: _trace(entry[name]) for name in ("traceId", "previousTraceId")}
        times = {"creationDate": moment, "recordedAt": moment}
        name = NAMES[entry["createdBy"]]
        changed = {"resource": resource, "objectId": resource.partition("/")[2], "createdBy": name}
        if entry["schema"] > 1:
            changed["actorCommitment"] = commitment(actor_key(entry["tenant"], name), name)
        yield entry | traces | times | changed


def _trace(trace_id: str | None) -> str | None:
    return None if trace_id is None else sha256(trace_id.encode()).hexdigest()[:16]


def furnish(service: Service, count: int = 2_000) -> None:
    """Puts a trail of the past day into an empty service, and then works with it: definitions, claims, labels, one trace over all."""
    assert BEGIN < now()
    made = list(past_day(count))
    service.database.trail.insert_many(made)
    place_tags(service.database, made)
    boss = {"Authorization": f"Bearer {token(service, 'records-office', *Permission)}"}
    worker = {"Authorization": f"Bearer {token(service, 'ocr-worker-7', Permission.READ, Permission.WRITE)}"}
    client = service.client
    for name, definition in (("ocr:page", OCR), ("export:archive", EXPORT)):
        _made(client.put(f"/api/dms/tag-definitions/{name}", json=definition, headers=boss).status_code)
    for number in range(14):
        _made(client.post(f"/api/dms/objects/R-{4100 + number}/tags/ocr:page/state/1", headers=boss).status_code)
    for number in range(5):
        _made(client.post(f"/api/dms/objects/R-{4100 + number}/tags/export:archive/state/0", headers=boss).status_code)
    claim = (
        "/api/dms/objects/tags/ocr:page/state/2?query=SELECT * FROM document WHERE system:tags[ocr:page].state=1&leaseSeconds={}"
    )
    for seconds in (600, 240, 45):
        _made(client.post(claim.format(seconds), headers=worker).status_code)
    traced = boss | {"X-B3-TraceId": TRACE}
    label = client.post("/tags", json={"key": "Cost centre", "color": "#2266AA"}, headers=boss).get_json()["id"]
    for call in (
        "/api/dms/objects/R-4120/tags/ocr:page/state/1",
        "/api/dms/objects/R-4108/tags/approval/state/1",
        "/api/dms/objects/R-4108/tags/approval/state/2?overwrite=true",
    ):
        _made(client.post(call, headers=traced).status_code)
    value = {"correlation_type": "site", "value": "Berlin 12"}
    _made(client.put(f"/tags/{label}/values/site-12", json=value, headers=traced).status_code)
    service.services.trail.wait_for("default")


def _made(status: int) -> None:
    assert status in (200, 201), status
