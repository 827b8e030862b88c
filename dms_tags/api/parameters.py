"""Query parameters: each is declared once, with how it is read and how OpenAPI describes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from werkzeug.datastructures import MultiDict

from dms_tags import names
from dms_tags.errors import InvalidParameter, ParameterMissing

JsonSchema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter: `parse` turns its text into a value or raises `InvalidParameter` or a sibling."""

    name: str
    parse: Callable[[str], Any]
    schema: JsonSchema
    description: str
    default: Any = None
    required: bool = False
    repeatable: bool = False
    example: Any = None


def read(declared: Mapping[str, Parameter], given: MultiDict[str, str]) -> dict[str, Any]:
    """The values of the declared parameters; a repeatable one is a list.

    Raises `InvalidParameter` for one that is unknown, given twice, missing, or does not parse: a misspelt
    `traceidMustMatch` must never silently drop a lock.
    """
    values: dict[str, Any] = {}
    for name, texts in given.lists():
        parameter = declared.get(name)
        if parameter is None:
            known = ", ".join(sorted(declared)) or "none"
            raise InvalidParameter(f"unknown query parameter {name!r}; this call takes: {known}")
        if parameter.repeatable:
            values[name] = [parameter.parse(text) for text in texts]
        elif len(texts) > 1:
            raise InvalidParameter(f"the query parameter {name!r} is given {len(texts)} times; once is right")
        else:
            values[name] = parameter.parse(texts[0])
    for name, parameter in declared.items():
        if name not in values:
            if parameter.required:
                raise ParameterMissing(f"the query parameter {name!r} is missing")
            values[name] = parameter.default
    return values


def flag(name: str) -> Callable[[str], bool]:
    """A parser of `true` or `false`, in any case."""

    def parse(text: str) -> bool:
        lowered = text.lower()
        if lowered not in ("true", "false"):
            raise InvalidParameter(f"{name} is true or false, not {text!r}")
        return lowered == "true"

    return parse


def whole(name: str, least: int, most: int) -> Callable[[str], int]:
    """A parser of whole numbers within bounds, in ASCII digits."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 15 or not least <= int(text) <= most:
            raise InvalidParameter(f"{name} is a whole number from {least} to {most}, not {text[:40]!r}")
        return int(text)

    return parse


def boolean(name: str, description: str) -> Parameter:
    """A parameter that is `true` or `false`, and false where it is absent."""
    return Parameter(name, flag(name), {"type": "boolean", "default": False}, description, default=False)


def integer(
    name: str, least: int, most: int, description: str, default: int | None = None, *, required: bool = False
) -> Parameter:
    """A parameter that is a whole number within bounds."""
    schema: dict[str, Any] = {"type": "integer", "minimum": least, "maximum": most}
    if default is not None:
        schema["default"] = default
    return Parameter(name, whole(name, least, most), schema, description, default=default, required=required)


def moment(name: str, description: str, settle: Callable[[datetime], datetime] = lambda told: told) -> Parameter:
    """A parameter that is an RFC 3339 time with an offset; `settle` makes of it what is compared with whole milliseconds."""

    def parse(text: str) -> Any:
        try:
            return settle(names.time(text))
        except InvalidParameter as error:
            raise InvalidParameter(f"{name}: {error.detail}") from error

    return Parameter(name, parse, {"type": "string", "format": "date-time"}, description, example="2020-02-20T02:20:20.220Z")


OVERWRITE: Final = boolean("overwrite", "`true` updates a tag that is there, `false` adds one")
TRACE_ID_MUST_MATCH: Final = boolean(
    "traceIdMustMatch", "change the tag only if the trace id of the request is the tag's own, which it then keeps"
)
EXPECTED_STATE: Final = Parameter(
    "expectedState",
    names.state,
    {"type": "integer", "minimum": names.MIN_STATE, "maximum": names.MAX_STATE},
    "change the tag only if it is in this state",
)
WAIT_FOR_SEARCH: Final = Parameter(
    "waitForSearchConsistency",
    flag("waitForSearchConsistency"),
    {"type": "boolean"},
    "accepted and without effect: a search always sees what was acknowledged",
)
SERVICE_WORKER: Final = Parameter(
    "ngsw-bypass",
    str,
    {"type": "string"},
    "accepted and without effect: web clients mark uploads so, for the service worker in the browser to leave them alone",
)
WITHOUT_EFFECT: Final = frozenset({WAIT_FOR_SEARCH.name, SERVICE_WORKER.name})
