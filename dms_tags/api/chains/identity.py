"""Who calls the chain tags API: a session, never a token (API.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flask import Request

from dms_tags.api.endpoint import Call
from dms_tags.api.services import Services
from dms_tags.chains.model import Session
from dms_tags.errors import Forbidden
from dms_tags.identity.model import Identity, Permission
from dms_tags.identity.names import TENANT_HEADER

USER_HEADERS: Final = ("X-Spaaza-Session-User-Id", "session-user-id")
KEY_HEADERS: Final = ("X-Spaaza-Session-Key", "session-key")
"""The present spelling and the old one."""

PERMISSIONS: Final = frozenset({Permission.READ, Permission.WRITE})
"""Of every session; to which chains is told by the session itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionIdentity(Identity):
    """The user of a session."""

    session: Session


def identify(services: Services, call: Request) -> SessionIdentity:
    """Whose request it is.  Raises `Unauthenticated`, `Forbidden`, `RateLimited` or `StoreUnavailable`."""
    services.guard.admit(call)
    session = services.sessions.identify(_header(call, USER_HEADERS), _header(call, KEY_HEADERS))
    if call.headers.get(TENANT_HEADER, session.tenant) != session.tenant:
        raise Forbidden(f"{TENANT_HEADER} names another tenant than the session's own")
    identity = SessionIdentity(session.tenant, session.actor, PERMISSIONS, session=session)
    services.guard.count(identity)
    return identity


def session_of(call: Call) -> Session:
    """The session of a call that `identify` let in."""
    identity = call.identity
    assert isinstance(identity, SessionIdentity)  # noqa: S101 - the API's own `identify` makes no other
    return identity.session


def _header(call: Request, names: tuple[str, ...]) -> str | None:
    return next((call.headers[name] for name in names if name in call.headers), None)
