"""From what a statement says to how MongoDB is asked: filters that an index serves, and the order to read them in.

Every filter names the tenant and the kind of resource, whatever the statement says.  The queue index of DESIGN.md,
"Data", gives a tag's rows in order of state and time; it is read in that order, by hint, never sorted, since a sort on
a member of `tags` takes the least of all tags.  Only what no index can give in order is sorted, within the time limit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from dms_tags.model import Kind
from dms_tags.query.filters import Filter, object_filter, row_filter
from dms_tags.query.hull import ANYTHING, Hull, hull
from dms_tags.query.moments import Clock
from dms_tags.query.pinned import MOST
from dms_tags.query.statement import (
    And,
    Condition,
    Holds,
    Known,
    Member,
    ObjectIdIn,
    Operator,
    Order,
    Present,
    Property,
    Statement,
    Test,
)

MAX_RUNS: Final = 16
"""States of one tag that are read as queues of their own and merged, at most."""


Typed = Callable[[str, Statement], bool]
"""Tells of a tenant whether the type that a statement names is one to ask for."""


class Way(Enum):
    """How the objects of a plan come in order."""

    QUEUE = "the queue index, each state a run in order of time"
    STATES = "the queue index as it stands, in order of state, then of time"
    IDS = "the index of ids"
    CREATED = "the index of creation dates"
    SORTED = "sorted by the server"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose objects a statement may speak of, and what they must match besides; `typed`: objects of the tenant have types."""

    tenant: str
    besides: tuple[Filter, ...] = ()
    typed: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """How to ask for the objects of a statement.

    `order` is what they are to be ordered by; the queues' own order, of those changed longest ago, where the statement
    gives none, which is then not to be kept at any price (`strict` is false).  `few` says that it names its objects one by one.  `states` are the states of the ordering tag that can occur, None where the statement does not tell.
    """

    way: Way
    order: Order
    scope: Scope
    row: Filter
    rest: tuple[Filter, ...]
    states: tuple[int, ...] | None = None
    strict: bool = True
    few: bool = False

    @property
    def filter(self) -> Filter:
        """Finds all objects of the statement."""
        return self._whole({} if self.states is None else {"state": {"$in": list(self.states)}})

    def run(self, state: int) -> Filter:
        """Finds those whose ordering tag is in `state`."""
        return self._whole({"state": state})

    def next_state(self, last: int | None) -> Filter:
        """Finds an object of the tenant whose ordering tag is in the next state after `last`, None: in the first."""
        beyond: Filter = {} if last is None else {"state": {"$gt": last}}
        return {
            "tenant": self.scope.tenant,
            "kind": str(Kind.OBJECT),
            "tags": {"$elemMatch": {"name": self.order.name, **beyond}},
        }

    def _whole(self, bounds: Filter) -> Filter:
        tenant = self.scope.tenant
        whole: Filter = {"tenant": tenant, "kind": str(Kind.OBJECT)}
        if self.way in (Way.QUEUE, Way.STATES):
            if self.order.descending:
                # Not a point but a range of kinds, though of one: a sort by kind is then a read of the index from its end
                whole["kind"] = {"$gte": str(Kind.OBJECT), "$lt": f"{Kind.OBJECT}\x01"}
            whole["tags"] = {"$elemMatch": {"name": self.order.name, **bounds, **self.row}}
        else:
            # Ids begin with tenant and kind, and what follows is no slash: 0 is the character after it
            whole["_id"] = {"$gte": f"{tenant}/{Kind.OBJECT}/", "$lt": f"{tenant}/{Kind.OBJECT}0"}
        conjuncts = [*self.rest, *self.scope.besides]
        return {**whole, "$and": conjuncts} if conjuncts else whole


def compile_statement(statement: Statement, scope: Scope, clock: Clock) -> Plan:
    """How to ask for the objects of the statement within the scope, at the time of the clock."""
    conjuncts = _conjuncts(statement.condition)
    if scope.typed and statement.asked_type is not None:
        conjuncts.append(Known(Property.TYPE, Operator.EQ, statement.asked_type))
    filters = tuple(object_filter(conjunct, scope.tenant, clock) for conjunct in conjuncts)
    rows = {
        name: _row(name, conjuncts, clock)
        for conjunct in conjuncts
        if isinstance(conjunct, (Holds, Present))
        for name in (conjunct.name,)
    }
    by_id = any(isinstance(conjunct, ObjectIdIn) for conjunct in conjuncts)
    few = any(isinstance(conjunct, ObjectIdIn) and len(conjunct.ids) <= MOST for conjunct in conjuncts)
    order = statement.order
    if order is not None and order.by_id:
        return Plan(Way.IDS, order, scope, {}, filters, few=few)
    if order is not None and (by_id or order.name not in rows):
        return Plan(Way.SORTED, order, scope, {}, filters, few=few)
    if order is None and not by_id and not rows and any(map(_bounds_creation, conjuncts)):
        by_creation = Order(known=Property.CREATION_DATE)
        return Plan(Way.CREATED, by_creation, scope, {}, filters, strict=False)
    if by_id or not rows:
        return Plan(Way.IDS, Order(), scope, {}, filters, strict=False, few=few)
    if order is None:
        order = Order(_narrowest(rows), Member.CREATION_DATE)
    bounds, tests = rows[order.name or ""]
    others = tuple(
        object_filter(conjunct, scope.tenant, clock)
        for conjunct in conjuncts
        if not (isinstance(conjunct, (Holds, Present)) and conjunct.name == order.name)
    )
    way = Way.STATES if order.member is Member.STATE else Way.QUEUE
    states = None if bounds.states is None else tuple(sorted(bounds.states))
    return Plan(way, order, scope, _bounded(bounds, tests, clock), others, states, strict=statement.order is not None)


def _bounds_creation(conjunct: Condition) -> bool:
    """Whether what matches was made within bounds that an index can be read between."""
    return isinstance(conjunct, Known) and conjunct.property is Property.CREATION_DATE and conjunct.operator is not Operator.NE


def _bounded(bounds: Hull, tests: Sequence[Test], clock: Clock) -> Filter:
    """What a row must match besides its name and state: the bounds of its time, and the tests where bounds do not say it all."""
    row: Filter = {}
    if bounds.start is not None or bounds.end is not None:
        ends = {"$gte": bounds.start, "$lt": bounds.end}
        row["creationDate"] = {operator: end for operator, end in ends.items() if end is not None}
    if not bounds.exact:
        row["$and"] = [row_filter(test, clock) for test in tests]
    return row


def _conjuncts(condition: Condition | None) -> list[Condition]:
    if condition is None:
        return []
    if isinstance(condition, And):
        return [conjunct for part in condition.parts for conjunct in _conjuncts(part)]
    return [condition]


def _row(name: str, conjuncts: Sequence[Condition], clock: Clock) -> tuple[Hull, list[Test]]:
    """What all conjuncts together ask of the tag, and within which bounds."""
    tests = [conjunct.test for conjunct in conjuncts if isinstance(conjunct, Holds) and conjunct.name == name]
    together = ANYTHING
    for test in tests:
        together &= hull(test, clock)
    return together, tests


def _narrowest(rows: dict[str, tuple[Hull, list[Test]]]) -> str:
    """The tag whose queue is likely the shortest: one whose states are named, the fewest first."""
    return min(rows, key=lambda name: (rows[name][0].states is None, len(rows[name][0].states or ())))
