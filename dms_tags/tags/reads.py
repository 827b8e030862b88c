"""Reads that wait for MongoDB together.

While one read is on its way, those that come meanwhile gather, and go as one when it is back: under load a round trip
serves many readers, and a reader that is alone waits for nobody.  A read never joins one that has set out before it, so
what was acknowledged before it began is in its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Event, Lock
from typing import Any

from dms_tags.errors import StoreUnavailable

Document = dict[str, Any]
Query = Callable[[str | None, list[str]], Mapping[str, Document]]
"""Given a tag's name (None: all tags) and the ids of documents: those that are there, by id."""


class _Round:
    """The readers of one round trip, the first of whom makes it."""

    __slots__ = ("documents", "done", "error", "keys", "readers", "turn")

    def __init__(self) -> None:
        self.readers = 0
        self.keys: set[str] = set()
        self.turn = Event()
        self.done = Event()
        self.documents: Mapping[str, Document] = {}
        self.error: StoreUnavailable | None = StoreUnavailable("the read was cut short")


class SharedReads:
    """Single documents, read by many at once; `query` makes the round trips."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._lock = Lock()
        self._under_way: set[str | None] = set()
        self._gathering: dict[str | None, _Round] = {}

    def read(self, key: str, name: str | None) -> Document | None:
        """The document with this id, with the tag called `name` or with all; None where there is none.

        Raises what the query raises.
        """
        with self._lock:
            joined = self._gathering.get(name)
            own = joined or _Round()
            own.keys.add(key)
            own.readers += 1
            if joined is None:
                if name in self._under_way:
                    self._gathering[name] = own
                else:
                    self._under_way.add(name)
                    own.turn.set()
        if joined is None:
            self._lead(own, name)
        else:
            own.done.wait()
        if own.error is not None:
            raise own.error
        return own.documents.get(key)

    def gathering(self, name: str | None) -> int:
        """How many readers wait for those that are under way."""
        with self._lock:
            waiting = self._gathering.get(name)
            return 0 if waiting is None else waiting.readers

    def _lead(self, own: _Round, name: str | None) -> None:
        try:
            own.turn.wait()
            with self._lock:
                if self._gathering.get(name) is own:
                    del self._gathering[name]
            try:
                own.documents = self._query(name, list(own.keys))
                own.error = None
            except StoreUnavailable as error:
                own.error = error
        finally:
            with self._lock:
                following = self._gathering.get(name)
                if following is None:
                    self._under_way.discard(name)
            if following is not None:
                following.turn.set()
            own.done.set()
