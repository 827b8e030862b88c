"""Changes of many objects, all made or none: the writes of each object in one transaction (DESIGN.md, "Objects").

Its first write takes hold of the documents, so that what is then read stands until the end: others wait for the few milliseconds that
it takes, and it seldom has to begin anew, however busy they are.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any, Final

import pymongo
from pymongo.client_session import ClientSession

from dms_tags.errors import Busy, StoreUnavailable
from dms_tags.model import Resource, Tag, Terms, new_id, new_trace_id
from dms_tags.objects import kept
from dms_tags.objects.judge import Ruled, judge, touched
from dms_tags.objects.model import Asked, Standing
from dms_tags.objects.writes import PROJECTION, Prepared, prepare
from dms_tags.store.database import Database
from dms_tags.store.documents import Document, tag_of, told_of
from dms_tags.store.transaction import TransactionLost, all_or_nothing
from dms_tags.store.waiting import awaited
from dms_tags.tags.groups import CONFIRMATION_SECONDS, SHORT_LOOK, Look, request
from dms_tags.tags.store import TagStore
from dms_tags.tags.writes import MAX_OUTBOX, Write

PATIENCE: Final = 4.0
"""Seconds for which a change that keeps meeting other writers is begun anew."""

PAUSE: Final = 0.02
"""Seconds, at most, before it is."""

NEVER: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(tzinfo=UTC)


class _Lapsed(Exception):
    """Leases have run out, of tags that the call touches."""

    def __init__(self, leased: Sequence[tuple[Resource, Tag]]) -> None:
        super().__init__()
        self.leased = leased


class ManyObjects:
    """Many objects in MongoDB, changed together.

    `step` is called with the name of each step before it is made: the seam at which tests let a service die.
    """

    def __init__(
        self,
        database: Database,
        store: TagStore,
        clock: Callable[[], datetime] | None = None,
        step: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._database = database
        self._store = store
        self._clock = clock or database.clock.recorded
        self._step = step

    def change(
        self, asked: Sequence[Asked], terms: Terms, ruled: Ruled, before_write: Callable[[], None] = lambda: None
    ) -> list[Standing]:
        """Makes what is asked of all objects, or nothing.

        `before_write` is called when nothing is against the changes any more, before each attempt to write them.
        Raises what `judge` does, `IdempotencyKeyReused` and `StoreUnavailable`.
        """
        trace_id = terms.trace_id or new_trace_id()
        give_up = monotonic() + PATIENCE
        lapsed_by: datetime | None = None
        while True:
            lapses = lapsed_by or self._clock()
            attempt = _Attempt(self._database, self._clock, self._step, asked, terms, trace_id, ruled, lapses, before_write)
            try:
                return all_or_nothing(self._database, attempt.make)
            except _Lapsed as lapsed:
                for resource, tag in lapsed.leased:
                    self._store.take_back(resource, tag)
                lapsed_by = NEVER  # what was not taken back runs still, by the database's clock
            except TransactionLost:
                lapsed_by = LATEST  # this process's clock may be behind the database's
                sleep(random.uniform(0, PAUSE))  # noqa: S311 - spreads writers out, no secret
            except StoreUnavailable as error:
                if error.uncertain and self._was_made(attempt.prepared):
                    return [prepared.standing for prepared in attempt.prepared]
                raise
            if monotonic() > give_up:
                raise Busy(f"too many writers on these {len(asked)} objects at once; nothing was changed")

    def _was_made(self, prepared: Sequence[Prepared]) -> bool:
        """Whether a majority has the change, which MongoDB did not confirm; of one that has no record it cannot be known.

        All of it is kept or nothing, so that one of its records tells of all.
        """
        telling = next((each.write for each in prepared if each.write is not None and each.changes), None)
        if telling is None:
            return False
        look = Look(self._database, [telling], 1)
        with pymongo.timeout(SHORT_LOOK):
            awaited(look.once, CONFIRMATION_SECONDS)
        return telling.change_id in look.seen


class _Attempt:
    """One transaction, and what it was about to write."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        step: Callable[[str], None],
        asked: Sequence[Asked],
        terms: Terms,
        trace_id: str,
        ruled: Ruled,
        lapsed_by: datetime,
        before_write: Callable[[], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._step = step
        self._asked = asked
        self._terms = terms
        self._trace_id = trace_id
        self._ruled = ruled
        self._lapsed_by = lapsed_by
        self._before_write = before_write
        self.prepared: list[Prepared] = []

    def make(self, session: ClientSession | None) -> list[Standing]:
        """All of it, within the transaction.  Raises what `judge` does, `IdempotencyKeyReused`, `Busy`, `TransactionLost`."""
        keys = [asked.resource.key for asked in self._asked]
        if session is not None:
            self._step("hold")
            hold = {"$set": {"held": new_id()}}
            self._database.tags.update_many({"_id": {"$in": keys}}, hold, session=session)
        wanted = PROJECTION | {"outbox.id": 1, "replies": 1}
        rows: Any = self._database.tags.find({"_id": {"$in": keys}}, wanted, session=session)
        documents: dict[str, Document] = {document["_id"]: document for document in rows}
        replayed = self._replayed(documents)
        if replayed is not None:
            return replayed
        self._require_running(documents)
        judgements = judge(self._asked, self._terms, documents, self._ruled)
        for asked, judgement in zip(self._asked, judgements, strict=True):
            document = documents.get(asked.resource.key)
            at = self._clock() if document is None else max(self._clock(), document["lastAt"])
            each = prepare(asked, judgement, self._terms, self._trace_id, document, at, self._database.not_yet)
            if document is not None and len(document["outbox"]) + each.changes > MAX_OUTBOX:
                raise Busy(f"the last {MAX_OUTBOX} changes of {asked.resource.name} wait for the audit trail", retry_after=2)
            self.prepared.append(each)
        self._before_write()
        self._write(session)
        self._step("commit")
        return [each.standing for each in self.prepared]

    def _replayed(self, documents: dict[str, Document]) -> list[Standing] | None:
        """The answer to an earlier, equal request; None: there was none.  An object may have forgotten the key, for newer ones."""
        each = [(asked, documents.get(asked.resource.key)) for asked in self._asked]
        answers = [None if document is None else kept.replayed(asked, self._terms, document) for asked, document in each]
        if not any(answers):
            return None
        return [
            answer or Standing(asked.resource.id, tuple(map(tag_of, (document or {"tags": ()})["tags"])), told_of(document or {}))
            for answer, (asked, document) in zip(answers, each, strict=True)
        ]

    def _require_running(self, documents: dict[str, Document]) -> None:
        """Raises `_Lapsed` where a lease may have to be taken back before the call can touch its tag."""
        lapsed = [
            (asked.resource, tag)
            for asked in self._asked
            for tag in touched(asked, documents.get(asked.resource.key))
            if tag.lease is not None and tag.lease.until <= self._lapsed_by
        ]
        if lapsed:
            raise _Lapsed(lapsed)

    def _write(self, session: ClientSession | None) -> None:
        """Writes all of it.  Raises `TransactionLost` where a lease has ended meanwhile."""
        writes = [each.write for each in self.prepared if each.write is not None]
        tags = self._database.tags
        self._step("write")
        if session is None:
            updates = [write for write in writes if isinstance(write, Write)]
            if any(tags.find_one(update.query) is None for update in updates):
                raise TransactionLost
            for write in writes:
                if isinstance(write, Write):
                    tags.update_one(write.query, write.update)
                else:
                    tags.insert_one(write.document)
        elif writes:
            made = tags.bulk_write([request(write) for write in writes], session=session)
            if made.matched_count + made.inserted_count < len(writes):
                raise TransactionLost
