"""Stands before every route: who calls, from where, how often; and what every answer says to browsers.

before a route    `admit` (is the request meant for this service at all), then `identify`
after it          401, 403 and 429 are logged with actor and address, whichever API refused, and the headers are set
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from flask import Flask, Request, Response, g, request
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from werkzeug.exceptions import RequestEntityTooLarge

from dms_tags.api.proxies import TrustedProxies
from dms_tags.errors import Forbidden, RateLimited
from dms_tags.identity.authenticator import Authenticator, claimed
from dms_tags.identity.model import Identity
from dms_tags.identity.names import TENANT_HEADER
from dms_tags.settings import Settings

log = logging.getLogger(__name__)

CHALLENGE: Final = 'Bearer realm="dms-tags", Basic realm="dms-tags", charset="UTF-8"'
REFUSALS: Final = frozenset({401, 403, 429})
METHODS: Final = "GET, POST, PUT, DELETE"
ALLOWED_HEADERS: Final = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, Last-Event-ID, X-B3-TraceId, b3, X-ID-TENANT-NAME, "
    "X-Spaaza-Session-User-Id, X-Spaaza-Session-Key"
)
EXPOSED_HEADERS: Final = "ETag, Idempotent-Replayed, Link, Retry-After, X-B3-TraceId, X-Missing-Tags"
PREFLIGHT_SECONDS: Final = "600"
LOGGED_PATH: Final = 200

PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""For pages.  One that needs more brings a policy of its own."""

_loopback_host = re.compile(r"(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE).fullmatch
_is_loopback_host = lru_cache(maxsize=64)(lambda host: _loopback_host(host) is not None)


class Guard:
    """Admits requests and tells whose they are.  `init_app` sets up what happens around every request."""

    def __init__(self, settings: Settings, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._open = settings.authentication == "none"
        self._body_limit = settings.body_limit
        self._origins = frozenset(settings.cors_origins)
        self._own_origin = settings.origin
        self._proxies = settings.trusted_proxies
        self._rate = RateLimitItemPerSecond(settings.rate) if settings.rate else None
        self._limiter = FixedWindowRateLimiter(MemoryStorage()) if settings.rate else None

    def init_app(self, app: Flask) -> None:
        """Puts the guard around every request of the application."""
        if self._proxies:
            app.wsgi_app = TrustedProxies(app.wsgi_app, self._proxies)  # type: ignore[method-assign]
        app.before_request(lambda: self.admit(request))
        if self._origins:
            app.before_request(self._answer_preflight)
            app.after_request(self._let_origin_read)
        app.after_request(self._finish)

    def admit(self, call: Request) -> None:
        """Raises `Forbidden` for a request that was meant for another host, `RequestEntityTooLarge` for one of too many bytes.

        A page whose name is made to point at 127.0.0.1 (DNS rebinding) reaches the service as its own origin, but cannot
        change the `Host` that the browser sends.
        """
        if self._open and not _is_loopback_host(call.environ.get("HTTP_HOST", "")):
            raise Forbidden("with DMS_TAGS_AUTH=none only requests to localhost, 127.0.0.1 or [::1] are served")
        # Also where no view would ever read the body: a client that sends 100 MB is told before it has
        if (call.content_length or 0) > self._body_limit:
            raise RequestEntityTooLarge

    def identify(self, call: Request) -> Identity:
        """Whose request it is; also kept as `flask.g.identity` for the log.

        Raises `Unauthenticated`, `Forbidden`, `RateLimited`, `InvalidParameter` or `StoreUnavailable`.
        """
        authorization = call.environ.get("HTTP_AUTHORIZATION")
        if self._open or (authorization is not None and authorization[:6].lower() == "basic "):
            self._refuse_other_sites(call)
        tenant = call.headers.get(TENANT_HEADER)
        identity = self._authenticator.identify(authorization, tenant)
        self.count(identity)
        if tenant is not None and tenant != identity.tenant:
            raise Forbidden(f"{TENANT_HEADER} names another tenant than the caller's own")
        return identity

    def confirm(self, authorization: str | None, tenant_header: str | None) -> Identity:
        """Whose a call that is still being answered is by now; not counted as another.  Raises what `identify` does."""
        return self._authenticator.identify(authorization, tenant_header)

    def count(self, identity: Identity) -> None:
        """Takes the request for `identity`'s.  Raises `RateLimited` where it sends more than its share."""
        g.identity = identity
        if self._rate is None or self._limiter is None:
            return
        if not self._limiter.hit(self._rate, identity.tenant, identity.actor.kind, identity.actor.name):
            raise RateLimited(f"more than {self._rate.amount} requests in a second", retry_after=1)

    @staticmethod
    def is_local(call: Request) -> bool:
        """Whether the request was made on this machine and for it, and not handed on by a proxy that runs here."""
        return (
            ((call.remote_addr or "").startswith("127.") or call.remote_addr == "::1")
            and _is_loopback_host(call.environ.get("HTTP_HOST", ""))
            and not ("X-Forwarded-For" in call.headers or "Forwarded" in call.headers)
        )

    def _refuse_other_sites(self, call: Request) -> None:
        """Raises `Forbidden` for what a browser sends on behalf of a page of another origin.

        Without an identity, or with one that the browser adds by itself (Basic), any page could write here otherwise.
        """
        origin = call.headers.get("Origin")
        if origin is None:
            foreign = call.headers.get("Sec-Fetch-Site") == "cross-site"
        else:
            foreign = origin not in self._origins and origin != self._own_origin and _host_of(origin) != call.host.lower()
        if foreign:
            raise Forbidden("a page of another origin asked the browser for this; DMS_TAGS_CORS_ORIGINS names those that may")

    def _answer_preflight(self) -> Response | None:
        """Answers the question that a browser asks before it sends a page's request to another origin."""
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        if request.headers.get("Origin") not in self._origins:
            return None
        return Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": METHODS,
                "Access-Control-Allow-Headers": ALLOWED_HEADERS,
                "Access-Control-Max-Age": PREFLIGHT_SECONDS,
            },
        )

    def _let_origin_read(self, response: Response) -> Response:
        """Lets a page of a named origin read the answer; never with the browser's own credentials."""
        response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin in self._origins:
            response.headers["Access-Control-Allow-Origin"] = str(origin)
            response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
        return response

    @staticmethod
    def _finish(response: Response) -> Response:
        headers = response.headers
        headers["X-Content-Type-Options"] = "nosniff"
        if response.status_code in REFUSALS:
            _log_refusal(response)
            if response.status_code == 401:
                headers.setdefault("WWW-Authenticate", CHALLENGE)
        if response.mimetype == "text/html":
            for name, value in PAGE_HEADERS.items():
                headers.setdefault(name, value)
        elif "identity" in g:
            headers.setdefault("Cache-Control", "no-store")
        return response


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _log_refusal(response: Response) -> None:
    identity: Identity | None = g.get("identity")
    fields = {
        "status": response.status_code,
        "method": request.method,
        "path": ascii(request.path[:LOGGED_PATH])[1:-1],  # a decoded path may hold line ends
        "address": request.remote_addr,
        "actor": identity.actor.name if identity else None,
        "claimed": None if identity else claimed(request.headers.get("Authorization")),
        "actor_kind": identity.actor.kind if identity else None,
        "tenant": identity.tenant if identity else None,
    }
    log.warning("refused", extra={"fields": fields})
