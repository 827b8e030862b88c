"""Tokens in MongoDB.

That a token is in force is a tag of the engine: the resource `token/<name>` has the tag `token` whose state says what it
allows.  Creating and revoking are changes like any other, one write each, recorded in the same trail (API.md section 6).
What proves a token lies beside, in `credentials`: a hash, which no trail and no query ever shows.  A document there
without its tag opens nothing, and keeps the name from being used again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pymongo.errors import DuplicateKeyError

from dms_tags.errors import InUse, NotFound, StoreUnavailable, TagNotFound
from dms_tags.identity import tokens
from dms_tags.identity.model import Identity, Permission
from dms_tags.identity.tokens import Token
from dms_tags.model import Actor, Change, Kind, Resource, Verb, now
from dms_tags.names import spell_time, time
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document
from dms_tags.tags.store import TagStore

TAG: Final = "token"
KEY: Final = "credentials-key"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token is to allow.  `read_prefixes`, `write_prefixes` None: tags of any name; `expires` None: never."""

    permissions: frozenset[Permission]
    read_prefixes: tuple[str, ...] | None = None
    write_prefixes: tuple[str, ...] | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A token as an administrator sees it.  `id` is what the log tells of one that is refused; `grant` None: it is revoked; `last_used` None: never, to the minute."""

    tenant: str
    name: str
    id: str
    grant: Grant | None
    created: datetime
    last_used: datetime | None


class TokenStore:
    """The tokens of one database.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database, tags: TagStore) -> None:
        self._database = database
        self._tags = tags
        self._credentials = database.collection("credentials")
        self._key: bytes | None = None

    def create(self, tenant: str, name: str, grant: Grant, actor: Actor) -> str:
        """Makes a token and returns it as it is handed out: nobody can ever read it again.

        Raises `InUse` for a name that the tenant has or had a token of.
        """
        minted = tokens.mint()
        document = {
            "_id": f"{tenant}/{name}",
            "tenant": tenant,
            "name": name,
            "token": minted.id,
            "digest": tokens.digest(self.key(), minted.secret),
            "created": now(),
        }
        try:
            with store_errors():
                self._credentials.insert_one(document)
        except DuplicateKeyError as error:
            raise InUse(f"{tenant} has or had a token called {name}; a token's name is never used twice") from error
        # Only from here on is the token in force: before, a crash leaves a name that is taken, and no way in
        self._tags.change(
            Change(Resource(tenant, Kind.TOKEN, name), TAG, Verb.ADD, actor, state=_state(minted.id, grant), max_tags=None)
        )
        return minted.text

    def revoke(self, tenant: str, name: str, actor: Actor) -> None:
        """Ends a token.  Raises `NotFound` where there is none in force of that name."""
        try:
            self._tags.change(Change(Resource(tenant, Kind.TOKEN, name), TAG, Verb.DELETE, actor))
        except TagNotFound as error:
            raise NotFound(f"{tenant} has no token called {name} that is in force") from error

    def every(self, tenant: str | None = None) -> list[Listed]:
        """All tokens, of one tenant or (None) of all, by tenant and name; the revoked ones too."""
        with store_errors():
            found = list(self._credentials.find({} if tenant is None else {"tenant": tenant}, {"digest": 0}, sort=[("_id", 1)]))
        in_force = self._states(found)
        return [
            Listed(
                document["tenant"],
                document["name"],
                document["token"],
                _grant(in_force[document["_id"]]) if document["_id"] in in_force else None,
                document["created"],
                document.get("lastUsed"),
            )
            for document in found
        ]

    def in_force(self) -> list[Token]:
        """All tokens that are not revoked."""
        with store_errors():
            found = list(self._credentials.find({}, {"tenant": 1, "name": 1, "token": 1, "digest": 1}))
        states = self._states(found)
        return [_token(document, states[document["_id"]]) for document in found if document["_id"] in states]

    def knows(self, token_id: str) -> bool:
        """Whether there is or was a token with that id."""
        with store_errors():
            return self._credentials.find_one({"token": token_id}, {"_id": 1}) is not None

    def used(self, token_ids: Iterable[str], at: datetime) -> None:
        """Notes when tokens were last used."""
        with store_errors():
            self._credentials.update_many({"token": {"$in": list(token_ids)}}, {"$max": {"lastUsed": at}})

    def key(self) -> bytes:
        """The database's key for the hashes of secrets, made by whoever asks first.

        Read with majority: a key that a fail-over takes back would leave tokens that nothing can prove.
        """
        if self._key is None:
            meta = self._database.collection("meta")
            settled = self._database.majority(meta)
            with store_errors():
                found = settled.find_one({"_id": KEY})
                if found is None:
                    with suppress(DuplicateKeyError):
                        meta.insert_one({"_id": KEY, "value": tokens.new_key()})
                    found = settled.find_one({"_id": KEY})
            if found is None:
                raise StoreUnavailable("another service is just making the key for tokens")
            self._key = bytes(found["value"])
        return self._key

    def _states(self, credentials: Iterable[Document]) -> dict[str, Mapping[str, Any]]:
        """What the tokens that are in force allow, by the `_id` of their credentials."""
        keys = {Resource(document["tenant"], Kind.TOKEN, document["name"]).key: document["_id"] for document in credentials}
        with store_errors():
            found = list(self._database.tags.find({"_id": {"$in": list(keys)}}, {"tags": 1}))
        return {keys[document["_id"]]: row["state"] for document in found for row in document["tags"] if row["name"] == TAG}


def _state(token_id: str, grant: Grant) -> dict[str, Any]:
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
        None if state["readTags"] is None else tuple(state["readTags"]),
        None if state["writeTags"] is None else tuple(state["writeTags"]),
        None if state["expires"] is None else time(state["expires"]),
    )


def _token(document: Document, state: Mapping[str, Any]) -> Token:
    grant = _grant(state)
    identity = Identity(
        document["tenant"], Actor(document["name"], "token"), grant.permissions, grant.read_prefixes, grant.write_prefixes
    )
    return Token(document["token"], bytes(document["digest"]), identity, grant.expires)
