"""Asks MongoDB for the objects of a statement, within the time that a statement may take (API.md section 3)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from time import monotonic
from typing import Any, Final

from pymongo.errors import ExecutionTimeout

from dms_tags.query.compiler import MAX_RUNS, Plan, Way
from dms_tags.query.filters import KEPT, Filter
from dms_tags.query.statement import Order, Property
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document
from dms_tags.tags.share import Place, Share, timed_out

MAX_SECONDS: Final = 5.0
"""Time that a statement may take on the server, in seconds; beyond it is `InvalidQuery`."""

MAX_COUNT: Final = 100_000
"""Matches that are counted; of more it is only said that there are more."""

PLACES: Final = 3
"""Statements that a process asks MongoDB about at once, at most; those of searches and of claims are counted apart."""

COUNT_SECONDS: Final = 2.0
"""Time for counting: a search that found its page is not refused because counting the rest takes long."""

_PROJECTION: Final = {"id": 1, "seq": 1, "lastAt": 1, "tags": 1, "attempts": 1, "known": 1}


class Finder:
    """Reads objects by plan, a few at a time.

    Every method raises `InvalidQuery` for a statement that takes too long by itself, and `StoreUnavailable`, also where
    too many others run.
    """

    def __init__(self, database: Database, seconds: float = MAX_SECONDS) -> None:
        self._database = database
        self._seconds = seconds
        self.share = Share(PLACES, "statements")

    def find(self, plan: Plan, limit: int, skip: int = 0) -> list[Document]:
        """The documents of up to `limit` objects, in the plan's order, after the first `skip`."""
        with self._in_time(plan):
            if self._database.mock:
                return _ordered(plan, self._database.tags.find(plan.filter, _PROJECTION))[skip : skip + limit]
            return self._find(plan, limit, skip, _Deadline(self._seconds))

    def after(self, plan: Plan, key: str, limit: int) -> list[Document]:
        """Of a plan in order of ids, those whose `_id` comes after `key`."""
        query = {"$and": [plan.filter, {"_id": {"$gt": key}}]}
        with self._in_time(plan):
            following = self._database.tags.find(
                query, _PROJECTION, sort=[("_id", 1)], limit=limit, max_time_ms=int(self._seconds * 1000)
            )
            return list(following)

    def count(self, plan: Plan) -> tuple[int, bool]:
        """How many objects match, and whether that is all of them: counting ends at `MAX_COUNT`, or when it takes long."""
        with self.share.place(), store_errors():
            if self._database.mock:
                return len(list(self._database.tags.find(plan.filter, {"_id": 1}))), True
            hint: dict[str, Any] = {"hint": "queue"} if plan.way in (Way.QUEUE, Way.STATES) else {}
            try:
                counted = self._database.tags.count_documents(
                    plan.filter, limit=MAX_COUNT + 1, maxTimeMS=int(COUNT_SECONDS * 1000), **hint
                )
            except ExecutionTimeout:
                return 0, False
        return min(counted, MAX_COUNT), counted <= MAX_COUNT

    @contextmanager
    def _in_time(self, plan: Plan) -> Iterator[None]:
        """A place for one look; what takes too long there is the statement's own fault only where it had no company.

        A look at a few objects that are named takes no time, and so no place.
        """
        with nullcontext(Place(alone=False)) if plan.few else self.share.place() as place, store_errors():
            try:
                yield
            except ExecutionTimeout as error:
                raise timed_out(place, MAX_SECONDS, "name the state of a tag, so that its queue can be read") from error

    def _find(self, plan: Plan, limit: int, skip: int, deadline: _Deadline) -> list[Document]:
        if plan.way is Way.SORTED:
            return self._sorted(plan, limit, skip, deadline)
        if plan.way in (Way.IDS, Way.CREATED):
            direction = -1 if plan.order.descending else 1
            sort = [("_id", direction)] if plan.way is Way.IDS else [(KEPT[Property.CREATION_DATE], 1), ("_id", 1)]
            # Objects that are named one by one leave no choice, and to weigh other indexes takes longer than to read them
            hint = "created" if plan.way is Way.CREATED else "_id_" if plan.few else None
            return list(
                self._database.tags.find(
                    plan.filter, _PROJECTION, sort=sort, skip=skip, limit=limit, hint=hint, max_time_ms=deadline.left()
                )
            )
        if plan.way is Way.STATES:
            return self._queue(plan, plan.filter, limit, skip, deadline)
        states = self._states(plan, deadline)
        if states is None:
            # Too many queues to merge: exact where the statement asks for the order, else as the index has it
            return (
                self._sorted(plan, limit, skip, deadline)
                if plan.strict
                else self._queue(plan, plan.filter, limit, skip, deadline)
            )
        if len(states) == 1:
            return self._queue(plan, plan.run(states[0]), limit, skip, deadline)
        runs = [self._queue(plan, plan.run(state), skip + limit, 0, deadline) for state in states]
        merged = heapq.merge(*runs, key=lambda document: _rank(plan, document), reverse=plan.order.descending)
        return list(islice(merged, skip, skip + limit))

    def _queue(self, plan: Plan, query: Filter, limit: int, skip: int, deadline: _Deadline) -> list[Document]:
        return list(
            self._database.tags.find(
                query,
                _PROJECTION,
                hint="queue",
                sort=[("kind", -1)] if plan.order.descending else None,
                skip=skip,
                limit=limit,
                max_time_ms=deadline.left(),
            )
        )

    def _states(self, plan: Plan, deadline: _Deadline) -> list[int] | None:
        """The states that the ordering tag is in; None where they are too many to be read one by one."""
        if plan.states is not None:
            return list(plan.states) if len(plan.states) <= MAX_RUNS else None
        states: list[int] = []
        while len(states) <= MAX_RUNS:
            document = self._database.tags.find_one(
                plan.next_state(states[-1] if states else None), {"tags": 1}, hint="queue", max_time_ms=deadline.left()
            )
            if document is None:
                return states
            states.append(next(row["state"] for row in document["tags"] if row["name"] == plan.order.name))
        return None

    def _sorted(self, plan: Plan, limit: int, skip: int, deadline: _Deadline) -> list[Document]:
        direction = -1 if plan.order.descending else 1
        ordering: Any = {"$first": {"$filter": {"input": "$tags", "cond": {"$eq": ["$$this.name", plan.order.name]}}}}
        by = f"_by.{plan.order.member}"
        if plan.order.known is not None:
            by, ordering = "_by", f"${KEPT[plan.order.known]}"
        stages: list[Document] = [
            {"$match": plan.filter},
            {"$project": {**_PROJECTION, "_by": ordering}},
            {"$set": {"_last": {"$eq": [{"$type": "$_by"}, "missing"]}}},
            {"$sort": {"_last": 1, by: direction, "_id": 1}},
            {"$skip": skip},
            {"$limit": limit},
            {"$unset": ["_by", "_last"]},
        ]
        return list(self._database.tags.aggregate(stages, maxTimeMS=deadline.left()))


