"""JSON bodies, whichever call takes them: one reader, which refuses what could hide a lock or break the service."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from time import process_time
from typing import Any

import pytest
from werkzeug.test import TestResponse

from dms_tags.api import bodies, members
from dms_tags.api.dms.objects_schemas import Objects
from dms_tags.app import APIS
from dms_tags.errors import InvalidBody
from dms_tags.settings import Settings
from tests.support.app import Service, running
from tests.support.chains import prepare

TAG = "tag_01E8Z4Q6J7B6A5P4E3D2C1B0A9"
WHOLE: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/api/dms/objects/tags"): {"changes": [{"objectId": "o1", "name": "ocr", "state": 1, "action": "set"}]},
    ("POST", "/api/dms/objects/search"): {"query": {"statement": "SELECT * FROM system:object"}},
    ("POST", "/api/dms/objects"): {"objects": [{"properties": {"system:objectId": "o5"}}]},
    ("PATCH", "/api/dms/objects"): {"objects": [{"properties": {"system:objectId": "o5"}}]},
    ("PATCH", "/api/dms/objects/o5"): {"objects": [{"properties": {}}]},
    ("POST", "/api/dms/objects/o5"): {"objects": [{"properties": {}}]},
    ("PUT", "/api/dms/subscriptions/ocr"): {"url": "https://siem.example.com/hook"},
    ("PUT", "/api/dms/tag-definitions/ocr"): {"states": {"1": "open"}},
    ("POST", "/tags"): {"key": "Region", "color": "#3F51B5"},
    ("PUT", f"/tags/{TAG}"): {"key": "Region", "color": "#3F51B5"},
    ("PUT", f"/tags/{TAG}/values/site-1"): {"correlation_type": "site", "value": "x"},
    ("POST", f"/tags/{TAG}/values"): {"correlation_type": "site", "correlation_id": "a", "value": "x"},
    ("POST", "/metadata"): {"resource_id": "site-1", "metadata": {"floor": "3"}},
    ("PUT", "/metadata/site-1"): {"metadata": {"floor": "3"}},
    ("POST", "/auth/add-tag"): {"chain_id": 1, "value": "x", "model_class": "user"},
    ("POST", "/auth/alter-tag"): {"id": 1, "value": "x"},
    ("POST", "/auth/add-user-tag"): {"chain_id": 1, "user_id": 77, "tag_id": 1},
}
"""A body of each call that takes one."""

CALLS = tuple(WHOLE)
BATCH = '{"changes":[{"objectId":"o1","name":"ocr","state":1,"action":"set"}]}'
REFUSED = {
    "twice": b'{"changes":[],"changes":[]}',
    "deep": b"[" * 60_000,
    "UTF-16": BATCH.encode("utf-16"),
    "half a character": b'{"states":{"1":"\\ud800"},"key":"\\ud800","query":{"statement":"\\ud800"},"changes":["\\ud800"]}',
    "no JSON": b"{",
    "no object": b"[]",
    "a number that is none": b'{"changes":NaN}',
}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running(Settings(mongo_uri="mongomock://", auth="none")) as application:
        yield application


def send(
    service: Service, call: tuple[str, str], data: bytes, content_type: str = "application/json", **headers: str
) -> TestResponse:
    """The answer to a body, of JSON unless something else is said."""
    method, path = call
    return service.client.open(path, method=method, data=data, content_type=content_type, headers={**prepare(service), **headers})


def results(service: Service, *changes: dict[str, Any]) -> list[dict[str, Any]]:
    """What came of the changes of a batch."""
    answer = send(service, ("POST", "/api/dms/objects/tags"), json.dumps({"changes": changes}).encode())
    found: list[dict[str, Any]] = (answer.json or {})["results"]
    return found


def test_every_call_with_a_body_is_tried() -> None:
    """A call that takes a body is in the table above, or takes the search's; a person signs in by a form."""
    taking = {
        route.full_path.format(name="ocr", tagId=TAG, correlationId="site-1", state="{state}", objectId="o5", resourceId="site-1")
        for api in APIS
        for route in api.routes
        if route.body is not None
    }

    assert taking - {"/api/dms/objects/tags/ocr/state/{state}", "/console/sign-in"} == {path for _, path in WHOLE}


@pytest.mark.parametrize("call", WHOLE, ids=" ".join)
def test_an_unknown_member_is_named(service: Service, call: tuple[str, str]) -> None:
    """A member that the call does not know is a 400 that names it: it may have been meant as a lock."""
    answer = send(service, call, json.dumps({**WHOLE[call], "vlaue": 1}).encode())

    assert 400 == answer.status_code
    assert "vlaue" in answer.text


@pytest.mark.parametrize("call", WHOLE, ids=" ".join)
def test_a_member_given_twice_is_named(service: Service, call: tuple[str, str]) -> None:
    """A member that comes twice is a 400 that names it, whichever it is."""
    for member, value in WHOLE[call].items():
        text = json.dumps(WHOLE[call])
        answer = send(service, call, f"{text[:-1]}, {json.dumps({member: value})[1:]}".encode())

        assert 400 == answer.status_code
        assert member in answer.text


