"""The query parameters of the audit calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from dms_tags import names
from dms_tags.api.parameters import Parameter, boolean, integer, moment, whole
from dms_tags.audit.trail.filters import Filters
from dms_tags.errors import InvalidParameter
from dms_tags.names import next_millisecond

MAX_TEXT: Final = 300
_RESOURCE: Final = re.compile(r"[a-z-]{1,32}/.{1,200}", re.DOTALL)


def _text(name: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not 1 <= len(text) <= MAX_TEXT:
            raise InvalidParameter(f"{name} has 1 to {MAX_TEXT} characters")
        return text

    return parse


def _resource(name: str, example: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not _RESOURCE.fullmatch(text):
            raise InvalidParameter(f"{name} is a kind and an id, for instance {example}")
        return text

    return parse


def _choice(name: str, *choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise InvalidParameter(f"{name} is {' or '.join(choices)}, not {text[:40]!r}")
        return text

    return parse


def _string(name: str, parse: Callable[[str], Any], description: str, example: str, pattern: str | None = None) -> Parameter:
    bounds = {"minLength": 1, "maxLength": MAX_TEXT} if pattern is None else {"pattern": f"^{pattern}$"}
    return Parameter(name, parse, {"type": "string", **bounds}, description, example=example)


FILTERS: Final = (
    _string("objectId", names.object_id, "changes of this object", "8f2c"),
    _string("resource", _resource("resource", "site/12"), "changes of this resource, by kind and id", "site/12"),
    _string("within", _resource("within", "chain/7"), "changes of what belongs to this", "chain/7"),
    _string("name", _text("name"), "changes of tags called so", "ocr"),
    Parameter(
        "action",
        whole("action", 0, 99_999),
        {"type": "integer"},
        "changes of this kind; may be repeated",
        repeatable=True,
        example=310,
    ),
    _string("state", _text("state"), "changes to this state, and removals of tags in it", "2"),
    _string("traceId", names.trace_id, "changes in this trace", "463ac35c9f6413ad", "[0-9a-f]{1,32}"),
    _string("createdBy", _text("createdBy"), "changes by this actor", "ocr-worker"),
    moment("from", "recorded at this time or later", next_millisecond),
    moment("to", "recorded before this time", next_millisecond),
    integer("after", 0, 10**15 - 1, "positions above this one"),
    integer("before", 1, 10**15 - 1, "positions below this one"),
)

ORDER: Final = Parameter(
    "order",
    _choice("order", "asc", "desc"),
    {"type": "string", "enum": ["asc", "desc"], "default": "desc"},
    "by position",
    "desc",
)
LIMIT: Final = integer("limit", 1, 1000, "entries on a page", 100)
CURSOR: Final = _string(
    "cursor", _text("cursor"), "`next` of the page before, with the same filters and order", "MTIzNC43LjBmM2E"
)
FORMAT: Final = Parameter(
    "format",
    _choice("format", "ndjson", "csv"),
    {"type": "string", "enum": ["ndjson", "csv"], "default": "ndjson"},
    "of the lines",
    "ndjson",
)
SMALLER: Final = integer("from", 1, 10**15 - 1, "entries of the smaller log", required=True)
LARGER: Final = integer("to", 1, 10**15 - 1, "entries of the larger log", required=True)
KEYS: Final = boolean(
    "keys", "each entry of schema 2 with the keys (actorKey, reasonKey) that its name and reason are checked with"
)
PROOFS: Final = boolean("proofs", "each line carries its inclusion proof, so that a part can be proven alone (NDJSON)")


def filters(arguments: Mapping[str, Any]) -> Filters:
    """The filters that a request gives."""
    return Filters(
        object_id=arguments["objectId"],
        resource=arguments["resource"],
        within=arguments["within"],
        name=arguments["name"],
        action=tuple(sorted(set(arguments["action"] or ()))),
        state=arguments["state"],
        trace_id=arguments["traceId"],
        created_by=arguments["createdBy"],
        since=arguments["from"],
        until=arguments["to"],
        after=arguments["after"],
        before=arguments["before"],
    )
