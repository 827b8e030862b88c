"""What is settled once, by whoever comes first, where a rule spans documents: key → word.

A resource's type, the spelling of a value and the id of something that is made under an idempotency key are each held by
many documents, or by one that is not there yet; the unique `_id` of a small document of their own decides between writers.
"""

from __future__ import annotations

from typing import Any, Final

from pymongo.errors import DuplicateKeyError

from dms_tags.bounded import Bounded
from dms_tags.errors import StoreUnavailable
from dms_tags.store.database import Database, store_errors
from dms_tags.store.indexes import EXPIRING
from dms_tags.store.waiting import awaited

REMEMBERED: Final = 50_000
"""Words that a process keeps in memory; they never change, so they are never stale."""

PATIENCE: Final = 4.0


class Registry:
    """A collection of settled words.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database, collection: str) -> None:
        """Words of a collection that is not one of `EXPIRING` stand for good; only those are kept in memory."""
        self._words = database.collection(collection)
        self._clock = database.clock
        self._settled = database.majority(self._words)
        self._for_good = collection not in EXPIRING
        self._known: Bounded[str, Any] = Bounded(REMEMBERED)

    def settled(self, key: str) -> Any:
        """The word that stands for `key`, None where there is none; never one that a fail-over could take back."""
        known = self._known.get(key)
        if known is not None:
            return known
        with store_errors():
            document = self._settled.find_one({"_id": key})
        return None if document is None else self._remember(key, document["word"])

    def settle(self, key: str, word: Any) -> Any:
        """The word that stands for `key` from now on: `word`, or the one of whoever came first."""
        standing = self.settled(key)
        if standing is not None:
            return standing
        try:
            with store_errors():
                self._words.insert_one({"_id": key, "word": word, "at": self._clock.recorded()})
        except DuplicateKeyError:
            return self._await(key)
        return self._remember(key, word)

    def forget(self, prefix: str) -> None:
        """Removes the words of all keys that begin with `prefix`: of something whose id never comes back."""
        with store_errors():
            self._words.delete_many({"_id": {"$gte": prefix, "$lt": prefix + "\U0010ffff"}})

    def _await(self, key: str) -> Any:
        """The word of a writer who was first a moment ago, once a majority has it."""
        standing = awaited(lambda: self.settled(key), PATIENCE)
        if standing is not None:
            return standing
        raise StoreUnavailable(f"what another writer has just settled for {key!r} is not confirmed yet; nothing was changed")

    def _remember(self, key: str, word: Any) -> Any:
        if self._for_good:
            self._known.put(key, word)
        return word
