"""An object, or any other resource: its tags now and then, and its history; and what changed in one trace."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from flask import Response

from dms_tags import names
from dms_tags.api.console import questions, spelling
from dms_tags.api.console.api import LEADS, PAGE, ROOT, api, page, to
from dms_tags.api.dms.audit_parameters import CURSOR
from dms_tags.api.endpoint import Call, PathParameter
from dms_tags.api.links import here
from dms_tags.api.parameters import Parameter, integer
from dms_tags.audit.trail.entry import Entry, removes
from dms_tags.audit.trail.filters import Filters
from dms_tags.audit.trail.trail import HistoryPage
from dms_tags.errors import Forbidden, Gone, Malformed, NotFound
from dms_tags.identity.model import Permission
from dms_tags.model import Kind, Resource, Tag
from dms_tags.names import next_millisecond

ROWS: Final = 50
TRACE_ROWS: Final = 200

RESOURCE: Final = PathParameter(str, {"type": "string"}, "object/8f2c", spans=True)
TRACE: Final = PathParameter(names.trace_id, {"type": "string", "pattern": f"^{names.TRACE_ID_PATTERN}$"}, "463ac35c9f6413ad")
READERS: Final = frozenset({Permission.READ, Permission.AUDIT})


@api.route(
    "GET",
    "/objects",
    permission=READERS,
    parameters=(
        Parameter("id", str, {"type": "string"}, "the object to show, or kind and id of another resource", example="8f2c"),
        Parameter("trace", str, {"type": "string"}, "the trace to show", example="463ac35c9f6413ad"),
    ),
    responses={200: PAGE, 303: LEADS},
)
def objects(call: Call) -> Response:
    """Where an object, another resource or a trace is looked up."""
    asked, trace_id = ((call.arguments[name] or "").strip() for name in ("id", "trace"))
    if asked:
        name = asked if "/" in asked else f"object/{names.object_id(asked)}"
        return to(f"{ROOT}/resources/{spelling.segment(name)}")
    if trace_id:
        return to(f"{ROOT}/traces/{names.trace_id(trace_id)}")
    return page("objects.html")


@api.route(
    "GET",
    "/resources/{resource}",
    permission=READERS,
    path_parameters={"resource": RESOURCE},
    parameters=(
        Parameter("at", str, {"type": "string"}, "the tags as they stood at this time", example="2020-02-20T02:20:20.220Z"),
        integer("step", 0, ROWS - 1, "the tags as this entry of the page left them, counted from the oldest"),
        integer("page", 0, 10**9, "page of the history, counted from 0", 0),
    ),
    responses={200: PAGE, 303: LEADS, 404: PAGE, 410: PAGE},
)
def resource(call: Call, resource: str) -> Response:
    """A resource: its tags now, as they stood at any time, and its history."""
    of = _resource(call, resource)
    history = _history(call, of)
    steps = list(reversed(history.entries))
    step: int | None = call.arguments["step"]
    problem, at = None, None
    try:
        at = _moment(call.arguments["at"], steps, step)
        tags = _tags(call, of, at)
    except (Malformed, Gone) as error:
        tags, problem = None, error.detail
    number: int = call.arguments["page"]
    path = here(f"{ROOT}/resources/{spelling.segment(of.name)}")
    return page(
        "resource.html",
        status=200 if problem is None else 400,
        of=of,
        tags=tags,
        at=at,
        problem=problem,
        history=history,
        lanes=_lanes(steps),
        steps=steps,
        step=step if step is not None and step < len(steps) else (None if at is not None else len(steps) - 1),
        page_number=number,
        here_=path,
        now=call.services.database.clock.now(),
    )


def _resource(call: Call, name: str) -> Resource:
    """The resource of that name, if the caller may read of its kind.  Raises `NotFound`, `InvalidObjectId`, `Forbidden`."""
    kind, _, resource_id = name.partition("/")
    if kind not in set(Kind) or not 0 < len(resource_id) <= questions.MAX_ID:
        raise NotFound("a resource is a kind and an id, for instance object/8f2c")
    if kind == Kind.OBJECT:
        names.object_id(resource_id)
    elif Permission.AUDIT not in call.identity.permissions:
        raise Forbidden("what is no object is shown with the permission audit")
    return Resource(call.identity.tenant, Kind(kind), resource_id)


def _history(call: Call, of: Resource) -> HistoryPage:
    prefixes = None if Permission.AUDIT in call.identity.permissions else call.identity.read_prefixes
    return call.services.trail.history(of, ROWS, call.arguments["page"], prefixes)


def _moment(text: str | None, steps: list[Entry], step: int | None) -> datetime | None:
    """The time that is asked for; None: now."""
    if text is not None and text.strip():
        return next_millisecond(names.time(questions.whole_time(text)))
    if step is not None and step < len(steps):
        at: datetime = steps[step]["creationDate"]
        return at
    return None


def _tags(call: Call, of: Resource, at: datetime | None) -> list[Tag] | None:
    """The tags that the caller may read; None where it may read none at all.  Of what is no object they take `read` of all names."""
    identity = call.identity
    if Permission.READ not in identity.permissions or (of.kind is not Kind.OBJECT and identity.read_prefixes is not None):
        return None
    tags = call.services.tags.tags(of) if at is None else call.services.past.tags_at(of, at)
    return [tag for tag in tags if identity.covers(Permission.READ, tag.name)]


def _lanes(steps: list[Entry]) -> list[dict[str, Any]]:
    """One lane for each tag of the page: how long it was in which state, and in which trace, as shares of the page's time."""
    if not steps:
        return []
    begin, end = steps[0]["creationDate"], steps[-1]["creationDate"]
    whole = max((end - begin).total_seconds(), 0.001)
    lanes: dict[str, list[dict[str, Any]]] = {}
    for entry in steps:
        at = (entry["creationDate"] - begin).total_seconds() / whole * 920
        parts = lanes.setdefault(entry["name"], [])
        if parts and parts[-1]["state"] is not None:
            parts[-1]["width"] = max(3.0, round(at - parts[-1]["x"], 1))
        if not removes(entry):
            parts.append(
                {"x": round(at, 1), "width": max(12.0, round(940 - at, 1)), "state": entry["state"], "trace": entry["traceId"]}
            )
        else:
            parts.append({"x": round(at, 1), "width": 3.0, "state": None, "trace": entry["traceId"]})
    return [{"name": name, "parts": parts} for name, parts in sorted(lanes.items())]


@api.route(
    "GET",
    "/traces/{traceId}",
    permission=Permission.AUDIT,
    path_parameters={"traceId": TRACE},
    parameters=(CURSOR,),
    responses={200: PAGE, 303: LEADS},
)
def trace(call: Call, trace_id: str) -> Response:
    """All that changed in one trace, over the three APIs, in order."""
    asked = call.services.audit.page(
        call.identity.tenant, Filters(trace_id=trace_id), descending=False, limit=TRACE_ROWS, cursor=call.arguments["cursor"]
    )
    resources: dict[str, list[Entry]] = {}
    for entry in asked.entries:
        resources.setdefault(entry["resource"], []).append(entry)
    return page("trace.html", trace_id=trace_id, asked=asked, resources=resources)
