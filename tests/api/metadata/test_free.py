"""Free metadata of resources, call by call (API.md section 4)."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from werkzeug.test import TestResponse

from dms_tags.app import create_app
from dms_tags.audit.export import rows
from dms_tags.audit.trail.entry import flat, leaf_of
from dms_tags.audit.verify.replay import check
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.model import now
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.app import Service
from tests.support.at_once import at_once
from tests.support.identity import ADMIN
from tests.support.metadata import TRACE, body_of, refused
from tests.support.openapi import documented

PATH = "/metadata/site-1"


def set_to(service: Service, metadata: dict[str, str], query: str = "", **headers: str) -> TestResponse:
    """Replaces the metadata of site-1."""
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    return documented(service.client.put(f"{PATH}{query}", json={"metadata": metadata}, headers=given))


def metadata(service: Service, path: str = PATH) -> Any:
    return body_of(documented(service.client.get(path)))["metadata"]


def changes(service: Service) -> list[tuple[int, int, str, Any]]:
    """What the trail has of site-1: revision, action, key and value."""
    return [
        (entry["revision"], entry["action"], entry["name"], entry["state"])
        for entry in service.entries()
        if entry["resource"] == "metadata/site-1"
    ]


def test_made_read_replaced_and_removed(service: Service) -> None:
    """Metadata is made, read and listed; a replacement records each key that differs, in one trace; a removal each that goes."""
    body = {"resource_id": "site-1", "metadata": {"contact": "ann", "floor": "3"}}
    made = documented(service.client.post("/metadata", json=body))
    assert body == body_of(made, 201)
    assert body["metadata"] == metadata(service)

    replaced = set_to(service, {"contact": "ben", "room": "B", "floor": "3"}, X_B3_TraceId=TRACE)
    assert {"contact": "ben", "room": "B", "floor": "3"} == body_of(replaced)["metadata"] == metadata(service)
    assert TRACE == replaced.headers["X-B3-TraceId"]
    assert 200 == set_to(service, {"room": "B", "floor": "3"}).status_code
    gone = documented(service.client.delete(PATH))
    assert (204, b"") == (gone.status_code, gone.data)

    refused(documented(service.client.get(PATH)), 404, "not_found_error", "not_found")
    refused(documented(service.client.delete(PATH)), 404, "not_found_error", "not_found")
    assert [
        (1, 110, "contact", "ann"),
        (2, 110, "floor", "3"),
        (3, 310, "contact", "ben"),
        (4, 110, "room", "B"),
        (5, 210, "contact", "ben"),
        (6, 210, "floor", "3"),
        (7, 210, "room", "B"),
    ] == changes(service)
    assert {TRACE} == {entry["traceId"] for entry in service.entries() if entry["revision"] in (3, 4)}
    assert not list(check(service.database, "default"))


def test_the_same_again_changes_nothing(service: Service) -> None:
    """Metadata that is as it is given is answered and recorded once."""
    first, again = (set_to(service, {"floor": "3"}) for _ in range(2))

    assert (first.json, first.headers["ETag"]) == (again.json, again.headers["ETag"])
    assert 1 == len(changes(service))


def test_locks(service: Service) -> None:
    """The ETag is of the whole: a key that was added, changed or removed since is a 412; so is another trace id."""
    etag = set_to(service, {"floor": "3"}, X_B3_TraceId=TRACE).headers["ETag"]
    read = service.client.get(PATH)
    assert etag == read.headers["ETag"]
    assert 304 == service.client.get(PATH, headers={"If-None-Match": etag}).status_code
    for path in (PATH, f"{PATH}?at=2100-01-01T00:00:00Z"):  # what once was has no ETag
        assert 400 == service.client.get(path, headers={"If-None-Match": ""}).status_code
    newer = set_to(service, {"floor": "3", "room": "B"}, If_Match=etag, X_B3_TraceId=TRACE).headers["ETag"]

    refused(set_to(service, {"floor": "4"}, If_Match=etag), 412, "precondition_error", "revision_mismatch")
    refused(service.client.delete(PATH, headers={"If-Match": etag}), 412, "precondition_error", "revision_mismatch")
    refused(set_to(service, {"floor": "4"}, If_None_Match="*"), 412, "precondition_error", "revision_mismatch")
    locked = "?traceIdMustMatch=true"
    refused(set_to(service, {"floor": "4"}, locked, X_B3_TraceId="a"), 412, "precondition_error", "trace_mismatch")
    refused(set_to(service, {"floor": "4"}, locked), 400, "invalid_request_error", "parameter_missing")
    assert {"floor": "3", "room": "B"} == metadata(service)
    assert {"floor": "4"} == body_of(set_to(service, {"floor": "4"}, locked, X_B3_TraceId=TRACE, If_Match=newer))["metadata"]
    assert {"wall": "N"} == body_of(set_to(service, {"wall": "N"}, If_Match="*"))["metadata"]
    assert 204 == service.client.delete(PATH, headers={"If-Match": service.client.get(PATH).headers["ETag"]}).status_code
    refused(set_to(service, {"floor": "1"}, If_Match="*"), 412, "precondition_error", "revision_mismatch")
    assert 200 == set_to(service, {"floor": "1"}, If_None_Match="*").status_code


def test_sent_again(service: Service) -> None:
    """Under an idempotency key a change is made once and answered alike, also when others have written since."""
    first = set_to(service, {"floor": "3"}, Idempotency_Key="k1")
    set_to(service, {"floor": "4"})
    again = set_to(service, {"floor": "3"}, Idempotency_Key="k1")

    assert (first.json, "true") == (again.json, again.headers["Idempotent-Replayed"])
    assert {"floor": "4"} == metadata(service)
    refused(set_to(service, {"floor": "5"}, Idempotency_Key="k1"), 422, "invalid_request_error", "idempotency_key_reused")


def test_sent_again_by_who_may_not_read(memory: Database, token_store: TokenStore) -> None:
    """The answer is the one that was given: keys that others have set since are not in it."""
    client = create_app(Settings(mongo_uri="mongomock://", auth="tokens"), database=memory).test_client()
    owner, writer = (
        {"Authorization": f"Bearer {token_store.create('default', name, Grant(frozenset(allowed)), ADMIN)}"}
        for name, allowed in (("owner", Permission), ("writer", [Permission.WRITE]))
    )
    client.put(PATH, json={"metadata": {"floor": "3"}}, headers=owner)
    sent = {"json": {"metadata": {"floor": "3", "room": "B"}}, "headers": {**writer, "Idempotency-Key": "k1"}}
    first = client.put(PATH, **sent)
    client.put(PATH, json={"metadata": {"floor": "4", "secret": "x"}}, headers=owner)
    again = client.put(PATH, **sent)

    assert {"floor": "3", "room": "B"} == body_of(first)["metadata"]
    assert (first.json, first.headers["ETag"], "true") == (
        again.json,
        again.headers["ETag"],
        again.headers["Idempotent-Replayed"],
    )


def test_pages(service: Service) -> None:
    """Metadata is listed by resource, page by page; what was removed is not in it, nor is what a resource is labelled with."""
    for number in range(5):
        service.client.post("/metadata", json={"resource_id": f"r{number}", "metadata": {"floor": str(number)}})
    service.client.delete("/metadata/r1")
    service.client.post("/api/dms/objects/r9/tags/ocr/state/1")

    first = documented(service.client.get("/metadata?limit=2"))
    rest = documented(service.client.get(first.headers["Link"].split(">")[0][1:]))

    assert ["r0", "r2", "r3", "r4"] == [each["resource_id"] for page in (first, rest) for each in body_of(page)]


def test_looking_back(service: Service) -> None:
    """Metadata is shown as it stood at a time, whole."""
    set_to(service, {"floor": "3", "room": "B"})
    then = service.entries()[-1]["creationDate"]
    while now() <= then:
        """Until the next millisecond."""
    set_to(service, {"floor": "4"})

    moment = then.isoformat(timespec="milliseconds").replace("+", "%2B")
    assert {"floor": "3", "room": "B"} == metadata(service, f"{PATH}?at={moment}")
    refused(service.client.get(f"{PATH}?at=2020-01-01T00:00:00Z"), 404, "not_found_error", "not_found")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"a.b": "x"},
        {"$a": "x"},
        {"": "x"},
        {"x" * 65: "x"},
        {"a": ""},
        {"a": "x" * 256},
        {"a": 1},
        {"a": None},
        {f"k{number}": "x" for number in range(51)},
        "text",
        [],
    ],
    ids=range(12),
)
def test_what_is_no_metadata(service: Service, given: Any) -> None:
    """1 to 50 keys of plain characters, each a text of 1 to 255: anything else is a 400, and nothing is set."""
    answer = service.client.put(PATH, json={"metadata": given})

    assert 400 == answer.status_code
    refused(answer, 400, "invalid_request_error", (answer.json or {})["code"])
    assert 404 == service.client.get(PATH).status_code


def test_another_resource_is_not_meant(service: Service) -> None:
    """A document of another resource than the path names is refused."""
    answer = service.client.put(PATH, json={"resource_id": "site-2", "metadata": {"floor": "3"}})

    refused(answer, 400, "invalid_request_error", "parameter_invalid")


def test_whole_or_not_at_all(real: Service) -> None:
    """Of 16 that replace five keys at once under one ETag one does, and what stands is its own, whole."""
    keys = [f"k{number}" for number in range(5)]
    etag = set_to(real, dict.fromkeys(keys, "0")).headers["ETag"]

    answers = at_once(
        [
            partial(
                real.app.test_client().put,
                PATH,
                json={"metadata": dict.fromkeys(keys, str(number))},
                headers={"If-Match": etag},
            )
            for number in range(1, 17)
        ]
    )

    assert sorted([200] + [412] * 15) == sorted(answer.status_code for answer in answers)
    (won,) = (answer.json for answer in answers if answer.status_code == 200)
    assert (won or {})["metadata"] == metadata(real)
    assert 1 == len(set(metadata(real).values()))
    assert 10 == len(changes(real))
    assert not list(check(real.database, "default"))


def test_what_leaves_the_trail(service: Service) -> None:
    """The feed tells of a key that was set, and an entry is the same as a row of a table."""
    set_to(service, {"floor": "3"})
    entry = flat(service.entries()[-1])

    with service.client.get("/api/dms/tags/events?after=0") as answer:
        assert b'"resource": "metadata/site-1"' in next(part for part in answer.iter_encoded() if b"metadata/" in part)
    assert leaf_of(entry) == leaf_of(json.loads(rows.line(rows.row(entry))))


def test_who_may(memory: Database, token_store: TokenStore) -> None:
    """A caller whose reading ends at prefixes sees its keys alone, and not whether there are others; writing takes every key."""
    client = create_app(Settings(mongo_uri="mongomock://", auth="tokens"), database=memory).test_client()
    grants = {
        "every": Grant(frozenset(Permission)),
        "reader": Grant(frozenset({Permission.READ}), ("pub",)),
        "writer": Grant(frozenset({Permission.READ, Permission.WRITE}), None, ("pub",)),
    }
    headers = {
        name: {"Authorization": f"Bearer {token_store.create('default', name, grant, ADMIN)}"} for name, grant in grants.items()
    }
    client.post("/metadata", json={"resource_id": "r1", "metadata": {"public": "1", "secret": "2"}}, headers=headers["every"])
    client.post("/metadata", json={"resource_id": "r2", "metadata": {"secret": "2"}}, headers=headers["every"])

    assert {"public": "1"} == body_of(client.get("/metadata/r1", headers=headers["reader"]))["metadata"]
    hidden, none = (client.get(f"/metadata/{name}", headers=headers["reader"]) for name in ("r2", "r3"))
    assert (404, hidden.json) == (none.status_code, {**(none.json or {}), "message": "there is no metadata of r2"})
    assert ["r1"] == [each["resource_id"] for each in body_of(client.get("/metadata", headers=headers["reader"]))]
    told = [client.get(f"/metadata?limit=1{more}", headers=headers["reader"]) for more in ("", "&cursor=r1")]
    assert [True, False] == ["Link" in page.headers for page in told]
    assert "r2" not in "".join(page.text + str(page.headers) for page in told)
    seen = client.get("/metadata/r1", headers=headers["reader"]).headers["ETag"]
    client.put("/metadata/r1", json={"metadata": {"public": "1", "secret": "3"}}, headers=headers["every"])
    assert seen == client.get("/metadata/r1", headers=headers["reader"]).headers["ETag"]
    for call in (partial(client.put, json={"metadata": {"public": "2"}}), client.delete):
        refused(call("/metadata/r1", headers=headers["writer"]), 403, "permission_error", "forbidden")
