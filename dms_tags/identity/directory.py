"""The tokens (or the sessions) that are in force, as one process knows them: no call waits for MongoDB to have its token checked.

The whole list is read again by whichever call first finds it older than `FRESH`, beside that call; one older than
`STALE` answers nobody until it was read.  So a revoked token is refused everywhere within `STALE` seconds of its
revocation.  A token that was made since is looked up when it comes, and so is one that never was; how often is bounded,
so that invented tokens cost the database nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Final, Generic, Protocol

from dms_tags.bounded import Bounded
from dms_tags.errors import StoreUnavailable
from dms_tags.identity.background import Allowance, Background, in_thread
from dms_tags.identity.credentials import T
from dms_tags.identity.tokens import Token

log = logging.getLogger(__name__)

FRESH: Final = 4.0
STALE: Final = 8.0
RETRY: Final = 0.5
USE_NOTED: Final = 60.0
LOOKUPS: Final = 20
LOOKUP_SECONDS: Final = 0.2
REMEMBERED: Final = 4096
"""Ids that nobody has, and tokens whose use was noted a moment ago, that a process keeps in mind, at most."""


class Source(Protocol[T]):
    """Where they are kept; see `CredentialStore`."""

    def in_force(self) -> list[T]: ...

    def knows(self, token_id: str, /) -> bool: ...

    def used(self, token_ids: Iterable[str], /) -> None: ...

    def key(self) -> bytes: ...


@dataclass(frozen=True)
class _View(Generic[T]):
    """The list as it was read; `at` is when the reading began, by the process's own clock."""

    tokens: dict[str, T]
    at: float


class Directory(Generic[T]):
    """Finds tokens, or whatever is found and ended like them, by id."""

    def __init__(self, store: Source[T], *, clock: Callable[[], float] = monotonic, background: Background = in_thread) -> None:
        self._store = store
        self._clock = clock
        self._background = background
        self._view: _View[T] = _View({}, float("-inf"))
        self._retry_at = 0.0
        self._failed_at = float("-inf")
        self._reading = threading.Lock()
        self._strangers: Bounded[str, bool] = Bounded(REMEMBERED)
        self._lookups = Allowance(LOOKUPS, LOOKUP_SECONDS, clock)
        self._noted: Bounded[str, float] = Bounded(REMEMBERED)
        self._hash_key: bytes | None = None

    @property
    def key(self) -> bytes:
        """The database's key for the hashes of secrets."""
        if self._hash_key is None:
            self._hash_key = self._store.key()
        return self._hash_key

    def find(self, token_id: str) -> T | None:
        """The token of that id, if one is in force.  Raises `StoreUnavailable` where the list is stale and cannot be read."""
        view = self._view
        age = self._clock() - view.at
        if age > STALE:
            view = self._read_now(STALE)
        elif age > FRESH and self._clock() >= self._retry_at:
            self._retry_at = self._clock() + RETRY
            self._background(self._read_beside)
        token = view.tokens.get(token_id)
        if token is None and token_id not in self._strangers and self._lookups.take():
            token = self._look_up(token_id)
        return token

    def note_use(self, token_id: str) -> None:
        """Writes down that the token was used, beside the caller and at most once a minute."""
        at = self._clock()
        noted = self._noted.get(token_id)
        if noted is not None and at - noted < USE_NOTED:
            return
        self._noted.put(token_id, at)
        self._background(lambda: self._write_use(token_id))

    def _look_up(self, token_id: str) -> T | None:
        if self._store.knows(token_id):
            # Made since the list was read; what it says must come from the list all the same, where revoking shows
            token = self._read_now(0.0).tokens.get(token_id)
            if token is not None:
                return token
        self._strangers.put(token_id, True)
        return None

    def _read_now(self, older_than: float) -> _View[T]:
        """The list, read unless another call has just done so: then not older than `older_than` seconds, or begun since.

        A call that waited for one whose reading failed fails with it: one after the other would each wait for MongoDB in vain.
        """
        asked = self._clock()
        with self._reading:
            if self._view.at > asked or self._clock() - self._view.at < older_than:
                return self._view
            if self._failed_at > asked:
                raise StoreUnavailable("MongoDB does not answer; nothing was changed")
            at = self._clock()
            try:
                view = _View({token.id: token for token in self._store.in_force()}, at)
            except StoreUnavailable:
                self._failed_at = self._clock()
                raise
            self._strangers.clear()
            self._view = view
            return view

    def _read_beside(self) -> None:
        try:
            self._read_now(FRESH)
        except StoreUnavailable:
            log.warning("the tokens cannot be read again", extra={"fields": {"age": self._clock() - self._view.at}})

    def _write_use(self, token_id: str) -> None:
        try:
            self._store.used([token_id])
        except StoreUnavailable:
            self._noted.forget(token_id)


TokenDirectory = Directory[Token]
