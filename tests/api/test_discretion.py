"""What a caller learns who may write but not read: nothing of what was there, whatever becomes of the call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from dms_tags.api.endpoint import Route
from dms_tags.app import APIS
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.settings import Settings
from tests.support.app import Service, running
from tests.support.identity import ADMIN

STATE = 987_654_321
TRACE = "feedfacefeedface"
VALUE = "a secret value"

CONDITIONS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "none": ({}, {}),
    "another revision": ({"If-Match": '"x"'}, {}),
    "any revision": ({"If-Match": "*"}, {}),
    "absent": ({"If-None-Match": "*"}, {}),
    "another trace": ({"X-B3-TraceId": "1"}, {"traceIdMustMatch": "true"}),
    "another state": ({}, {"expectedState": "1"}),
    "a key": ({"Idempotency-Key": "k"}, {}),
}


@dataclass(frozen=True)
class Place:
    """A service with a tag, a definition and a value that only readers may know."""

    service: Service
    writer: dict[str, str]
    tag_id: str
    etags: tuple[str, ...]

    def path(self, route: Route) -> str:
        parts = {
            "objectId": "o1",
            "name": "ocr",
            "state": "5",
            "tagId": self.tag_id,
            "correlationId": "site-1",
            "resourceId": "m1",
        }
        return route.full_path.format(**parts)


@pytest.fixture
def place() -> Iterator[Place]:
    with running(Settings(mongo_uri="mongomock://", auth="tokens")) as service:
        store = TokenStore(service.database, service.services.store)
        owner, writer = (
            {"Authorization": f"Bearer {store.create('default', name, Grant(frozenset(allowed)), ADMIN)}"}
            for name, allowed in (("owner", Permission), ("writer", [Permission.WRITE]))
        )
        client = service.client
        tag = client.post(f"/api/dms/objects/o1/tags/ocr/state/{STATE}", headers={**owner, "X-B3-TraceId": TRACE})

        states = {"states": {str(STATE): "hidden", "5": "shown", "7": "first"}, "transitions": {}, "initial": [7]}
        client.put("/api/dms/tag-definitions/ocr", json=states, headers=owner)
        label = client.post("/tags", json={"key": "Region", "color": "#3F51B5"}, headers=owner)
        tag_id = (label.json or {})["id"]
        body = {"correlation_type": "site", "value": VALUE}
        value = client.put(f"/tags/{tag_id}/values/site-1", json=body, headers={**owner, "X-B3-TraceId": TRACE})
        free = {"resource_id": "m1", "metadata": {"floor": VALUE, "room": "hidden"}}
        client.post("/metadata", json=free, headers={**owner, "X-B3-TraceId": TRACE})
        yield Place(service, writer, tag_id, tuple(answer.headers["ETag"].strip('"') for answer in (tag, value)))


WRITING = [
    route
    for api in APIS
    for route in api.routes
    if route.method != "GET" and Permission.WRITE in route.permissions and route.api.identify is None
]
BODIES: dict[str, Any] = {
    "/tags": {"key": "Region", "color": "#3F51B5"},
    "/tags/{tagId}": {"key": "Year", "color": "#3F51B5"},
    "/tags/{tagId}/values": {"correlation_type": "site", "correlation_id": "site-1", "value": "other"},
    "/tags/{tagId}/values/{correlationId}": {"correlation_type": "site", "value": "other"},
    "/metadata": {"resource_id": "m1", "metadata": {"floor": "other"}},
    "/metadata/{resourceId}": {"metadata": {"floor": "other"}},
    "/api/dms/objects/tags": {
        "changes": [
            {"objectId": "o1", "name": "ocr", "action": action, **state, **lock}
            for action, state in (("add", {"state": 5}), ("update", {"state": 5}), ("set", {"state": 5}), ("delete", {}))
            for lock in ({"ifMatch": '"x"'}, {"expectedState": 1}, {"traceId": "1", "traceIdMustMatch": True}, {})
            if action != "delete" or lock
        ]
    },
}


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("route", WRITING, ids=lambda route: f"{route.method} {route.full_path}")
def test_a_writer_learns_nothing_of_what_was_there(place: Place, route: Route, condition: str) -> None:
    """Neither the state nor the value, neither the trace id nor the ETag: not in the answer, not in its headers."""
    headers, query = CONDITIONS[condition]
    query = {name: value for name, value in query.items() if name in route.parameters}
    if "overwrite" in route.parameters:
        query["overwrite"] = "true"

    for _ in range(2):
        answer = place.service.client.open(
            place.path(route),
            method=route.method,
            json=BODIES.get(route.full_path),
            query_string=query,
            headers={**place.writer, **headers},
        )

        told = answer.text + json.dumps(dict(answer.headers))
        for secret in (str(STATE), TRACE, VALUE, "hidden", *place.etags):
            assert secret not in told, told
