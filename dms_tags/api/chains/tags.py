"""`/auth/…-tag`: the tags of chains (API.md section 5)."""

from __future__ import annotations

from flask import Response

from dms_tags.api import locks
from dms_tags.api.answers import json_answer, stamp
from dms_tags.api.chains import schemas
from dms_tags.api.chains.api import api
from dms_tags.api.chains.identity import session_of
from dms_tags.api.endpoint import Call
from dms_tags.api.locks import ADD_HEADERS, CHANGE_HEADERS
from dms_tags.api.parameters import TRACE_ID_MUST_MATCH, moment
from dms_tags.chains.model import ChainTag
from dms_tags.identity.model import Permission
from dms_tags.model import Changed


@api.route(
    "POST",
    "/alter-tag",
    permission=Permission.WRITE,
    parameters=(TRACE_ID_MUST_MATCH,),
    body=schemas.AlterBody(),
    responses={200: schemas.one_tag("alter-tag")},
    headers=CHANGE_HEADERS,
)
def alter_tag(call: Call) -> Response:
    """Alter a tag of a chain.

    With neither value nor active the tag as it is: nothing is changed. WRITE on the chain.
    """
    given = call.body()
    altered, changed = call.services.chains.alter(
        session_of(call), given["id"], given["value"], given["active"], locks.terms(call, given)
    )
    return _answer_tag("alter-tag", altered, changed)


@api.route(
    "POST",
    "/add-tag",
    permission=Permission.WRITE,
    parameters=(TRACE_ID_MUST_MATCH,),
    body=schemas.AddBody(),
    responses={200: schemas.one_tag("add-tag")},
    headers=ADD_HEADERS,
)
def add_tag(call: Call) -> Response:
    """Add a tag to a chain.

    Its id is higher than every one before. WRITE on the chain.
    """
    given = call.body()
    added, changed = call.services.chains.add(
        session_of(call), given["chain_id"], given["value"], given["model_class"], locks.of_new(locks.terms(call, given))
    )
    return _answer_tag("add-tag", added, changed)


@api.route(
    "GET",
    "/get-tag",
    permission=Permission.READ,
    parameters=(schemas.ID, moment("at", "the tag as it stood at this time")),
    responses={200: schemas.one_tag("get-tag")},
    headers=("If-None-Match",),
)
def get_tag(call: Call) -> Response:
    """One tag, also a deleted one.

    READ on the chain.
    """
    at = call.arguments["at"]
    if at is not None:
        then = call.services.chains.get_at(session_of(call), call.arguments["id"], at)
        return json_answer(schemas.envelope("get-tag", {"tag": schemas.tag_document(then)}))
    tag = call.services.chains.get(session_of(call), call.arguments["id"])
    return _answer_tag("get-tag", tag, Changed(tag.tag, tag.tag.trace_id))


@api.route(
    "GET",
    "/get-tags",
    permission=Permission.READ,
    parameters=(schemas.CHAIN_ID, schemas.EXCLUDE_INACTIVE, schemas.LIMIT, schemas.OFFSET),
    responses={200: schemas.TAGS},
)
def get_tags(call: Call) -> Response:
    """The tags of a chain.

    In order of id, deleted ones too unless exclude_inactive. READ on the chain.
    """
    limit, offset = call.arguments["limit"], call.arguments["offset"]
    page = call.services.chains.list(
        session_of(call),
        call.arguments["chain_id"],
        only_active=call.arguments["exclude_inactive"],
        limit=limit,
        offset=offset,
    )
    results = {"limit": limit, "offset": offset, "tags": [schemas.tag_document(tag) for tag in page]}
    return json_answer(schemas.envelope("get-tags", results))


@api.route(
    "DELETE",
    "/delete-tag",
    permission=Permission.WRITE,
    parameters=(schemas.ID, TRACE_ID_MUST_MATCH),
    responses={200: schemas.one_tag("delete-tag")},
    headers=CHANGE_HEADERS,
)
def delete_tag(call: Call) -> Response:
    """Delete a tag.

    It stays readable as deleted and cannot be changed any more. DELETE on the chain.
    """
    tag, changed = call.services.chains.delete(session_of(call), call.arguments["id"], locks.terms(call))
    return _answer_tag("delete-tag", tag, changed)


def _answer_tag(call_name: str, tag: ChainTag, changed: Changed) -> Response:
    return stamp(json_answer(schemas.envelope(call_name, {"tag": schemas.tag_document(tag)})), changed)
