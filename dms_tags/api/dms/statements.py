"""Statements in requests: where they stand, and whether the caller may ask about the tags that they name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dms_tags.api import bodies
from dms_tags.api.endpoint import Call
from dms_tags.errors import InvalidBody, InvalidParameter
from dms_tags.identity.model import Permission
from dms_tags.query import Statement, parse
from dms_tags.tags.search import MAX_ITEMS, MAX_SKIP

DEFAULT_ITEMS: Final = 50


def readable(call: Call, text: str) -> Statement:
    """The statement that the text says.  Raises `InvalidQuery`, and `Forbidden` for a tag that the caller may not read.

    To ask about a tag is to read it: a caller could otherwise learn its state by asking.
    """
    statement = parse(text)
    for name in sorted(statement.names()):
        call.identity.require_name(Permission.READ, name)
    return statement


def searched(call: Call) -> tuple[Statement, int, int]:
    """The statement of a search's body, and how many objects to skip and to give.  Raises `InvalidBody`, `InvalidQuery`."""
    query = _query_of(bodies.json_object(call.request))
    unknown = sorted(set(query) - {"statement", "skipCount", "maxItems"})
    if unknown:
        raise InvalidBody(f"query: {unknown[0]!r} is none of statement, skipCount and maxItems", "query")
    skip = _whole(query, "skipCount", 0, MAX_SKIP)
    limit = _whole(query, "maxItems", DEFAULT_ITEMS, MAX_ITEMS)
    return readable(call, query["statement"]), skip, limit


def claimed(call: Call) -> Statement:
    """The statement of a claim: the parameter `query`, else that of the body.  Raises `InvalidParameter`, `InvalidQuery`."""
    text = call.arguments["query"]
    if text is not None:
        return readable(call, text)
    try:
        return readable(call, _query_of(bodies.json_object(call.request))["statement"])
    except InvalidBody as error:
        raise InvalidParameter(
            'a claim needs a statement: the query parameter "query", or a body {"query":{"statement":"SELECT * FROM …"}}'
        ) from error


def _query_of(body: Any) -> Mapping[str, Any]:
    query = body.get("query") if isinstance(body, Mapping) else None
    if not isinstance(query, Mapping):
        raise InvalidBody('the body is a JSON object {"query":{"statement":…,"skipCount":0,"maxItems":50}}', "query")
    if not isinstance(query.get("statement"), str):
        raise InvalidBody("query.statement: a text is needed, SELECT * FROM …", "query.statement")
    return query


def _whole(query: Mapping[str, Any], member: str, default: int, most: int) -> int:
    value = query.get(member, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise InvalidBody(f"query.{member}: a whole number from 0 to {most}", f"query.{member}")
    return value
