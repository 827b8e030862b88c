"""The shapes of the workflow calls, as they go out and as OpenAPI tells them (API.md section 3)."""

from __future__ import annotations

from typing import Final

from dms_tags.api.dms import objects_schemas, schemas

_TEXT: Final = {"type": "string"}
_STATE: Final = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
_ATTEMPTS: Final = {"type": "object", "required": ["value"], "properties": {"value": {"type": "integer"}}}

CLAIMED: Final = schemas.objects(
    {**objects_schemas.KEPT_PROPERTIES, "dms:attempts": _ATTEMPTS},
    ["system:objectId", "system:tags", "dms:etags", "dms:attempts"],
)

FOUND: Final = schemas.objects(objects_schemas.KEPT_PROPERTIES, ["system:objectId", "system:tags", "dms:etags"])
FOUND["properties"] |= schemas.COUNTS
FOUND["required"] += schemas.COUNTED

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
        "reasonRequired": {
            "type": "array",
            "items": _STATE,
            "description": "states that nobody sets without a reason",
            "example": [3],
        },
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