def test_many_members_cost_no_more_each() -> None:
    """The one that is given twice is named at once, whichever of a hundred thousand it is; so is a list that is too long."""
    names = [f'"n{number}":0' for number in range(60_000)]
    begun = process_time()
    with pytest.raises(InvalidBody, match="the member 'n59999' is given twice"):
        bodies.parsed(f"{{{','.join([*names, names[-1]])}}}".encode())
    rows = [[f"tag{number}", 0] for number in range(60_000)]
    sent = {"objects": [{"properties": {"system:objectId": "o1", "system:tags": rows}}]}
    with pytest.raises(InvalidBody, match="a list of at most 50 is needed"):
        members.load(Objects(), sent)
    assert process_time() - begun < 5


@pytest.mark.parametrize("call", WHOLE, ids=" ".join)
def test_null_is_absent(service: Service, call: tuple[str, str]) -> None:
    """A needed member that is null is answered as if it were not there; a batch's item rests on none that is null."""
    member, *_ = WHOLE[call]
    without = {name: value for name, value in WHOLE[call].items() if name != member}

    missing, null = (send(service, call, json.dumps(body).encode()) for body in (without, {**without, member: None}))

    assert {**(missing.json or {}), "time": "", "requestId": ""} == {**(null.json or {}), "time": "", "requestId": ""}


@pytest.mark.parametrize("member", ["traceIdMustMatch", "ifMatch", "expectedState", "idempotencyKey"])
def test_a_lock_that_is_null_is_refused(service: Service, member: str) -> None:
    """An item whose lock is null changes nothing: its sender meant to lock."""
    item = {"objectId": "o3", "name": "ocr", "state": 1, "action": "set", member: None}

    (result,) = results(service, item)

    assert 400 == result["status"]
    assert member in result["problem"]["detail"]
    assert 404 == service.client.get("/api/dms/objects/o3/tags/ocr").status_code


@pytest.mark.parametrize("call", WHOLE, ids=" ".join)
@pytest.mark.parametrize("wrong", [[], {}, "\u0000", 1e300, True])
def test_members_of_another_type(service: Service, call: tuple[str, str], wrong: Any) -> None:
    """A member that is of no type it may be, or holds a NUL, is a 400; nothing fails and nothing is guessed."""
    for member in WHOLE[call]:
        if (call[1], member, wrong) != ("/api/dms/objects/tags", "changes", []):
            assert 400 == send(service, call, json.dumps({**WHOLE[call], member: wrong}).encode()).status_code, member


def test_a_whole_number_may_have_a_point(service: Service) -> None:
    """1.0 is the integer 1, as JSON has it; 1.5 is none."""
    item = {"objectId": "o4", "name": "ocr", "action": "set"}

    assert [200, 400] == [result["status"] for result in results(service, {**item, "state": 1.0}, {**item, "state": 1.5})]


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_what_is_no_body_is_a_400(service: Service, method: str, path: str, body: bytes) -> None:
    """What is no JSON object in UTF-8, each member once, is refused alike by every call; nothing of it fails the service."""
    assert 400 == send(service, (method, path), body).status_code


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_compressed_body_is_a_415(service: Service, method: str, path: str) -> None:
    """A body that is compressed is refused by the name of the header that says so."""
    answer = send(service, (method, path), gzip.compress(b"{}"), **{"Content-Encoding": "gzip"})

    assert 415 == answer.status_code
    assert "Content-Encoding" in answer.text


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_another_type_is_a_415(service: Service, method: str, path: str) -> None:
    """A body that is sent as something else than JSON is refused alike by every call."""
    assert 415 == send(service, (method, path), b"{}", "text/plain").status_code


def test_a_byte_order_mark_is_passed_over(service: Service) -> None:
    """A byte order mark, which some clients write in front, changes nothing."""
    answer = service.client.post("/api/dms/objects/tags", data=b"\xef\xbb\xbf" + BATCH.encode(), content_type="application/json")

    assert [200] == [result["status"] for result in (answer.json or {})["results"]]


def test_a_member_given_twice_drops_no_lock(service: Service) -> None:
    """A lock that the same item takes back is named, and the batch changes nothing; nor may a lock stand beside the changes."""
    service.client.post("/api/dms/objects/o2/tags/ocr/state/1", headers={"X-B3-TraceId": "aa"})
    item = '{"objectId":"o2","name":"ocr","state":2,"action":"update","traceId":"bb","traceIdMustMatch":true,"traceIdMustMatch":false}'

    twice = service.client.post("/api/dms/objects/tags", data=f'{{"changes":[{item}]}}', content_type="application/json")
    beside = service.client.post("/api/dms/objects/tags", json={"changes": [], "traceIdMustMatch": True})

    assert (400, 400) == (twice.status_code, beside.status_code)
    assert "traceIdMustMatch" in twice.text
    assert "traceIdMustMatch" in beside.text
    assert ["ocr", 1] == (service.client.get("/api/dms/objects/o2/tags").json or {})["objects"][0]["properties"]["system:tags"][
        "value"
    ][0][:2]
