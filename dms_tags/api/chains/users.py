"""`/auth/…user-tag…` and `/auth/get-tag-users` (API.md section 5)."""

from __future__ import annotations

from typing import Final

from flask import Response

from dms_tags.api import locks, members
from dms_tags.api.answers import json_answer, stamp
from dms_tags.api.chains import schemas, user_schemas
from dms_tags.api.chains.api import api
from dms_tags.api.chains.identity import session_of
from dms_tags.api.endpoint import Call
from dms_tags.api.locks import ADD_HEADERS, CHANGE_HEADERS
from dms_tags.api.parameters import TRACE_ID_MUST_MATCH, moment
from dms_tags.chains.model import ChainTag, ChainUser
from dms_tags.chains.users import Wanted
from dms_tags.errors import InvalidParameter
from dms_tags.identity.model import Permission
from dms_tags.model import Changed

ASKED: Final = tuple(parameter.name for parameter in (*user_schemas.WHICH, *user_schemas.WHO))


@api.route(
    "POST",
    "/add-user-tag",
    permission=Permission.WRITE,
    parameters=(TRACE_ID_MUST_MATCH,),
    body=user_schemas.USER_TAG,
    responses={200: user_schemas.changed("add-user-tag")},
    headers=ADD_HEADERS,
)
def add_user_tag(call: Call) -> Response:
    """Set a tag on a user.

    The user is named by one identifier; each kind of identifier names users of its own. WRITE on the chain.
    """
    user, wanted = call.body()
    tag, changed = call.services.chain_users.add(session_of(call), user, wanted, locks.of_new(locks.terms(call, user, wanted)))
    return _answer("add-user-tag", tag, user, changed)


@api.route(
    "DELETE",
    "/delete-user-tag",
    permission=Permission.WRITE,
    parameters=(*user_schemas.WHICH, *user_schemas.WHO, TRACE_ID_MUST_MATCH),
    responses={200: user_schemas.changed("delete-user-tag")},
    headers=CHANGE_HEADERS,
)
def delete_user_tag(call: Call) -> Response:
    """Take a tag from a user.

    What it takes may be sent as parameters, or as the body of add-user-tag. DELETE on the chain.
    """
    user, wanted = _asked(call)
    terms = locks.terms(call, user, wanted)
    tag, changed = call.services.chain_users.remove(session_of(call), user, wanted, terms)
    return _answer("delete-user-tag", tag, user, changed)


@api.route(
    "GET",
    "/get-user-tags",
    permission=Permission.READ,
    parameters=(
        schemas.CHAIN_ID,
        *user_schemas.WHO,
        schemas.EXCLUDE_INACTIVE,
        moment("at", "the user's tags, and what they were, at this time"),
    ),
    responses={200: user_schemas.USER_TAGS},
)
def get_user_tags(call: Call) -> Response:
    """The tags of a user.

    In the order in which they were set. READ on the chain.
    """
    user, only_active = user_schemas.user(call.arguments), call.arguments["exclude_inactive"]
    tags = call.services.chain_users.tags(session_of(call), user, only_active=only_active, at=call.arguments["at"])
    results = {"user": user_schemas.user_document(user), "tags": [user_schemas.user_tag_document(each) for each in tags]}
    return json_answer(schemas.envelope("get-user-tags", results))


@api.route(
    "GET",
    "/get-tag-users",
    permission=Permission.READ,
    parameters=(schemas.ID, user_schemas.USERS_LIMIT, user_schemas.CURSOR),
    responses={200: user_schemas.TAG_USERS},
)
def get_tag_users(call: Call) -> Response:
    """The users that have a tag.

    In order of identifier, page by page. READ on the chain.
    """
    limit = call.arguments["limit"]
    users, following = call.services.chain_users.users(
        session_of(call), call.arguments["id"], after=call.arguments["cursor"] or "", limit=limit
    )
    results = {
        "limit": limit,
        "next": following,
        "users": [user_schemas.user_document(user, mark) for user, mark in users],
    }
    return json_answer(schemas.envelope("get-tag-users", results))


def _asked(call: Call) -> tuple[ChainUser, Wanted]:
    """User and tag of a removal, whichever way they were sent.  Raises `InvalidParameter` where they were sent both ways."""
    parameters = {name: call.arguments[name] for name in ASKED if call.arguments[name] is not None}
    if call.request.get_data():
        if parameters:
            raise InvalidParameter(f"{next(iter(parameters))}: send user and tag as parameters or in the body, not both")
        asked: tuple[ChainUser, Wanted] = call.body(user_schemas.USER_TAG)
    else:
        asked = members.load(user_schemas.USER_TAG, parameters)
    return asked


def _answer(call_name: str, tag: ChainTag, user: ChainUser, changed: Changed) -> Response:
    results = {"tag": schemas.tag_document(tag), "user": user_schemas.user_document(user)}
    return stamp(json_answer(schemas.envelope(call_name, results)), changed)
