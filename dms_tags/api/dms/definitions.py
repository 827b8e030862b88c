"""`/api/dms/tag-definitions` (API.md section 3)."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from flask import Response
from marshmallow import ValidationError

from dms_tags import names
from dms_tags.api import locks
from dms_tags.api.answers import empty_answer, json_answer, stamp
from dms_tags.api.dms import workflow_schemas
from dms_tags.api.dms.api import api
from dms_tags.api.endpoint import Call
from dms_tags.api.members import Body, Each, Flag, Named, Text, Whole
from dms_tags.errors import InvalidState
from dms_tags.identity.model import Permission
from dms_tags.model import Changed
from dms_tags.tags.definitions import MAX_STATES, Definition, document

MAX_LABEL = 255

route = partial(api.route, section="definitions")


def _state(text: str) -> int:
    try:
        return names.state(text)
    except InvalidState as error:
        raise ValidationError(error.detail) from error


class States(Each):
    """A set of states."""

    def __init__(self, **described: Any) -> None:
        super().__init__(Whole(names.MIN_STATE, names.MAX_STATE), MAX_STATES, **described)

    def _deserialize(self, *given: Any, **rest: Any) -> Any:
        return frozenset(super()._deserialize(*given, **rest))


class DefinitionBody(Body):
    """The states of a tag, and which may follow which."""

    EXAMPLE: ClassVar = {"states": {"1": "queued", "2": "running"}, "transitions": {"1": [2]}, "initial": [1], "enforce": True}

    states = Named(
        Text(parse=_state),
        Text(1, MAX_LABEL),
        f'an object that names 1 to {MAX_STATES:,} states is needed, for instance {{"1":"queued"}}',
        least=1,
        most=MAX_STATES,
        required=True,
    )
    transitions = Named(Text(parse=_state), States(), 'an object is needed, for instance {"1":[2],"2":[1,3]}', load_default=None)
    initial = States(load_default=None)
    enforce = Flag(load_default=True)
    reason_required = States(load_default=frozenset(), data_key="reasonRequired")


@route(
    "GET",
    "/tag-definitions",
    permission=Permission.READ,
    responses={200: workflow_schemas.DEFINITIONS},
)
def list_definitions(call: Call) -> Response:
    """All tag definitions."""
    readable = [
        definition
        for definition in call.services.definitions.all(call.identity.tenant)
        if call.identity.covers(Permission.READ, definition.name)
    ]
    return json_answer({"definitions": [{"name": definition.name, **document(definition)} for definition in readable]})


@route(
    "GET",
    "/tag-definitions/{name}",
    permission=Permission.READ,
    scope=Permission.READ,
    responses={200: workflow_schemas.DEFINITION},
    headers=("If-None-Match",),
)
def read_definition(call: Call, name: str) -> Response:
    """One tag definition."""
    definition, tag = call.services.definitions.get(call.identity.tenant, name)
    return stamp(json_answer(document(definition)), Changed(tag, tag.trace_id))


@route(
    "PUT",
    "/tag-definitions/{name}",
    permission=Permission.ADMIN,
    body=DefinitionBody(),
    responses={200: workflow_schemas.DEFINITION},
    headers=locks.CHANGE_HEADERS,
)
def write_definition(call: Call, name: str) -> Response:
    """Set a tag definition; it holds everywhere within 2 s."""
    definition = Definition(name, **call.body())
    changed = call.services.definitions.put(call.identity.tenant, definition, locks.terms(call, document(definition)))
    return stamp(json_answer(document(definition)), changed)


@route(
    "DELETE",
    "/tag-definitions/{name}",
    permission=Permission.ADMIN,
    responses={200: {"description": "The definition is removed; the body is empty."}},
    headers=locks.CHANGE_HEADERS,
)
def delete_definition(call: Call, name: str) -> Response:
    """Remove a tag definition; its tags stay."""
    return stamp(empty_answer(), call.services.definitions.delete(call.identity.tenant, name, locks.terms(call)))
