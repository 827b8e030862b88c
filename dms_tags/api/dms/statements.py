"""Statements in requests, and the search: whether the caller may ask about the tags that a statement names (API.md section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from flask import Response
from marshmallow import ValidationError, post_load, pre_load

from dms_tags.api.answers import json_answer
from dms_tags.api.dms import objects_schemas, schemas, workflow_schemas
from dms_tags.api.dms.api import api
from dms_tags.api.endpoint import Call
from dms_tags.api.members import Anything, Body, Choice, Each, Part, Reason, Text, Whole
from dms_tags.errors import Forbidden, InvalidBody, InvalidParameter, InvalidQuery
from dms_tags.identity.model import Permission
from dms_tags.model import Tag
from dms_tags.query import Statement, short
from dms_tags.query.audit import asks_for_audit, parse_audit
from dms_tags.tags.search import MAX_ITEMS, MAX_SKIP

DEFAULT_ITEMS: Final = 50


class FilterBody(Body):
    """A condition of the short form."""

    field = Text(1, data_key="f", required=True, metadata={"example": "system:tags[ocr].state"})
    operator = Choice(short.OPERATORS, data_key="o", required=True)
    value = Anything(data_key="v1", required=True, metadata={"description": "a text or a whole number; of in a list of them"})
    second = Anything(data_key="v2", metadata={"description": "the other end of a range"})

    @post_load
    def _filter(self, given: Mapping[str, Any], **_: Any) -> short.Filter:
        return short.Filter(**given)


class SortBody(Body):
    """The order of the short form."""

    field = Text(1, required=True, metadata={"example": "system:objectId"})
    order = Choice(["asc", "desc"], load_default="asc")

    @post_load
    def _sort(self, given: Mapping[str, Any], **_: Any) -> short.Sort:
        return short.Sort(given["field"], given["order"] == "desc")


class Query(Body):
    """A statement, or its short form, and which of its matches to give."""

    statement = Text(metadata={"minLength": 1, "example": "SELECT * FROM document WHERE system:tags[ocr].state=1"})
    types = Each(Text(1, 128), 1, metadata={"description": "the short form, in place of the statement", "example": ["document"]})
    filters = Each(Part(FilterBody), short.MAX_FILTERS, metadata={"description": "conditions that all must hold"})
    sort = Each(Part(SortBody), 1)
    skip = Whole(0, MAX_SKIP, data_key="skipCount", load_default=0)
    limit = Whole(0, MAX_ITEMS, data_key="maxItems", load_default=DEFAULT_ITEMS)

    @post_load
    def _stated(self, given: dict[str, Any], **_: Any) -> dict[str, Any]:
        parts = {name: given.pop(name) for name in ("types", "filters", "sort") if name in given}
        if bool(parts) == ("statement" in given):
            raise ValidationError('either "statement" is needed or the short form, "types", "filters" and "sort"')
        statement = short.ShortQuery(**parts).statement() if parts else given["statement"]
        return {**given, "statement": statement, "short": bool(parts)}


ALONE: Final = {"types": "types", "filters": "filters", "sort": "sort", "from": "skipCount", "size": "maxItems"}
"""The members of the short form where it is sent alone, and what they are called within a query."""
COLUMNS: Final = "fields"
"""Columns that are asked for: which ones makes no difference."""


class SearchBody(Body):
    """The body of a search: the query, or its short form alone, as web clients send it."""

    query = Part(Query, required=True)

    @pre_load
    def _declared_members(self, given: Any, **_: Any) -> Any:
        if isinstance(given, Mapping) and "query" not in given and not given.keys().isdisjoint(("types", "filters", "sort")):
            other = next((name for name in given if name not in ALONE and name != COLUMNS), None)
            if other is not None:
                raise ValidationError({other: [f"is no member of a short form; there are: {', '.join(ALONE)}, {COLUMNS}"]})
            given = {"query": {ALONE[name]: value for name, value in given.items() if name != COLUMNS}}
        return super()._declared_members(given)


class ClaimBody(SearchBody):
    """The body of a claim."""

    reason = Reason(metadata={"description": "why; absent: that of the header X-Change-Reason"})


SEARCH: Final = SearchBody()
CLAIM: Final = ClaimBody()


@contextmanager
def _told_in_full(query: Mapping[str, Any]) -> Iterator[None]:
    """Gives an error's place a text: of the short form the statement that it stands for."""
    try:
        yield
    except InvalidQuery as error:
        if query["short"]:
            raise InvalidQuery(f"{error.detail}; the short form says: {query['statement'][:1000]}") from error
        raise


