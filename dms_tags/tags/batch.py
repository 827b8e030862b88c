"""Many changes in few round trips to MongoDB (API.md section 3).

Each change stands alone: it is the same write, under the same conditions, as if it were sent alone, and what is decided
without a write was read from the object during the call.  Changes go in waves, one of each object at a time, so that
those of one object are made in the order given; a piece of a wave is a group as single changes form it (`tags/groups.py`).
Whatever a wave leaves open, because others wrote meanwhile, takes the single path.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dms_tags.errors import Busy, ReasonRequired, StoreUnavailable, TagsError, TransitionNotAllowed, UnknownState
from dms_tags.model import Change, Changed
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document, tag_of
from dms_tags.tags import refusals
from dms_tags.tags.groups import Groups, Single
from dms_tags.tags.service import TagService
from dms_tags.tags.writes import Creation, Write, compose, creation

MAX_CHANGES: Final = 1_000
"""Changes of one request, at most."""

SMALLEST_WAVE: Final = 4
"""Changes of fewer objects than this are made one by one: it takes no more round trips."""

PIECE: Final = 250
"""Changes that go to MongoDB at once, at most."""

Outcome = Changed | TagsError


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A change of a wave: what is written for it, and what comes of it if the write is made."""

    index: int
    write: Single
    changed: Changed


class Batches:
    """Makes many changes at once."""

    def __init__(
        self, database: Database, service: TagService, groups: Groups, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._database = database
        self._service = service
        self._groups = groups
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
            lost = self._in_pieces(changes, wave, outcomes) or (not_tried if any(map(_is_away, outcomes)) else None)
        for index in wave:
            if outcomes[index] is None:
                outcomes[index] = self._alone(changes[index]) if lost is None else lost
                lost = not_tried if lost is None and _is_away(outcomes[index]) else lost

    def _in_pieces(self, changes: Sequence[Change], wave: list[int], outcomes: list[Outcome | None]) -> StoreUnavailable | None:
        """Makes what it can of a wave; the error where MongoDB could not be read for a part of it.

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
        """Makes what it can of changes of different objects in two or three round trips, and leaves the rest open."""
        keys = [changes[index].resource.key for index in wave]
        projection = {"tags": 1, "lastAt": 1} | ({"replies": 1} if any(changes[index].idempotency for index in wave) else {})
        with store_errors():
            documents = {document["_id"]: document for document in self._database.tags.find({"_id": {"$in": keys}}, projection)}
        attempts: list[_Attempt] = []
        for index, key in zip(wave, keys, strict=True):
            try:
                prepared = self._prepare(index, changes[index], documents.get(key))
            except (UnknownState, TransitionNotAllowed, ReasonRequired):
                continue  # unless it is a repeat, or sets the state again: the single path tells
            except TagsError as error:
                prepared = error
            if isinstance(prepared, _Attempt):
                attempts.append(prepared)
            else:
                outcomes[index] = prepared
        for kind in (Creation, Write):
            group = [attempt for attempt in attempts if isinstance(attempt.write, kind)]
            made = self._groups.together([attempt.write for attempt in group]) if group else []
            for attempt, outcome in zip(group, made, strict=True):
                if outcome is True:
                    outcomes[attempt.index] = attempt.changed
                elif isinstance(outcome, StoreUnavailable):
                    outcomes[attempt.index] = outcome
            if any(isinstance(outcome, StoreUnavailable) for outcome in made):
                return

    def _prepare(self, index: int, change: Change, document: Document | None) -> _Attempt | Outcome | None:
        """How the change is to be written, or what it comes to without a write; None: it takes the single path."""
        change = self._service.ruled(change)
        at = self._clock()
        if document is None:
            refusals.absent(change)
            new = creation(change, at)
            return _Attempt(index, new, new.outcome())
        tag = next((tag_of(row) for row in document["tags"] if row["name"] == change.name), None)
        repeated = refusals.reply(change, document.get("replies", ()), tag) is not None
        if repeated or (tag is not None and tag.lease is not None):
            return None  # what was read here may not be a majority's yet: the single path waits until it is
        change = refusals.conditions(change, tag)
        write = compose(change, refusals.verb(change, tag, len(document["tags"])), max(at, document["lastAt"]))
        return _Attempt(index, write, write.outcome(change, None if tag is None else tag.since))


def _is_away(outcome: Outcome | None) -> bool:
    """Whether MongoDB did not answer: what is still to be done would wait for it in vain."""
    return isinstance(outcome, StoreUnavailable) and not isinstance(outcome, Busy)
