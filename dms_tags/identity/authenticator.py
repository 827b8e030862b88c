"""From what a caller sends to who it is."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from dms_tags.errors import InvalidParameter, Unauthenticated
from dms_tags.identity import names, tokens
from dms_tags.identity.directory import TokenDirectory
from dms_tags.identity.jwt import JwtVerifier
from dms_tags.identity.model import EVERYTHING, Identity
from dms_tags.identity.store import TokenStore
from dms_tags.model import Actor
from dms_tags.settings import Settings

LONGEST: Final = 8_192
"""Characters of an `Authorization` header, at most; a JWT with many claims has some 2,000."""

ANONYMOUS: Final = Actor("anonymous", "none")
NOBODY: Final = Identity(names.DEFAULT_TENANT, ANONYMOUS, frozenset())
"""Whose a call is where nobody is asked: it has no permission."""

NOT_VALID: Final = "the token is unknown, expired or revoked"

_NOBODY: Final = bytes(tokens.SECRET_BYTES)
"""Compared where there is no token of that id, so that an unknown one costs the same time as a known one."""


class Authenticator(Protocol):
    """Tells who calls."""

    def identify(self, authorization: str | None, tenant_header: str | None = None) -> Identity:
        """Whom the header `Authorization` stands for, or, where anyone is believed, `X-ID-TENANT-NAME`.

        Raises `Unauthenticated`, `InvalidParameter` or `StoreUnavailable`.
        """


class Anonymous:
    """Believes everyone: the service on a loopback address, with `DMS_TAGS_AUTH=none`."""

    def __init__(self) -> None:
        self._default = self._of(names.DEFAULT_TENANT)

    def identify(self, authorization: str | None, tenant_header: str | None = None) -> Identity:  # noqa: ARG002 - as the other does
        """All permissions in the tenant that the header names.  Raises `InvalidParameter` for one that is no tenant's name."""
        return self._default if tenant_header is None else self._of(names.tenant(tenant_header))

    @staticmethod
    def _of(tenant: str) -> Identity:
        return Identity(tenant, ANONYMOUS, EVERYTHING)


class Verifying:
    """Believes tokens, and JWTs where it has a verifier for them."""

    def __init__(self, directory: TokenDirectory, clock: Callable[[], datetime], jwts: JwtVerifier | None = None) -> None:
        """`clock` tells the time by MongoDB's clock: services whose own clocks differ end a token at the same moment."""
        self._directory = directory
        self._clock = clock
        self._jwts = jwts

    def identify(self, authorization: str | None, tenant_header: str | None = None) -> Identity:  # noqa: ARG002 - as the other does
        """Whom the credentials stand for; their tenant is their own, whatever a header says."""
        if authorization is None:
            raise Unauthenticated("this needs an identity: send the header Authorization: Bearer <token>")
        if len(authorization) > LONGEST:
            raise Unauthenticated(f"the header Authorization is longer than {LONGEST} characters")
        scheme, _, credentials = authorization.partition(" ")
        credentials = credentials.strip(" ")
        if scheme.lower() == "bearer":
            return self._bearer(credentials)
        if scheme.lower() == "basic":
            return self._basic(credentials)
        raise Unauthenticated("the header Authorization is Bearer <token> or Basic <token name>:<token>, in base64")

    def _bearer(self, text: str) -> Identity:
        if self._jwts is not None and not text.startswith(tokens.MARK):
            return self._jwts.identify(text)
        return self._token(text)

    def _basic(self, text: str) -> Identity:
        name, secret = _name_and_token(text)
        identity = self._token(secret)
        if name != identity.actor.name:
            raise Unauthenticated(NOT_VALID)
        return identity

    def _token(self, text: str) -> Identity:
        presented = tokens.parse(text)
        if presented is None:
            raise Unauthenticated(NOT_VALID)
        token = self._directory.find(presented.id)
        proven = tokens.proves(presented, self._directory.key, _NOBODY if token is None else token.digest)
        if token is None or not proven or (token.expires is not None and token.expires <= self._clock()):
            raise Unauthenticated(NOT_VALID)
        self._directory.note_use(token.id)
        return token.identity


def claimed(authorization: str | None) -> str | None:
    """Which token the header was refused for, as far as it can be told: its name or its id, never its secret.  For the log."""
    scheme, _, credentials = (authorization or "")[:LONGEST].partition(" ")
    try:
        if scheme.lower() == "basic":
            return names.token_name(_name_and_token(credentials.strip(" "))[0])
    except (Unauthenticated, InvalidParameter):
        return None
    presented = tokens.parse(credentials.strip(" "))
    return presented.id if presented else None


def _name_and_token(text: str) -> tuple[str, str]:
    try:
        name, _, secret = base64.b64decode(text, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError) as error:
        raise Unauthenticated("what follows Basic is no base64 of <token name>:<token>") from error
    return name, secret


def authenticator(settings: Settings, store: TokenStore, clock: Callable[[], datetime]) -> Authenticator:
    """The one that the settings ask for; `clock` is MongoDB's.  Raises `CannotStart` where they do not add up."""
    how = settings.authentication
    if how == "none":
        return Anonymous()
    return Verifying(TokenDirectory(store), clock, JwtVerifier.from_settings(settings, clock) if how == "jwt" else None)
