"""What a test implies for the states and times of a tag's row: what index bounds are made of.

A hull is never narrower than its test.  Where it is no wider either, `exact` says so, and the test need not be
repeated beside the bounds.  MongoDB itself makes no bounds from the usual
`state=1 AND (creationDate=YESTERDAY() OR creationDate=TODAY())`, and would read a queue from its oldest end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

from dms_tags.query.moments import Clock
from dms_tags.query.statement import And, Between, Compare, Member, Not, OneOf, Operator, Or, Test, Value

MAX_STATES: Final = 100
"""States that a `BETWEEN` is spelt out to, at most."""


@dataclass(frozen=True, slots=True)
class Hull:
    """Bounds of a row: `states` that it can be in (None: any), and its time, from `start`, included, to `end`, excluded."""

    states: frozenset[int] | None = None
    start: datetime | None = None
    end: datetime | None = None
    exact: bool = True

    def __and__(self, other: Hull) -> Hull:
        if self.states is None or other.states is None:
            states = self.states if other.states is None else other.states
        else:
            states = self.states & other.states
        starts = [start for start in (self.start, other.start) if start is not None]
        ends = [end for end in (self.end, other.end) if end is not None]
        return Hull(states, max(starts, default=None), min(ends, default=None), exact=self.exact and other.exact)

    def __or__(self, other: Hull) -> Hull:
        return Hull(
            None if self.states is None or other.states is None else self.states | other.states,
            None if self.start is None or other.start is None else min(self.start, other.start),
            None if self.end is None or other.end is None else max(self.end, other.end),
            exact=False,
        )


ANYTHING: Final = Hull()
UNKNOWN: Final = Hull(exact=False)


def hull(test: Test, clock: Clock) -> Hull:
    """The hull of a test."""
    match test:
        case Compare(Member.STATE, Operator.EQ, int(state)):
            return Hull(frozenset({state}))
        case OneOf(Member.STATE, values):
            return Hull(frozenset(value for value in values if isinstance(value, int)))
        case Between(Member.STATE, int(low), int(high)):
            return Hull(frozenset(range(low, high + 1))) if high - low < MAX_STATES else UNKNOWN
        case Compare(Member.CREATION_DATE, operator, value) if operator is not Operator.NE:
            return _times(operator, value, clock)
        case Between(Member.CREATION_DATE, low, high):
            return _times(Operator.GE, low, clock) & _times(Operator.LE, high, clock)
        case OneOf(Member.CREATION_DATE, values):
            return _widest([_times(Operator.EQ, value, clock) for value in values])
        case And(parts):
            together = ANYTHING
            for part in parts:
                together &= hull(part, clock)
            return together
        case Or(parts):
            return _widest([hull(part, clock) for part in parts])
        case Compare() | OneOf() | Between() | Not():
            return UNKNOWN
        case _:
            assert_never(test)


def _widest(hulls: Sequence[Hull]) -> Hull:
    widest = hulls[0]
    for other in hulls[1:]:
        widest |= other
    return widest


def _times(operator: Operator, value: Value, clock: Clock) -> Hull:
    span = clock.span(value)
    match operator:
        case Operator.EQ:
            return Hull(start=span.start, end=span.end)
        case Operator.LT:
            return Hull(end=span.start)
        case Operator.LE:
            return Hull(end=span.end)
        case Operator.GT:
            return Hull(start=span.end)
        case _:
            return Hull(start=span.start)
