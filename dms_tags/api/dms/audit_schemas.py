"""What the audit calls answer with, as OpenAPI tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dms_tags.audit.trail.entry import EXPORTED, MEMBERS, MEMBERS_1

_INTEGERS: Final = frozenset({"schema", "position", "revision", "action"})
_NULLABLE: Final = frozenset(
    {"within", "previousTraceId", "createdBy", "changeId", "reason", "reasonCommitment", "actorCommitment", *EXPORTED}
)
_ANY: Final = frozenset({"state", "previousState"})


def _member(name: str) -> dict[str, Any]:
    if name in _ANY:
        return {"description": "an integer on objects, a string on metadata values, an object elsewhere", "nullable": True}
    if name == "erased":
        return {"type": "array", "items": {"type": "string"}, "nullable": True, "description": "which members were erased"}
    if name in _INTEGERS:
        return {"type": "integer"}
    return {"type": "string"} | ({"nullable": True} if name in _NULLABLE else {})


ENTRY: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {name: _member(name) for name in (*MEMBERS, *EXPORTED)},
    "required": list(MEMBERS_1),
}
PAGE: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "entries": {"type": "array", "items": ENTRY},
        "next": {"type": "string", "nullable": True, "description": "cursor of the page that follows"},
        "head": {"type": "integer", "description": "highest position of the trail"},
        "first": {"type": "integer", "description": "oldest position that is held; what is older was archived"},
        "complete": {"type": "boolean", "description": "false: entries that were archived could have matched"},
    },
    "required": ["entries", "next", "head", "first", "complete"],
}
PROOF: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "position": {"type": "integer"},
        "index": {"type": "integer", "description": "of the leaf: position - 1"},
        "size": {"type": "integer", "description": "of the checkpoint's tree"},
        "leafHash": {"type": "string", "format": "byte"},
        "proof": {"type": "array", "items": {"type": "string", "format": "byte"}, "description": "RFC 9162 inclusion path"},
        "entry": ENTRY,
        "checkpoint": {"type": "string", "description": "C2SP signed note"},
    },
    "required": ["position", "index", "size", "leafHash", "proof", "entry", "checkpoint"],
}

CONSISTENCY: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "from": {"type": "integer", "description": "entries of the smaller log"},
        "to": {"type": "integer", "description": "entries of the larger log"},
        "proof": {"type": "array", "items": {"type": "string", "format": "byte"}, "description": "RFC 9162 consistency path"},
    },
    "required": ["from", "to", "proof"],
}


def media(description: str, *types: str) -> dict[str, Any]:
    """An answer that is no JSON."""
    return {"description": description, "content": {name: {"schema": {"type": "string"}} for name in types}}
