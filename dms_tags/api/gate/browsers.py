"""What browsers are told, and what is refused because a browser may have been tricked into sending it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from flask import Flask, Request, Response, request

from dms_tags.api.answers import empty_answer
from dms_tags.api.gate.admission import REQUEST_ID_HEADER
from dms_tags.errors import Forbidden

METHODS: Final = "GET, POST, PUT, DELETE"
ALLOWED_HEADERS: Final = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Change-Reason, X-ID-TENANT-NAME, "
    f"{REQUEST_ID_HEADER}, X-B3-TraceId, X-B3-SpanId, X-B3-ParentSpanId, X-B3-Sampled, X-B3-Flags, b3, traceparent, tracestate, "
    "X-Spaaza-Session-User-Id, X-Spaaza-Session-Key"
)
"""A client's own, and those that tracing libraries add without being asked."""
EXPOSED_HEADERS: Final = (
    "ETag, Idempotent-Replayed, Link, Retry-After, X-B3-TraceId, X-Missing-Tags, "
    f"{REQUEST_ID_HEADER}, X-Trail-Head, X-Trail-First, X-Trail-Complete"
)
PREFLIGHT_SECONDS: Final = "600"

PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""For pages.  One that needs more brings a policy of its own."""

OWN_SITES: Final = frozenset({"same-origin", "none"})
"""What `Sec-Fetch-Site` says of requests that no page of another origin made; `none`: the person did."""


class Origins:
    """The origins whose pages may call the service, and its own."""

    def __init__(self, named: Iterable[str], own: str | None) -> None:
        self._named = frozenset(named)
        self._own = own

    def init_app(self, app: Flask) -> None:
        """Lets pages of the named origins call the application; never with the browser's own credentials."""
        if self._named:
            app.before_request(self._answer_preflight)
            app.after_request(self._let_read)

    def refuse_other_sites(self, call: Request) -> None:
        """Raises `Forbidden` for what a browser sends on behalf of a page of another origin.

        Without an identity, or with one that the browser adds by itself (Basic), any page could write here otherwise.
        """
        origin = call.headers.get("Origin")
        if origin is None:
            foreign = call.headers.get("Sec-Fetch-Site") == "cross-site"
        else:
            foreign = origin not in self._named and origin != self._own and _host_of(origin) != call.host.lower()
        if foreign:
            raise Forbidden("a page of another origin asked the browser for this; DMS_TAGS_CORS_ORIGINS names those that may")

    def require_own(self, call: Request, *, links: bool) -> None:
        """Raises `Forbidden` for what a page of any other origin had the browser send, also of those that are named.

        With `links` one that leads here from elsewhere is let through: it shows a page to whoever follows it, and to nobody else.
        """
        origin = call.headers.get("Origin")
        if origin is None:
            asked = (call.method, call.headers.get("Sec-Fetch-Mode"), call.headers.get("Sec-Fetch-Dest"))
            link = links and asked == ("GET", "navigate", "document")
            foreign = call.headers.get("Sec-Fetch-Site", "same-origin") not in OWN_SITES and not link
        else:
            foreign = origin != self._own and _host_of(origin) != call.host.lower()
        if foreign:
            raise Forbidden("a page of another origin asked the browser for this; the console answers its own pages alone")

    def _answer_preflight(self) -> Response | None:
        """Answers the question that a browser asks before it sends a page's request to another origin."""
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        if request.headers.get("Origin") not in self._named:
            return None
        answer = empty_answer(204)
        answer.headers["Access-Control-Allow-Methods"] = METHODS
        answer.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
        answer.headers["Access-Control-Max-Age"] = PREFLIGHT_SECONDS
        return answer

    def _let_read(self, response: Response) -> Response:
        response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin in self._named:
            response.headers["Access-Control-Allow-Origin"] = str(origin)
            response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
        return response


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
