"""API tokens in MongoDB: `credentials` has {_id: "<tenant>/<name>", tenant, name, token, resource, digest, created, lastUsed}."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from pymongo.errors import DuplicateKeyError

from dms_tags.errors import InUse
from dms_tags.identity import tokens
from dms_tags.identity.credentials import CredentialStore, digest_of
from dms_tags.identity.model import Identity, Permission
from dms_tags.identity.tokens import Token
from dms_tags.model import Actor, Kind
from dms_tags.names import spell_time, time
from dms_tags.store.documents import Document

TAG: Final = "token"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token is to allow.  `read_prefixes`, `write_prefixes` None: tags of any name; `expires` None: never."""

    permissions: frozenset[Permission]
    read_prefixes: tuple[str, ...] | None = None
    write_prefixes: tuple[str, ...] | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListedToken:
    """A token as an administrator sees it.  `id` is what the log tells of one that is refused; `grant` None: it is revoked; `last_used` None: never, to the minute."""

    tenant: str
    name: str
    id: str
    grant: Grant | None
    created: datetime
    last_used: datetime | None


class TokenStore(CredentialStore[Token]):
    """The API tokens of one database."""

    collection = "credentials"
    kind = Kind.TOKEN
    tag = TAG
    mark = tokens.MARK
    found_by = "token"
    resource_by = "name"
    person = "name"

    def create(self, tenant: str, name: str, grant: Grant, actor: Actor) -> str:
        """Makes a token and returns it as it is handed out: nobody can ever read it again.

        Raises `InUse` for a name that the tenant has or had a token of.
        """
        try:
            return self._mint(tenant, {"_id": f"{tenant}/{name}", "name": name}, partial(_state, grant), actor).text
        except DuplicateKeyError as error:
            raise InUse(f"{tenant} has or had a token called {name}; a token's name is never used twice") from error

    def revoke(self, tenant: str, name: str, actor: Actor) -> None:
        """Ends a token.  Raises `NotFound` where there is none in force of that name."""
        self._end(tenant, name, {"name": name}, actor)

    def every(self, tenant: str | None = None) -> list[ListedToken]:
        """All tokens, of one tenant or (None) of all, by tenant and name; the revoked ones too."""
        return [
            ListedToken(
                document["tenant"],
                document["name"],
                document["token"],
                None if token is None else _grant_of(token),
                document["created"],
                document.get("lastUsed"),
            )
            for document, token in self._standing({} if tenant is None else {"tenant": tenant})
        ]

    def read(self, document: Document, state: Mapping[str, Any]) -> Token:
        """The token of a document and of the state of its tag."""
        grant = _grant(state)
        identity = Identity(
            document["tenant"], Actor(document["name"], "token"), grant.permissions, grant.read_prefixes, grant.write_prefixes
        )
        if state["id"] != document["token"]:
            raise ValueError("the tag is another token's")
        return Token(document["token"], digest_of(document), identity, grant.expires)


def _state(grant: Grant, token_id: str) -> dict[str, Any]:
    """What the trail shows of a token: everything but what proves it."""
    return {
        "id": token_id,
        "allow": sorted(grant.permissions),
        "readTags": None if grant.read_prefixes is None else list(grant.read_prefixes),
        "writeTags": None if grant.write_prefixes is None else list(grant.write_prefixes),
        "expires": None if grant.expires is None else spell_time(grant.expires),
    }


def _grant(state: Mapping[str, Any]) -> Grant:
    return Grant(
        frozenset(map(Permission, state["allow"])),
        _prefixes(state["readTags"]),
        _prefixes(state["writeTags"]),
        None if state["expires"] is None else time(state["expires"]),
    )


def _grant_of(token: Token) -> Grant:
    allowed = token.identity
    return Grant(allowed.permissions, allowed.read_prefixes, allowed.write_prefixes, token.expires)


def _prefixes(listed: Any) -> tuple[str, ...] | None:
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(isinstance(prefix, str) for prefix in listed):
        raise TypeError("prefixes")
    return tuple(listed)
