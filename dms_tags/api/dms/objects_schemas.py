"""The shapes of the calls on objects, as they are taken, go out and are told by OpenAPI (API.md section 8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from marshmallow import ValidationError, fields, pre_load

from dms_tags import names
from dms_tags.api.bodies import given_twice
from dms_tags.api.dms import schemas
from dms_tags.api.members import Anything, Body, Each, Part, Text
from dms_tags.errors import InvalidParameter
from dms_tags.model import MAX_TAGS, Properties, Tag
from dms_tags.names import spell_time
from dms_tags.objects.model import MAX_OBJECTS

_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 256}
_ROW: Final = {
    "type": "array",
    "description": "name and state",
    "minItems": 2,
    "maxItems": 2,
    "items": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    "example": ["ocr", 1],
}


class Valued(fields.Field[Any]):
    """A property: `{"value": …}`, or the bare value as older clients send it."""

    def __init__(self, inner: fields.Field[Any], shape: Mapping[str, Any], **described: Any) -> None:
        whole = {"type": "object", "required": ["value"], "properties": {"value": dict(shape)}, "additionalProperties": False}
        super().__init__(metadata={"anyOf": [whole, dict(shape)]}, **described)
        self._inner: Final = inner

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if isinstance(value, Mapping):
            other = next((name for name in value if name != "value"), None)
            if other is not None:
                raise ValidationError({str(other): ["is no member here; there is: value"]})
            value = value.get("value")
        return None if value is None else self._inner.deserialize(value)


class Rows(fields.Field[Any]):
    """The rows of one object, `[name, state]`, each name once: read in one go, since they are most of a body."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[tuple[str, int], ...]:
        if not isinstance(value, list) or len(value) > MAX_TAGS:
            raise ValidationError(f"a list of at most {MAX_TAGS:,} is needed")
        rows = []
        for number, sent in enumerate(value):
            try:
                rows.append(_row(sent))
            except ValidationError as error:
                raise ValidationError({number: error.messages}) from error
        twice = given_twice(name for name, _state in rows)
        if twice is not None:
            raise ValidationError(f"the tag {twice!r} is given twice; once is right")
        return tuple(rows)


def _row(sent: Any) -> tuple[str, int]:
    if not isinstance(sent, list) or len(sent) != 2:
        raise ValidationError('a row is ["name", state]')
    name, state = sent
    if not isinstance(name, str):
        raise ValidationError("the name of a tag is a text")
    whole = isinstance(state, int) or (isinstance(state, float) and state.is_integer())
    if isinstance(state, bool) or not whole or not names.MIN_STATE <= state <= names.MAX_STATE:
        raise ValidationError(f"a state is a whole number from {names.MIN_STATE} to {names.MAX_STATE}")
    return names.tag_name(name), int(state)


def _moment(text: str) -> Any:
    try:
        return names.next_millisecond(names.time(text))
    except InvalidParameter as error:
        raise ValidationError(error.detail) from error


KEPT: Final = frozenset({"objectId", "objectTypeId", "baseTypeId", "createdBy", "creationDate", "tags"})
"""The properties that are kept, as they were spelt before they had a prefix."""


class PropertiesBody(Body):
    """The properties of one object; those that are the DMS's are passed over."""

    object_id = Valued(
        Text(parse=names.object_id), {"type": "string", "pattern": f"^{names.OBJECT_ID_PATTERN}$"}, data_key="system:objectId"
    )
    type = Valued(Text(1, 256), _TEXT, data_key="system:objectTypeId")
    base = Valued(Text(1, 256), _TEXT, data_key="system:baseTypeId")
    created_by = Valued(Text(1, 256), _TEXT, data_key="system:createdBy")
    created_at = Valued(Text(parse=_moment), {"type": "string", "format": "date-time"}, data_key="system:creationDate")
    rows = Valued(Rows(), {"type": "array", "items": _ROW, "maxItems": MAX_TAGS}, data_key="system:tags")

    @pre_load
    def _declared_members(self, given: Any, **_: Any) -> Any:
        """The members that are kept, by their own names."""
        if not isinstance(given, Mapping):
            raise ValidationError("a JSON object is needed")
        known: dict[str, Any] = {}
        for name, value in given.items():
            prefixed = own_name(name)
            if prefixed in known:
                raise ValidationError(
                    {name: [f'"{prefixed}" and "{prefixed.removeprefix("system:")}" mean the same; once is right']}
                )
            if prefixed is not None and value is not None:
                known[prefixed] = value
        return known


def own_name(name: str) -> str | None:
    """The name of a property that is kept, however it is spelt; None: it is the DMS's."""
    bare = name.removeprefix("system:")
    return f"system:{bare}" if bare in KEPT else None


def whole(document: dict[str, Any]) -> dict[str, Any]:
    """The document of a body, of which web clients send the properties of its one object alone.

    That is taken where one of them is kept, by its name with the prefix: what is only misspelt is still refused.
    """
    own = any(name.startswith("system:") and own_name(name) for name in document)
    if own and document.keys().isdisjoint(("objects", "contentStreams")):
        return {"objects": [{"properties": document}]}
    return document


class ObjectBody(Body):
    """One object; `contentStreams` speak of content, which this service does not keep."""

    properties = Part(PropertiesBody, required=True)
    content_streams = Anything(data_key="contentStreams")


class Objects(Body):
    """The body of a call on objects."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "objects": [
            {
                "properties": {
                    "system:objectId": {"value": "8f2c"},
                    "system:objectTypeId": {"value": "document"},
                    "system:tags": {"value": [["ocr", 1], ["index:resistant", 0]]},
                }
            }
        ]
    }

    objects = Each(Part(ObjectBody), MAX_OBJECTS, required=True)


def _of(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": ["value"], "properties": {"value": value}}


KEPT_PROPERTIES: Final = {
    "system:objectId": _of({"type": "string"}),
    "system:objectTypeId": _of({"type": "string"}),
    "system:baseTypeId": _of({"type": "string"}),
    "system:createdBy": _of({"type": "string"}),
    "system:creationDate": _of({"type": "string"}),
    **schemas.TAG_PROPERTIES,
}
STANDING: Final = schemas.objects(
    {**KEPT_PROPERTIES, "dms:ignored": _of({"type": "array", "items": {"type": "string"}})},
    ["system:objectId", "system:tags", "dms:etags"],
)


def properties(object_id: str, tags: Iterable[Tag], told: Properties | None, ignored: Iterable[str] = ()) -> dict[str, Any]:
    """An object as the DMS's clients read it, with the names of the properties that were passed over."""
    listed, passed_over = list(tags), list(ignored)
    told = told or Properties()
    created_at = None if told.created_at is None else spell_time(told.created_at)
    shown = {
        "system:objectId": object_id,
        "system:objectTypeId": told.type,
        "system:baseTypeId": told.base,
        "system:createdBy": told.created_by,
        "system:creationDate": created_at,
        "system:tags": [schemas.row(tag) for tag in listed],
        "dms:etags": [tag.etag for tag in listed],
        "dms:ignored": passed_over or None,
    }
    return {name: {"value": value} for name, value in shown.items() if value is not None}
