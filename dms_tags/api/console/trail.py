"""The trail: every question of the audit calls, page by page, live, and exported as it is shown."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from flask import Response, stream_with_context

from dms_tags import draining
from dms_tags.api.console import questions
from dms_tags.api.console.api import LEADS, PAGE, ROOT, api, html, page, session, to
from dms_tags.api.console.session import Session
from dms_tags.api.dms import audit_parameters, audit_schemas
from dms_tags.api.dms.audit import stream_export
from dms_tags.api.endpoint import Call
from dms_tags.api.links import here
from dms_tags.api.parameters import integer
from dms_tags.audit.trail.filters import Filters
from dms_tags.audit.trail.tail import KEEP_ALIVE_SECONDS
from dms_tags.errors import Gone, Malformed, RateLimited, StoreUnavailable
from dms_tags.identity.model import Permission
from dms_tags.model import Action

ROWS: Final = 50
LIVE_SECONDS: Final = 0.5
"""How often one who watches is told what is new."""

LIVE_ROWS: Final = 100
STREAMS: Final = 20
"""Pages of one identity that are live at once, in one process."""

STREAM: Final = {
    "description": "Server-Sent Events: data is JSON with the position and the row of the table",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


@api.route(
    "GET",
    "/trail",
    permission=Permission.AUDIT,
    parameters=questions.ASKED,
    responses={200: PAGE, 303: LEADS, 400: PAGE, 410: PAGE},
)
def trail(call: Call) -> Response:
    """The audit trail: every filter, page by page."""
    form: dict[str, Any] = {
        "fields": questions.FIELDS,
        "more": questions.MORE,
        "actions": list(Action),
        "path_of_trail": here(f"{ROOT}/trail"),
    }
    try:
        question = questions.read(call.request)
        if questions.has_empty(call.request):
            return to(question.link(f"{ROOT}/trail"))
        asked = call.services.audit.page(
            call.identity.tenant, question.filters, descending=question.descending, limit=ROWS, cursor=question.cursor
        )
    except (Malformed, Gone) as error:
        given = questions.fields_of(call.request)
        status = 410 if isinstance(error, Gone) else 400
        return page("trail.html", status=status, **form, given=given, descending=True, problem=error.detail, asked=None)
    path = here(f"{ROOT}/trail")
    return page(
        "trail.html",
        **form,
        given=question.given,
        descending=question.descending,
        problem=None,
        asked=asked,
        link=question.link(path),
        following=None if asked.next is None else question.link(path, cursor=asked.next),
        newest=question.link(path) if question.cursor is not None else None,
        live=question.link(f"{path}/live", since=str(asked.head)) if question.descending and question.cursor is None else None,
        exports={form: question.link(f"{path}/export", format=form) for form in ("ndjson", "csv")},
    )


@api.route(
    "GET",
    "/trail/export",
    permission=Permission.AUDIT,
    parameters=(*questions.FILTERS, audit_parameters.ORDER, audit_parameters.FORMAT, audit_parameters.PROOFS),
    responses={
        200: audit_schemas.media("As the audit call gives it", "application/x-ndjson", "text/csv"),
        303: LEADS,
    },
)
def export(call: Call) -> Response:
    """Exactly what is shown, as a file, in order of position; recorded in the trail like any export."""
    call.services.guard.require_own(call.request)
    asked = call.arguments
    return stream_export(call, questions.filters(asked), asked["format"], proofs=asked["proofs"])


@api.route(
    "GET",
    "/trail/live",
    permission=Permission.AUDIT,
    parameters=(
        *questions.FILTERS,
        audit_parameters.ORDER,
        integer("since", 0, 10**15 - 1, "the position after which to begin", required=True),
    ),
    responses={200: STREAM, 303: LEADS},
    headers=("Last-Event-ID",),
)
def live(call: Call) -> Response:
    """What matches, as it is recorded: rows for the top of the page."""
    asked = call.arguments
    filters = questions.filters(asked)
    last = call.request.headers.get("Last-Event-ID", "")
    since = int(last) if last.isdecimal() and len(last) < 16 else asked["since"]
    told = session()
    assert told is not None  # noqa: S101 - the call was identified
    response = Response(stream_with_context(_Watch(call, told, filters).rows(since)), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    return response


class _Watch:
    """One page that is live."""

    def __init__(self, call: Call, told: Session, filters: Filters) -> None:
        self._services = call.services
        self._tenant = call.identity.tenant
        self._session = told
        self._filters = filters
        self._watching = call.services.console.watching
        if self._watching[told.holder] >= STREAMS:
            raise RateLimited(f"more than {STREAMS} pages are live at once; close one first", retry_after=5)

    def rows(self, since: int) -> Iterator[str]:
        """Rows until the page is closed, the session ends, or the service does; the last event says why."""
        self._watching[self._session.holder] += 1
        pause, quiet, position = threading.Event(), 0.0, since
        try:
            yield f"retry: 2000\nid: {position}\n\n"
            while not draining.begun() and not self._services.console.closing.is_set():
                if not self._session.holds():
                    yield "event: ended\ndata: your session has ended\n\n"
                    return
                parts, position = self._new(position)
                yield from parts
                quiet = 0.0 if parts else quiet + LIVE_SECONDS
                if quiet >= KEEP_ALIVE_SECONDS:
                    quiet = 0.0
                    yield f": nothing new\nid: {position}\n\n"
                pause.wait(LIVE_SECONDS)
        except (StoreUnavailable, Gone):
            return  # the browser comes again, and is then told
        finally:
            self._watching[self._session.holder] -= 1

    def _new(self, position: int) -> tuple[list[str], int]:
        head = self._services.trail.head(self._tenant)
        if head <= position:
            return [], position
        after = max(position, self._filters.after or 0)
        asked = self._services.audit.page(
            self._tenant,
            replace(self._filters, after=after, before=_least(self._filters.before, head + 1)),
            descending=False,
            limit=LIVE_ROWS,
        )
        parts = []
        for entry in asked.entries:
            row = json.dumps({"position": entry["position"], "row": html("row.html", entry=entry)})
            parts.append(f"id: {entry['position']}\ndata: {row}\n\n")
        return parts, asked.entries[-1]["position"] if asked.next is not None else head


def _least(bound: int | None, other: int) -> int:
    return other if bound is None else min(bound, other)
