"""Keys of label definitions: one definition of a tenant has a key, letter case and the spelling of accents aside.

The definition's own document holds its key, in the write that makes or changes the definition; a unique index decides
between writers.  Definitions of version 0.1.0 hold none, nor do those that such a service makes or changes meanwhile: they
are made to before a key is given out.  Where two of them have one key the first of them holds it.  Both stay as they are; the
other one can be read, deleted and given another key, and is refused any change that keeps the doubled one.
"""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import Any, Final

from pymongo.errors import DuplicateKeyError

from dms_tags.bounded import Bounded
from dms_tags.metadata.store import LABEL, definition_range
from dms_tags.names import folded
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document, held

SETTLED_SECONDS: Final = 60.0
"""For so long a process believes that every definition of a tenant holds its key."""

TENANTS: Final = 1_000


class Keys:
    """The keys of all tenants.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database) -> None:
        self._tags = database.tags
        self._settled: Bounded[str, float] = Bounded(TENANTS)

    def settle(self, tenant: str) -> None:
        """Sees to it that every definition holds its key and nothing else, but for those whose key another one has."""
        until = self._settled.get(tenant)
        if until is not None and monotonic() < until:
            return
        until = monotonic() + SETTLED_SECONDS
        with store_errors():
            documents = list(self._tags.find(definition_range(tenant), {"tags": 1, "seq": 1, "holds": 1}, sort=[("_id", 1)]))
        unsettled = [(document, _wanted(tenant, document)) for document in documents]
        unsettled = [(document, wanted) for document, wanted in unsettled if document.get("holds") != wanted]
        for document, _ in unsettled:
            if "holds" in document:
                self._set(document, {"$unset": {"holds": ""}})
        for document, wanted in unsettled:
            if wanted is not None:
                with suppress(DuplicateKeyError):
                    self._set(document, {"$set": {"holds": wanted}})
        self._settled.put(tenant, until)

    def _set(self, document: Document, update: Document) -> None:
        with store_errors():
            self._tags.update_one({"_id": document["_id"], "seq": document["seq"]}, update)


def _wanted(tenant: str, document: Document) -> str | None:
    states: list[Any] = [row["state"] for row in document["tags"] if row["name"] == LABEL]
    return held(tenant, folded(states[0]["key"])) if states else None
