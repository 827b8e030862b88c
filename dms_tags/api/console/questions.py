"""The questions that the trail's page asks: its form, and the filters of the audit calls that it comes to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from flask import Request
from werkzeug.datastructures import MultiDict

from dms_tags.api import parameters
from dms_tags.api.dms import audit_parameters
from dms_tags.api.parameters import Parameter
from dms_tags.audit.trail.filters import Filters

FIELDS: Final[Mapping[str, tuple[str, str]]] = {
    "objectId": ("object", "8f2c"),
    "name": ("tag", "ocr"),
    "state": ("state", "3"),
    "traceId": ("trace", "463ac35c9f6413ad"),
    "createdBy": ("actor", "ocr-worker"),
    "from": ("from (UTC)", "2026-11-21 08:00"),
    "to": ("to, not included (UTC)", "2026-11-22"),
    "resource": ("resource", "site/12"),
    "within": ("within", "chain/7"),
    "after": ("after position", "1000"),
    "before": ("before position", "2000"),
}
"""The fields of the form: what stands before each, and an example."""

MORE: Final = ("resource", "within", "after", "before")
"""Those that are asked for more rarely: the form has them folded."""

MAX_ID: Final = 200
"""Characters of a resource's id, at most."""

TIMES: Final = ("from", "to")

_bare_time = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d(?:\.\d+)?)?)?").fullmatch


def whole_time(text: str) -> str:
    """A time as the calls take it; what is left out of it is zero, and the zone UTC."""
    bare = _bare_time(text.strip())
    return text.strip() if bare is None else f"{bare[1]}T{bare[2] or '00:00'}{bare[3] or ':00'}Z"


def _lenient(parameter: Parameter) -> Parameter:
    """The parameter as a form sends it, where an empty field says nothing."""

    def parse(text: str) -> Any:
        if not text.strip():
            return None
        return parameter.parse(whole_time(text) if parameter.name in TIMES else text.strip())

    return replace(parameter, parse=parse)


FILTERS: Final = tuple(_lenient(parameter) for parameter in audit_parameters.FILTERS)
ASKED: Final = tuple(
    Parameter(parameter.name, str, {"type": "string"}, parameter.description, repeatable=parameter.repeatable)
    for parameter in (*FILTERS, audit_parameters.ORDER, audit_parameters.CURSOR)
)
"""The parameters of the page as they come: it reads them itself, and shows the form again where one cannot be read."""

LEAST: Final = (*FILTERS, _lenient(audit_parameters.ORDER), _lenient(audit_parameters.CURSOR))


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the trail; `given` is what the form holds, under the names of the audit calls."""

    filters: Filters
    given: Mapping[str, Any]
    descending: bool
    cursor: str | None

    def link(self, path: str, **more: str) -> str:
        """The question as an address below `path`."""
        query = [
            (name, value) for name, values in self.given.items() for value in (values if isinstance(values, list) else [values])
        ]
        query += [] if self.descending else [("order", "asc")]
        query += list(more.items())
        return path + (f"?{urlencode(query)}" if query else "")


def read(request: Request) -> Question:
    """The question that a request asks.  Raises `InvalidParameter` for a field that cannot be read."""
    declared = {parameter.name: parameter for parameter in LEAST}
    given = MultiDict((name, text) for name, text in request.args.items(multi=True) if name in declared)
    arguments = parameters.read(declared, given)
    return Question(
        filters(arguments),
        fields_of(request),
        arguments["order"] != "asc",
        arguments["cursor"],
    )


def filters(arguments: Mapping[str, Any]) -> Filters:
    """The filters that the fields of a form give."""
    actions = [code for code in arguments["action"] or () if code is not None]
    return audit_parameters.filters({**arguments, "action": actions})


def fields_of(request: Request) -> dict[str, Any]:
    """What the form holds: every field that is not empty."""
    held: dict[str, Any] = {name: text for name in FIELDS if (text := request.args.get(name, "").strip())}
    actions = [text for text in request.args.getlist("action") if text.strip()]
    return held | ({"action": actions} if actions else {})


def has_empty(request: Request) -> bool:
    """Whether a form without a script sent fields that hold nothing: the link of the question has none of them."""
    return any(not text.strip() for text in request.args.values())
