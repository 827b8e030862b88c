"""The seam for `mongomock://`: makes its calls as atomic as the real server's, and passes over what it does not know."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pymongo import UpdateOne

from dms_tags.store.documents import Document


class AtomicCollection:
    """A mongomock collection each of whose calls is atomic, as the real server's are (DESIGN.md, "Data").

    mongomock's own `find_one_and_update` finds, then updates by `_id` alone, so the lock would not be in its write.
    """

    def __init__(self, collection: Any, lock: threading.RLock) -> None:
        self._collection = collection
        self._lock = lock

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._collection, name)
        if not callable(member):
            return member

        def locked(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                return member(*args, **kwargs)

        return locked

    def find(self, *args: Any, hint: object = None, max_time_ms: object = None, **kwargs: Any) -> Any:  # noqa: ARG002 - no plans, no clock
        with self._lock:
            return _ReadWhole(list(self._collection.find(*args, **kwargs)))

    def find_one(self, *args: Any, hint: object = None, max_time_ms: object = None, **kwargs: Any) -> Any:  # noqa: ARG002 - as in find
        with self._lock:
            return self._collection.find_one(*args, **kwargs)

    def count_documents(self, *args: Any, hint: object = None, maxTimeMS: object = None, **kwargs: Any) -> Any:  # noqa: ARG002, N803 - as in find
        with self._lock:
            return self._collection.count_documents(*args, **kwargs)

    def find_one_and_update(self, query: Mapping[str, Any], update: Mapping[str, Any], **_: Any) -> Document | None:
        with self._lock:
            before = self._collection.find_one(query)
            if before is None:
                return None
            self._collection.update_one({**query, "_id": before["_id"]}, update)
            after: Document | None = self._collection.find_one({"_id": before["_id"]})
            return after

    def bulk_write(self, operations: list[UpdateOne], **_: Any) -> _Matched:
        # PyMongo's own update operations pass mongomock arguments that it does not know
        with self._lock:
            matched = sum(
                self._collection.update_one(operation._filter, operation._doc, upsert=bool(operation._upsert)).matched_count  # noqa: SLF001 - no public way
                for operation in operations
            )
        return _Matched(matched)


@dataclass(frozen=True, slots=True)
class _Matched:
    matched_count: int


class _ReadWhole(list[Document]):
    """A cursor's result, read whole under the lock."""

    def close(self) -> None:
        """Nothing is held open."""
