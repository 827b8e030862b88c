"""Sessions of the chain tags API: how they are proven, kept, found and ended.

    session_credentials   {_id: id, tenant, user, digest, created, lastUsed}: what proves a session; never changed, never removed
    tags                  the resource `session/<id>`: what it may do and until when; in force while its tag is there

A key is `dmss_<id>_<secret>`.  Of the secret only a keyed hash is kept, as of an API token's (`dms_tags.identity.tokens`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from dms_tags.chains.model import Access, Session
from dms_tags.errors import NotFound, TagNotFound, Unauthenticated
from dms_tags.identity import tokens
from dms_tags.identity.background import Background, in_thread
from dms_tags.identity.directory import Directory
from dms_tags.model import Actor, Change, Kind, Resource, Verb, now
from dms_tags.names import spell_time, time
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document
from dms_tags.tags.store import TagStore

MARK: Final = "dmss_"
TAG: Final = "session"
NOT_VALID: Final = "no valid session: the user needs to be logged in and a valid session key needs to be sent"

_NOBODY: Final = bytes(tokens.SECRET_BYTES)
"""Compared where there is no session of that id, so that an unknown one costs the same time as a known one."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A session as an administrator sees it.  `session` None: it is revoked; `last_used` None: never, to the minute."""

    id: str
    tenant: str
    user: str
    session: Session | None
    created: datetime
    last_used: datetime | None


class SessionStore:
    """The sessions of one database.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database, store: TagStore, key: Callable[[], bytes]) -> None:
        """`key` gives the database's key for the hashes of secrets."""
        self._database = database
        self._store = store
        self._credentials = database.collection("session_credentials")
        self.key = key

    def create(
        self, tenant: str, user: str, chains: Mapping[int, frozenset[Access]], expires: datetime, actor: Actor
    ) -> tokens.Presented:
        """Makes a session; its key is handed out now, or never."""
        minted = tokens.mint(MARK)
        digest = tokens.digest(self.key(), minted.secret)
        with store_errors():
            self._credentials.insert_one({"_id": minted.id, "tenant": tenant, "user": user, "digest": digest, "created": now()})
        # Only from here on is the session in force
        granted = {str(chain): sorted(map(str, access)) for chain, access in sorted(chains.items())}
        shown = {"user": user, "chains": granted, "expires": spell_time(expires)}
        self._store.change(Change(Resource(tenant, Kind.SESSION, minted.id), TAG, Verb.ADD, actor, shown))
        return minted

    def revoke(self, tenant: str, session_id: str, actor: Actor) -> None:
        """Ends a session.  Raises `NotFound` where there is none in force of that id."""
        try:
            self._store.change(Change(Resource(tenant, Kind.SESSION, session_id), TAG, Verb.DELETE, actor))
        except TagNotFound as error:
            raise NotFound(f"{tenant} has no session {session_id} that is in force") from error

    def every(self, tenant: str | None = None) -> list[Listed]:
        """All sessions, of one tenant or (None) of all, the oldest first; the revoked ones too."""
        query = {} if tenant is None else {"tenant": tenant}
        with store_errors():
            found = list(self._credentials.find(query, sort=[("created", 1)]))
        sessions = {session.id: session for session in self._sessions(found)}
        return [
            Listed(one["_id"], one["tenant"], one["user"], sessions.get(one["_id"]), one["created"], one.get("lastUsed"))
            for one in found
        ]

    def in_force(self) -> list[Session]:
        """All sessions that are not revoked."""
        with store_errors():
            return self._sessions(list(self._credentials.find({})))

    def knows(self, session_id: str) -> bool:
        """Whether there is or was a session with that id."""
        with store_errors():
            return self._credentials.find_one({"_id": session_id}, {"_id": 1}) is not None

    def used(self, session_ids: Iterable[str], at: datetime) -> None:
        """Notes when sessions were last used."""
        with store_errors():
            self._credentials.update_many({"_id": {"$in": list(session_ids)}}, {"$max": {"lastUsed": at}})

    def _sessions(self, credentials: Iterable[Document]) -> list[Session]:
        by_key = {Resource(one["tenant"], Kind.SESSION, one["_id"]).key: one for one in credentials}
        with store_errors():
            found = list(self._database.tags.find({"_id": {"$in": list(by_key)}}, {"tags": 1}))
        return [_session(by_key[document["_id"]], row["state"]) for document in found for row in document["tags"]]


class Sessions:
    """Tells whose a session is.  A revoked one is refused within ten seconds, as a token is."""

    def __init__(self, store: SessionStore, background: Background = in_thread) -> None:
        self._directory = Directory[Session](store, background=background)

    def identify(self, user: str | None, key: str | None) -> Session:
        """The session of a user and a key.  Raises `Unauthenticated`, `StoreUnavailable`."""
        presented = None if key is None else tokens.parse(key, MARK)
        if user is None or presented is None:
            raise Unauthenticated(NOT_VALID)
        session = self._directory.find(presented.id)
        proven = tokens.proves(presented, self._directory.key, _NOBODY if session is None else session.digest)
        if session is None or not proven or session.user != user or session.expires <= now():
            raise Unauthenticated(NOT_VALID)
        self._directory.note_use(session.id)
        return session


def _session(credential: Document, state: Mapping[str, Any]) -> Session:
    return Session(
        credential["_id"],
        credential["tenant"],
        credential["user"],
        bytes(credential["digest"]),
        {int(chain): frozenset(map(Access, granted)) for chain, granted in state["chains"].items()},
        time(state["expires"]),
    )
