"""The shapes of the metadata API, as they come in, go out and stand in OpenAPI (API.md section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from marshmallow import ValidationError, post_load

from dms_tags import names
from dms_tags.api.members import Anything, Body, Choice, Each, Missing, Text
from dms_tags.errors import DefinitionNotFound, InvalidObjectId, InvalidParameter, Malformed, ParameterMissing
from dms_tags.metadata.model import (
    COLOR_PATTERN,
    MAX_ALLOWED,
    MAX_KEY,
    MAX_VALUE,
    TYPES,
    Draft,
    LabelDefinition,
    Value,
    is_color,
    is_tag_id,
)
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
        "allowed_values": {
            "type": "array",
            "items": {"type": "string"},
            "description": "the values that it takes; absent: any",
        },
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
LACKING: Final[dict[str, Any]] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["correlation_id", "correlation_type"],
        "properties": {"correlation_id": {"type": "string"}, "correlation_type": CORRELATION_TYPE},
        "example": {"correlation_id": EXAMPLE_SITE, "correlation_type": "site"},
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


def tag_id(text: str) -> str:
    """`text`, if a definition may be called so; else `DefinitionNotFound`."""
    if not is_tag_id(text):
        raise DefinitionNotFound("there is no such definition: an id is tag_ and 26 characters, as POST /tags gave it out")
    return text


def correlation_id(text: str) -> str:
    """`text`, if a resource may be called so; else `InvalidParameter`."""
    try:
        return names.object_id(text)
    except InvalidObjectId as error:
        raise InvalidParameter("a correlation id is 1 to 128 of A-Z a-z 0-9 . _ ~ - and neither '.' nor '..'") from error


_label, _resource = tag_id, correlation_id  # members of bodies are called so too
SHOWN: Final = {"description": "as it was read; it says nothing new"}


class Parameters(Body):
    """A body of the metadata API: a member that is absent, or not as declared, is told as a parameter.

    What was read may be sent back: the members that only answers have are taken, and passed over.
    """

    def refusal(self, member: str, reason: str) -> Malformed:
        """The error for a member that is not as declared."""
        if isinstance(reason, Missing):
            return ParameterMissing(f"the parameter {member!r} is required for this request")
        return InvalidParameter(f"{member}: {reason}")


def _color(text: str) -> str:
    if not is_color(text):
        raise ValidationError("# and six hexadecimal digits, for instance #3F51B5, are needed")
    return text


def _types(**described: Any) -> Choice:
    return Choice(TYPE_NAMES, metadata={"example": "site"}, **described)


class LabelBody(Parameters):
    """A definition, as it is made or changed."""

    EXAMPLE: ClassVar = {"key": "Region", "color": "#3F51B5", "mandatory_on": ["site"]}

    key = Text(1, MAX_KEY, required=True)
    color = Text(parse=_color, required=True, metadata={"pattern": f"^{COLOR_PATTERN}$"})
    id = Text(parse=_label, metadata=SHOWN)
    created_at, updated_at, values, more_values = (Anything(metadata=SHOWN) for _ in range(4))
    mandatory_on = Each(
        _types(),
        metadata={"description": "types of resource that should have a value; absent from an update: as before"},
    )
    allowed_values = Each(
        Text(1, MAX_VALUE),
        MAX_ALLOWED,
        metadata={"description": "the only values that it takes, none: any; absent from an update: as before"},
    )

    @post_load
    def _draft(self, given: Mapping[str, Any], **_: Any) -> Draft:
        kinds, allowed = given.get("mandatory_on"), given.get("allowed_values")
        return Draft(
            given["key"],
            given["color"],
            None if kinds is None else tuple(dict.fromkeys(map(Kind, kinds))),
            None if allowed is None else tuple(allowed),
        )


class ValueBody(Parameters):
    """A value for a resource that the path names."""

    EXAMPLE: ClassVar = {"correlation_type": "site", "value": "Decommissioned"}

    tag_id = Text(parse=_label, metadata=SHOWN)
    correlation_id = Text(parse=_resource, metadata=SHOWN)
    created_at, updated_at = (Anything(metadata=SHOWN) for _ in range(2))
    correlation_type = _types(required=True)
    value = Text(1, MAX_VALUE, required=True, metadata={"description": "without NUL"})


class ApplyBody(ValueBody):
    """A value, and the resource that it is for."""

    EXAMPLE: ClassVar = {"correlation_id": EXAMPLE_SITE, "correlation_type": "site", "value": "APAC"}

    correlation_id = Text(parse=_resource, required=True, metadata={"pattern": f"^{names.OBJECT_ID_PATTERN}$"})


def correlation_type(text: Any) -> Kind:
    """The kind of resource that `text` names; else `InvalidParameter`."""
    if text not in TYPE_NAMES:
        raise InvalidParameter(f"correlation_type is one of {', '.join(TYPE_NAMES)}")
    return Kind(text)


def value(text: str) -> str:
    """`text`, if it may be a value; else `InvalidParameter`."""
    if not 1 <= len(text) <= MAX_VALUE or "\0" in text:
        raise InvalidParameter(f"value: a text of 1 to {MAX_VALUE} characters, none of them NUL, is needed")
    return text


def value_document(value: Value) -> dict[str, Any]:
    """A value as it goes out."""
    return {
        "tag_id": value.tag.name,
        "correlation_id": value.resource.id,
        "correlation_type": str(value.resource.kind),
        "value": value.tag.state,
        "created_at": spell_time(value.tag.since),
        "updated_at": spell_time(value.tag.changed),
    }


def definition_document(definition: LabelDefinition, values: Iterable[Value] | None = None) -> dict[str, Any]:
    """A definition as it goes out; of its values the first `EMBEDDED`, None: without."""
    document: dict[str, Any] = {
        "id": definition.id,
        "key": definition.key,
        "color": definition.color,
        "mandatory_on": [str(kind) for kind in definition.mandatory_on],
        **({"allowed_values": list(definition.allowed_values)} if definition.allowed_values else {}),
        "created_at": spell_time(definition.tag.since),
        "updated_at": spell_time(definition.tag.changed),
    }
    if values is not None:
        listed = [value_document(value) for value in values]
        document["values"] = listed[:EMBEDDED]
        if len(listed) > EMBEDDED:
            document["more_values"] = True
    return document


def label_document(definition: LabelDefinition, value: Value) -> dict[str, Any]:
    """A label of a resource as it goes out."""
    return {"tag_id": definition.id, "key": definition.key, "color": definition.color, "value": value.tag.state}
