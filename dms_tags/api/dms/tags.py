"""`/api/dms/objects/…/tags` and `…/history` (API.md sections 1 and 2)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from flask import Response

from dms_tags.api import locks
from dms_tags.api.answers import empty_answer, json_answer, stamp
from dms_tags.api.dms import schemas
from dms_tags.api.dms.api import api
from dms_tags.api.endpoint import Call
from dms_tags.api.locks import CHANGE_HEADERS
from dms_tags.api.parameters import EXPECTED_STATE, OVERWRITE, TRACE_ID_MUST_MATCH, integer, moment
from dms_tags.identity.model import Permission
from dms_tags.model import Changed, Kind, Resource, Verb

route = partial(api.route, section="tags")


@route(
    "GET",
    "/objects/{objectId}/tags",
    permission=Permission.READ,
    parameters=(moment("at", "the rows as they stood at this time"),),
    responses={200: schemas.TAGS},
)
def read_tags(call: Call, object_id: str) -> Response:
    """All tags of an object."""
    resource = Resource(call.identity.tenant, Kind.OBJECT, object_id)
    at = call.arguments["at"]
    tags = call.services.tags.tags(resource) if at is None else call.services.past.tags_at(resource, at)
    readable = [tag for tag in tags if call.identity.covers(Permission.READ, tag.name)]
    return json_answer(schemas.rows(readable, etags=at is None))


@route(
    "GET",
    "/objects/{objectId}/tags/{name}",
    permission=Permission.READ,
    scope=Permission.READ,
    responses={200: schemas.TAGS},
    headers=("If-None-Match",),
)
def read_tag(call: Call, object_id: str, name: str) -> Response:
    """One tag of an object."""
    tag = call.services.tags.tag(Resource(call.identity.tenant, Kind.OBJECT, object_id), name)
    return stamp(json_answer(schemas.rows([tag])), Changed(tag, tag.trace_id))


@route(
    "POST",
    "/objects/{objectId}/tags/{name}/state/{state}",
    permission=Permission.WRITE,
    scope=Permission.WRITE,
    parameters=(OVERWRITE, TRACE_ID_MUST_MATCH, EXPECTED_STATE),
    responses={200: schemas.TAGS},
    headers=CHANGE_HEADERS,
)
def write_tag(call: Call, object_id: str, name: str, state: int) -> Response:
    """Add a tag, or update it with overwrite=true.

    With traceIdMustMatch=true, If-Match or expectedState the change is made only if the condition holds in the same
    write.
    """
    verb = Verb.UPDATE if call.arguments["overwrite"] else Verb.ADD
    return answer_change(_change(call, object_id, name, verb, state))


@route(
    "DELETE",
    "/objects/{objectId}/tags/{name}",
    permission=Permission.WRITE,
    scope=Permission.WRITE,
    parameters=(TRACE_ID_MUST_MATCH,),
    responses={200: {"description": "The tag is removed; the body is empty."}},
    headers=CHANGE_HEADERS,
)
def delete_tag(call: Call, object_id: str, name: str) -> Response:
    """Remove a tag."""
    return answer_change(_change(call, object_id, name, Verb.DELETE))


@route(
    "GET",
    "/objects/{objectId}/history",
    permission=frozenset({Permission.READ, Permission.AUDIT}),
    parameters=(integer("size", 1, 1000, "entries on a page", 50), integer("page", 0, 10**9, "page, counted from 0", 0)),
    responses={200: schemas.HISTORY},
)
def read_history(call: Call, object_id: str) -> Response:
    """The changes of an object's tags, newest first."""
    resource = Resource(call.identity.tenant, Kind.OBJECT, object_id)
    prefixes = None if Permission.AUDIT in call.identity.permissions else call.identity.read_prefixes
    return json_answer(
        schemas.history(call.services.trail.history(resource, call.arguments["size"], call.arguments["page"], prefixes))
    )


def _change(call: Call, object_id: str, name: str, verb: Verb, state: int | None = None) -> Changed:
    terms = locks.terms(call)
    if verb is Verb.ADD:
        # An add fails where the tag is there, with or without If-None-Match: *
        terms = locks.of_new(replace(terms, conditions=replace(terms.conditions, absent=False)))
    return call.services.tags.change(terms.change(Resource(call.identity.tenant, Kind.OBJECT, object_id), name, verb, state))


def answer_change(changed: Changed) -> Response:
    """The answer to a change: the tag's row, or nothing where it was removed."""
    return stamp(empty_answer() if changed.tag is None else json_answer(schemas.rows([changed.tag])), changed)