class _Deadline:
    """What is left of the time for one statement."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    def left(self) -> int:
        """Milliseconds, at least one: 0 would be no limit."""
        return max(1, int((self._end - monotonic()) * 1000))


def _rank(plan: Plan, document: Document) -> Any:
    """What the plan orders by, of an object that has it."""
    if plan.order.known is not None:
        return _known(document, plan.order.known)
    if plan.order.name is None:
        return document["_id"]
    row = next(row for row in document["tags"] if row["name"] == plan.order.name)
    return (row["state"], row["creationDate"]) if plan.way is Way.STATES else row[str(plan.order.member)]


def _ordered(plan: Plan, documents: Iterable[Document]) -> list[Document]:
    """The documents in the order that the server's indexes give, for the store that has none."""
    by_id = sorted(documents, key=lambda document: str(document["_id"]))
    having = [document for document in by_id if _has(plan.order, document)]
    lacking = [document for document in by_id if not _has(plan.order, document)]
    return [*sorted(having, key=lambda document: _rank(plan, document), reverse=plan.order.descending), *lacking]


def _has(order: Order, document: Document) -> bool:
    """Whether the object has what the order goes by."""
    if order.known is not None:
        return _known(document, order.known) is not None
    return order.name is None or any(row["name"] == order.name for row in document["tags"])


def _known(document: Document, what: Property) -> Any:
    return document.get("known", {}).get(KEPT[what].removeprefix("known."))
