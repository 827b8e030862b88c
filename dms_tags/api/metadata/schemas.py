"""The shapes of the metadata API, as they come in, go out and stand in OpenAPI (API.md section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from dms_tags import names
from dms_tags.api import bodies
from dms_tags.errors import DefinitionNotFound, InvalidParameter
from dms_tags.metadata.model import COLOR_PATTERN, MAX_KEY, MAX_VALUE, TYPES, Definition, Draft, Value, is_color, is_tag_id
from dms_tags.model import Kind
from dms_tags.names import spell_time

TYPE_NAMES: Final = [str(kind) for kind in TYPES]
EMBEDDED: Final = 1000
"""Values that a definition shows at most; `/tags/{tagId}/values` gives all of them, page by page."""

EXAMPLE_TAG: Final = "tag_01E8Z4Q6J7B6A5P4E3D2C1B0A9"
EXAMPLE_SITE: Final = "site_9b52d930f4324c0abac04c12dff85544"

CORRELATION_TYPE: Final = {"type": "string", "enum": TYPE_NAMES, "example": "site"}
TIME: Final = {"type": "string", "format": "date-time"}

VALUE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["tag_id", "correlation_id", "correlation_type", "value", "created_at", "updated_at"],
    "properties": {
        "tag_id": {"type": "string", "example": EXAMPLE_TAG},
        "correlation_id": {"type": "string", "example": EXAMPLE_SITE},
        "correlation_type": CORRELATION_TYPE,
        "value": {"type": "string", "example": "APAC"},
        "created_at": TIME,
        "updated_at": TIME,
    },
    "example": {
        "tag_id": EXAMPLE_TAG,
        "correlation_id": EXAMPLE_SITE,
        "correlation_type": "site",
        "value": "APAC",
        "created_at": "2025-10-29T13:00:00.000Z",
        "updated_at": "2025-10-29T13:00:00.000Z",
    },
}
VALUES: Final[dict[str, Any]] = {"type": "array", "items": VALUE}

DEFINITION: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["id", "key", "color", "mandatory_on", "created_at", "updated_at"],
    "properties": {
        "id": {"type": "string", "example": EXAMPLE_TAG},
        "key": {"type": "string", "maxLength": MAX_KEY, "example": "Region"},
        "color": {"type": "string", "pattern": f"^{COLOR_PATTERN}$", "example": "#3F51B5"},
        "mandatory_on": {"type": "array", "items": CORRELATION_TYPE},
        "created_at": TIME,
        "updated_at": TIME,
    },
}
DEFINITION_WITH_VALUES: Final[dict[str, Any]] = {
    **DEFINITION,
    "required": [*DEFINITION["required"], "values"],
    "properties": {
        **DEFINITION["properties"],
        "values": {"type": "array", "maxItems": EMBEDDED, "items": VALUE},
        "more_values": {"type": "boolean", "description": f"true: there are more than these {EMBEDDED}"},
    },
}
LABELS: Final[dict[str, Any]] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["tag_id", "key", "color", "value"],
        "properties": {name: {"type": "string"} for name in ("tag_id", "key", "color", "value")},
        "example": {"tag_id": EXAMPLE_TAG, "key": "Region", "color": "#3F51B5", "value": "APAC"},
    },
}


def _body(schema: Mapping[str, Any], example: Mapping[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


_VALUE_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": MAX_VALUE, "description": "without NUL"}

DEFINITION_BODY: Final = _body(
    {
        "type": "object",
        "required": ["key", "color"],
        "properties": {
            "key": {"type": "string", "minLength": 1, "maxLength": MAX_KEY},
            "color": {"type": "string", "pattern": f"^{COLOR_PATTERN}$"},
            "mandatory_on": {
                "type": "array",
                "items": CORRELATION_TYPE,
                "description": "types of resource that should have a value; absent from an update: as before",
            },
        },
    },
    {"key": "Region", "color": "#3F51B5", "mandatory_on": ["site"]},
)
APPLY_BODY: Final = _body(
    {
        "type": "object",
        "required": ["correlation_id", "correlation_type", "value"],
        "properties": {
            "correlation_id": {"type": "string", "pattern": f"^{names.OBJECT_ID_PATTERN}$"},
            "correlation_type": CORRELATION_TYPE,
            "value": _VALUE_TEXT,
        },
    },
    {"correlation_id": EXAMPLE_SITE, "correlation_type": "site", "value": "APAC"},
)
UPDATE_BODY: Final = _body(
    {
        "type": "object",
        "required": ["correlation_type", "value"],
        "properties": {"correlation_type": CORRELATION_TYPE, "value": _VALUE_TEXT},
    },
    {"correlation_type": "site", "value": "Decommissioned"},
)


def tag_id(text: str) -> str:
    """`text`, if a definition may be called so; else `DefinitionNotFound`."""
    if not is_tag_id(text):
        raise DefinitionNotFound("there is no such definition: an id is tag_ and 26 characters, as POST /tags gave it out")
    return text


def correlation_type(text: Any) -> Kind:
    """The kind of resource that `text` names; else `InvalidParameter`."""
    if text not in TYPE_NAMES:
        raise InvalidParameter(f"correlation_type is one of {', '.join(TYPE_NAMES)}")
    return Kind(text)


def value(text: str) -> str:
    """`text`, if it may be a value; else `InvalidParameter`."""
    return bodies.text({"value": text}, "value", MAX_VALUE)


def draft(document: Mapping[str, Any]) -> Draft:
    """What a body says of a definition.  Raises `ParameterMissing` or `InvalidParameter`."""
    bodies.require(document, "key", "color")
    key = bodies.text(document, "key", MAX_KEY)
    color = document["color"]
    if not isinstance(color, str) or not is_color(color):
        raise InvalidParameter("color is # and six hexadecimal digits, for instance #3F51B5")
    kinds = document.get("mandatory_on", [])
    if not isinstance(kinds, list) or any(kind not in TYPE_NAMES for kind in kinds):
        raise InvalidParameter(f"mandatory_on is a list of some of {', '.join(TYPE_NAMES)}")
    return Draft(key, color, tuple(dict.fromkeys(map(Kind, kinds))) if "mandatory_on" in document else None)


def value_document(found: Value) -> dict[str, Any]:
    """A value as it goes out."""
    return {
        "tag_id": found.tag.name,
        "correlation_id": found.resource.id,
        "correlation_type": str(found.resource.kind),
        "value": found.tag.state,
        "created_at": spell_time(found.tag.since),
        "updated_at": spell_time(found.tag.changed),
    }


def definition_document(definition: Definition, values: Iterable[Value] | None = None) -> dict[str, Any]:
    """A definition as it goes out; of its values the first `EMBEDDED`, None: without."""
    document: dict[str, Any] = {
        "id": definition.id,
        "key": definition.key,
        "color": definition.color,
        "mandatory_on": [str(kind) for kind in definition.mandatory_on],
        "created_at": spell_time(definition.tag.since),
        "updated_at": spell_time(definition.tag.changed),
    }
    if values is not None:
        listed = [value_document(found) for found in values]
        document["values"] = listed[:EMBEDDED]
        if len(listed) > EMBEDDED:
            document["more_values"] = True
    return document


def label_document(definition: Definition, found: Value) -> dict[str, Any]:
    """A label of a resource as it goes out."""
    return {"tag_id": definition.id, "key": definition.key, "color": definition.color, "value": found.tag.state}