def readable(call: Call, text: str) -> Statement:
    """The statement that the text says.  Raises `InvalidQuery`, and `Forbidden` for a tag that the caller may not read.

    To ask about a tag is to read it: a caller could otherwise learn its state by asking.
    """
    if asks_for_audit(text):
        raise InvalidQuery("system:audit is what a search finds: entries of the audit trail have no tags to set")
    statement = call.services.search.read(text)
    for name in sorted(statement.names()):
        call.identity.require_name(Permission.READ, name)
    if statement.asks_for_origin() and call.identity.read_prefixes is not None:
        raise Forbidden(
            "when and by whom an object was made may tell of tags of any name: the permission read does not cover all"
        )
    return statement


def claimed(call: Call) -> tuple[Statement, str | None]:
    """The statement of a claim, the parameter `query` or else that of the body, and why it is made.

    Raises `InvalidParameter`, `InvalidQuery`.
    """
    text = call.arguments["query"]
    if text is not None:
        return readable(call, text), call.reason
    try:
        body = call.body()
    except InvalidBody as error:
        if error.member == "reason":
            raise
        raise InvalidParameter(
            'a claim needs a statement: the query parameter "query", or a body {"query":{"statement":"SELECT * FROM …"}}'
        ) from error
    query = body["query"]
    with _told_in_full(query):
        return readable(call, query["statement"]), body.get("reason", call.reason)


def may_see(call: Call, tags: Iterable[Tag]) -> list[Tag]:
    """Those of the tags that the caller may read."""
    return [tag for tag in tags if call.identity.covers(Permission.READ, tag.name)]


@api.route(
    "POST",
    "/objects/search",
    section="workflow",
    permission=frozenset({Permission.READ, Permission.AUDIT}),
    body=SEARCH,
    responses={200: {"anyOf": [workflow_schemas.FOUND, schemas.AUDIT_FOUND]}},
)
def search(call: Call) -> Response:
    """The objects of a statement, or of system:audit the entries of the trail.

    Objects take the permission read; entries audit, or read where the statement names one object. The short form may also come
    alone, with `from` and `size` for `skipCount` and `maxItems`.
    """
    query = call.body()["query"]
    if asks_for_audit(query["statement"]):
        return _audit_view(call, query)
    call.identity.require(Permission.READ)
    with _told_in_full(query):
        statement = readable(call, query["statement"])
    page = call.services.search.page(call.identity.tenant, statement, query["skip"], query["limit"])
    answer: dict[str, Any] = {
        "objects": [
            {"properties": objects_schemas.properties(each.object_id, may_see(call, each.tags), each.told)}
            for each in page.objects
        ],
        "numItems": len(page.objects),
        "hasMoreItems": page.more,
        "totalNumItems": page.total,
    }
    return json_answer(answer | ({"totalNumItemsIsLowerBound": True} if page.bounded else {}))


def _audit_view(call: Call, query: Mapping[str, Any]) -> Response:
    with _told_in_full(query):
        statement = parse_audit(query["statement"])
    audits = Permission.AUDIT in call.identity.permissions
    if statement.object_id is None:
        call.identity.require(Permission.AUDIT)
    prefixes = None if audits else call.identity.read_prefixes
    page = call.services.audit_view.page(call.identity.tenant, statement, query["skip"], query["limit"], prefixes)
    return json_answer(schemas.audit_page(page))
