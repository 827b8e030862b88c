"""Fills a database with valid tags and trail entries, faster than any caller could make them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from pymongo.database import Database as MongoDatabase

from dms_tags.model import Action, new_id

BATCH = 5_000
Document = dict[str, Any]


def fill(database: MongoDatabase[Document], *, objects: int, revisions: int, name: str, state: int) -> None:
    """Puts `objects` objects into an empty, prepared database, each with a tag `name` that was changed `revisions` times.

    The trail says so too: its positions follow the rounds of changes, and the last one left the tag in `state`.
    """
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    last: dict[int, str] = {}

    def entries() -> Iterator[Document]:
        for revision in range(1, revisions + 1):
            for number in range(1, objects + 1):
                position = (revision - 1) * objects + number
                identifier = new_id()
                if revision == revisions:
                    last[number] = identifier
                yield _entry(identifier, position, number, revision, revisions, name, state, began)

    def tags() -> Iterator[Document]:
        for number in range(1, objects + 1):
            yield _object(number, revisions, name, state, last[number], began)

    _insert(database, "audit_trail", entries())
    _insert(database, "tags", tags())


def _insert(database: MongoDatabase[Document], collection: str, documents: Iterator[Document]) -> None:
    while batch := list(islice(documents, BATCH)):
        database[collection].insert_many(batch, ordered=False)


def _entry(
    identifier: str, position: int, number: int, revision: int, revisions: int, name: str, state: int, began: datetime
) -> Document:
    added = revision == 1
    action = Action.OBJECT_TAG_CREATED if added else Action.OBJECT_TAG_UPDATED
    return {
        "_id": identifier,
        "schema": 1,
        "tenant": "default",
        "position": position,
        "resource": f"object/o{number}",
        "objectId": f"o{number}",
        "within": None,
        "revision": revision,
        "action": int(action),
        "actionName": action.name,
        "name": name,
        "state": _state_at(revision, revisions, state),
        "previousState": None if added else _state_at(revision - 1, revisions, state),
        "traceId": _trace(number, revision),
        "previousTraceId": None if added else _trace(number, revision - 1),
        "createdBy": "anonymous",
        "actorKind": "none",
        "creationDate": began,
        "recordedAt": began,
    }


def _trace(number: int, revision: int) -> str:
    """The trace id of a change: as many different ones, as widely spread, as callers would send."""
    return f"{(number * 0x9E3779B97F4A7C15 + revision * 0xC2B2AE3D27D4EB4F) % 2**64:016x}"


def _state_at(revision: int, revisions: int, state: int) -> int:
    return state + revisions - revision


def _object(number: int, revisions: int, name: str, state: int, etag: str, began: datetime) -> Document:
    trace = _trace(number, revisions)
    tag = {"name": name, "state": state, "traceid": trace, "creationDate": began, "etag": etag, "since": began}
    return {
        "_id": f"default/object/o{number}",
        "tenant": "default",
        "kind": "object",
        "id": f"o{number}",
        "tags": [tag],
        "seq": revisions,
        "lastAt": began,
        "outbox": [],
        "replies": [],
        "trail": {"revision": revisions, "tags": {name: {"state": state, "traceid": trace}}},
    }
