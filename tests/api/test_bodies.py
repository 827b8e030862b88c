"""JSON bodies, whichever call takes them: one reader, which refuses what could hide a lock or break the service."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest

from dms_tags.settings import Settings
from tests.support.app import Service, running

CALLS = (
    ("POST", "/api/dms/objects/tags"),
    ("POST", "/api/dms/objects/search"),
    ("PUT", "/api/dms/tag-definitions/ocr"),
    ("POST", "/tags"),
)
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


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_what_is_no_body_is_a_400(service: Service, method: str, path: str, body: bytes) -> None:
    """What is no JSON object in UTF-8, each member once, is refused alike by every call; nothing of it fails the service."""
    assert 400 == service.client.open(path, method=method, data=body, content_type="application/json").status_code


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_compressed_body_is_a_415(service: Service, method: str, path: str) -> None:
    """A body that is compressed is refused by the name of the header that says so."""
    answer = service.client.open(
        path,
        method=method,
        data=gzip.compress(b"{}"),
        content_type="application/json",
        headers={"Content-Encoding": "gzip"},
    )

    assert 415 == answer.status_code
    assert "Content-Encoding" in answer.text


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_another_type_is_a_415(service: Service, method: str, path: str) -> None:
    """A body that is sent as something else than JSON is refused alike by every call."""
    assert 415 == service.client.open(path, method=method, data=b"{}", content_type="text/plain").status_code


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
