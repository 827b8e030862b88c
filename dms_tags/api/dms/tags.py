"""`/api/dms/objects/…/tags` and `…/history` (API.md sections 1 and 2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flask import Response

from dms_tags.api import headers, locks
from dms_tags.api.dms import schemas
from dms_tags.api.endpoint import Api, Call
from dms_tags.api.locks import CHANGE_HEADERS
from dms_tags.api.parameters import EXPECTED_STATE, OVERWRITE, TRACE_ID_MUST_MATCH, WAIT_FOR_SEARCH, integer, moment
from dms_tags.api.problems import MEDIA_TYPE, PROBLEM_SCHEMA, render_problem
from dms_tags.errors import InvalidParameter
from dms_tags.identity.model import Permission
from dms_tags.model import Change, Changed, Kind, Resource, Verb

api = Api("dms", "/api/dms", render_problem, PROBLEM_SCHEMA, MEDIA_TYPE)


@api.route(
    "GET",
    "/objects/{objectId}/tags",
    permission=Permission.READ,
    summary="All tags of an object",
    parameters=(moment("at", "the rows as they stood at this time"),),
    responses={200: schemas.TAGS},
)
def read_tags(call: Call, object_id: str) -> Response:
    """Every tag that the caller may read, in order of creation."""
    resource = Resource(call.identity.tenant, Kind.OBJECT, object_id)
    at = call.arguments["at"]
    tags = call.services.tags.tags(resource) if at is None else call.services.past.tags_at(resource, at)
    readable = [tag for tag in tags if call.identity.covers(Permission.READ, tag.name)]
    return answer(schemas.rows(readable, etags=at is None))


@api.route(
    "GET",
    "/objects/{objectId}/tags/{name}",
    permission=Permission.READ,
    scope=Permission.READ,
    summary="One tag of an object",
    responses={200: schemas.TAGS},
    headers=("If-None-Match",),
)
def read_tag(call: Call, object_id: str, name: str) -> Response:
    """The tag's row, with its trace id and ETag as headers."""
    tag = call.services.tags.tag(Resource(call.identity.tenant, Kind.OBJECT, object_id), name)
    unchanged = headers.if_none_match(call.request.headers)
    response = Response(status=304) if unchanged is not None and tag.etag in unchanged else answer(schemas.rows([tag]))
    response.headers[headers.TRACE_HEADER] = tag.trace_id
    response.headers["ETag"] = headers.entity_tag(tag.etag)
    return response


@api.route(
    "POST",
    "/objects/{objectId}/tags/{name}/state/{state}",
    permission=Permission.WRITE,
    scope=Permission.WRITE,
    summary="Add a tag, or update it with overwrite=true",
    description="With traceIdMustMatch=true, If-Match or expectedState the change is made only if the condition holds in the same write.",
    parameters=(OVERWRITE, TRACE_ID_MUST_MATCH, EXPECTED_STATE, WAIT_FOR_SEARCH),
    responses={200: schemas.TAGS},
    headers=CHANGE_HEADERS,
)
def write_tag(call: Call, object_id: str, name: str, state: int) -> Response:
    """Adds or updates one tag."""
    verb = Verb.UPDATE if call.arguments["overwrite"] else Verb.ADD
    return answer_change(call.services.tags.change(change_of(call, object_id, name, verb, state)))


@api.route(
    "DELETE",
    "/objects/{objectId}/tags/{name}",
    permission=Permission.WRITE,
    scope=Permission.WRITE,
    summary="Remove a tag",
    parameters=(TRACE_ID_MUST_MATCH, WAIT_FOR_SEARCH),
    responses={200: {"description": "The tag is removed; the body is empty."}},
    headers=CHANGE_HEADERS,
)
def delete_tag(call: Call, object_id: str, name: str) -> Response:
    """Removes one tag."""
    return answer_change(call.services.tags.change(change_of(call, object_id, name, Verb.DELETE)))


@api.route(
    "GET",
    "/objects/{objectId}/history",
    permission=frozenset({Permission.READ, Permission.AUDIT}),
    summary="The changes of an object's tags, newest first",
    parameters=(integer("size", 1, 1000, "entries on a page", 50), integer("page", 0, 10**9, "page, counted from 0", 0)),
    responses={200: schemas.HISTORY},
)
def read_history(call: Call, object_id: str) -> Response:
    """One page of an object's history."""
    resource = Resource(call.identity.tenant, Kind.OBJECT, object_id)
    prefixes = None if Permission.AUDIT in call.identity.permissions else call.identity.read_prefixes
    return answer(
        schemas.history(call.services.trail.history(resource, call.arguments["size"], call.arguments["page"], prefixes))
    )


def change_of(call: Call, object_id: str, name: str, verb: Verb, state: int | None = None) -> Change:
    """The change that a request asks for.

    Raises `InvalidParameter` for a condition on an add, which could never hold, and `TraceIdRequired`.
    """
    must_match: bool = call.arguments["traceIdMustMatch"]
    expected = call.arguments.get("expectedState")
    if verb is Verb.ADD:
        for given, spelled in (
            (must_match, "traceIdMustMatch=true"),
            (expected is not None, "expectedState"),
            ("If-Match" in call.request.headers, "If-Match"),
        ):
            if given:
                raise InvalidParameter(f"{spelled} is a condition on a tag that is there: it needs overwrite=true")
    asked = locks.terms(call, expected=expected)
    return Change(
        resource=Resource(call.identity.tenant, Kind.OBJECT, object_id),
        name=name,
        verb=verb,
        actor=asked.actor,
        state=state,
        trace_id=asked.trace_id,
        conditions=asked.conditions,
        idempotency=asked.idempotency,
    )


def answer(document: Mapping[str, Any]) -> Response:
    """A JSON answer."""
    return Response(json.dumps(document), mimetype="application/json")


def answer_change(changed: Changed) -> Response:
    """The answer to a change: the tag's row, or nothing where it was removed."""
    response = Response(b"", mimetype="application/json") if changed.tag is None else answer(schemas.rows([changed.tag]))
    return locks.stamp(response, changed)
