"""API.md section 4, call by call."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from dms_tags.model import now
from dms_tags.settings import Settings
from tests.support.app import Service, running
from tests.support.metadata import SITE, TRACE, body_of, define, put, refused
from tests.support.openapi import documented

UNKNOWN = "tag_01E8Z4Q6J7B6A5P4E3D2C1B0A9"


def test_life_of_a_definition(service: Service) -> None:
    """A definition is made, read, changed and deleted; every answer is as the OpenAPI document foretells."""
    client = service.client
    made = documented(client.post("/tags", json={"key": "Region", "color": "#3F51B5", "mandatory_on": ["site", "wan"]}))
    definition = body_of(made, 201)
    assert re.fullmatch("tag_[0-9A-HJKMNP-TV-Z]{26}", definition["id"])
    assert ("Region", "#3F51B5", ["site", "wan"]) == (definition["key"], definition["color"], definition["mandatory_on"])
    assert {"id", "key", "color", "mandatory_on", "created_at", "updated_at"} == definition.keys()
    path = f"/tags/{definition['id']}"

    read = documented(client.get(path))
    assert {**definition, "values": []} == body_of(read)
    assert made.headers["ETag"] == read.headers["ETag"]

    changed = documented(client.put(path, json={"key": "Area", "color": "#000000"}))
    assert {**definition, "key": "Area", "color": "#000000", "updated_at": changed.json["updated_at"]} == body_of(changed)  # type: ignore[index]
    assert [] == body_of(client.put(path, json={"key": "Area", "color": "#000000", "mandatory_on": []}))["mandatory_on"]

    gone = documented(client.delete(path))
    assert (204, b"") == (gone.status_code, gone.data)
    refused(documented(client.get(path)), 404, "not_found_error", "tag_not_found")
    assert ["ADMIN_CREATED", "ADMIN_UPDATED", "ADMIN_UPDATED", "ADMIN_UPDATED", "ADMIN_DELETED"] == [
        entry["actionName"] for entry in service.entries() if entry["resource"] == f"definition/{definition['id']}"
    ]


def test_locks_of_a_definition(service: Service) -> None:
    """A definition is changed and deleted only under the trace id and ETag that it has, where they are given."""
    tag_id = define(service)
    path = f"/tags/{tag_id}"
    body = {"key": "Area", "color": "#000000"}
    stale = service.client.get(path).headers["ETag"]
    current = service.client.put(path, json=body, headers={"X-B3-TraceId": TRACE}).headers["ETag"]

    refused(service.client.put(path, json=body, headers={"If-Match": stale}), 412, "precondition_error", "revision_mismatch")
    refused(service.client.delete(path, headers={"If-Match": stale}), 412, "precondition_error", "revision_mismatch")
    locked = f"{path}?traceIdMustMatch=true"
    refused(service.client.put(locked, json=body, headers={"X-B3-TraceId": "a"}), 412, "precondition_error", "trace_mismatch")
    refused(service.client.delete(locked), 400, "invalid_request_error", "parameter_missing")
    assert 200 == service.client.put(locked, json=body, headers={"X-B3-TraceId": TRACE, "If-Match": current}).status_code
    assert 204 == service.client.delete(locked, headers={"X-B3-TraceId": TRACE}).status_code


def test_definition_made_again_under_its_key(service: Service) -> None:
    """Under an idempotency key a definition is made once, and its deletion is answered again once it is gone."""
    headers = {"Idempotency-Key": "k1"}
    body = {"key": "Region", "color": "#3F51B5"}
    first = service.client.post("/tags", json=body, headers=headers)
    again = service.client.post("/tags", json=body, headers=headers)
    other = service.client.post("/tags", json={**body, "key": "Area"}, headers=headers)

    assert first.json == again.json
    assert "true" == again.headers["Idempotent-Replayed"]
    refused(other, 422, "invalid_request_error", "idempotency_key_reused")
    path = f"/tags/{body_of(first, 201)['id']}"
    assert [204, 204, 404] == [
        service.client.delete(path, headers={"Idempotency-Key": key}).status_code for key in ("k2", "k2", "k3")
    ]


def test_values(service: Service) -> None:
    """Values are applied, listed, found by exact value, shown with their resource, and removed."""
    client, tag_id = service.client, define(service, "Region")
    body = {"correlation_id": "s1", "correlation_type": "site", "value": "APAC"}
    applied = documented(client.post(f"/tags/{tag_id}/values", json=body))
    assert body == {name: body_of(applied, 201)[name] for name in body}
    put(service, tag_id, "s2", "EMEA")
    put(service, tag_id, "u1", "APAC", "user")

    listed = body_of(documented(client.get(f"/tags/{tag_id}/values")))
    assert [("site", "s1"), ("site", "s2"), ("user", "u1")] == [
        (one["correlation_type"], one["correlation_id"]) for one in listed
    ]
    found = body_of(documented(client.get(f"/tags/{tag_id}/resources?value=APAC")))
    assert ["s1", "u1"] == [one["correlation_id"] for one in found]
    assert [] == body_of(client.get(f"/tags/{tag_id}/resources?value=apac"))
    [shown] = body_of(documented(client.get("/tags")))
    assert (tag_id, listed) == (shown["id"], shown["values"])
    labels = body_of(documented(client.get("/resources/s1/tags")))
    assert [{"tag_id": tag_id, "key": "Region", "color": "#3F51B5", "value": "APAC"}] == labels

    removed = documented(client.delete(f"/tags/{tag_id}/values/s1", headers={"X-B3-TraceId": TRACE}))
    assert (204, b"", TRACE) == (removed.status_code, removed.data, removed.headers["X-B3-TraceId"])
    refused(client.delete(f"/tags/{tag_id}/values/s1"), 404, "not_found_error", "tag_value_not_found")
    assert [] == body_of(client.get("/resources/s1/tags"))


def test_pages(service: Service) -> None:
    """Lists come in pages whose next one the Link header tells; together they are the whole."""
    tags = [define(service, f"key{number}") for number in range(5)]
    for number in range(5):
        put(service, tags[0], f"s{number}", "APAC")

    def walk(path: str) -> list[Any]:
        found = []
        while path:
            answer = service.client.get(path)
            found.extend(body_of(answer))
            path = re.sub(r'<(.*)>; rel="next"', r"\1", answer.headers.get("Link", ""))
        return found

    assert sorted(tags) == [one["id"] for one in walk("/tags?limit=2")]
    for path in (f"/tags/{tags[0]}/values?limit=2", f"/tags/{tags[0]}/resources?value=APAC&limit=2"):
        assert [f"s{number}" for number in range(5)] == [one["correlation_id"] for one in walk(path)]


def test_letter_case(service: Service) -> None:
    """A value that the definition has in another letter case takes that spelling; other definitions have their own."""
    tag_id, other = define(service), define(service)
    put(service, tag_id, "s1", "Straße Süd")

    assert "Straße Süd" == body_of(put(service, tag_id, "s2", "STRASSE SÜD"))["value"]
    assert "STRASSE SÜD" == body_of(put(service, other, "s2", "STRASSE SÜD"))["value"]


def test_type_of_a_resource(service: Service) -> None:
    """A resource keeps the type it was first tagged with, over all definitions and also once it has no tag."""
    tag_id, other = define(service), define(service)
    put(service, tag_id, SITE, "APAC")
    service.client.delete(f"/tags/{tag_id}/values/{SITE}")

    refused(put(service, other, SITE, "x", "user"), 400, "invalid_request_error", "parameter_invalid")
    refused(
        service.client.get(f"/resources/{SITE}/tags?correlation_type=user"), 400, "invalid_request_error", "parameter_invalid"
    )


def test_missing_tags(service: Service) -> None:
    """With the type given, a resource's labels come with the ids of the mandatory ones that it lacks."""
    region = define(service, "Region", mandatory_on=["site"])
    tier = define(service, "Tier", mandatory_on=["site", "user"])
    define(service, "Owner")
    put(service, region, SITE, "APAC")

    def missing(resource: str, kind: str) -> str:
        return service.client.get(f"/resources/{resource}/tags?correlation_type={kind}").headers["X-Missing-Tags"]

    assert tier == missing(SITE, "site")
    assert f"{region},{tier}" == missing("unknown", "site")
    assert tier == missing("unknown", "user")
    assert "" == missing("unknown", "wan")
    assert "X-Missing-Tags" not in service.client.get(f"/resources/{SITE}/tags").headers


