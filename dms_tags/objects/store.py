"""The engine of changes of whole objects, one by one: each is one write (DESIGN.md, "Objects")."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from time import monotonic
from typing import Any

from pymongo.errors import DuplicateKeyError

from dms_tags.errors import Busy, StoreUnavailable
from dms_tags.model import Resource, Terms, new_trace_id
from dms_tags.objects import kept
from dms_tags.objects.judge import Ruled, judge, touched
from dms_tags.objects.model import Asked, Standing, never_heard_of
from dms_tags.objects.writes import PROJECTION, Prepared, prepare
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document, tag_of, told_of
from dms_tags.store.waiting import awaited
from dms_tags.tags.reads import SharedReads
from dms_tags.tags.store import PATIENCE, TagStore
from dms_tags.tags.writes import MAX_OUTBOX


class ObjectStore:
    """Whole objects in MongoDB.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database, store: TagStore, clock: Callable[[], datetime] | None = None) -> None:
        self._database = database
        self._store = store
        self._clock = clock or database.clock.recorded
        self._reads = SharedReads(lambda _name, keys: self._find(keys, {}))

    def read(self, resource: Resource) -> Standing:
        """The object as it stands; leases that have run out are taken back first.  Raises `ObjectNotFound`."""
        while True:
            document = self._reads.read(resource.key, None)
            if document is None:
                raise never_heard_of(resource.id)
            tags = tuple(map(tag_of, document["tags"]))
            lapsed = [tag for tag in tags if tag.lease is not None and tag.lease.until <= self._clock()]
            if not any(self._store.take_back(resource, tag) for tag in lapsed):
                return Standing(resource.id, tags, told_of(document))

    def change(self, asked: Asked, terms: Terms, ruled: Ruled, before_write: Callable[[], None] = lambda: None) -> Standing:
        """Makes all changes of one object, or none.  Raises what `judge` does, `IdempotencyKeyReused`, `StoreUnavailable`.

        `before_write` is called when nothing is against the changes any more, before each attempt to write them.
        """
        key = asked.resource.key
        trace_id = terms.trace_id or new_trace_id()
        give_up = monotonic() + PATIENCE
        wanted: dict[str, int] = {} if terms.idempotency is None else {"replies": 1}
        with ExitStack() as turn:
            for attempt in itertools.count():
                more = wanted | ({"outbox.id": 1} if attempt else {})
                document = self._find([key], more).get(key) if more else self._reads.read(key, None)
                standing = self._replayed(asked, terms, document)
                if standing is not None:
                    return standing
                if self._took_back(asked, document, again=bool(attempt)):
                    continue
                prepared = self._prepare(asked, terms, trace_id, document, ruled)
                if prepared.write is None and document is not None:
                    # That it is done already is an answer like any other: it rests on what a majority has
                    document = self._settled(asked, document)
                    prepared = self._prepare(asked, terms, trace_id, document, ruled)
                if prepared.write is None:
                    return prepared.standing
                before_write()
                if self._make(prepared):
                    return prepared.standing
                if document is not None and len(document.get("outbox", ())) + prepared.changes > MAX_OUTBOX:
                    raise Busy(f"the last {MAX_OUTBOX} changes of {asked.resource.name} wait for the audit trail", retry_after=2)
                if monotonic() > give_up:
                    raise Busy(f"too many writers on {asked.resource.name} at once; nothing was changed")
                if attempt == 0:
                    turn.enter_context(self._store.turn(asked.resource))
        raise AssertionError("unreachable")  # pragma: no cover - the loop ends by return or raise

    def _prepare(self, asked: Asked, terms: Terms, trace_id: str, document: Document | None, ruled: Ruled) -> Prepared:
        documents = {} if document is None else {asked.resource.key: document}
        (judgement,) = judge([asked], terms, documents, ruled)
        at = self._clock() if document is None else max(self._clock(), document["lastAt"])
        return prepare(asked, judgement, terms, trace_id, document, at, self._database.not_yet)

    def _make(self, prepared: Prepared) -> bool:
        """Makes a write; False: its query did not match, or another made the document."""
        if prepared.write is None:
            return True
        try:
            if prepared.changes:
                return self._store.groups.make(prepared.write)
            # No record could tell of it later, so that it does not travel with others
            (outcome,) = self._store.groups.together([prepared.write])
        except DuplicateKeyError:
            return False
        if isinstance(outcome, DuplicateKeyError):
            return False
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _took_back(self, asked: Asked, document: Document | None, *, again: bool) -> bool:
        """Whether a lease was taken back that had run out, of a tag that the call touches."""
        leased = [(tag, tag.lease.until) for tag in touched(asked, document) if tag.lease is not None]
        lapsed = [tag for tag, until in leased if again or until <= self._clock()]
        return sum(self._store.take_back(asked.resource, tag) for tag in lapsed) > 0

    def _settled(self, asked: Asked, document: Document) -> Document:
        """The object as a majority has it, at least as new as it was read."""
        settled = self._database.majority(self._database.tags)
        query = {"_id": asked.resource.key, "seq": {"$gte": document["seq"]}}

        def look() -> Document | None:
            with store_errors():
                return settled.find_one(query, PROJECTION)

        seen = awaited(look, PATIENCE)
        if seen is None:
            raise _unsettled()
        return seen

    def _replayed(self, asked: Asked, terms: Terms, document: Document | None) -> Standing | None:
        """The answer to an earlier, equal request, once a majority has it; None: there was none."""
        standing = None if document is None else kept.replayed(asked, terms, document)
        if standing is None:
            return None
        settled = self._database.majority(self._database.tags)
        query = {"_id": asked.resource.key, "replies.key": {"$in": list(kept.keys(asked, terms))}}

        def look() -> Document | None:
            with store_errors():
                return settled.find_one(query, {"_id": 1})

        if awaited(look, PATIENCE) is None:
            raise _unsettled()
        return standing

    def _find(self, keys: Sequence[str], more: Mapping[str, int]) -> dict[str, Document]:
        with store_errors():
            if len(keys) == 1:
                alone = self._database.tags.find_one({"_id": keys[0]}, PROJECTION | dict(more))
                return {} if alone is None else {keys[0]: alone}
            documents: Any = self._database.tags.find({"_id": {"$in": list(keys)}}, PROJECTION | dict(more))
            return {document["_id"]: document for document in documents}


def _unsettled() -> StoreUnavailable:
    return StoreUnavailable(
        "what the request asks for was done before and was not confirmed by a majority of MongoDB yet; send it again",
        uncertain=True,
    )
