"""The audit view of DMS clients: statements about objects' entries, answered a page at a time (API.md section 3).

Of one object `system:creationDate` is compared exactly.  Across objects it is when the entry entered the trail, which is
what an index can answer, as in every other question to the trail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING
from pymongo.errors import ExecutionTimeout

from dms_tags.audit.trail.entry import Entry
from dms_tags.audit.trail.filters import Filters
from dms_tags.audit.trail.query import Plan, TrailQuery
from dms_tags.audit.trail.trail import Trail
from dms_tags.model import Kind, Resource
from dms_tags.names import beginning
from dms_tags.query.audit import AuditStatement
from dms_tags.query.moments import Clock
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document
from dms_tags.tags.finder import COUNT_SECONDS, MAX_COUNT, MAX_SECONDS
from dms_tags.tags.share import Share, timed_out

PLACES: Final = 2
"""Statements about the trail that a process asks MongoDB about at once, at most."""

ADVICE: Final = "name an object, or fewer days"
OBJECTS: Final = {"$gte": f"{Kind.OBJECT}/", "$lt": f"{Kind.OBJECT}0"}
"""Every object, as the trail spells resources: 0 is the character after the slash."""


@dataclass(frozen=True, slots=True)
class ViewPage:
    """A page of entries.  `total` is how many match; where `bounded`, there are more than could be counted.

    Not `complete` where entries that were archived could have matched.
    """

    entries: list[Entry]
    more: bool
    total: int
    bounded: bool
    complete: bool


class AuditView:
    """Statements about the trail.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database, trail: Trail, query: TrailQuery, clock: Callable[[], Clock]) -> None:
        self._mock = database.mock
        self._trail = trail
        self._query = query
        self._clock = clock
        self._share = Share(PLACES, "statements about the trail")

    def page(
        self, tenant: str, statement: AuditStatement, skip: int, limit: int, prefixes: Sequence[str] | None = None
    ) -> ViewPage:
        """Up to `limit` entries after the first `skip`, complete: what was acknowledged before the call is among them.

        With `prefixes` only those of tags whose names begin with one of them.
        Raises `InvalidQuery` where it takes too long, and `Gone` for days that were archived.
        """
        of = None if statement.object_id is None else Resource(tenant, Kind.OBJECT, statement.object_id)
        start, end = statement.bounds(self._clock())
        filters = Filters(
            object_id=statement.object_id,
            action=statement.actions,
            state=None if statement.state is None else str(statement.state),
            trace_id=statement.trace_id,
            created_by=statement.created_by,
            since=start if of is None else None,
            until=end if of is None else None,
        )
        more: Document = _between(start, end) if of is not None else {"resource": OBJECTS}
        if prefixes is not None:
            more["name"] = beginning(prefixes)
        self._trail.wait_for(tenant, of)

        def read(cut: int) -> ViewPage:
            low, high = self._query.bounds(tenant, filters, self._trail.head(tenant), cut)
            plan = self._query.plan(tenant, filters, low, high)
            hint = plan.hint or ("trace" if statement.trace_id is not None else "actor" if statement.created_by else "state")
            plan = Plan(plan.where | more, hint, plan.along)
            entries, further = self._read(plan, skip, limit, descending=statement.descending)
            total, whole = skip + len(entries), True
            if further or (skip and not entries):
                total, whole = self._count(plan)
            return ViewPage(entries, further, total, not whole, self._query.complete(tenant, filters, cut))

        return self._trail.while_cut_stands(tenant, read)

    def _read(self, plan: Plan, skip: int, limit: int, *, descending: bool) -> tuple[list[Entry], bool]:
        with self._share.place() as place, store_errors():
            try:
                entries = list(
                    self._trail.entries.find(
                        plan.where,
                        sort=[(plan.along, DESCENDING if descending else ASCENDING)],
                        skip=skip,
                        limit=limit + 1,
                        hint=plan.hint,
                        max_time_ms=int(MAX_SECONDS * 1000),
                    )
                )
            except ExecutionTimeout as error:
                raise timed_out(place, MAX_SECONDS, ADVICE) from error
        return entries[:limit], len(entries) > limit

    def _count(self, plan: Plan) -> tuple[int, bool]:
        """How many entries match, and whether that is all of them: counting ends at `MAX_COUNT`, or when it takes long."""
        with self._share.place(), store_errors():
            if self._mock:
                return len(list(self._trail.entries.find(plan.where, {"_id": 1}))), True
            try:
                counted = self._trail.entries.count_documents(
                    plan.where, limit=MAX_COUNT + 1, maxTimeMS=int(COUNT_SECONDS * 1000), hint=plan.hint
                )
            except ExecutionTimeout:
                return 0, False
        return min(counted, MAX_COUNT), counted <= MAX_COUNT


def _between(start: datetime | None, end: datetime | None) -> Document:
    bounds: dict[str, Any] = {name: moment for name, moment in (("$gte", start), ("$lt", end)) if moment is not None}
    return {"creationDate": bounds} if bounds else {}