def test_looking_back(service: Service) -> None:
    """A resource's labels are shown as they and their definitions stood at a time, also once these are deleted."""
    tag_id = define(service, "Region")
    put(service, tag_id, SITE, "APAC")
    then = service.entries()[-1]["creationDate"]
    while now() <= then:
        pass
    service.client.put(f"/tags/{tag_id}", json={"key": "Area", "color": "#000000"})
    service.client.delete(f"/tags/{tag_id}?force=true")

    def at(moment: datetime) -> Any:
        asked = {"at": moment.isoformat(timespec="milliseconds")}
        return body_of(documented(service.client.get(f"/resources/{SITE}/tags", query_string=asked)))

    assert [{"tag_id": tag_id, "key": "Region", "color": "#3F51B5", "value": "APAC"}] == at(then)
    assert [] == at(then - timedelta(seconds=1))
    assert [] == at(now() + timedelta(seconds=1))


def test_deleting_a_definition_with_values(service: Service) -> None:
    """A definition with values is deleted only with force, its values with it, all in one trace."""
    tag_id = define(service)
    put(service, tag_id, "s1", "APAC")
    put(service, tag_id, "u1", "EMEA", "user")
    refused(service.client.delete(f"/tags/{tag_id}"), 409, "conflict_error", "in_use")
    assert 200 == put(service, tag_id, "s2", "APAC").status_code

    assert 204 == service.client.delete(f"/tags/{tag_id}?force=true", headers={"X-B3-TraceId": TRACE}).status_code

    assert [] == body_of(service.client.get("/resources/s1/tags"))
    refused(put(service, tag_id, "s1", "APAC"), 404, "not_found_error", "tag_not_found")
    traced = [(entry["resource"], entry["actionName"]) for entry in service.entries() if entry["traceId"] == TRACE]
    assert {
        ("site/s1", "OBJECT_TAG_DELETED"),
        ("site/s2", "OBJECT_TAG_DELETED"),
        ("user/u1", "OBJECT_TAG_DELETED"),
        (f"definition/{tag_id}", "ADMIN_UPDATED"),
        (f"definition/{tag_id}", "ADMIN_DELETED"),
    } == set(traced)


