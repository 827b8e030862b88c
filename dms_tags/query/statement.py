"""What a statement says, as plain data.

A `Condition` speaks of an object, a `Test` of one row of its tags; both are combined by the same `And`, `Or` and `Not`.
A comparison is false where the tag is missing, `Not` is plain negation (API.md section 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Generic, TypeAlias, TypeVar, Union

T = TypeVar("T", covariant=True)


class Member(StrEnum):
    """The members of a tag that can be compared."""

    STATE = "state"
    CREATION_DATE = "creationDate"
    TRACE_ID = "traceId"


class Operator(StrEnum):
    """How two values are compared."""

    EQ = "="
    NE = "<>"
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


class Function(StrEnum):
    """The times that a statement can name without spelling them out."""

    TODAY = "TODAY"
    YESTERDAY = "YESTERDAY"
    NOW = "NOW"


class Property(StrEnum):
    """What is known of an object besides its tags."""

    CREATION_DATE = "system:creationDate"
    CREATED_BY = "system:createdBy"
    TYPE = "system:objectTypeId"
    BASE = "system:baseTypeId"


GENERIC: Final = frozenset({"document", "system:object", "system:document"})
"""Types that every object is of."""

Value: TypeAlias = int | str | datetime | Function
"""An integer for `state`, a time or a function for `creationDate`, a text for `traceId`."""


@dataclass(frozen=True, slots=True)
class Compare:
    """`member operator value`; of a trace id only `=`."""

    member: Member
    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """`member IN (…)`, with at least one value."""

    member: Member
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """`member BETWEEN low AND high`, both included."""

    member: Member
    low: Value
    high: Value


@dataclass(frozen=True, slots=True)
class Not(Generic[T]):
    """Whatever `part` is not."""

    part: T


@dataclass(frozen=True, slots=True)
class And(Generic[T]):
    """All of two or more parts."""

    parts: tuple[T, ...]


@dataclass(frozen=True, slots=True)
class Or(Generic[T]):
    """Any of two or more parts."""

    parts: tuple[T, ...]


Test: TypeAlias = Union[Compare, OneOf, Between, "Not[Test]", "And[Test]", "Or[Test]"]


@dataclass(frozen=True, slots=True)
class Holds:
    """The object has the tag, and the test holds of it."""

    name: str
    test: Test


@dataclass(frozen=True, slots=True)
class Present:
    """`system:tags[name] IS NOT NULL`."""

    name: str


@dataclass(frozen=True, slots=True)
class Absent:
    """`system:tags[name] IS NULL`."""

    name: str


@dataclass(frozen=True, slots=True)
class ObjectIdIn:
    """`system:objectId IN (…)`, or `=` where there is one."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """`property operator value`; of a text only `=` and `<>`."""

    property: Property
    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class KnownIn:
    """`property IN (…)`, with at least one value."""

    property: Property
    values: tuple[Value, ...]


Condition: TypeAlias = Union[
    Holds, Present, Absent, ObjectIdIn, Known, KnownIn, "Not[Condition]", "And[Condition]", "Or[Condition]"
]


@dataclass(frozen=True, slots=True)
class Order:
    """`ORDER BY` a member of a tag, or a property; without either by the object's id.

    Objects without it come last, whatever the direction.
    """

    name: str | None = None
    member: Member | None = None
    descending: bool = False
    known: Property | None = None

    @property
    def by_id(self) -> bool:
        """Whether it is the order of the objects' ids."""
        return self.name is None and self.known is None


@dataclass(frozen=True, slots=True)
class Statement:
    """`SELECT * FROM type [WHERE condition] [ORDER BY order]`."""

    type: str
    condition: Condition | None = None
    order: Order | None = None

    @property
    def asked_type(self) -> str | None:
        """The type that `FROM` asks for; None: any will do."""
        return None if self.type in GENERIC else self.type

    def names(self) -> frozenset[str]:
        """The names of all tags that the statement speaks of."""
        names = {each.name for each in self._predicates() if isinstance(each, (Holds, Present, Absent))}
        if self.order is not None and self.order.name is not None:
            names.add(self.order.name)
        return frozenset(names)

    def asks_for_origin(self) -> bool:
        """Whether the statement speaks of when or by whom objects were made: of most, when and by whom their first tag was added."""
        asked = {each.property for each in self._predicates() if isinstance(each, (Known, KnownIn))}
        if self.order is not None and self.order.known is not None:
            asked.add(self.order.known)
        return not asked.isdisjoint({Property.CREATION_DATE, Property.CREATED_BY})

    def _predicates(self) -> Iterator[Condition]:
        pending: list[Condition] = [] if self.condition is None else [self.condition]
        while pending:
            condition = pending.pop()
            if isinstance(condition, Not):
                pending.append(condition.part)
            elif isinstance(condition, (And, Or)):
                pending.extend(condition.parts)
            else:
                yield condition
