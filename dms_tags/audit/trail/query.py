"""Asking the trail: filters, order, pages.  Every question is answered from an index (`dms_tags.store.indexes`).

Times go by `recordedAt`, which never runs backwards with `position`, and positions are dense: a time is found by bisecting
positions, so "anything and a time" is "anything and a range of positions" and no index needs a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING

from dms_tags.audit.trail.entry import Entry
from dms_tags.audit.trail.filters import Filters, parse_cursor, spell_cursor
from dms_tags.audit.trail.trail import Trail
from dms_tags.errors import Gone
from dms_tags.model import Kind, Resource
from dms_tags.names import trace_spellings
from dms_tags.store.database import store_errors
from dms_tags.store.documents import Document

BATCH: Final = 1000
"""Entries that a walk through many reads at once."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of entries; `next` is the cursor of the page that follows, None where there is none.

    `first` is the oldest position that is held; not `complete` where entries that were archived could have matched.
    """

    entries: list[Entry]
    next: str | None
    head: int
    first: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A question as MongoDB is asked it: a filter, the index that answers it, and what that index runs along."""

    where: Document
    hint: str | None
    along: str


class TrailQuery:
    """Questions to the trail.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail

    def page(
        self, tenant: str, filters: Filters, *, descending: bool = True, limit: int = 100, cursor: str | None = None
    ) -> Page:
        """One page, complete: what was acknowledged before the call is in it.

        Raises `InvalidParameter` for a cursor that is not one of this question, `Gone` for what was archived away.
        """
        start = parse_cursor(cursor, filters, descending=descending)
        self._trail.wait_for(tenant, _resource(tenant, filters))

        def read(cut: int) -> Page:
            if start is not None and start["position"] < (cut + 1 if descending else cut):
                raise gone(cut)  # what the page before ended with was archived meanwhile
            head = self._trail.head(tenant)
            low, high = self.bounds(tenant, filters, head, cut)
            plan = self.plan(tenant, filters, low, high)
            entries = self._read(plan, descending=descending, start=start, limit=limit + 1)
            more = len(entries) > limit
            following = spell_cursor(entries[limit - 1], filters, descending=descending) if more else None
            return Page(entries[:limit], following, head, cut + 1, self.complete(tenant, filters, cut))

        return self._trail.while_cut_stands(tenant, read)

    def complete(self, tenant: str, filters: Filters, cut: int) -> bool:
        """Whether nothing that was archived, up to the cut, could match."""
        if not cut or filters.after is not None or filters.since is not None:
            return True  # a range that reaches below the cut is refused
        resource = _resource(tenant, filters)
        return resource is not None and self._trail.baseline(resource, cut) is None

    def walk(self, tenant: str, filters: Filters, upto: int, cut: int) -> Iterator[list[Entry]]:
        """All that matches above `cut`, as it was when the walk was ordered, and up to `upto`, in batches, in order of position.

        Raises `Gone` where entries that were still to come are archived meanwhile: then nothing is skipped in silence.
        """
        low, high = self.bounds(tenant, filters, upto, cut)
        plan = self.plan(tenant, filters, low, high)
        start: Entry | None = None
        done = low
        while True:
            batch = self._read(plan, descending=False, start=start, limit=BATCH)
            cut_now = self._trail.cut(tenant)  # read after the batch: entries are removed only below a cut that was moved before
            if cut_now > cut and min(cut_now, high) > done:
                raise gone(cut_now)
            if batch:
                yield batch
                start, done = batch[-1], batch[-1]["position"]
            if len(batch) < BATCH:
                return

    def bounds(self, tenant: str, filters: Filters, head: int, cut: int) -> tuple[int, int]:
        """The positions between which the answer lies, the first excluded, the last included, of a trail with this cut.

        Raises `Gone` where part of what is asked for by position or time was archived away.
        """
        low, high = max(cut, filters.after or 0), head
        if filters.before is not None:
            high = min(high, filters.before - 1)
        if filters.since is not None:
            low = max(low, self.last_before(tenant, filters.since, cut, head))
        if filters.until is not None:
            high = min(high, self.last_before(tenant, filters.until, cut, head))
        if cut and self._reaches_back(tenant, filters, cut):
            raise gone(cut)
        return low, high

    def _reaches_back(self, tenant: str, filters: Filters, cut: int) -> bool:
        if filters.after is not None:
            return filters.after < cut
        if filters.since is not None:
            return filters.since <= self._trail.cut_time(tenant)
        return (filters.before is not None and filters.before <= cut + 1) or (
            filters.until is not None and filters.until <= self._trail.cut_time(tenant)
        )

    def last_before(self, tenant: str, moment: datetime, cut: int, head: int) -> int:
        """The last position recorded before `moment`; the cut where there is none."""
        return bisect(cut, head, lambda position: self._recorded(tenant, position) < moment)

    def _recorded(self, tenant: str, position: int) -> datetime:
        entry = self._first({"tenant": tenant, "position": position}, "recordedAt", "position")
        if entry is None:  # archived since the bisection began
            return self._trail.cut_time(tenant)
        recorded: datetime = entry["recordedAt"]
        return recorded

    def plan(self, tenant: str, filters: Filters, low: int, high: int) -> Plan:
        """How MongoDB is asked for what matches above `low`, up to `high`."""
        where: Document = {"tenant": tenant, "position": {"$gt": low, "$lte": high}}
        resources = {filters.resource, filters.object_id and f"object/{filters.object_id}"} - {None}
        if len(resources) == 2 or low >= high:
            return Plan({"tenant": tenant, "position": {"$lt": 0}}, "position", "position")
        for member in resources:
            where["resource"] = member
        if filters.within is not None:
            where["within"] = filters.within
        if filters.name is not None:
            where["name"] = filters.name
        if filters.action:
            where["action"] = {"$in": list(filters.action)} if len(filters.action) > 1 else filters.action[0]
        if filters.state is not None:
            where["state"] = _state(filters.state)
        if filters.trace_id is not None:
            where["traceId"] = {"$in": trace_spellings(filters.trace_id)}
        if filters.created_by is not None:
            where["createdBy"] = filters.created_by
        given = where.keys() - {"tenant", "position"}
        if "resource" in given and not given & {"name", "traceId"}:
            self._along_revisions(where, low, high)
            return Plan(where, "revision", "revision")
        return Plan(where, _hint(given), "position")

    def _along_revisions(self, where: Document, low: int, high: int) -> None:
        """Turns the range of positions into one of the resource's revisions, which run with them and are dense."""
        of = {"tenant": where["tenant"], "resource": where["resource"]}
        ends = [self._end(of, direction) for direction in (ASCENDING, DESCENDING)]
        if ends[0] is None or ends[1] is None:
            where["revision"] = {"$lt": 0}
            return
        (first, first_position), (last, last_position) = ends[0], ends[1]

        def upto(bound: int) -> int:
            if bound < first_position:
                return first - 1
            if bound >= last_position:
                return last
            return bisect(first - 1, last, lambda revision: self._position(of, revision) <= bound)

        del where["position"]
        where["revision"] = {"$gt": upto(low), "$lte": upto(high)}

    def _end(self, of: Mapping[str, Any], direction: int) -> tuple[int, int] | None:
        entry = self._first(of, "position", "revision", direction)
        return None if entry is None else (entry["revision"], entry["position"])

    def _position(self, of: Mapping[str, Any], revision: int) -> int:
        entry = self._first({**of, "revision": revision}, "position", "revision")
        return 0 if entry is None else int(entry["position"])

    def _first(self, where: Mapping[str, Any], member: str, hint: str, direction: int = ASCENDING) -> Document | None:
        """The first entry along `hint`, an index named after what it runs along, with that and `member`."""
        with store_errors():
            entries = self._trail.entries.find(where, {hint: 1, member: 1}, sort=[(hint, direction)], limit=1, hint=hint)
            return next(iter(entries), None)

    def _read(self, plan: Plan, *, descending: bool, start: Mapping[str, Any] | None, limit: int) -> list[Entry]:
        where = plan.where
        if start is not None:
            bounds = dict(where[plan.along])
            # a cursor only ever narrows: it never reaches out of what was asked for
            if descending:
                bounds["$lt"] = start[plan.along]
            else:
                bounds["$gt"] = max(bounds.get("$gt", 0), start[plan.along])
            where = where | {plan.along: bounds}
        with store_errors():
            return list(
                self._trail.entries.find(
                    where,
                    sort=[(plan.along, DESCENDING if descending else ASCENDING)],
                    limit=limit,
                    hint=plan.hint,
                    batch_size=limit,
                )
            )


def gone(cut: int) -> Gone:
    """The error of who asks for what was archived."""
    return Gone(f"entries before position {cut + 1} were archived", cut + 1)


def bisect(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The last number above `low` and up to `high` for which `holds`, which changes to false once; `low` if for none."""
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _hint(given: set[str]) -> str | None:
    """The index for these filters; None leaves the choice among the single ones to MongoDB, which tries them."""
    if not given:
        return "position"
    if "resource" in given:
        return "resource_name" if "name" in given else "resource_trace"
    singles = {"name": "name", "action": "action", "state": "state", "traceId": "trace", "createdBy": "actor", "within": "within"}
    return singles[next(iter(given))] if len(given) == 1 else None


def _resource(tenant: str, filters: Filters) -> Resource | None:
    """The resource that is asked about, so that only its own pending changes are waited for."""
    name = filters.resource or (filters.object_id and f"object/{filters.object_id}")
    kind, _, key = (name or "").partition("/")
    return Resource(tenant, Kind(kind), key) if kind in set(Kind) and key else None


def _state(text: str) -> Any:
    """A state as it is asked for: an integer is one on objects and may be a text elsewhere."""
    if text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() and len(text) <= 11:
        return {"$in": [int(text), text]}
    return text
