"""What the client hands out, as documents with the API's names: what commands print."""

from __future__ import annotations

from typing import Any, Final

from dms_tags.client.model import Entry, Tag
from dms_tags.client.wire import wire_time

TAG_COLUMNS: Final = ("name", "state", "creationDate", "traceId", "etag")
ENTRY_COLUMNS: Final = (
    "position",
    "actionName",
    "objectId",
    "name",
    "previousState",
    "state",
    "creationDate",
    "traceId",
    "createdBy",
)


def tag_row(tag: Tag) -> dict[str, Any]:
    """A tag."""
    return {
        "name": tag.name,
        "state": tag.state,
        "creationDate": wire_time(tag.changed),
        "traceId": tag.trace_id,
        "etag": tag.etag,
    }


def entry_row(entry: Entry) -> dict[str, Any]:
    """An entry of the trail, without what only proofs need."""
    return {
        "position": entry.position,
        "actionName": entry.action_name,
        "objectId": entry.object_id,
        "name": entry.name,
        "previousState": entry.previous_state,
        "state": entry.state,
        "creationDate": wire_time(entry.changed),
        "traceId": entry.trace_id,
        "createdBy": entry.created_by,
    }
