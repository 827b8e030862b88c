"""Statements about the audit trail, `SELECT … FROM system:audit …`: how the DMS's clients ask for an object's history."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedInput

from dms_tags import names
from dms_tags.errors import InvalidParameter, InvalidQuery
from dms_tags.query.moments import LATEST, Clock
from dms_tags.query.parser import SHOWN, checked, explain, refuse
from dms_tags.query.statement import Function, Operator, Value

TYPE: Final = "system:audit"
MAX_LENGTH: Final = 5_000
"""Characters of a statement about the trail, at most."""
MAX_ACTIONS: Final = 100
CUSTOM: Final = 10000
"""The action of entries that others write into the DMS's trail.  Here there are none: which kinds there are is answered by no row."""
MAX_ACTOR: Final = 300

_asks: Final = re.compile(r"\s*select\s[^'\"()]*?\bfrom\s+system:audit(?![\w:.-])", re.IGNORECASE).match

_SHOWN: Final = {
    **SHOWN,
    "OBJECT": "system:referredObjectId",
    "ACTION": "system:action",
    "SUBACTION": "system:subaction",
    "CREATED_BY": "system:createdBy",
    "TRACE_ID": "system:traceId",
    "CREATION_DATE": "system:creationDate",
}


@dataclass(frozen=True, slots=True)
class AuditStatement:
    """What is asked of the trail; all that is given must hold.  `times` are bounds, each a time and how it is compared."""

    object_id: str | None = None
    actions: tuple[int, ...] = ()
    state: int | None = None
    created_by: str | None = None
    trace_id: str | None = None
    times: tuple[tuple[Operator, Value], ...] = ()
    descending: bool = True

    def bounds(self, clock: Clock) -> tuple[datetime | None, datetime | None]:
        """From when, included, until when, excluded; None: there is no such bound."""
        starts, ends = [], []
        for operator, value in self.times:
            span = clock.span(value)
            if operator in (Operator.EQ, Operator.GE):
                starts.append(span.start)
            if operator in (Operator.EQ, Operator.LE):
                ends.append(span.end)
            if operator is Operator.GT:
                starts.append(span.end)
            if operator is Operator.LT:
                ends.append(span.start)
        return max(starts, default=None), min(ends, default=None)


def asks_for_audit(text: str) -> bool:
    """Whether the statement is one about the trail."""
    return _asks(text) is not None


@lru_cache(maxsize=256)
def parse_audit(text: str) -> AuditStatement:
    """What the statement asks.  Raises `InvalidQuery`, naming the place, for what it cannot be asked."""
    if len(text) > MAX_LENGTH:
        raise InvalidQuery(f"a statement about {TYPE} has at most {MAX_LENGTH:,} characters, this one {len(text):,}")
    try:
        statement: Any = _parser().parse(text)
    except UnexpectedInput as error:
        raise InvalidQuery(
            f"{explain(text, error, _SHOWN)}; conditions on {TYPE} are combined with AND alone, and ordered by system:creationDate"
        ) from error
    if not isinstance(statement, AuditStatement):
        raise TypeError(f"the grammar gave a {type(statement).__name__}")
    return statement


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark.open(
        "audit.lark", rel_to=__file__, parser="lalr", start="statement", maybe_placeholders=True, transformer=_Builder()
    )


class _Builder(Transformer[Token, Any]):
    """Makes the statement while the parser reads; each method is called with what its rule in the grammar names."""

    def statement(self, items: list[Any]) -> AuditStatement:
        conditions, group, order, direction = items[5] or [], items[6], items[9], items[12]
        given: dict[str, Any] = {"times": ()}
        for column, member, value in conditions:
            if member == "times":
                given["times"] += value
            elif member in given:
                refuse(column, f"{_SHOWN[column.type]} is asked for twice; once is right")
            else:
                given[member] = value
        if group is not None and given.get("actions") != (CUSTOM,):
            refuse(group, f"GROUP BY is taken with system:action = {CUSTOM} alone, which asks for custom entries of the DMS")
        # In SQL what is ordered is ascending; where no order is asked for, the newest comes first, as in a history
        return AuditStatement(**given, descending=order is None or (direction is not None and direction.type == "DESC"))

    def columns(self, _: list[Any]) -> None:
        """Every answer has all members."""

    def conditions(self, items: list[Any]) -> list[Any]:
        return items[::2]

    def is_object(self, items: list[Token]) -> Any:
        return items[0], "object_id", checked(items[2], names.object_id)

    def is_action(self, items: list[Token]) -> Any:
        actions = {checked(item, names.state) for item in items if item.type == "INTEGER"}
        if len(actions) > MAX_ACTIONS:
            refuse(items[0], f"IN takes at most {MAX_ACTIONS} actions")
        return items[0], "actions", tuple(sorted(actions))

    def is_subaction(self, items: list[Token]) -> Any:
        return items[0], "state", checked(items[2], names.state)

    def is_by(self, items: list[Token]) -> Any:
        return items[0], "created_by", checked(items[2], _actor)

    def is_trace(self, items: list[Token]) -> Any:
        return items[0], "trace_id", checked(items[2], names.trace_id)

    def is_then(self, items: list[Any]) -> Any:
        return items[0], "times", ((items[1], items[2]),)

    def is_between(self, items: list[Any]) -> Any:
        return items[0], "times", ((Operator.GE, items[2]), (Operator.LE, items[4]))

    def operator(self, items: list[Token]) -> Operator:
        return Operator(items[0])

    def time(self, items: list[Token]) -> datetime:
        moment = checked(items[0], names.time)
        if moment > LATEST:
            refuse(items[0], "there is no later time to compare with")
        return moment

    def function(self, items: list[Token]) -> Function:
        return Function(items[0].upper())


def _actor(text: str) -> str:
    if not 1 <= len(text) <= MAX_ACTOR:
        raise InvalidParameter(f"an actor's name has 1 to {MAX_ACTOR} characters")
    return text
