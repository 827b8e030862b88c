"""Conditions in headers: a call that writes honours each or refuses it, whatever calls there will be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from dms_tags.api.endpoint import CONDITIONAL, READING, Route
from dms_tags.app import APIS
from dms_tags.settings import Settings
from tests.support.app import Service, running
from tests.support.chains import add, prepare
from tests.support.metadata import define, put

WRITING = [route for api in APIS for route in api.routes if route.method != "GET" and not route.permissions <= READING]
PARTS = {
    "objectId": "o1",
    "name": "ocr",
    "state": "1",
    "tagId": "tag_01E8Z4Q6J7B6A5P4E3D2C1B0A9",
    "correlationId": "site-1",
    "resourceId": "m1",
}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running(Settings(mongo_uri="mongomock://", auth="none")) as application:
        yield application


@pytest.mark.parametrize("header", CONDITIONAL)
@pytest.mark.parametrize("route", WRITING, ids=lambda route: f"{route.method} {route.full_path}")
def test_honoured_or_refused(service: Service, route: Route, header: str) -> None:
    """A conditional header that a writing call does not declare is a 400 that names it; nothing is dropped in silence."""
    answer = service.client.open(
        route.full_path.format(**PARTS), method=route.method, headers={header: '"x"', **prepare(service)}, json={}
    )

    refused = answer.status_code == 400 and f"{header} is not honoured" in answer.text
    assert (header not in route.headers) == refused, answer.text


ABSENT = {"If-None-Match": "*"}


def test_absent_sets_a_state_once(service: Service) -> None:
    """`If-None-Match: *` on POST of a state makes the tag, and changes none that is there: 409 as ever, or with overwrite 412."""
    path = "/api/dms/objects/o1/tags/absent/state/"

    answers = [service.client.post(path + rest, headers=ABSENT).status_code for rest in ("1", "2", "2?overwrite=true")]

    assert [200, 409, 412] == answers


def test_absent_puts_a_value_once(service: Service) -> None:
    """`If-None-Match: *` on PUT of a value makes it where there is none; else 412, and the value stays."""
    tag_id = define(service, "Absent")

    first, second = (put(service, tag_id, "site-1", value, If_None_Match="*") for value in ("a", "b"))

    assert (200, 412) == (first.status_code, second.status_code)
    assert '"a"' in service.client.get(f"/tags/{tag_id}/values").text


def test_absent_removes_nothing(service: Service) -> None:
    """`If-None-Match: *` on a removal never holds where there is something to remove; nor does it change a chain's tag."""
    headers = prepare(service)
    service.client.post("/api/dms/objects/o2/tags/absent/state/1")
    number = add(service, headers, "absent")

    removed = service.client.delete("/api/dms/objects/o2/tags/absent", headers=ABSENT)
    altered = service.client.post("/auth/alter-tag", json={"id": number, "value": "y"}, headers={**headers, **ABSENT})

    assert (412, 412) == (removed.status_code, altered.status_code)
    assert 200 == service.client.get("/api/dms/objects/o2/tags/absent").status_code


def test_absent_names_no_etag(service: Service) -> None:
    """On a call that writes, `If-None-Match` is `*` or a 400: a list of ETags would be no condition that anyone means."""
    answer = service.client.post("/api/dms/objects/o3/tags/ocr/state/1?overwrite=true", headers={"If-None-Match": '"x"'})

    assert 400 == answer.status_code
    assert "If-None-Match" in answer.text


def test_any_of_a_batch_needs_a_tag(service: Service) -> None:
    """`ifMatch: "*"` of a change that sets is a 412 where there is no tag, as `If-Match: *` is."""
    item = {"objectId": "o4", "name": "ocr", "action": "set", "state": 1, "ifMatch": "*"}

    results = [(service.client.post("/api/dms/objects/tags", json={"changes": [item]}).json or {})["results"][0] for _ in "12"]
    service.client.post("/api/dms/objects/o4/tags/ocr/state/1")
    there = (service.client.post("/api/dms/objects/tags", json={"changes": [item]}).json or {})["results"][0]

    assert [412, 412, 200] == [result["status"] for result in (*results, there)]


SAME: list[tuple[str, str, dict[str, Any], str, dict[str, Any]]] = [
    ("POST", "/api/dms/objects/k1/tags/a/state/5", {}, "/api/dms/objects/k1/tags/a/state/05", {}),
    ("POST", "/api/dms/objects/k1/tags/b/state/5", {}, "/api/dms/objects/k1/tags/b/state/5?overwrite=false", {}),
    ("POST", "/api/dms/objects/k1/tags/c/state/5", {}, "/api/dms/objects/k1/tags/c/state/5?waitForSearchConsistency=true", {}),
    (
        "POST",
        "/tags",
        {"key": "Order", "color": "#3F51B5"},
        "/tags",
        {"color": "#3F51B5", "mandatory_on": None, "key": "Order"},
    ),
]


def repeated(service: Service, number: int, method: str, path: str, body: dict[str, Any], key: str) -> TestResponse:
    headers = {"Idempotency-Key": f"{key}-{number}", "X-B3-TraceId": "aa"}
    return service.client.open(path, method=method, headers=headers, json=body or None)


@pytest.mark.parametrize("number", range(len(SAME)))
def test_the_same_in_another_spelling_is_a_repeat(service: Service, number: int) -> None:
    """A key stands for what is asked, not for how it is spelt: padding, defaults, the order of members, how long to wait."""
    method, path, body, again, other = SAME[number]

    first = repeated(service, number, method, path, body, "same")
    second = repeated(service, number, method, again, other, "same")

    assert (first.status_code, "true") == (second.status_code, second.headers.get("Idempotent-Replayed")), second.text


def test_another_meaning_is_refused(service: Service) -> None:
    """A key that comes again with another state, lock or value is a 422, and changes nothing."""
    path = "/api/dms/objects/k2/tags/a/state/{}?overwrite=true"
    service.client.post("/api/dms/objects/k2/tags/a/state/1")
    headers = {"Idempotency-Key": "k2"}
    service.client.post(path.format(2), headers=headers)

    state, lock = (
        service.client.post(path.format(3), headers=headers),
        service.client.post(path.format(2), headers={**headers, "If-Match": "*"}),
    )

    assert (422, 422) == (state.status_code, lock.status_code)


def test_what_has_an_etag_is_not_sent_twice(service: Service) -> None:
    """Every GET that gives an ETag answers 304 without a body to one who has it, also as proxies that compress spell it."""
    tag_id = define(service, "Kept")
    put(service, tag_id, "site-1", "x")
    service.client.post("/api/dms/objects/o5/tags/ocr/state/1")

    session = prepare(service)
    of_a_chain = f"/auth/get-tag?id={add(service, session, 'kept')}"

    for path in ("/api/dms/objects/o5/tags/ocr", f"/tags/{tag_id}", of_a_chain):
        etag = service.client.get(path, headers=session).headers["ETag"]
        for known in (etag, f"W/{etag}", f', "x",, {etag[:-1]}-gzip"', f'{etag[:-1]}--gzip"', f'{etag[:-1]};br"', "*"):
            answer = service.client.get(path, headers={**session, "If-None-Match": known})
            assert (304, b"") == (answer.status_code, answer.data), known
        assert 200 == service.client.get(path, headers={**session, "If-None-Match": '"other"'}).status_code
