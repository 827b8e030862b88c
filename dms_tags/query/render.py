"""A statement as text again: what `parse` reads back as the same statement."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeVar, assert_never

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
    Not,
    ObjectIdIn,
    OneOf,
    Or,
    Order,
    Present,
    Statement,
    Test,
    Value,
)

N = TypeVar("N", Condition, Test)


def render(statement: Statement) -> str:
    """The statement in its shortest usual spelling, on one line."""
    where = "" if statement.condition is None else f" WHERE {_condition(statement.condition)}"
    order = "" if statement.order is None else f" ORDER BY {_order(statement.order)}"
    return f"SELECT * FROM {statement.type}{where}{order}"  # noqa: S608 - not SQL, and never sent to a database


def _condition(condition: Condition) -> str:
    match condition:
        case Known(property_, operator, value):
            return f"{property_} {operator} {_value(value)}"
        case KnownIn(property_, values):
            return f"{property_} IN ({', '.join(map(_value, values))})"
        case And() | Or() | Not():
            return _combined(condition, [_condition(part) for part in _parts(condition)])
        case Holds(name, test):
            inner = _test(test)
            return f"system:tags[{name}].({inner})" if isinstance(test, (And, Or, Not)) else f"system:tags[{name}].{inner}"
        case Present(name):
            return f"system:tags[{name}] IS NOT NULL"
        case Absent(name):
            return f"system:tags[{name}] IS NULL"
        case ObjectIdIn(ids):
            if len(ids) == 1:
                return f"system:objectId = '{ids[0]}'"
            return "system:objectId IN ({})".format(", ".join(f"'{id_}'" for id_ in ids))
        case _:
            assert_never(condition)


def _test(test: Test) -> str:
    match test:
        case And() | Or() | Not():
            return _combined(test, [_test(part) for part in _parts(test)])
        case Compare(member, operator, value):
            return f"{member}{operator}{_value(value)}"
        case OneOf(member, values):
            return f"{member} IN ({', '.join(map(_value, values))})"
        case Between(member, low, high):
            return f"{member} BETWEEN {_value(low)} AND {_value(high)}"
        case _:
            assert_never(test)


def _parts(combination: And[N] | Or[N] | Not[N]) -> tuple[N, ...]:
    return (combination.part,) if isinstance(combination, Not) else combination.parts


def _combined(combination: And[N] | Or[N] | Not[N], texts: list[str]) -> str:
    texts = [f"({text})" if isinstance(part, (And, Or)) else text for part, text in zip(_parts(combination), texts, strict=True)]
    match combination:
        case Not():
            return f"NOT {texts[0]}"
        case And():
            return " AND ".join(texts)
        case Or():
            return " OR ".join(texts)
        case _:
            assert_never(combination)


def _value(value: Value) -> str:
    match value:
        case Function():
            return f"{value}()"
        case datetime():
            precision = "microseconds" if value.microsecond % 1000 else "milliseconds"
            return f"'{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=precision)}Z'"
        case str():
            return f'"{value}"' if "'" in value else f"'{value}'"
        case int():
            return str(value)
        case _:
            assert_never(value)


def _order(order: Order) -> str:
    column = order.known or ("system:objectId" if order.name is None else f"system:tags[{order.name}].{order.member}")
    return f"{column} DESC" if order.descending else column
