"""JWTs of an OpenID Connect issuer (RFC 7519, RFC 8725)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import jwt

from dms_tags.bounded import Bounded
from dms_tags.errors import CannotStart, InvalidParameter, Unauthenticated
from dms_tags.identity import names
from dms_tags.identity.jwks import ALGORITHMS, KeySet
from dms_tags.identity.model import Identity, Permission
from dms_tags.model import Actor
from dms_tags.settings import Settings

LEEWAY: Final = 30
"""Seconds by which the issuer's clock and MongoDB's may differ."""

REMEMBERED_SECONDS: Final = 60.0
REMEMBERED: Final = 4096
LONGEST_NAME: Final = 200

REFUSED: Final = "the JWT is not valid"


class JwtVerifier:
    """Checks JWTs and reads an identity from their claims.

    What was verified is remembered by the token's SHA-256, until it expires and for a minute at most: a signature costs
    50-200 microseconds to check, a look-up one.
    """

    def __init__(self, settings: Settings, keys: KeySet, clock: Callable[[], datetime]) -> None:
        """`clock` tells the time by MongoDB's clock, which all services share."""
        self._settings = settings
        self._keys = keys
        self._clock = clock
        self._verified: Bounded[bytes, tuple[Identity, float]] = Bounded(REMEMBERED)

    @classmethod
    def from_settings(cls, settings: Settings, clock: Callable[[], datetime]) -> JwtVerifier:
        """The verifier that the settings describe.  Raises `CannotStart` where they do not describe one."""
        for variable in ("jwt_issuer", "jwt_audience", "jwt_jwks"):
            if getattr(settings, variable) is None:
                raise CannotStart(f"DMS_TAGS_AUTH=jwt needs DMS_TAGS_{variable.upper()}")
        keys = KeySet(str(settings.jwt_jwks))
        keys.check()
        return cls(settings, keys, clock)

    def identify(self, text: str) -> Identity:
        """Whom the JWT stands for.  Raises `Unauthenticated`, or `StoreUnavailable` where the issuer's keys cannot be had."""
        known_by = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        remembered = self._verified.get(known_by)
        at = self._clock().timestamp()
        if remembered is not None and at < remembered[1]:
            return remembered[0]
        claims = self._claims(text, at)
        identity = self._identity(claims)
        self._verified.put(known_by, (identity, min(at + REMEMBERED_SECONDS, int(claims["exp"]) + LEEWAY)))
        return identity

    def _claims(self, text: str, at: float) -> Mapping[str, Any]:
        try:
            header = jwt.get_unverified_header(text)
            key = self._keys.find(header.get("kid")) if header.get("alg") in ALGORITHMS else None
            if key is None or key.algorithm_name != header["alg"]:
                raise Unauthenticated(f"{REFUSED}: it is signed with no key and algorithm of the issuer's")
            claims: Mapping[str, Any] = jwt.decode(
                text,
                key,
                algorithms=[key.algorithm_name],
                issuer=self._settings.jwt_issuer,
                audience=self._settings.jwt_audience,
                # PyJWT would judge times by this machine's clock; below they are judged by MongoDB's
                options={"require": ["exp", "iss", "aud"], "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
            _require_current(claims, at)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise Unauthenticated(f"{REFUSED}: {_reason(error)}") from error
        return claims

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        name = _claim(claims, self._settings.jwt_name_claim)
        tenant = _claim(claims, self._settings.jwt_tenant_claim)
        if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
            raise Unauthenticated(f"{REFUSED}: the claim {self._settings.jwt_name_claim} names nobody")
        if name.startswith(names.RESERVED):
            raise Unauthenticated(f"{REFUSED}: names that begin with {names.RESERVED} are the service's own")
        allowed = set(_words(_claim(claims, self._settings.jwt_permissions_claim)))
        listed = _claim(claims, self._settings.jwt_tags_claim)
        try:
            prefixes = None if listed is None else names.prefixes(_words(listed))
            tenant = names.tenant(tenant if isinstance(tenant, str) else "")
        except InvalidParameter as error:
            raise Unauthenticated(f"{REFUSED}: {error.detail}") from error
        permissions = frozenset(permission for permission in Permission if permission in allowed)
        return Identity(tenant, Actor(name, "jwt"), permissions, prefixes, prefixes)


def _require_current(claims: Mapping[str, Any], at: float) -> None:
    """Raises what PyJWT does where the claims do not hold at that time (RFC 7519, sections 4.1.4 to 4.1.6)."""
    if int(claims["exp"]) <= at - LEEWAY:
        raise jwt.ExpiredSignatureError
    if any(int(claims[claim]) > at + LEEWAY for claim in ("nbf", "iat") if claim in claims):
        raise jwt.ImmatureSignatureError


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by a path with dots into nested ones, as `realm_access.roles`."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _words(value: Any) -> list[str]:
    """The texts in a list, or the words of one text; anything else has none."""
    if isinstance(value, str):
        return value.split()
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


def _reason(error: Exception) -> str:
    """Why, in words that tell the caller's own side and repeat nothing of the token."""
    reasons = {
        jwt.ExpiredSignatureError: "it has expired",
        jwt.ImmatureSignatureError: "it is not valid yet",
        jwt.InvalidAudienceError: "its audience is another",
        jwt.InvalidIssuerError: "its issuer is another",
        jwt.InvalidSignatureError: "its signature does not hold",
    }
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"it lacks the claim {error.claim}"
    return next((text for kind, text in reasons.items() if isinstance(error, kind)), "it is malformed")
