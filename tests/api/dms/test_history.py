"""`GET …/history`, and what the service tells of itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.app import Service


def page(service: Service, query: str = "") -> tuple[list[int], bool]:
    answer: dict[str, Any] = service.client.get(f"/api/dms/objects/o1/history?{query}").json or {}
    return [entry["properties"]["revision"]["value"] for entry in answer["objects"]], answer["hasMoreItems"]


def test_pages_of_history(service: Service) -> None:
    """Newest first, `size` entries on a page, and whether there are more."""
    service.client.post("/api/dms/objects/o1/tags/tag1/state/0")
    for state in range(1, 7):
        service.client.post(f"/api/dms/objects/o1/tags/tag1/state/{state}?overwrite=true")

    assert ([7, 6, 5, 4, 3, 2, 1], False) == page(service)
    assert ([7, 6, 5], True) == page(service, "size=3")
    assert ([4, 3, 2], True) == page(service, "size=3&page=1")
    assert ([1], False) == page(service, "size=3&page=2")
    assert ([], False) == page(service, "size=3&page=3")
    assert ([], False) == page(service, "page=1000000000")


@pytest.mark.parametrize("query", ["size=0", "size=1001", "page=-1", "size=x", "offset=1", "size=1&size=1"])
def test_bad_pages(service: Service, query: str) -> None:
    """Sizes and pages out of bounds are refused."""
    assert 400 == service.client.get(f"/api/dms/objects/o1/history?{query}").status_code


def test_history_of_an_unknown_object(service: Service) -> None:
    """An object that never had a tag has an empty history."""
    assert ([], False) == page(service)


def test_shape_of_an_entry(service: Service) -> None:
    """Each entry has the members of the contract, and its id is the ETag of the tag that it left."""
    added = service.client.post("/api/dms/objects/o1/tags/tag1/state/9999", headers={"X-B3-TraceId": "abc"})

    [entry] = (service.client.get("/api/dms/objects/o1/history").json or {})["objects"]

    shown = {name: member["value"] for name, member in entry["properties"].items()}
    created = shown.pop("system:creationDate")
    assert added.json["objects"][0]["properties"]["system:tags"]["value"][0][2] == created  # type: ignore[index]
    assert {
        "system:objectId": added.headers["ETag"].strip('"'),
        "system:objectTypeId": "system:audit",
        "system:baseTypeId": "item",
        "system:createdBy": "anonymous",
        "system:tenant": "default",
        "system:traceId": "abc",
        "system:referredObjectId": "o1",
        "system:action": 110,
        "system:subaction": 9999,
        "system:detail": "OBJECT_TAG_CREATED: [tag1, 9999]",
        "system:versionNumber": 1,
        "referredObjectId": "o1",
        "action": 110,
        "subaction": 9999,
        "detail": "OBJECT_TAG_CREATED: [tag1, 9999]",
        "previousState": None,
        "revision": 1,
        "position": 1,
        "dms:reason": None,
    } == shown


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/openapi.json", "/docs", "/problems", "/problems/tag-exists"])
def test_what_needs_no_identity(service: Service, path: str) -> None:
    """Health, documentation and problems are there for everyone."""
    assert 200 == service.client.get(path).status_code


def test_metrics(service: Service) -> None:
    """Prometheus finds requests, MongoDB, the outbox and the trail."""
    service.client.post("/api/dms/objects/o1/tags/tag1/state/1")
    service.entries()

    text = service.client.get("/metrics", environ_base={"REMOTE_ADDR": "127.0.0.1"}).text

    assert (
        'dms_tags_requests_total{method="POST",route="/api/dms/objects/{objectId}/tags/{name}/state/{state}",status="200"}'
        in text
    )
    assert 'dms_tags_trail_head{tenant="default"} 1.0' in text
    assert "dms_tags_outbox_resources 0.0" in text
    assert "dms_tags_relay_lag_seconds" in text
