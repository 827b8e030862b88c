"""API.md section 5, call by call."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from dms_tags.chains.model import Access
from dms_tags.model import now
from tests.support.app import Service
from tests.support.chains import ALL, Headers, add, log_in, prepare, refused, tag_of
from tests.support.openapi import documented

TRACE = "1234567887654321"


def alter(service: Service, headers: Headers, query: str = "", **members: Any) -> TestResponse:
    return service.client.post(f"/auth/alter-tag{query}", json=members, headers=headers)


def get(service: Service, headers: Headers, tag_id: int) -> TestResponse:
    return service.client.get(f"/auth/get-tag?id={tag_id}", headers=headers)


def tags(service: Service, headers: Headers, query: str = "") -> list[int]:
    answer = documented(service.client.get(f"/auth/get-tags?chain_id=1{query}", headers=headers))
    assert 200 == answer.status_code, answer.text
    return [tag["id"] for tag in answer.json["results"]["tags"]]  # type: ignore[index]


def test_life_of_a_tag(service: Service) -> None:
    """A tag is added, altered in part and whole, read and deleted; every answer is as the OpenAPI document foretells."""
    headers = prepare(service)
    body = {"chain_id": 1, "value": "a", "model_class": "user"}
    made = tag_of(documented(service.client.post("/auth/add-tag", json=body, headers=headers)), "add-tag")
    assert (1, True, False, "a", "user") == tuple(made[name] for name in ("id", "active", "deleted", "value", "model_class"))

    states = [
        tag_of(documented(alter(service, headers, id=1, **members)), "alter-tag")
        for members in ({"value": "b"}, {"active": False}, {"value": "c", "active": True}, {"value": ""}, {})
    ]
    assert [("b", True), ("b", False), ("c", True), ("", True), ("", True)] == [(one["value"], one["active"]) for one in states]
    assert states[-1] == tag_of(documented(get(service, headers, 1)), "get-tag")

    deleted = service.client.delete("/auth/delete-tag?id=1", headers=headers)
    assert {**states[-1], "active": False, "deleted": True} == {
        **tag_of(documented(deleted), "delete-tag"),
        "last_modified_date": states[-1]["last_modified_date"],
    }
    assert tag_of(get(service, headers, 1), "get-tag")["deleted"]
    entries = [entry for entry in service.entries() if entry["resource"] == "chain-tag/1"]
    assert ["OBJECT_TAG_CREATED", *["OBJECT_TAG_UPDATED"] * 5] == [entry["actionName"] for entry in entries]
    assert {("chain/1", "7", "session")} == {(entry["within"], entry["createdBy"], entry["actorKind"]) for entry in entries}
    assert {"value": "", "active": False, "deleted": True} == entries[-1]["state"]


def test_deleted_tag(service: Service) -> None:
    """A deleted tag can neither be altered nor deleted again, and is shown as it is."""
    headers = prepare(service)
    add(service, headers)
    service.client.delete("/auth/delete-tag?id=1", headers=headers)

    for members in ({"value": "x"}, {"active": True}, {"value": "x", "active": True}):
        refused(alter(service, headers, id=1, **members), 400, 9002, "tag_deleted")
    refused(service.client.delete("/auth/delete-tag?id=1", headers=headers), 400, 9002, "tag_deleted")
    assert tag_of(alter(service, headers, id=1), "alter-tag")["deleted"]


def test_pages(service: Service) -> None:
    """A chain's tags are listed in order of id, by limit and offset, with or without those that are not active."""
    headers = prepare(service)
    other = log_in(service, {2: ALL})
    for _ in range(3):
        add(service, headers)
        add(service, other, chain_id=2)
    alter(service, headers, id=3, active=False)

    assert [1, 3, 5] == tags(service, headers)
    assert [1, 5] == tags(service, headers, "&exclude_inactive=true")
    assert [1, 3, 5] == tags(service, headers, "&exclude_inactive=0")
    assert [3] == tags(service, headers, "&limit=1&offset=1")
    assert [] == tags(service, headers, "&offset=3")
    answer = service.client.get("/auth/get-tags?chain_id=2", headers=other)
    results = (answer.json or {})["results"]
    assert {"limit": 50, "offset": 0, "result_type": "get-tags"} == {
        name: results[name] for name in ("limit", "offset", "result_type")
    }
    assert {"email_address": None, "id": 2, "name": "Bar", "phone_number": None} == results["tags"][0]["chain"]


