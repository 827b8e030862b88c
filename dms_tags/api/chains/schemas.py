"""The shapes of the chain tags API, as they come in, go out and stand in OpenAPI (API.md section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from flask import Request

from dms_tags.api import bodies
from dms_tags.api.parameters import Parameter, integer, whole
from dms_tags.chains.model import MAX_ID, MAX_MODEL_CLASS, MAX_VALUE, ChainTag
from dms_tags.errors import InvalidParameter, NotBoolean

TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}
"""How forms and queries spell a boolean."""

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


def truth(name: str, given: Any) -> bool:
    """The boolean that a text of a form or a query spells; else `NotBoolean`."""
    found = TRUTHS.get(given.lower())
    if found is None:
        raise NotBoolean(f"the {name} parameter must be a boolean value")
    return found


EXCLUDE_INACTIVE: Final = Parameter(
    "exclude_inactive",
    lambda text: truth("exclude_inactive", text),
    {"type": "boolean", "default": False},
    "leave out tags that are not active",
    default=False,
)


@dataclass(frozen=True, slots=True)
class Given:
    """The parameters of a body, JSON or form; each reader raises `InvalidParameter` or `NotBoolean`."""

    members: Mapping[str, Any]
    is_form: bool

    @classmethod
    def of(cls, request: Request) -> Given:
        """Those of a request; one without a body has none.  Raises `InvalidBody`, `UnsupportedMediaType`."""
        if request.mimetype == bodies.FORM or not (request.mimetype or request.get_data()):
            return cls(bodies.form(request), True)
        return cls(bodies.json_object(request), False)

    def require(self, *names: str) -> None:
        """Raises `ParameterMissing` unless all of them are given."""
        bodies.require(self.members, *names)

    def identifier(self, name: str) -> int:
        """A whole number; in JSON a text of digits is none."""
        found = self.members[name]
        if self.is_form:
            return whole(name, 1, MAX_ID)(found)
        if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= MAX_ID:
            raise InvalidParameter(f"{name} is a whole number from 1 to {MAX_ID}")
        return found

    def value(self) -> str | None:
        """The tag's value, None where it is not given."""
        return bodies.text(self.members, "value", MAX_VALUE, least=0) if "value" in self.members else None

    def model_class(self) -> str:
        """What the tag is for."""
        return bodies.text(self.members, "model_class", MAX_MODEL_CLASS)

    def boolean(self, name: str) -> bool | None:
        """True or false, None where it is not given."""
        if name not in self.members:
            return None
        found = self.members[name]
        if self.is_form:
            return truth(name, found)
        if not isinstance(found, bool):
            raise NotBoolean(f"the {name} parameter must be a boolean value")
        return found


def envelope(call_name: str, results: Mapping[str, Any]) -> dict[str, Any]:
    """An answer as the API's clients know it."""
    return {"result": {"code": 1, "status": "ok"}, "results": {**results, "result_type": call_name}}


def tag_document(found: ChainTag) -> dict[str, Any]:
    """A tag as it goes out."""
    chain = found.chain
    return {
        "active": found.state["active"],
        "chain": {"email_address": chain.email, "id": chain.id, "name": chain.name, "phone_number": chain.phone},
        "created_date": _spell(found.tag.since),
        "deleted": found.state["deleted"],
        "id": found.id,
        "last_modified_date": _spell(found.tag.changed),
        "model_class": found.model_class,
        "value": found.state["value"],
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


def body(properties: Mapping[str, Any], required: list[str], example: Mapping[str, Any]) -> dict[str, Any]:
    """The OpenAPI request body of parameters that come as JSON or as a form."""
    schema = {"type": "object", "required": required, "properties": properties}
    return {
        "required": True,
        "content": {kind: {"schema": schema, "example": example} for kind in ("application/json", bodies.FORM)},
    }


_ID: Final = {"type": "integer", "minimum": 1, "maximum": MAX_ID}
_VALUE: Final = {"type": "string", "maxLength": MAX_VALUE}
ALTER_BODY: Final = body(
    {"id": _ID, "value": _VALUE, "active": {"type": "boolean", "description": "in a form true, false, 1 or 0"}},
    ["id"],
    {"id": 1, "value": "baby_club_march_2025", "active": True},
)
ADD_BODY: Final = body(
    {"chain_id": _ID, "value": _VALUE, "model_class": {"type": "string", "minLength": 1, "maxLength": MAX_MODEL_CLASS}},
    ["chain_id", "value", "model_class"],
    {"chain_id": 1, "value": "baby_club_march_2025", "model_class": "user"},
)


def _spell(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}+00:00"
