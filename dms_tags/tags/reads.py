"""Reads that wait for MongoDB together (`store/trips.py`).

A read never joins one that has set out before it, so what was acknowledged before it began is in its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from dms_tags.errors import StoreUnavailable
from dms_tags.store.trips import SharedTrips

MOST: Final = 500
"""Readers of one round trip, at most."""

Document = dict[str, Any]
Query = Callable[[str | None, list[str]], Mapping[str, Document]]
"""Given a tag's name (None: all tags) and the ids of documents: those that are there, by id."""


class SharedReads:
    """Single documents, read by many at once; `query` makes the round trips."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._trips: SharedTrips[str | None, str, Document | None] = SharedTrips(self._look, MOST, _cut_short)

    def read(self, key: str, name: str | None) -> Document | None:
        """The document with this id, with the tag called `name` or with all; None where there is none.

        Raises what the query raises.
        """
        return self._trips.take(name, key)

    def gathering(self, name: str | None) -> int:
        """How many readers wait for those that are under way."""
        return self._trips.waiting(name)

    def _look(self, name: str | None, keys: list[str]) -> list[Document | None]:
        documents = self._query(name, list(dict.fromkeys(keys)))
        return [documents.get(key) for key in keys]


def _cut_short() -> StoreUnavailable:
    return StoreUnavailable("the read was cut short")
