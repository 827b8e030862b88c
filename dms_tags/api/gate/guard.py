"""Stands before every route: who calls, from where, how often; and what every answer says to browsers.

before a route    `admit` (is the request meant for this service at all), then `identify`
after it          what was refused or failed is logged with actor, address and reason, whichever API it was, and the headers are set
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from hmac import compare_digest
from typing import Final

from flask import Flask, Request, Response, g, request
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from dms_tags.api.gate import log_fields
from dms_tags.api.gate.admission import REQUEST_ID_HEADER, request_id, require_plain
from dms_tags.api.gate.browsers import PAGE_HEADERS, Origins
from dms_tags.api.gate.proxies import TrustedProxies
from dms_tags.errors import Forbidden, RateLimited
from dms_tags.identity.authenticator import Authenticator, claimed
from dms_tags.identity.model import Identity
from dms_tags.identity.names import TENANT_HEADER
from dms_tags.settings import Settings

log = logging.getLogger(__name__)

CHALLENGE: Final = 'Bearer realm="dms-tags", Basic realm="dms-tags", charset="UTF-8"'
REFUSALS: Final = frozenset({401, 403, 429})
EMPTY: Final = frozenset({204, 304})
"""Statuses of answers that have no body, so that no header speaks of one."""
LOGGED_PATH: Final = 200

_loopback_host = re.compile(r"(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE).fullmatch
_is_loopback_host = lru_cache(maxsize=64)(lambda host: _loopback_host(host) is not None)


class Guard:
    """Admits requests and tells whose they are.  `init_app` sets up what happens around every request."""

    def __init__(self, settings: Settings, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._open = settings.authentication == "none"
        self._body_limit = settings.body_limit
        self._origins = Origins(settings.cors_origins, settings.origin)
        self._every_request = settings.access_log
        token = settings.metrics_token
        self._metrics_authorization = None if token is None else f"Bearer {token}".encode()
        self._proxies = settings.trusted_proxies
        self._rate = RateLimitItemPerSecond(settings.rate) if settings.rate else None
        self._limiter = FixedWindowRateLimiter(MemoryStorage()) if settings.rate else None

    def init_app(self, app: Flask) -> None:
        """Puts the guard around every request of the application."""
        if self._proxies:
            app.wsgi_app = TrustedProxies(app.wsgi_app, self._proxies)  # type: ignore[method-assign]
        app.before_request(lambda: self.admit(request))
        self._origins.init_app(app)
        app.after_request(self._finish)

    def admit(self, call: Request) -> None:
        """Raises `Forbidden` for a request that was meant for another host, and what `require_plain` does.

        A page whose name is made to point at 127.0.0.1 (DNS rebinding) reaches the service as its own origin, but cannot
        change the `Host` that the browser sends.
        """
        require_plain(call, self._body_limit)
        if self._open and not _is_loopback_host(call.environ.get("HTTP_HOST", "")):
            raise Forbidden("with DMS_TAGS_AUTH=none only requests to localhost, 127.0.0.1 or [::1] are served")

    def identify(self, call: Request) -> Identity:
        """Whose request it is; also kept as `flask.g.identity` for the log.

        Raises `Unauthenticated`, `Forbidden`, `RateLimited`, `InvalidParameter` or `StoreUnavailable`.
        """
        authorization = call.environ.get("HTTP_AUTHORIZATION")
        if self._open or (authorization is not None and authorization[:6].lower() == "basic "):
            self._origins.refuse_other_sites(call)
        tenant = call.headers.get(TENANT_HEADER)
        identity = self._authenticator.identify(authorization, tenant)
        self.count(identity)
        if tenant is not None and tenant != identity.tenant:
            raise Forbidden(f"{TENANT_HEADER} names another tenant than the caller's own")
        return identity

    def identify_with(self, authorization: str | None) -> Identity:
        """Whose a request of the console is, by what its session was begun with; kept and counted as `identify` does.

        Raises `Unauthenticated`, `RateLimited` or `StoreUnavailable`.
        """
        identity = self._authenticator.identify(authorization)
        self.count(identity)
        return identity

    def require_own(self, call: Request, *, links: bool = False) -> None:
        """Raises `Forbidden` for what a page of any other origin had the browser send; with `links` not where it only led here."""
        self._origins.require_own(call, links=links)

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

    def watches(self, call: Request) -> bool:
        """Whether the request is the operator's: made on this machine, or with the token that is for metrics alone."""
        if self._metrics_authorization is not None:
            given = call.headers.get("Authorization", "")
            if compare_digest(given.encode(errors="surrogateescape"), self._metrics_authorization):
                return True
        return self._is_local(call)

    @staticmethod
    def _is_local(call: Request) -> bool:
        """Whether the request was made on this machine and for it, and not handed on by a proxy that runs here."""
        return (
            ((call.remote_addr or "").startswith("127.") or call.remote_addr == "::1")
            and _is_loopback_host(call.environ.get("HTTP_HOST", ""))
            and not ("X-Forwarded-For" in call.headers or "Forwarded" in call.headers)
        )

    def _finish(self, response: Response) -> Response:
        headers = response.headers
        headers["X-Content-Type-Options"] = "nosniff"
        headers[REQUEST_ID_HEADER] = request_id(request)
        if self._every_request:
            request.environ[log_fields.ENVIRON_KEY] = log_fields.of_call()
        if response.status_code in REFUSALS:
            _log("refused", response, logging.WARNING)
            if response.status_code == 401:
                headers.setdefault("WWW-Authenticate", CHALLENGE)
        elif response.status_code >= 500:
            _log("failed", response, logging.ERROR if response.status_code == 500 else logging.WARNING)
        if response.mimetype == "text/html" and response.status_code not in EMPTY:
            for name, value in PAGE_HEADERS.items():
                headers.setdefault(name, value)
        elif "identity" in g:
            headers.setdefault("Cache-Control", "no-store")
        return response


def _log(what: str, response: Response, level: int) -> None:
    """One line for a call that was refused or failed: what was asked, whose it was, and why."""
    error: Exception | None = g.get("error")
    fields = {
        **dict.fromkeys(("actor", "actor_kind", "tenant")),
        **log_fields.of_call(),
        "status": response.status_code,
        "reason": g.get("reason"),
        "method": request.method,
        "path": ascii(request.path[:LOGGED_PATH])[1:-1],  # a decoded path may hold line ends
        "address": request.remote_addr,
        "claimed": None if "identity" in g else claimed(g.get("authorization") or request.headers.get("Authorization")),
    }
    log.log(level, what, extra={"fields": fields}, exc_info=error)
