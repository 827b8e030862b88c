"""Conditions and tests as MongoDB filters, one for one.

Names are unique on an object, so a condition on a tag is one `$elemMatch`.
"""

from __future__ import annotations

from typing import Any, Final, assert_never

from dms_tags.model import Kind, Resource
from dms_tags.names import trace_spellings
from dms_tags.query.moments import Clock, Span
from dms_tags.query.statement import (
    Absent,
    And,
    Between,
    Compare,
    Condition,
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
)

Filter = dict[str, Any]

_OPERATORS: Final = {
    Operator.EQ: "$eq",
    Operator.NE: "$ne",
    Operator.LT: "$lt",
    Operator.LE: "$lte",
    Operator.GT: "$gt",
    Operator.GE: "$gte",
}


KEPT: Final = {
    Property.CREATION_DATE: "known.at",
    Property.CREATED_BY: "known.by",
    Property.TYPE: "known.type",
    Property.BASE: "known.base",
}
"""Where a document has what is known of its object."""


def object_filter(condition: Condition, tenant: str, clock: Clock) -> Filter:
    """What finds the objects that the condition holds of, among those of the tenant."""
    match condition:
        case Holds(name, test):
            return {"tags": {"$elemMatch": {"name": name, **row_filter(test, clock)}}}
        case Present(name):
            return {"tags.name": name}
        case Absent(name):
            return {"tags.name": {"$ne": name}}
        case ObjectIdIn(ids):
            return {"_id": {"$in": [Resource(tenant, Kind.OBJECT, id_).key for id_ in ids]}}
        case Known(Property.CREATION_DATE, Operator.NE, value):
            return {"$and": [{KEPT[Property.CREATION_DATE]: {"$ne": None}}, _created(Operator.NE, clock.span(value))]}
        case Known(Property.CREATION_DATE, operator, value):
            return _created(operator, clock.span(value))
        case Known(property_, Operator.NE, value):
            return {KEPT[property_]: {"$nin": [value, None]}}
        case Known(property_, _, value):
            return {KEPT[property_]: value}
        case KnownIn(Property.CREATION_DATE, values):
            return {"$or": [_created(Operator.EQ, clock.span(value)) for value in values]}
        case KnownIn(property_, values):
            return {KEPT[property_]: {"$in": list(values)}}
        case And(parts):
            return {"$and": [object_filter(part, tenant, clock) for part in parts]}
        case Or(parts):
            return {"$or": [object_filter(part, tenant, clock) for part in parts]}
        case Not(part):
            return {"$nor": [object_filter(part, tenant, clock)]}
        case _:
            assert_never(condition)


def row_filter(test: Test, clock: Clock) -> Filter:
    """What a tag's row must match, to be used within an `$elemMatch`."""
    match test:
        case Compare(Member.STATE, operator, value):
            return {"state": {_OPERATORS[operator]: value}}
        case OneOf(Member.STATE, values):
            return {"state": {"$in": list(values)}}
        case Between(Member.STATE, low, high):
            return {"state": {"$gte": low, "$lte": high}}
        case Compare(Member.CREATION_DATE, operator, value):
            return {"creationDate": _against(operator, clock.span(value))}
        case OneOf(Member.CREATION_DATE, values):
            return {"$or": [{"creationDate": _against(Operator.EQ, clock.span(value))} for value in values]}
        case Between(Member.CREATION_DATE, low, high):
            return {"creationDate": {"$gte": clock.span(low).start, "$lt": clock.span(high).end}}
        case Compare(Member.TRACE_ID, _, value):
            return {"traceid": {"$in": trace_spellings(str(value))}}
        case And(parts):
            return {"$and": [row_filter(part, clock) for part in parts]}
        case Or(parts):
            return {"$or": [row_filter(part, clock) for part in parts]}
        case Not(part):
            return {"$nor": [row_filter(part, clock)]}
        case Compare() | OneOf() | Between():
            raise TypeError(f"the grammar does not compare {test.member} so")
        case _:
            assert_never(test)


def _created(operator: Operator, span: Span) -> Filter:
    return {KEPT[Property.CREATION_DATE]: _against(operator, span)}


def _against(operator: Operator, span: Span) -> Filter:
    match operator:
        case Operator.EQ:
            return {"$gte": span.start, "$lt": span.end}
        case Operator.NE:
            return {"$not": {"$gte": span.start, "$lt": span.end}}
        case Operator.LT:
            return {"$lt": span.start}
        case Operator.LE:
            return {"$lt": span.end}
        case Operator.GT:
            return {"$gte": span.end}
        case Operator.GE:
            return {"$gte": span.start}
        case _:
            assert_never(operator)
