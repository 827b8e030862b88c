"""Sessions of the chain tags API: how they are kept, found and ended.

    session_credentials   {_id: id, tenant, user, resource, digest, created, lastUsed}: what proves a session, and whose it is
    tags                  the resource `session/<id>`: what it may do and until when; in force while its tag is there

A key is `dmss_<id>_<secret>`.  Of the secret only a keyed hash is kept, as of an API token's (`dms_tags.identity.tokens`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from dms_tags.chains.model import Access, Session
from dms_tags.errors import Unauthenticated
from dms_tags.identity import tokens
from dms_tags.identity.background import Background, in_thread
from dms_tags.identity.credentials import CredentialStore, digest_of
from dms_tags.identity.directory import Directory
from dms_tags.model import Actor, Kind
from dms_tags.names import spell_time, time
from dms_tags.store.documents import Document

MARK: Final = "dmss_"
NOT_VALID: Final = "no valid session: the user needs to be logged in and a valid session key needs to be sent"

_NOBODY: Final = bytes(tokens.SECRET_BYTES)
"""Compared where there is no session of that id, so that an unknown one costs the same time as a known one."""


@dataclass(frozen=True, slots=True)
class ListedSession:
    """A session as an administrator sees it.  `session` None: it is revoked; `last_used` None: never, to the minute."""

    id: str
    tenant: str
    user: str
    session: Session | None
    created: datetime
    last_used: datetime | None


class SessionStore(CredentialStore[Session]):
    """The sessions of one database."""

    collection = "session_credentials"
    kind = Kind.SESSION
    tag = "session"
    mark = MARK
    found_by = "_id"
    resource_by = "_id"
    person = "user"

    def create(
        self, tenant: str, user: str, chains: Mapping[int, frozenset[Access]], expires: datetime, actor: Actor
    ) -> tokens.Presented:
        """Makes a session; its key is handed out now, or never."""
        granted = {str(chain): sorted(map(str, access)) for chain, access in sorted(chains.items())}
        shown = {"chains": granted, "expires": spell_time(expires)}
        return self._mint(tenant, {"user": user}, lambda _: shown, actor)

    def revoke(self, tenant: str, session_id: str, actor: Actor) -> None:
        """Ends a session.  Raises `NotFound` where there is none in force of that id."""
        self._end(tenant, session_id, {"_id": session_id}, actor)

    def every(self, tenant: str | None = None) -> list[ListedSession]:
        """All sessions, of one tenant or (None) of all, the oldest first; the revoked ones too."""
        return [
            ListedSession(
                document["_id"], document["tenant"], document["user"], session, document["created"], document.get("lastUsed")
            )
            for document, session in self._standing({} if tenant is None else {"tenant": tenant}, "created")
        ]

    def read(self, document: Document, state: Mapping[str, Any]) -> Session:
        """The session of a document and of the state of its tag."""
        if not isinstance(document["user"], str) or state.get("user", document["user"]) != document["user"]:
            raise ValueError("the tag is another user's")
        return Session(
            document["_id"],
            document["tenant"],
            document["user"],
            digest_of(document),
            {int(chain): frozenset(map(Access, granted)) for chain, granted in state["chains"].items()},
            time(state["expires"]),
        )


class Sessions:
    """Tells whose a session is.  A revoked one is refused within ten seconds, as a token is."""

    def __init__(self, store: SessionStore, clock: Callable[[], datetime], background: Background = in_thread) -> None:
        """`clock` tells the time by MongoDB's clock: services whose own clocks differ end a session at the same moment."""
        self._clock = clock
        self._directory = Directory[Session](store, background=background)

    def identify(self, user: str | None, key: str | None) -> Session:
        """The session of a user and a key.  Raises `Unauthenticated`, `StoreUnavailable`."""
        presented = None if key is None else tokens.parse(key, MARK)
        if user is None or presented is None:
            raise Unauthenticated(NOT_VALID)
        session = self._directory.find(presented.id)
        proven = tokens.proves(presented, self._directory.key, _NOBODY if session is None else session.digest)
        if session is None or not proven or session.user != user or session.expires <= self._clock():
            raise Unauthenticated(NOT_VALID)
        self._directory.note_use(session.id)
        return session
