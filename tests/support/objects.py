"""Calls on whole objects, as DMS clients send them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

ROOT = "/api/dms/objects"


def body(*objects: tuple[str | None, Sequence[Sequence[Any]]], **properties: Any) -> dict[str, Any]:
    """The body for objects, each an id (None: without one) and its rows, all with the same further properties."""
    return {"objects": [{"properties": _properties(object_id, rows, properties)} for object_id, rows in objects]}


def _properties(object_id: str | None, rows: Sequence[Sequence[Any]], more: dict[str, Any]) -> dict[str, Any]:
    named = {} if object_id is None else {"system:objectId": {"value": object_id}}
    return {**named, **more, "system:tags": {"value": [list(row) for row in rows]}}


def patch(client: FlaskClient, object_id: str, *rows: Sequence[Any], query: str = "", **headers: str) -> TestResponse:
    """PATCH of one object."""
    return client.patch(f"{ROOT}/{object_id}{query}", json=body((None, rows)), headers=spelt(headers))


def patch_many(
    client: FlaskClient, objects: Mapping[str, Sequence[Sequence[Any]]], query: str = "", **headers: str
) -> TestResponse:
    """PATCH of many objects, the rows of each by its id."""
    return client.patch(f"{ROOT}{query}", json=body(*objects.items()), headers=spelt(headers))


def spelt(headers: dict[str, str]) -> dict[str, str]:
    """Headers as HTTP spells them, of keywords."""
    return {name.replace("_", "-"): value for name, value in headers.items()}


def properties_of(response: TestResponse) -> dict[str, Any]:
    """The values of the properties of the one object of an answer."""
    assert response.status_code == 200, response.text
    document: Any = response.json
    (one_object,) = document["objects"]
    return {name: member["value"] for name, member in one_object["properties"].items()}


def states(response: TestResponse) -> dict[str, int]:
    """The tags of the one object of an answer, with their states."""
    return {row[0]: row[1] for row in properties_of(response)["system:tags"]}


def stands(client: FlaskClient, object_id: str) -> dict[str, int]:
    """The tags of an object as it stands, with their states."""
    return states(client.get(f"{ROOT}/{object_id}"))


def problem(response: TestResponse) -> tuple[int, str]:
    """Status and type of a problem."""
    document: Any = response.json
    return response.status_code, document["type"].removeprefix("/problems/")
