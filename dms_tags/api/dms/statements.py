"""Statements in requests, and the search: whether the caller may ask about the tags that a statement names (API.md section 3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from flask import Response

from dms_tags.api.answers import json_answer
from dms_tags.api.dms import workflow_schemas
from dms_tags.api.dms.api import api
from dms_tags.api.endpoint import Call
from dms_tags.api.members import Body, Part, Text, Whole
from dms_tags.errors import Forbidden, InvalidBody, InvalidParameter
from dms_tags.identity.model import Permission
from dms_tags.model import Tag
from dms_tags.query import Statement
from dms_tags.tags.search import MAX_ITEMS, MAX_SKIP

DEFAULT_ITEMS: Final = 50


class Query(Body):
    """A statement, and which of its objects to give."""

    statement = Text(required=True, metadata={"minLength": 1, "example": "SELECT * FROM document WHERE system:tags[ocr].state=1"})
    skip = Whole(0, MAX_SKIP, data_key="skipCount", load_default=0)
    limit = Whole(0, MAX_ITEMS, data_key="maxItems", load_default=DEFAULT_ITEMS)


class SearchBody(Body):
    """The body of a search, and of a claim."""

    query = Part(Query, required=True)


SEARCH: Final = SearchBody()


def readable(call: Call, text: str) -> Statement:
    """The statement that the text says.  Raises `InvalidQuery`, and `Forbidden` for a tag that the caller may not read.

    To ask about a tag is to read it: a caller could otherwise learn its state by asking.
    """
    statement = call.services.search.read(text)
    for name in sorted(statement.names()):
        call.identity.require_name(Permission.READ, name)
    if statement.asks_for_origin() and call.identity.read_prefixes is not None:
        raise Forbidden(
            "when and by whom an object was made may tell of tags of any name: the permission read does not cover all"
        )
    return statement


def claimed(call: Call) -> Statement:
    """The statement of a claim: the parameter `query`, else that of the body.  Raises `InvalidParameter`, `InvalidQuery`."""
    text = call.arguments["query"]
    if text is not None:
        return readable(call, text)
    try:
        return readable(call, call.body()["query"]["statement"])
    except InvalidBody as error:
        raise InvalidParameter(
            'a claim needs a statement: the query parameter "query", or a body {"query":{"statement":"SELECT * FROM …"}}'
        ) from error


def may_see(call: Call, tags: Iterable[Tag]) -> list[Tag]:
    """Those of the tags that the caller may read."""
    return [tag for tag in tags if call.identity.covers(Permission.READ, tag.name)]


@api.route(
    "POST",
    "/objects/search",
    section="workflow",
    permission=Permission.READ,
    body=SEARCH,
    responses={200: workflow_schemas.FOUND},
)
def search(call: Call) -> Response:
    """The objects of a statement."""
    query = call.body()["query"]
    page = call.services.search.page(call.identity.tenant, readable(call, query["statement"]), query["skip"], query["limit"])
    answer: dict[str, Any] = {
        "objects": [
            {"properties": workflow_schemas.object_properties(object_id, may_see(call, tags))} for object_id, tags in page.objects
        ],
        "numItems": len(page.objects),
        "hasMoreItems": page.more,
        "totalNumItems": page.total,
    }
    return json_answer(answer | ({"totalNumItemsIsLowerBound": True} if page.bounded else {}))