Ask = Callable[[Service, str], TestResponse]


@pytest.mark.parametrize(
    ("ask", "status", "kind", "code"),
    [
        (lambda s, _: s.client.get(f"/tags/{UNKNOWN}"), 404, "not_found_error", "tag_not_found"),
        (lambda s, _: s.client.get("/tags/ocr"), 404, "not_found_error", "tag_not_found"),
        (lambda s, _: s.client.get("/tags/%F0%9F%98%80"), 404, "not_found_error", "tag_not_found"),
        (lambda s, _: put(s, UNKNOWN, SITE, "x"), 404, "not_found_error", "tag_not_found"),
        (lambda s, _: s.client.delete(f"/tags/{UNKNOWN}/values/s1"), 404, "not_found_error", "tag_not_found"),
        (lambda s, _: s.client.delete(f"/tags/{UNKNOWN}?force=true"), 404, "not_found_error", "tag_not_found"),
        (lambda s, _: s.client.get(f"/tags/{UNKNOWN}/values"), 404, "not_found_error", "tag_not_found"),
        (lambda s, tag: s.client.delete(f"/tags/{tag}/values/s1"), 404, "not_found_error", "tag_value_not_found"),
        (lambda s, tag: s.client.get(f"/tags/{tag}/else"), 404, "not_found_error", "not_found"),
        (lambda s, _: s.client.get("/resources"), 404, "not_found_error", "not_found"),
        (lambda s, tag: s.client.patch(f"/tags/{tag}"), 405, "invalid_request_error", "method_not_allowed"),
        (lambda s, tag: put(s, tag, "%F0%9F%98%80", "x"), 400, "invalid_request_error", "parameter_invalid"),
        (lambda s, tag: put(s, tag, "a%00b", "x"), 400, "invalid_request_error", "parameter_invalid"),
        (lambda s, tag: put(s, tag, "x" * 129, "x"), 400, "invalid_request_error", "parameter_invalid"),
        (lambda s, tag: put(s, tag, "..", "x"), 400, "invalid_request_error", "parameter_invalid"),
        (lambda s, tag: put(s, tag, SITE, "x", X_B3_TraceId="XYZ"), 400, "invalid_request_error", "parameter_invalid"),
        (lambda s, tag: put(s, tag, SITE, "x", If_Match="bare"), 400, "invalid_request_error", "parameter_invalid"),
        (lambda s, tag: put(s, tag, SITE, "x", Idempotency_Key="ä"), 400, "invalid_request_error", "parameter_invalid"),
        (lambda s, tag: put(s, tag, f"{SITE}?traceidMustMatch=true", "x"), 400, "invalid_request_error", "parameter_invalid"),
        (lambda s, tag: put(s, tag, f"{SITE}?traceIdMustMatch=true", "x"), 400, "invalid_request_error", "parameter_missing"),
        (lambda s, tag: s.client.get(f"/tags/{tag}/resources"), 400, "invalid_request_error", "parameter_missing"),
        (lambda s, tag: s.client.get(f"/tags/{tag}/resources?value="), 400, "invalid_request_error", "parameter_invalid"),
        (lambda s, tag: s.client.get(f"/tags/{tag}/values?limit=0"), 400, "invalid_request_error", "parameter_invalid"),
        (lambda s, tag: s.client.get(f"/tags/{tag}/values?cursor=x"), 400, "invalid_request_error", "parameter_invalid"),
        (lambda s, _: s.client.get("/tags?limit=1&limit=2"), 400, "invalid_request_error", "parameter_invalid"),
        (
            lambda s, _: s.client.get("/resources/s1/tags?correlation_type=tree"),
            400,
            "invalid_request_error",
            "parameter_invalid",
        ),
        (
            lambda s, _: s.client.post("/tags?traceIdMustMatch=true", json={"key": "x", "color": "#000000"}),
            400,
            "invalid_request_error",
            "parameter_missing",
        ),
        (
            lambda s, _: s.client.post("/tags", json={"key": "x", "color": "#000000"}, headers={"If-Match": "*"}),
            400,
            "invalid_request_error",
            "parameter_invalid",
        ),
    ],
)
def test_errors(shared: Service, ask: Ask, status: int, kind: str, code: str) -> None:
    """What cannot be done is answered in the seed's error shape, and changes nothing."""
    tag_id = define(shared)
    before = len(shared.entries())

    error = refused(ask(shared, tag_id), status, kind, code)

    assert 200 == shared.client.get(error["doc_url"].removeprefix("http://localhost")).status_code
    assert before == len(shared.entries())


