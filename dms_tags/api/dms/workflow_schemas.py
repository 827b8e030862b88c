"""The shapes of the workflow calls, as they go out and as OpenAPI tells them (API.md section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from dms_tags.api.dms import schemas
from dms_tags.model import Tag

_TEXT: Final = {"type": "string"}
_STATE: Final = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
_OBJECT: Final = {
    "system:objectId": {"type": "object", "required": ["value"], "properties": {"value": _TEXT}},
    **schemas.TAG_PROPERTIES,
}

CLAIMED: Final = schemas.objects(
    {**_OBJECT, "dms:attempts": {"type": "object", "required": ["value"], "properties": {"value": {"type": "integer"}}}},
    ["system:objectId", "system:tags", "dms:etags", "dms:attempts"],
)

FOUND: Final = schemas.objects(_OBJECT, ["system:objectId", "system:tags", "dms:etags"])
FOUND["properties"] |= {
    "numItems": {"type": "integer"},
    "hasMoreItems": {"type": "boolean"},
    "totalNumItems": {"type": "integer"},
    "totalNumItemsIsLowerBound": {"type": "boolean", "description": "there are more matches than were counted; absent: all were"},
}
FOUND["required"] += ["numItems", "hasMoreItems", "totalNumItems"]

SEARCH_BODY: Final = {
    "type": "object",
    "required": ["query"],
    "properties": {
        "query": {
            "type": "object",
            "required": ["statement"],
            "properties": {
                "statement": {"type": "string", "example": "SELECT * FROM document WHERE system:tags[ocr].state=1"},
                "skipCount": {"type": "integer", "minimum": 0, "maximum": 10_000, "default": 0},
                "maxItems": {"type": "integer", "minimum": 0, "maximum": 1_000, "default": 50},
            },
        }
    },
}

CHANGES: Final = {
    "type": "object",
    "required": ["changes"],
    "properties": {
        "changes": {
            "type": "array",
            "maxItems": 1_000,
            "items": {
                "type": "object",
                "required": ["objectId", "name", "action"],
                "properties": {
                    "objectId": _TEXT,
                    "name": _TEXT,
                    "state": _STATE,
                    "action": {"type": "string", "enum": ["add", "update", "set", "delete"]},
                    "traceId": _TEXT,
                    "traceIdMustMatch": {"type": "boolean", "default": False},
                    "ifMatch": _TEXT,
                    "expectedState": _STATE,
                    "idempotencyKey": {"type": "string", "minLength": 1, "maxLength": 64},
                },
            },
        }
    },
}
RESULTS: Final = {
    "type": "object",
    "required": ["results"],
    "properties": {
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["status"],
                "properties": {
                    "status": {"type": "integer"},
                    "tag": schemas.ROW,
                    "etag": _TEXT,
                    "traceId": _TEXT,
                    "replayed": {"type": "boolean"},
                    "problem": {"type": "object", "description": "as if the change had been sent alone"},
                },
            },
        }
    },
}

DEFINITION: Final = {
    "type": "object",
    "required": ["states"],
    "properties": {
        "states": {
            "type": "object",
            "additionalProperties": _TEXT,
            "example": {"1": "queued", "2": "running", "3": "done"},
        },
        "transitions": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": _STATE},
            "example": {"1": [2], "2": [1, 3]},
        },
        "initial": {"type": "array", "items": _STATE, "example": [1]},
        "enforce": {"type": "boolean", "default": True},
    },
}
DEFINITIONS: Final = {
    "type": "object",
    "required": ["definitions"],
    "properties": {
        "definitions": {
            "type": "array",
            "items": {"allOf": [{"type": "object", "required": ["name"], "properties": {"name": _TEXT}}, DEFINITION]},
        }
    },
}


def request_body(schema: Mapping[str, Any], *, required: bool = True) -> dict[str, Any]:
    """A JSON body as OpenAPI describes it."""
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def object_properties(object_id: str, tags: Iterable[Tag]) -> dict[str, Any]:
    """An object with its tags and their entity tags, in the same order."""
    listed = list(tags)
    return {
        "system:objectId": {"value": object_id},
        "system:tags": {"value": [schemas.row(tag) for tag in listed]},
        "dms:etags": {"value": [tag.etag for tag in listed]},
    }
