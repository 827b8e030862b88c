"""Random statements and random objects, small enough that they often meet."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from dms_tags.query import render
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
    Order,
    Present,
    Property,
    Statement,
    Test,
)

CLOCK = Clock(datetime(2026, 3, 29, 9, 30, 0, 500_000, tzinfo=UTC), ZoneInfo("Europe/Berlin"))
"""On a day of 23 hours."""

NAMES = st.sampled_from(["ocr", "index:resistant", "a"])
IDS = st.sampled_from([f"object-{number}" for number in range(8)])
STATES = st.integers(-1, 4)
TRACES = st.sampled_from(["a1", "00a1", "0", "b2c3"])
HOURS = (-60, -34, -12, 0, 12, 15)
KEPT_TIMES = st.sampled_from(
    [CLOCK.now + timedelta(hours=hours, milliseconds=millis) for hours in HOURS for millis in (-1, 0, 1)]
)
"""Times that a tag can have: whole milliseconds."""
TIMES = st.one_of(KEPT_TIMES, st.sampled_from([CLOCK.now + timedelta(hours=hours, microseconds=500) for hours in HOURS]))
MOMENTS = st.one_of(TIMES, st.sampled_from(Function))


def _compared(member: Member, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Test]:
    return st.one_of(
        st.builds(Compare, st.just(member), st.sampled_from(Operator), values),
        st.builds(OneOf, st.just(member), st.lists(values, min_size=1, max_size=3).map(tuple)),
        st.builds(Between, st.just(member), values, values),
    )


def _combined(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return st.one_of(st.builds(And, several), st.builds(Or, several), st.builds(Not, parts))


COMPARISONS: st.SearchStrategy[Test] = st.one_of(
    _compared(Member.STATE, STATES),
    _compared(Member.CREATION_DATE, MOMENTS),
    st.builds(Compare, st.just(Member.TRACE_ID), st.just(Operator.EQ), TRACES),
)
TESTS: st.SearchStrategy[Test] = st.recursive(COMPARISONS, _combined, max_leaves=4)
TEXTS = st.sampled_from(["mail", "jane", "d'Arc", ""])
TEXT_PROPERTIES = st.sampled_from([Property.CREATED_BY, Property.TYPE, Property.BASE])
_KNOWN: st.SearchStrategy[Condition] = st.one_of(
    st.builds(Known, st.just(Property.CREATION_DATE), st.sampled_from(Operator), MOMENTS),
    st.builds(KnownIn, st.just(Property.CREATION_DATE), st.lists(MOMENTS, min_size=1, max_size=3).map(tuple)),
    st.builds(Known, TEXT_PROPERTIES, st.sampled_from([Operator.EQ, Operator.NE]), TEXTS),
    st.builds(KnownIn, TEXT_PROPERTIES, st.lists(TEXTS, min_size=1, max_size=3).map(tuple)),
)
FACTS = st.fixed_dictionaries(
    {}, optional={Property.CREATION_DATE: KEPT_TIMES, Property.CREATED_BY: TEXTS, Property.TYPE: TEXTS, Property.BASE: TEXTS}
)
"""What is known of one object."""
PREDICATES: st.SearchStrategy[Condition] = st.one_of(
    st.builds(Holds, NAMES, TESTS),
    st.builds(Present, NAMES),
    st.builds(Absent, NAMES),
    st.builds(ObjectIdIn, st.lists(IDS, min_size=1, max_size=3).map(tuple)),
    _KNOWN,
)
CONDITIONS: st.SearchStrategy[Condition] = st.recursive(PREDICATES, _combined, max_leaves=5)
ORDERS = st.one_of(
    st.builds(Order, st.none(), st.none(), st.booleans()),
    st.builds(Order, descending=st.booleans(), known=st.sampled_from(Property)),
    st.builds(Order, NAMES, st.sampled_from([Member.STATE, Member.CREATION_DATE]), st.booleans()),
)
STATEMENTS = st.builds(Statement, st.sampled_from(["document", "system:object"]), st.none() | CONDITIONS, st.none() | ORDERS)

ALPHABET = [
    *"()[]=<>.,'\" \n\x00é1-",
    "SELECT * FROM x WHERE ",
    "system:tags",
    "AND ",
    "NOT ",
    "state",
    "IN",
    "TODAY()",
    "system:createdBy",
    "ORDER BY ",
]


def _mutated(chance: random.Random, statement: Statement) -> str:
    text = list(render(statement))
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(text) + 1)
        text[place : place + chance.randint(0, 3)] = [chance.choice(ALPHABET)]
    return "".join(text)


MUTATED = st.builds(_mutated, st.randoms(use_true_random=False), STATEMENTS)
"""Texts of statements with a few places changed: most are none any more."""

ROWS = st.dictionaries(
    NAMES,
    st.fixed_dictionaries({"state": STATES, "creationDate": KEPT_TIMES, "traceid": TRACES}),
    max_size=3,
)
"""The rows of one object, by name."""