def test_locks(service: Service) -> None:
    """Trace id and ETag lock a tag of a chain as they lock a tag of an object, and are told with it."""
    headers = prepare(service)
    add(service, headers)
    first = alter(service, headers | {"X-B3-TraceId": TRACE}, id=1, value="b")
    assert TRACE == first.headers["X-B3-TraceId"]
    assert first.headers["ETag"] == get(service, headers, 1).headers["ETag"]

    locked = "?traceIdMustMatch=true"
    for members in ({"value": "c"}, {"value": "c", "active": True}, {}):
        lost = refused(alter(service, headers | {"X-B3-TraceId": "abc"}, locked, id=1, **members), 412, 9412, "condition_failed")
        assert "b" == lost["current"]["state"]["value"]
        refused(alter(service, headers | {"If-Match": '"01a2"'}, id=1, **members), 412, 9412, "condition_failed")
    refused(alter(service, headers, locked, id=1, value="c"), 400, 9001, "parameter_invalid")
    assert "c" == tag_of(alter(service, headers | {"X-B3-TraceId": TRACE}, locked, id=1, value="c"), "alter-tag")["value"]
    stale = {"If-Match": first.headers["ETag"]}
    refused(service.client.delete("/auth/delete-tag?id=1", headers=headers | stale), 412, 9412, "condition_failed")
    current = {"If-Match": get(service, headers, 1).headers["ETag"]}
    assert 200 == service.client.delete("/auth/delete-tag?id=1", headers=headers | current).status_code


def test_idempotency_key(service: Service) -> None:
    """Under an idempotency key a tag is added once, altered once, and answered again, also once it is deleted."""
    headers = prepare(service)
    keyed = headers | {"Idempotency-Key": "k1"}
    body = {"chain_id": 1, "value": "a", "model_class": "user"}
    added = [service.client.post("/auth/add-tag", json=body, headers=keyed) for _ in range(2)]
    assert added[0].json == added[1].json
    assert "true" == added[1].headers["Idempotent-Replayed"]
    refused(service.client.post("/auth/add-tag", json=body | {"value": "b"}, headers=keyed), 422, 9422, "idempotency_key_reused")

    keyed = headers | {"Idempotency-Key": "k2"}
    first = alter(service, keyed, id=1, value="b")
    alter(service, headers, id=1, value="c")
    service.client.delete("/auth/delete-tag?id=1", headers=headers)
    again = alter(service, keyed, id=1, value="b")

    assert (first.json, "true") == (again.json, again.headers["Idempotent-Replayed"])
    assert 4 == len([entry for entry in service.entries() if entry["resource"] == "chain-tag/1"])


def test_looking_back(service: Service) -> None:
    """A tag is shown as it stood at a time, by the trail; before it was added there was none."""
    headers = prepare(service)
    add(service, headers)
    added = now()
    while now() <= added:
        pass
    alter(service, headers, id=1, value="b", active=False)
    entries = [entry for entry in service.entries() if entry["resource"] == "chain-tag/1"]
    moments = [entry["creationDate"] for entry in entries]

    def at(moment: datetime) -> TestResponse:
        asked = {"id": 1, "at": moment.isoformat(timespec="milliseconds")}
        return documented(service.client.get("/auth/get-tag", query_string=asked, headers=headers))

    assert "b" == tag_of(at(moments[1]), "get-tag")["value"]
    assert ("x", True) == tuple(tag_of(at(moments[0]), "get-tag")[name] for name in ("value", "active"))
    refused(at(moments[0] - timedelta(seconds=1)), 400, 230, "entity_not_found")


