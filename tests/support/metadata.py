"""What the metadata tests share: definitions and values, made over HTTP."""

from __future__ import annotations

from itertools import count
from typing import Any, Final

from werkzeug.test import TestResponse

from tests.support.app import Service

TRACE: Final = "1234567887654321"
_numbers = count(1)

SITE: Final = "site_9b52d930f4324c0abac04c12dff85544"


def define(service: Service, key: str | None = None, **members: Any) -> str:
    """Makes a definition, with a key of its own unless one is given; its id."""
    body = {"key": key or f"Region {next(_numbers)}", "color": "#3F51B5", **members}
    answer = service.client.post("/tags", json=body)
    assert 201 == answer.status_code, answer.text
    found: str = answer.json["id"]  # type: ignore[index]
    return found


def put(service: Service, tag_id: str, resource: str, value: Any, kind: Any = "site", **headers: str) -> TestResponse:
    """The seed's call."""
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    body = {"correlation_type": kind, "value": value}
    return service.client.put(f"/tags/{tag_id}/values/{resource}", json=body, headers=given)


def body_of(response: TestResponse, status: int = 200) -> Any:
    """The JSON of an answer that has the status."""
    assert status == response.status_code, response.text
    return response.json


def refused(response: TestResponse, status: int, kind: str, code: str) -> dict[str, Any]:
    """The error of an answer, if it is this one in the seed's shape."""
    document: dict[str, Any] = response.json or {}
    assert (status, kind, code) == (response.status_code, document.get("type"), document.get("code")), response.text
    assert "application/json" == response.mimetype
    assert {"type", "code", "message", "doc_url"} <= document.keys()
    assert document["doc_url"].startswith("http://localhost/problems/")
    return document
