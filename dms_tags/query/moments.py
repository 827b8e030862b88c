"""Times in statements: each is a span, so that `= TODAY()` means the whole day and `= '…'` one millisecond.

Tags keep their times in whole milliseconds, so a point in time is the span of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from dms_tags.model import now
from dms_tags.names import next_millisecond
from dms_tags.query.statement import Function, Value

MILLISECOND: Final = timedelta(milliseconds=1)

LATEST: Final = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)
"""The latest time that a statement may speak of: the span of any later one could not be told."""


@dataclass(frozen=True, slots=True)
class Span:
    """From `start`, included, to `end`, excluded; both in UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Clock:
    """The time at which a statement is evaluated, and the zone whose days its days are."""

    now: datetime = field(default_factory=now)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def span(self, moment: Value) -> Span:
        """What a time or a function of the statement stands for; `TypeError` for a value of another member."""
        match moment:
            case Function.TODAY:
                return self._day(0)
            case Function.YESTERDAY:
                return self._day(-1)
            case Function.NOW:
                return Span(self.now, self.now + MILLISECOND)
            case datetime():
                # One that is finer than the times of tags is the empty span between two of those
                first = next_millisecond(moment)
                return Span(first, first + MILLISECOND if first == moment else first)
            case _:
                raise TypeError(f"{moment!r} is no time")

    def _day(self, offset: int) -> Span:
        # Both ends are made from the calendar, not by adding 24 hours: a day on which the clocks change is 23 or 25 hours.
        date = self.now.astimezone(self.zone).date() + timedelta(days=offset)
        start, end = (
            datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC) for day in (date, date + timedelta(days=1))
        )
        return Span(start, end)