@pytest.mark.parametrize(
    ("granted", "call", "status", "code"),
    [
        ({1: {Access.READ}}, "get 1", 200, None),
        ({1: {Access.READ}}, "list", 200, None),
        ({1: {Access.READ}}, "alter 1", 403, 68),
        ({1: {Access.READ}}, "delete 1", 403, 68),
        ({1: {Access.READ}}, "add", 403, 68),
        ({1: {Access.READ}}, "alter 99", 403, 68),
        ({1: {Access.READ}}, "get 99", 400, 230),
        ({1: {Access.WRITE}}, "alter 1", 200, None),
        ({1: {Access.WRITE}}, "add", 200, None),
        ({1: {Access.WRITE}}, "get 1", 403, 68),
        ({1: {Access.WRITE}}, "list", 403, 68),
        ({1: {Access.WRITE}}, "delete 1", 403, 68),
        ({1: {Access.WRITE}}, "alter 99", 400, 230),
        ({1: {Access.DELETE}}, "delete 1", 200, None),
        ({2: set(Access)}, "get 1", 403, 68),
        ({2: set(Access)}, "list", 403, 68),
        ({2: set(Access)}, "alter 1", 403, 68),
        ({2: set(Access)}, "alter 99", 400, 230),
        ({2: set(Access)}, "delete 1", 403, 68),
        ({2: set(Access)}, "add", 403, 68),
        ({}, "alter 99", 403, 68),
    ],
)
def test_access(shared: Service, granted: dict[int, set[Access]], call: str, status: int, code: int | None) -> None:
    """A session does to a chain's tags what it was granted for that chain, and learns nothing of others."""
    tag_id = add(shared, prepare(shared))
    headers = log_in(shared, {chain: frozenset(access) for chain, access in granted.items()})
    verb, _, number = call.partition(" ")
    tag_id = tag_id if number == "1" else 10**9
    body = {"chain_id": 1, "value": "a", "model_class": "user"}

    answer = {
        "get": lambda: get(shared, headers, tag_id),
        "alter": lambda: alter(shared, headers, id=tag_id, value="b"),
        "delete": lambda: shared.client.delete(f"/auth/delete-tag?id={tag_id}", headers=headers),
        "list": lambda: shared.client.get("/auth/get-tags?chain_id=1", headers=headers),
        "add": lambda: shared.client.post("/auth/add-tag", json=body, headers=headers),
    }[verb]()

    assert (status, code) == (answer.status_code, (answer.json or {}).get("error", {}).get("code")), answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "name"),
    [
        ("GET", "/auth/get-tag", 400, 52, "missing_necessary_parameters"),
        ("GET", "/auth/get-tags", 400, 52, "missing_necessary_parameters"),
        ("DELETE", "/auth/delete-tag", 400, 52, "missing_necessary_parameters"),
        ("GET", "/auth/get-tag?id=one", 400, 9001, "parameter_invalid"),
        ("GET", "/auth/get-tag?id=1&id=2", 400, 9001, "parameter_invalid"),
        ("GET", "/auth/get-tag?id=1&chain_id=1", 400, 9001, "parameter_invalid"),
        ("GET", "/auth/get-tag?id=99999", 400, 230, "entity_not_found"),
        ("GET", "/auth/get-tags?chain_id=1&limit=51", 400, 9001, "parameter_invalid"),
        ("GET", "/auth/get-tags?chain_id=1&offset=-1", 400, 9001, "parameter_invalid"),
        ("GET", "/auth/get-tags?chain_id=1&exclude_inactive=maybe", 400, 316, "parameter_supplied_not_boolean"),
        ("GET", "/auth/get-tags?chain_id=99", 403, 68, "permission_denied_or_non_existent"),
        ("GET", "/auth/else", 404, 9404, "not_found"),
        ("GET", "/auth", 404, 9404, "not_found"),
        ("GET", "/auth/alter-tag", 405, 9405, "method_not_allowed"),
    ],
)
def test_errors(shared: Service, method: str, path: str, status: int, code: int, name: str) -> None:
    """What cannot be done is answered in the API's envelope."""
    headers = prepare(shared)

    refused(shared.client.open(path, method=method, headers=headers), status, code, name)
