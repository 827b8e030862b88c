"""Which objects a statement names one by one, and would match although nobody ever tagged them (API.md section 3)."""

from __future__ import annotations

from typing import Final, assert_never

from dms_tags.query.statement import Absent, And, Condition, Holds, Known, KnownIn, Not, ObjectIdIn, Or, Present, Statement

MOST: Final = 100
"""Ids that a statement may name so; with more it speaks of the objects that are known."""


def untagged(statement: Statement) -> tuple[str, ...]:
    """The ids that every match of the statement is one of, in its order, as far as an object without tags is a match."""
    if statement.condition is None:
        return ()
    ids = _pinned(statement.condition)
    if ids is None or len(ids) > MOST:
        return ()
    descending = statement.order is not None and statement.order.by_id and statement.order.descending
    matching = [object_id for object_id in ids if _holds(statement.condition, object_id)]
    return tuple(sorted(matching, reverse=descending))


def _pinned(condition: Condition) -> frozenset[str] | None:
    """The ids that an object must have one of to match; None: any will do."""
    match condition:
        case ObjectIdIn(ids):
            return frozenset(ids)
        case And(parts):
            pins = [ids for ids in map(_pinned, parts) if ids is not None]
            return frozenset.intersection(*pins) if pins else None
        case Or(parts):
            either = [_pinned(part) for part in parts]
            return frozenset().union(*(ids for ids in either if ids is not None)) if None not in either else None
        case Holds() | Present() | Absent() | Known() | KnownIn() | Not():
            return None
        case _:
            assert_never(condition)


def _holds(condition: Condition, object_id: str) -> bool:
    """Whether the condition holds of an object of that id without any tag."""
    match condition:
        case ObjectIdIn(ids):
            return object_id in ids
        case Absent():
            return True
        case Holds() | Present() | Known() | KnownIn():
            return False
        case Not(part):
            return not _holds(part, object_id)
        case And(parts):
            return all(_holds(part, object_id) for part in parts)
        case Or(parts):
            return any(_holds(part, object_id) for part in parts)
        case _:
            assert_never(condition)
