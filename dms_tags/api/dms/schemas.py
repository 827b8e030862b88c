"""The shapes of the DMS tag API, as they go out and as OpenAPI tells them (API.md sections 1 and 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from dms_tags.audit.trail.entry import Entry
from dms_tags.audit.trail.trail import HistoryPage
from dms_tags.audit.trail.view import ViewPage
from dms_tags.model import Tag
from dms_tags.names import spell_time

ROW: Final[Mapping[str, Any]] = {
    "type": "array",
    "description": "name, state, creationDate, traceid",
    "minItems": 4,
    "maxItems": 4,
    "items": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    "example": ["tag1", 9999, "2020-02-20T02:20:20.220Z", "1234567887654321"],
}


def _of(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": ["value"], "properties": {"value": value}}


def objects(properties: Mapping[str, Any], required: list[str]) -> dict[str, Any]:
    """The schema of `{"objects": [{"properties": {…}}]}`."""
    return {
        "type": "object",
        "required": ["objects"],
        "properties": {
            "objects": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["properties"],
                    "properties": {"properties": {"type": "object", "required": required, "properties": properties}},
                },
            }
        },
    }


COUNTS: Final = {
    "numItems": {"type": "integer"},
    "hasMoreItems": {"type": "boolean"},
    "totalNumItems": {"type": "integer"},
    "totalNumItemsIsLowerBound": {"type": "boolean", "description": "there are more matches than were counted; absent: all were"},
}
COUNTED: Final = ["numItems", "hasMoreItems", "totalNumItems"]
"""What a search tells of its matches, and always."""

TAG_PROPERTIES: Final = {
    "system:tags": _of({"type": "array", "items": ROW}),
    "dms:etags": _of({"type": "array", "items": {"type": "string"}}),
}
TAGS: Final = objects(TAG_PROPERTIES, ["system:tags"])
ENTRY: Final = {
    name: _of({"type": kind})
    for name, kind in (
        ("system:objectId", "string"),
        ("system:objectTypeId", "string"),
        ("system:baseTypeId", "string"),
        ("system:tenant", "string"),
        ("system:creationDate", "string"),
        ("system:traceId", "string"),
        ("system:referredObjectId", "string"),
        ("system:action", "integer"),
        ("system:subaction", "integer"),
        ("system:detail", "string"),
        ("system:versionNumber", "integer"),
        ("referredObjectId", "string"),
        ("action", "integer"),
        ("subaction", "integer"),
        ("detail", "string"),
        ("revision", "integer"),
        ("position", "integer"),
    )
} | {
    name: _of({"type": "string", "nullable": True, "description": description})
    for name, description in (
        ("system:createdBy", "null where the actor was erased"),
        ("dms:reason", "why; null where that was not said, or erased"),
    )
}
_ALWAYS: Final = ["system:objectId", "system:action", "system:detail", "action", "detail", "revision", "position"]
HISTORY: Final = objects(ENTRY, _ALWAYS)
HISTORY["properties"]["hasMoreItems"] = {"type": "boolean"}
HISTORY["properties"]["complete"] = {"type": "boolean", "description": "false: older entries of the object were archived"}
HISTORY["required"] += ["hasMoreItems", "complete"]
AUDIT_FOUND: Final = objects(ENTRY, _ALWAYS)
AUDIT_FOUND["properties"] |= {
    **COUNTS,
    "complete": {"type": "boolean", "description": "false: entries that were archived could have matched"},
}
AUDIT_FOUND["required"] += [*COUNTED, "complete"]


def row(tag: Tag) -> list[Any]:
    """A tag as a row of `system:tags`."""
    return [tag.name, tag.state, spell_time(tag.changed), tag.trace_id]


def rows(tags: Iterable[Tag], *, etags: bool = False) -> dict[str, Any]:
    """Tags as the DMS answers with them; with `etags` their entity tags beside the rows, in the same order."""
    listed = list(tags)
    properties: dict[str, Any] = {"system:tags": {"value": [row(tag) for tag in listed]}}
    if etags:
        properties["dms:etags"] = {"value": [tag.etag for tag in listed]}
    return {"objects": [{"properties": properties}]}


def history(page: HistoryPage) -> dict[str, Any]:
    """A page of history as the DMS answers with it."""
    return {
        "objects": [{"properties": history_entry(entry)} for entry in page.entries],
        "hasMoreItems": page.more,
        "complete": page.complete,
    }


def audit_page(page: ViewPage) -> dict[str, Any]:
    """A page of the audit view, as a search is answered."""
    answer: dict[str, Any] = {
        "objects": [{"properties": history_entry(entry)} for entry in page.entries],
        "numItems": len(page.entries),
        "hasMoreItems": page.more,
        "totalNumItems": page.total,
        "complete": page.complete,
    }
    return answer | ({"totalNumItemsIsLowerBound": True} if page.bounded else {})


def history_entry(entry: Entry) -> dict[str, Any]:
    """A trail entry as an item of type `system:audit`, with the spellings that the DMS's clients read and the bare ones."""
    detail = f"{entry['actionName']}: [{entry['name']}, {entry['state']}]"
    shown = {
        "system:objectId": entry["_id"],
        "system:objectTypeId": "system:audit",
        "system:baseTypeId": "item",
        "system:createdBy": entry["createdBy"],
        "system:tenant": entry["tenant"],
        "system:creationDate": spell_time(entry["creationDate"]),
        "system:traceId": entry["traceId"],
        "system:referredObjectId": entry["objectId"],
        "system:action": entry["action"],
        "system:subaction": entry["state"],
        "system:detail": detail,
        "system:versionNumber": entry["revision"],
        "referredObjectId": entry["objectId"],
        "action": entry["action"],
        "subaction": entry["state"],
        "detail": detail,
        "previousState": entry["previousState"],
        "revision": entry["revision"],
        "position": entry["position"],
        "dms:reason": entry.get("reason"),
    }
    return {name: {"value": value} for name, value in shown.items()}
