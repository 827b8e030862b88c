"""A span around every request: from its head to where its answer begins."""

from __future__ import annotations

from typing import Final

from flask import Flask, Request, Response, g, request

from dms_tags.api import headers
from dms_tags.api.gate import log_fields
from dms_tags.tracing import Tracing

TAG_TRACE: Final = "dms_tags.tag_trace_id"
"""The attribute that joins a call to the trace id that locks the tag, and thus to the trail."""

OF_A_SPAN: Final = frozenset({"HTTP_TRACEPARENT", "HTTP_B3", "HTTP_X_B3_SPANID"})
"""The headers of which one names the span that calls, as WSGI spells them; a trace id without a span's is no parent."""


class CallSpans:
    """Makes them by `tracing`.  `init_app` sets up what happens around every request."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def init_app(self, app: Flask) -> None:
        """Puts a span around every request of the application."""
        app.before_request(self._begin)
        app.after_request(self._describe)
        app.teardown_request(self._end)

    def _begin(self) -> None:
        # To read them is six headers, each looked up by several steps, and most callers name no span
        named = not OF_A_SPAN.isdisjoint(request.environ)
        g.span, g.span_token = self._tracing.receive(request.method, request.headers if named else None)

    def _describe(self, response: Response) -> Response:
        if "span" in g and g.span.is_recording():
            g.span.set_attributes(attributes(request, response))
            if request.url_rule is not None:
                g.span.update_name(f"{request.method} {request.url_rule.rule}")
            if response.status_code >= 500:
                self._tracing.fail(g.span, str(g.get("reason") or response.status))
        return response

    def _end(self, _error: BaseException | None = None) -> None:
        if "span" in g:
            self._tracing.answered(g.pop("span"), g.pop("span_token"))


def attributes(call: Request, response: Response) -> dict[str, int | str]:
    """What a span says of a call, by OpenTelemetry's names where they have one.

    Who called is not among it: what is kept of a person is kept in the trail, from where it can be erased.
    """
    fields = log_fields.of_call()
    told: dict[str, int | str | None] = {
        "http.request.method": call.method,
        "http.response.status_code": response.status_code,
        "http.route": None if call.url_rule is None else call.url_rule.rule,
        "url.path": call.path,
        "url.scheme": call.scheme,
        "client.address": call.remote_addr,
        "dms_tags.request_id": fields["request_id"],
        "dms_tags.tenant": fields.get("tenant"),
        TAG_TRACE: response.headers.get(headers.TRACE_HEADER) or fields.get("trace_id"),
    }
    return {name: value for name, value in told.items() if value is not None}
