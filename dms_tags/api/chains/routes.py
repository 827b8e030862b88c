"""`/auth/…-tag` (API.md section 5)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from flask import Response

from dms_tags.api import locks
from dms_tags.api.chains import schemas
from dms_tags.api.chains.errors import ERROR_SCHEMA, render
from dms_tags.api.chains.identity import SessionIdentity, identify
from dms_tags.api.endpoint import Api, Call
from dms_tags.api.locks import CHANGE_HEADERS
from dms_tags.api.parameters import TRACE_ID_MUST_MATCH, moment
from dms_tags.chains.model import ChainTag, Session
from dms_tags.errors import InvalidParameter
from dms_tags.identity.model import Permission
from dms_tags.model import Changed

SESSION: Final = "It takes a session of an administrator, sent as X-Spaaza-Session-User-Id and X-Spaaza-Session-Key."

api = Api("chains", "/auth", render, ERROR_SCHEMA, security=("session_user", "session_key"), identify=identify)


@api.route(
    "POST",
    "/alter-tag",
    permission=Permission.WRITE,
    summary="Alter a tag of a chain",
    description=f"With neither value nor active the tag as it is: nothing is changed. {SESSION} WRITE on the chain.",
    parameters=(TRACE_ID_MUST_MATCH,),
    body=schemas.ALTER_BODY,
    responses={200: schemas.one_tag("alter-tag")},
    headers=CHANGE_HEADERS,
)
def alter_tag(call: Call) -> Response:
    """Changes a tag's value, whether it is active, or both."""
    given = schemas.Given.of(call.request)
    given.require("id")
    tag_id, value, active = given.identifier("id"), given.value(), given.boolean("active")
    found, changed = call.services.chains.alter(_session(call), tag_id, value, active, locks.terms(call, tag_id, value, active))
    return _answer_tag("alter-tag", found, changed)


@api.route(
    "POST",
    "/add-tag",
    permission=Permission.WRITE,
    summary="Add a tag to a chain",
    description=f"Its id is higher than every one before. {SESSION} WRITE on the chain.",
    parameters=(TRACE_ID_MUST_MATCH,),
    body=schemas.ADD_BODY,
    responses={200: schemas.one_tag("add-tag")},
    headers=("X-B3-TraceId", "Idempotency-Key"),
)
def add_tag(call: Call) -> Response:
    """Makes an active tag."""
    given = schemas.Given.of(call.request)
    given.require("chain_id", "value", "model_class")
    chain_id, value, model_class = given.identifier("chain_id"), given.value() or "", given.model_class()
    terms = locks.terms(call, chain_id, value, model_class)
    if terms.must_exist or terms.conditions.trace_id is not None:
        raise InvalidParameter("traceIdMustMatch=true and If-Match are conditions on what is there: a new tag has none")
    found, changed = call.services.chains.add(_session(call), chain_id, value, model_class, terms)
    return _answer_tag("add-tag", found, changed)


@api.route(
    "GET",
    "/get-tag",
    permission=Permission.READ,
    summary="One tag",
    description=f"{SESSION} READ on the chain.",
    parameters=(schemas.ID, moment("at", "the tag as it stood at this time")),
    responses={200: schemas.one_tag("get-tag")},
)
def get_tag(call: Call) -> Response:
    """The tag, with its trace id and ETag as headers; a deleted one too."""
    at = call.arguments["at"]
    if at is not None:
        then = call.services.chains.get_at(_session(call), call.arguments["id"], at)
        return _answer(schemas.envelope("get-tag", {"tag": schemas.tag_document(then)}))
    found = call.services.chains.get(_session(call), call.arguments["id"])
    return _answer_tag("get-tag", found, Changed(found.tag, found.tag.trace_id))


@api.route(
    "GET",
    "/get-tags",
    permission=Permission.READ,
    summary="The tags of a chain",
    description=f"In order of id, deleted ones too unless exclude_inactive. {SESSION} READ on the chain.",
    parameters=(schemas.CHAIN_ID, schemas.EXCLUDE_INACTIVE, schemas.LIMIT, schemas.OFFSET),
    responses={200: schemas.TAGS},
)
def get_tags(call: Call) -> Response:
    """One page of a chain's tags."""
    limit, offset = call.arguments["limit"], call.arguments["offset"]
    found = call.services.chains.list(
        _session(call),
        call.arguments["chain_id"],
        only_active=call.arguments["exclude_inactive"],
        limit=limit,
        offset=offset,
    )
    results = {"limit": limit, "offset": offset, "tags": [schemas.tag_document(one) for one in found]}
    return _answer(schemas.envelope("get-tags", results))


@api.route(
    "DELETE",
    "/delete-tag",
    permission=Permission.WRITE,
    summary="Delete a tag",
    description=f"It stays readable as deleted and cannot be changed any more. {SESSION} DELETE on the chain.",
    parameters=(schemas.ID, TRACE_ID_MUST_MATCH),
    responses={200: schemas.one_tag("delete-tag")},
    headers=CHANGE_HEADERS,
)
def delete_tag(call: Call) -> Response:
    """Deletes a tag softly."""
    found, changed = call.services.chains.delete(_session(call), call.arguments["id"], locks.terms(call))
    return _answer_tag("delete-tag", found, changed)


def _session(call: Call) -> Session:
    identity = call.identity
    assert isinstance(identity, SessionIdentity)  # noqa: S101 - the API's own `identify` makes no other
    return identity.session


def _answer_tag(call_name: str, found: ChainTag, changed: Changed) -> Response:
    return locks.stamp(_answer(schemas.envelope(call_name, {"tag": schemas.tag_document(found)})), changed)


def _answer(document: Mapping[str, Any]) -> Response:
    return Response(json.dumps(document), mimetype="application/json")
