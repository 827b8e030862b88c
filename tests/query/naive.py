"""The statement language once more, as plainly as it can be said: what the compiled filters are checked against."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from dms_tags.query.moments import Clock
from dms_tags.query.statement import (
    Absent,
    And,
    Between,
    Compare,
    Condition,
    Function,
    Holds,
    Known,
    KnownIn,
    Member,
    Not,
    ObjectIdIn,
    OneOf,
    Operator,
    Or,
    Present,
    Property,
    Test,
    Value,
)

Rows = dict[str, dict[str, Any]]
Facts = dict[Property, Any]
"""What is known of an object."""


def matches(condition: Condition | None, object_id: str, rows: Rows, clock: Clock, facts: Facts | None = None) -> bool:
    """Whether the condition holds of an object with these rows, by name, of which so much is known."""
    known = facts or {}
    match condition:
        case None:
            return True
        case And(parts):
            return all(matches(part, object_id, rows, clock, facts) for part in parts)
        case Or(parts):
            return any(matches(part, object_id, rows, clock, facts) for part in parts)
        case Not(part):
            return not matches(part, object_id, rows, clock, facts)
        case Present(name):
            return name in rows
        case Absent(name):
            return name not in rows
        case ObjectIdIn(ids):
            return object_id in ids
        case Known(what, operator, value):
            return what in known and compared(known[what], operator, value, clock)
        case KnownIn(what, values):
            return what in known and any(compared(known[what], Operator.EQ, value, clock) for value in values)
        case Holds(name, test):
            return name in rows and holds(test, rows[name], clock)


def holds(test: Test, row: dict[str, Any], clock: Clock) -> bool:
    """Whether the test holds of the row."""
    match test:
        case And(parts):
            return all(holds(part, row, clock) for part in parts)
        case Or(parts):
            return any(holds(part, row, clock) for part in parts)
        case Not(part):
            return not holds(part, row, clock)
        case Compare(Member.TRACE_ID, _, value):
            return str(value).zfill(32) == str(row["traceid"]).zfill(32)
        case Compare(member, operator, value):
            return compared(row[member], operator, value, clock)
        case OneOf(member, values):
            return any(compared(row[member], Operator.EQ, value, clock) for value in values)
        case Between(member, low, high):
            return compared(row[member], Operator.GE, low, clock) and compared(row[member], Operator.LE, high, clock)


def compared(have: Any, operator: Operator, value: Value, clock: Clock) -> bool:
    """One comparison; a day is compared by the calendar's date."""
    want: Any = value
    if value in (Function.TODAY, Function.YESTERDAY):
        have = have.astimezone(clock.zone).date()
        want = clock.now.astimezone(clock.zone).date() - timedelta(days=value is Function.YESTERDAY)
    elif value is Function.NOW:
        want = clock.now
    elif isinstance(value, datetime):
        want = value
    verdicts: dict[Operator, bool] = {
        Operator.EQ: have == want,
        Operator.NE: have != want,
        Operator.LT: have < want,
        Operator.LE: have <= want,
        Operator.GT: have > want,
        Operator.GE: have >= want,
    }
    return verdicts[operator]
