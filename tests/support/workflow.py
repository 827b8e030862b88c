"""What the tests of the workflow calls do over and over, in a line each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from tests.support.app import Service

QUEUED = "SELECT * FROM document WHERE system:tags[ocr].state=1"
DEADLINE = 20.0
"""Seconds for what takes milliseconds on a quiet machine."""


def post(service: Service, path: str, status: int = 200, **request: Any) -> Any:
    """The JSON of an answer that has this status."""
    client = service.app.test_client()  # one for each request: it is for one thread
    client.environ_base = service.client.environ_base
    response = client.post(f"/api/dms{path}", **request)
    assert status == response.status_code, response.text
    return response.json


def tag(service: Service, object_id: str, name: str = "ocr", state: int = 1, **query: str) -> list[Any]:
    """Sets a tag; its row."""
    answer = post(service, f"/objects/{object_id}/tags/{name}/state/{state}", query_string=query)
    row: list[Any] = answer["objects"][0]["properties"]["system:tags"]["value"][0]
    return row


def rows(service: Service, object_id: str) -> dict[str, list[Any]]:
    """The object's rows, by name."""
    answer = service.client.get(f"/api/dms/objects/{object_id}/tags").json
    assert answer is not None
    return {row[0]: row for row in answer["objects"][0]["properties"]["system:tags"]["value"]}


def claim(
    service: Service,
    statement: str = QUEUED,
    name: str = "ocr",
    state: int = 2,
    headers: Mapping[str, str] | None = None,
    **query: Any,
) -> list[dict[str, Any]]:
    """The properties of the objects that a claim got."""
    answer = post(service, f"/objects/tags/{name}/state/{state}", query_string={"query": statement, **query}, headers=headers)
    return [found["properties"] for found in answer["objects"]]


def ids(found: list[dict[str, Any]]) -> list[str]:
    """The ids of claimed or found objects."""
    return [properties["system:objectId"]["value"] for properties in found]


def search(service: Service, statement: str, **paging: int) -> Any:
    """A page of a search."""
    return post(service, "/objects/search", json={"query": {"statement": statement, **paging}})


def row_of(found: dict[str, Any], name: str = "ocr") -> list[Any]:
    """One row of a claimed object."""
    return next(row for row in found["system:tags"]["value"] if row[0] == name)


def run_out(service: Service, object_id: str, name: str = "ocr") -> None:
    """Moves the end of a lease into the past, as time would."""
    moved = service.database.tags.update_one(
        {"_id": f"default/object/{object_id}", "tags": {"$elemMatch": {"name": name, "lease": {"$ne": None}}}},
        {"$set": {"tags.$.lease.until": service.database.now() - timedelta(milliseconds=5)}},
    )
    assert moved.matched_count


def eventually(holds: Callable[[], bool]) -> None:
    """Waits until it holds."""
    end = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < end, "it did not come to hold in time"
        time.sleep(0.01)
