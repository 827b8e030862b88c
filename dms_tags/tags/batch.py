"""Many changes in few round trips to MongoDB (API.md section 3).

Each change stands alone: it is the same write, under the same conditions, as if it were sent alone, and what is decided
without a write was read from the object during the call.  Changes go in waves, one of each object at a time, so that
those of one object are made in the order given.  Whatever a wave leaves open, because others wrote meanwhile, takes the
single path.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError

from dms_tags.errors import Busy, StoreUnavailable, TagsError, TransitionNotAllowed, UnknownState
from dms_tags.model import Change, Changed
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document, tag_of
from dms_tags.tags import refusals
from dms_tags.tags.service import TagService
from dms_tags.tags.writes import compose, created, first_document

MAX_CHANGES: Final = 1_000
"""Changes of one request, at most."""

SMALLEST_WAVE: Final = 4
"""Changes of fewer objects than this are made one by one: it takes no more round trips."""

PIECE: Final = 250
"""Changes that go to MongoDB at once, at most."""

DUPLICATE_KEY: Final = 11000

Outcome = Changed | TagsError


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A change of a wave: what is written for it, and what comes of it if the write is made."""

    index: int
    key: str
    change_id: str
    operation: InsertOne[Document] | UpdateOne
    changed: Changed


class Batches:
    """Makes many changes at once."""

    def __init__(self, database: Database, service: TagService, clock: Callable[[], datetime] | None = None) -> None:
        self._database = database
        self._service = service
        self._clock = clock or database.clock.recorded

    def apply(self, changes: Sequence[Change]) -> list[Outcome]:
        """What came of each change: what it made, or why it was refused, in the order of the changes."""
        outcomes: list[Outcome | None] = [None] * len(changes)
        waiting: dict[str, deque[int]] = {}
        for index, change in enumerate(changes):
            waiting.setdefault(change.resource.key, deque()).append(index)
        while waiting:
            wave = [queue.popleft() for queue in waiting.values()]
            waiting = {key: queue for key, queue in waiting.items() if queue}
            self._make(changes, wave, outcomes)
        return [outcome for outcome in outcomes if outcome is not None]

    def _make(self, changes: Sequence[Change], wave: list[int], outcomes: list[Outcome | None]) -> None:
        """Makes the changes of a wave.  Once MongoDB does not answer, what is left is not tried."""
        lost: StoreUnavailable | None = None
        not_tried = StoreUnavailable("MongoDB did not answer an earlier change of the batch; this one was not tried")
        if any(map(_is_away, outcomes)):
            lost = not_tried
        elif len(wave) >= SMALLEST_WAVE and not self._database.mock:
            lost = self._in_pieces(changes, wave, outcomes)
        for index in wave:
            if outcomes[index] is None:
                outcomes[index] = self._alone(changes[index]) if lost is None else lost
                lost = not_tried if lost is None and _is_away(outcomes[index]) else lost

    def _in_pieces(self, changes: Sequence[Change], wave: list[int], outcomes: list[Outcome | None]) -> StoreUnavailable | None:
        """Makes what it can of a wave; the error where MongoDB did not answer for a part of it.

        The pieces go side by side, each on its own connection: while MongoDB writes one the next is prepared.
        """

        def make(piece: list[int]) -> StoreUnavailable | None:
            try:
                self._together(changes, piece, outcomes)
            except StoreUnavailable as error:
                return error
            return None

        pieces = [wave[start : start + PIECE] for start in range(0, len(wave), PIECE)]
        if len(pieces) == 1:
            return make(wave)
        with ThreadPoolExecutor(len(pieces)) as side_by_side:
            return next((error for error in side_by_side.map(make, pieces) if error is not None), None)

    def _alone(self, change: Change) -> Outcome:
        try:
            return self._service.change(change)
        except TagsError as error:
            return error

    def _together(self, changes: Sequence[Change], wave: list[int], outcomes: list[Outcome | None]) -> None:
        """Makes what it can of changes of different objects in two round trips, and leaves the rest open."""
        keys = [changes[index].resource.key for index in wave]
        projection = {"tags": 1, "lastAt": 1} | ({"replies": 1} if any(changes[index].idempotency for index in wave) else {})
        with store_errors():
            documents = {document["_id"]: document for document in self._database.tags.find({"_id": {"$in": keys}}, projection)}
        attempts: list[_Attempt] = []
        for index, key in zip(wave, keys, strict=True):
            try:
                prepared = self._prepare(index, changes[index], documents.get(key))
            except (UnknownState, TransitionNotAllowed):
                continue  # unless it is a repeat, or sets the state again: the single path tells
            except TagsError as error:
                prepared = error
            if isinstance(prepared, _Attempt):
                attempts.append(prepared)
            else:
                outcomes[index] = prepared
        for attempt in self._write(attempts):
            outcomes[attempt.index] = attempt.changed

    def _prepare(self, index: int, change: Change, document: Document | None) -> _Attempt | Outcome | None:
        """How the change is to be written, or what it comes to without a write; None: it takes the single path."""
        change = self._service.ruled(change)
        at = self._clock()
        if document is None:
            refusals.absent(change)
            new = first_document(change, at)
            return _Attempt(index, new["_id"], new["tags"][0]["etag"], InsertOne(new), created(change, new))
        tag = next((tag_of(row) for row in document["tags"] if row["name"] == change.name), None)
        repeated = refusals.reply(change, document.get("replies", ()), tag) is not None
        if repeated or (tag is not None and tag.lease is not None):
            return None  # what was read here may not be a majority's yet: the single path waits until it is
        change = refusals.conditions(change, tag)
        write = compose(change, refusals.verb(change, tag, len(document["tags"])), max(at, document["lastAt"]))
        return _Attempt(index, document["_id"], write.change_id, UpdateOne(write.query, write.update), write.outcome(change, tag))

    def _write(self, attempts: list[_Attempt]) -> list[_Attempt]:
        """Those of the attempts that were made."""
        if not attempts:
            return []
        with store_errors():
            try:
                result = self._database.tags.bulk_write([attempt.operation for attempt in attempts], ordered=False)
                made = result.matched_count + result.inserted_count
            except BulkWriteError as error:
                details: Any = error.details
                if details["writeConcernErrors"] or any(fault["code"] != DUPLICATE_KEY for fault in details["writeErrors"]):
                    raise
                made = details["nMatched"] + details["nInserted"]
            if made == len(attempts):
                return attempts
            ids = self._recorded(attempts)
        return [attempt for attempt in attempts if attempt.change_id in ids]

    def _recorded(self, attempts: list[_Attempt]) -> set[str]:
        """The ids of the changes that were made: each is in its object's outbox, or in the trail since."""
        ids = {attempt.change_id for attempt in attempts}
        keys = [attempt.key for attempt in attempts]
        documents = self._database.tags.find({"_id": {"$in": keys}}, {"outbox.id": 1})
        waiting = ids.intersection(record["id"] for document in documents for record in document["outbox"])
        moved = self._database.trail.find({"_id": {"$in": list(ids - waiting)}}, {"_id": 1})
        return waiting | {entry["_id"] for entry in moved}


def _is_away(outcome: Outcome | None) -> bool:
    """Whether MongoDB did not answer: what is still to be done would wait for it in vain."""
    return isinstance(outcome, StoreUnavailable) and not isinstance(outcome, Busy)
