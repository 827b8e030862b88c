"""The shapes of the chain tags API, as they come in, go out and stand in OpenAPI (API.md section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

from dms_tags.api.members import TRUTHS, Body, Flag, Missing, Text, Whole
from dms_tags.api.parameters import Parameter, integer
from dms_tags.chains.model import MAX_ID, MAX_MODEL_CLASS, MAX_VALUE, ChainTag
from dms_tags.errors import InvalidParameter, Malformed, NotBoolean, ParameterMissing

EXAMPLE_TAG: Final[Mapping[str, Any]] = {
    "active": True,
    "chain": {"email_address": "info@foo.com", "id": 1, "name": "FOO Chain, inc.", "phone_number": "01 1234 4321"},
    "created_date": "2025-01-23T13:53:39+00:00",
    "deleted": False,
    "id": 1,
    "last_modified_date": "2025-01-23T13:53:39+00:00",
    "model_class": "user",
    "value": "baby_club_march_2025",
}
_TIME: Final = {"type": "string", "format": "date-time"}
TAG: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": sorted(EXAMPLE_TAG),
    "properties": {
        "active": {"type": "boolean"},
        "chain": {
            "type": "object",
            "required": ["email_address", "id", "name", "phone_number"],
            "properties": {
                "email_address": {"type": "string", "nullable": True},
                "id": {"type": "integer"},
                "name": {"type": "string"},
                "phone_number": {"type": "string", "nullable": True},
            },
        },
        "created_date": _TIME,
        "deleted": {"type": "boolean"},
        "id": {"type": "integer"},
        "last_modified_date": _TIME,
        "model_class": {"type": "string"},
        "value": {"type": "string"},
    },
}

ID: Final = integer("id", 1, MAX_ID, "the tag's id", required=True)
CHAIN_ID: Final = integer("chain_id", 1, MAX_ID, "the chain's id", required=True)
LIMIT: Final = integer("limit", 1, 50, "tags on a page", 50)
OFFSET: Final = integer("offset", 0, 100_000, "tags to pass over", 0)


def truth(name: str, text: str) -> bool:
    """The boolean that a text of a query spells; else `NotBoolean`."""
    spelled = TRUTHS.get(text.lower())
    if spelled is None:
        raise NotBoolean(f"the {name} parameter must be a boolean value")
    return spelled


EXCLUDE_INACTIVE: Final = Parameter(
    "exclude_inactive",
    lambda text: truth("exclude_inactive", text),
    {"type": "boolean", "default": False},
    "leave out tags that are not active",
    default=False,
)


class Parameters(Body):
    """A body of the chain tags API, JSON or form; what is wrong with it is told by the API's own codes."""

    def refusal(self, member: str, reason: str) -> Malformed:
        """The error for a member that is not as declared."""
        if isinstance(reason, Missing):
            return ParameterMissing(f"the parameter {member!r} is required for this request")
        if isinstance(self.fields.get(member), Flag):
            return NotBoolean(f"the {member} parameter must be a boolean value")
        return InvalidParameter(f"{member}: {reason}")


class AlterBody(Parameters):
    """What to alter of a tag."""

    EXAMPLE: ClassVar = {"id": 1, "value": "baby_club_march_2025", "active": True}

    id = Whole(1, MAX_ID, required=True)
    value = Text(0, MAX_VALUE, load_default=None)
    active = Flag(load_default=None, metadata={"description": "in a form true, false, 1 or 0"})


class AddBody(Parameters):
    """A new tag."""

    EXAMPLE: ClassVar = {"chain_id": 1, "value": "baby_club_march_2025", "model_class": "user"}

    chain_id = Whole(1, MAX_ID, required=True)
    value = Text(0, MAX_VALUE, required=True)
    model_class = Text(1, MAX_MODEL_CLASS, required=True)


def envelope(call_name: str, results: Mapping[str, Any]) -> dict[str, Any]:
    """An answer as the API's clients know it."""
    return {"result": {"code": 1, "status": "ok"}, "results": {**results, "result_type": call_name}}


def tag_document(tag: ChainTag) -> dict[str, Any]:
    """A tag as it goes out."""
    chain = tag.chain
    return {
        "active": tag.state["active"],
        "chain": {"email_address": chain.email, "id": chain.id, "name": chain.name, "phone_number": chain.phone},
        "created_date": spell(tag.tag.since),
        "deleted": tag.state["deleted"],
        "id": tag.id,
        "last_modified_date": spell(tag.tag.changed),
        "model_class": tag.model_class,
        "value": tag.state["value"],
    }


def envelope_schema(call_name: str, results: Mapping[str, Any], example: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of `envelope`."""
    return {
        "type": "object",
        "required": ["result", "results"],
        "properties": {
            "result": {
                "type": "object",
                "required": ["code", "status"],
                "properties": {"code": {"type": "integer", "enum": [1]}, "status": {"type": "string", "enum": ["ok"]}},
            },
            "results": {
                "type": "object",
                "required": [*results, "result_type"],
                "properties": {**results, "result_type": {"type": "string", "enum": [call_name]}},
            },
        },
        "example": envelope(call_name, example),
    }


def one_tag(call_name: str) -> dict[str, Any]:
    """The schema of an answer with one tag."""
    return envelope_schema(call_name, {"tag": TAG}, {"tag": EXAMPLE_TAG})


TAGS: Final = envelope_schema(
    "get-tags",
    {"limit": {"type": "integer"}, "offset": {"type": "integer"}, "tags": {"type": "array", "items": TAG}},
    {"limit": 50, "offset": 0, "tags": [EXAMPLE_TAG]},
)


def spell(moment: datetime) -> str:
    """A time as the API's clients read it: whole seconds, `+00:00`."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}+00:00"
