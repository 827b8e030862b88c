"""How much was recorded: in each of some spans of time, and of which kind.

Positions are dense and run with time, so what was recorded between two moments is told by two positions, and a million entries
are counted as fast as a thousand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dms_tags.audit.trail.trail import Trail
from dms_tags.model import Action
from dms_tags.store.database import store_errors

MOST: Final = 50_000
"""Entries of one action that are counted; of more it is told that there are so many."""

SAMPLES: Final = 16
"""Positions that are looked at for each moment in one read: a million entries are narrowed down to one by five reads."""


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

    def __init__(self, trail: Trail) -> None:
        self._trail = trail

    def between(self, tenant: str, moments: Sequence[datetime]) -> Activity:
        """What was recorded between each of the moments, in order of time, and the next, the last span up to now; archived entries count as none."""
        cut, head = self._trail.cut(tenant), self._trail.head(tenant)
        begins = self._last_before(tenant, moments, cut, head)
        spans = tuple(end - begin for begin, end in zip(begins, [*begins[1:], head], strict=True))
        return Activity(spans, self._by_action(tenant, begins[0], head), head)

    def _last_before(self, tenant: str, moments: Sequence[datetime], cut: int, head: int) -> list[int]:
        """The last position recorded before each moment, the cut where there is none; all are narrowed down together."""
        bounds = [(cut, head) for _ in moments]
        while any(low < high for low, high in bounds):
            samples = [range(low + 1, high + 1, max(1, (high - low) // SAMPLES)) for low, high in bounds]
            where = {"tenant": tenant, "position": {"$in": sorted({position for some in samples for position in some})}}
            with store_errors():
                entries = self._trail.entries.find(where, {"position": 1, "recordedAt": 1}, hint="position")
                recorded = {entry["position"]: entry["recordedAt"] for entry in entries}
            for number, (moment, positions) in enumerate(zip(moments, samples, strict=True)):
                low, high = bounds[number]
                for position in positions:
                    if position in recorded and recorded[position] >= moment:
                        high = position - 1
                        break
                    low = position  # also where it was archived since
                bounds[number] = (low, high)
        return [low for low, _ in bounds]

    def _by_action(self, tenant: str, begin: int, head: int) -> dict[Action, int]:
        where = {"tenant": tenant, "position": {"$gt": begin, "$lte": head}}
        counts: dict[Action, int] = {}
        for action in Action if head > begin else ():
            with store_errors():
                count = self._trail.entries.count_documents({**where, "action": int(action)}, hint="action", limit=MOST)
            if count:
                counts[action] = count
        return counts
