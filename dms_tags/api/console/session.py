"""Signing in: a cookie that holds what the caller signed in with, sealed, and whose it is asked anew on every request.

Nothing is kept here of a session.  Its cookie has the token or JWT and an end, encrypted under a key that follows from the
database's key of tokens, so that any process of any service opens it and no browser, disk or log tells the token.  A token that
was revoked, or a JWT that has run out, thereby ends every session that was begun with it, as fast as it is refused elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import Request, g

from dms_tags.api.gate.guard import Guard
from dms_tags.errors import InvalidParameter, Refused, StoreUnavailable, Unauthenticated
from dms_tags.identity.model import Identity
from dms_tags.identity.store import TokenStore

COOKIE: Final = "dms-tags-console"
LASTS: Final = timedelta(hours=8)
LONGEST: Final = 3_900
"""Characters of a sealed session: browsers keep cookies of 4,096 bytes, their names and attributes included."""

NOT_SIGNED_IN: Final = "you are not signed in, or your session has ended: sign in with an API token or a JWT"

_PURPOSE: Final = b"dms-tags console session, 1"
_NONCE: Final = 12


@dataclass(frozen=True, slots=True)
class Session:
    """Who has signed in, with what (None: nobody is asked), and until when."""

    guard: Guard
    authorization: str | None
    identity: Identity
    until: datetime | None
    clock: Callable[[], datetime]

    @property
    def holder(self) -> Hashable:
        """The identity's tenant and actor."""
        return self.identity.tenant, self.identity.actor

    def holds(self) -> bool:
        """False once it has ended, or what it was begun with no longer stands for the same identity."""
        if self.until is not None and self.until <= self.clock():
            return False
        try:
            return self.guard.confirm(self.authorization, None) == self.identity
        except Refused:
            return False
        except StoreUnavailable:
            return True


class ConsoleSessions:
    """The sessions of the console.  `clock` is MongoDB's: services whose own clocks differ end a session at the same moment."""

    def __init__(self, guard: Guard, tokens: TokenStore, clock: Callable[[], datetime], *, asks: bool) -> None:
        self._guard = guard
        self._tokens = tokens
        self._clock = clock
        self.asks = asks
        """Whether anybody has to sign in: not with `DMS_TAGS_AUTH=none`."""
        self.watching: Counter[Hashable] = Counter()
        """Pages that are live, by the holder of their session."""
        self.closing = threading.Event()
        """Set when the process ends: pages that are live are let go."""

    def of(self, call: Request) -> Session:
        """The session of a request; also kept as `flask.g.console`.

        Raises `Unauthenticated`, `Forbidden` for what a page of another origin asked for, `RateLimited`, `StoreUnavailable`.
        """
        self._guard.require_own(call, links=True)
        authorization, until = self._opened(call.cookies.get(COOKIE)) if self.asks else (None, None)
        identity = self._guard.identify_with(authorization)
        g.console = Session(self._guard, authorization, identity, until, self._clock)
        session: Session = g.console
        return session

    def begin(self, call: Request, secret: str) -> str:
        """Signs in with a token or JWT; the cookie's value.

        Raises what `of` does, and `InvalidParameter` for a JWT that is too long for a cookie.
        """
        self._guard.require_own(call)
        authorization = f"Bearer {secret}"
        g.authorization = authorization
        self._guard.identify_with(authorization)
        return self._sealed(authorization, self._clock() + LASTS)

    def _sealed(self, authorization: str, until: datetime) -> str:
        nonce = os.urandom(_NONCE)
        text = json.dumps([authorization, until.timestamp()]).encode()
        sealed = base64.urlsafe_b64encode(nonce + self._cipher().encrypt(nonce, text, _PURPOSE)).decode()
        if len(sealed) > LONGEST:
            raise InvalidParameter(
                f"a JWT of {len(authorization)} characters is too long for a session, which has room for about 2,800"
            )
        return sealed

    def _opened(self, sealed: str | None) -> tuple[str, datetime]:
        """What a session was begun with, and its end.  Raises `Unauthenticated` for one that has ended, or was never begun."""
        if sealed is None or len(sealed) > LONGEST:
            raise Unauthenticated(NOT_SIGNED_IN)
        try:
            kept = base64.b64decode(sealed, b"-_", validate=True)
            authorization, until = json.loads(self._cipher().decrypt(kept[:_NONCE], kept[_NONCE:], _PURPOSE))
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise Unauthenticated(NOT_SIGNED_IN) from error
        now = self._clock()
        end = datetime.fromtimestamp(until, now.tzinfo)
        if end <= now:
            raise Unauthenticated(NOT_SIGNED_IN)
        return authorization, end

    def _cipher(self) -> AESGCM:
        return AESGCM(HKDF(SHA256(), 32, None, _PURPOSE).derive(self._tokens.key()))