def test_rate() -> None:
    """Who sends more than its share is told when to go on, in the seed's error shape."""
    with running(Settings(mongo_uri="mongomock://", auth="none", rate=1)) as service:
        answers = [service.client.get("/tags") for _ in range(20)]

    over = [answer for answer in answers if answer.status_code != 200]
    assert over
    for answer in over:
        refused(answer, 429, "rate_limit_error", "rate_limited")
        assert "1" == answer.headers["Retry-After"]


@pytest.mark.parametrize(
    ("host", "status", "kind"),
    [
        ("a b", 400, "invalid_request_error"),
        ("[", 400, "invalid_request_error"),
        ("", 400, "invalid_request_error"),
        ("evil.example", 403, "permission_error"),
    ],
)
def test_host_that_is_not_ours(service: Service, host: str, status: int, kind: str) -> None:
    """Without authentication a request that was meant for another host is a 403, in this API's shape; no host is a 400."""
    answer = service.client.get("/tags", headers={"Host": host})

    assert (status, kind) == (answer.status_code, (answer.json or {})["type"])


def test_token_required() -> None:
    """Without a Bearer token a call is a 401, with one that may not write a 403, in the seed's error shape."""
    from dms_tags.identity.model import Permission
    from dms_tags.identity.store import Grant, TokenStore
    from dms_tags.model import Actor

    with running(Settings(mongo_uri="mongomock://", auth="tokens")) as service:
        store = TokenStore(service.database, service.services.store)

        def bearer(name: str, *permissions: Permission, prefixes: tuple[str, ...] | None = None) -> dict[str, str]:
            token = store.create("default", name, Grant(frozenset(permissions), prefixes, prefixes), Actor("root", "cli"))
            return {"Authorization": f"Bearer {token}"}

        def read(headers: dict[str, str] | None = None) -> TestResponse:
            return service.client.get("/tags", headers=headers)

        def write(headers: dict[str, str] | None = None) -> TestResponse:
            return service.client.post("/tags", json={"key": "Region", "color": "#3F51B5"}, headers=headers)

        reader, writer = bearer("reader", Permission.READ), bearer("writer", Permission.WRITE)
        narrow = bearer("narrow", Permission.READ, Permission.WRITE, prefixes=("ocr:",))

        for answer in (read(), write(), read({"Authorization": "Bearer dmst_x"})):
            refused(answer, 401, "authentication_error", "unauthenticated")
        refused(read(writer), 403, "permission_error", "forbidden")
        refused(write(reader), 403, "permission_error", "forbidden")
        refused(write(narrow), 403, "permission_error", "forbidden")
        tag_id = body_of(write(writer), 201)["id"]
        assert [tag_id] == [one["id"] for one in body_of(read(reader))]
        assert [] == body_of(read(narrow))
        refused(service.client.get(f"/tags/{tag_id}", headers=narrow), 403, "permission_error", "forbidden")
