"""How much was recorded: in each of some spans of time, and of which kind.

Positions are dense and run with time, so what was recorded between two moments is told by two positions, and a million entries
are counted as fast as a thousand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dms_tags.audit.trail.query import TrailQuery
from dms_tags.audit.trail.trail import Trail
from dms_tags.model import Action
from dms_tags.store.database import store_errors

MOST: Final = 100_000
"""Entries of one action that are counted; of more it is told that there are so many."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What was recorded: in each span, all together, and of each action (`MOST` at most); `head` is the trail's end."""

    spans: tuple[int, ...]
    by_action: Mapping[Action, int]
    head: int

    @property
    def total(self) -> int:
        """Entries of all spans."""
        return sum(self.spans)


class Activities:
    """Counts entries of any tenant's trail.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, trail: Trail, query: TrailQuery) -> None:
        self._trail = trail
        self._query = query

    def between(self, tenant: str, moments: Sequence[datetime]) -> Activity:
        """What was recorded between each of the moments, in order of time, and the next, the last span up to now; archived entries count as none."""
        cut, head = self._trail.cut(tenant), self._trail.head(tenant)
        ends = [cut]
        for moment in moments:
            ends.append(self._query.last_before(tenant, moment, ends[-1], head))
        begins = ends[1:]
        spans = tuple(end - begin for begin, end in zip(begins, [*begins[1:], head], strict=True))
        return Activity(spans, self._by_action(tenant, begins[0], head), head)

    def _by_action(self, tenant: str, begin: int, head: int) -> dict[Action, int]:
        where = {"tenant": tenant, "position": {"$gt": begin, "$lte": head}}
        counts: dict[Action, int] = {}
        for action in Action if head > begin else ():
            with store_errors():
                count = self._trail.entries.count_documents({**where, "action": int(action)}, hint="action", limit=MOST)
            if count:
                counts[action] = count
        return counts
