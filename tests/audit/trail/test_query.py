"""Questions to the trail on a real MongoDB: right answers, from an index, at the same price on every page."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from dms_tags.audit.trail.entry import Entry
from dms_tags.audit.trail.filters import Filters
from dms_tags.audit.trail.query import TrailQuery
from dms_tags.audit.trail.trail import Trail
from dms_tags.errors import InvalidParameter
from dms_tags.store.database import Database
from tests.support.trails import BEGIN, fill

COUNT = 2000
SINGLE: dict[str, tuple[Filters, Callable[[Entry], bool]]] = {
    "nothing": (Filters(), lambda _: True),
    "objectId": (Filters(object_id="3"), lambda one: one["objectId"] == "3"),
    "resource": (Filters(resource="object/4"), lambda one: one["resource"] == "object/4"),
    "name": (Filters(name="ocr"), lambda one: one["name"] == "ocr"),
    "action": (Filters(action=(210,)), lambda one: one["action"] == 210),
    "actions": (Filters(action=(110, 210)), lambda one: one["action"] in (110, 210)),
    "state": (Filters(state="-2"), lambda one: one["state"] == -2),
    "traceId": (Filters(trace_id="b"), lambda one: int(one["traceId"], 16) == 11),
    "createdBy": (Filters(created_by="anna"), lambda one: one["createdBy"] == "anna"),
    "time": (
        Filters(since=BEGIN + timedelta(seconds=900), until=BEGIN + timedelta(seconds=1500)),
        lambda one: 900 <= one["position"] < 1500,
    ),
    "positions": (Filters(after=100, before=600), lambda one: 100 < one["position"] < 600),
    "within": (Filters(within="chain/1"), lambda _: False),
}
PAIRS = [
    ("objectId", "name"),
    ("objectId", "time"),
    ("name", "time"),
    ("createdBy", "time"),
    ("action", "time"),
    ("traceId", "objectId"),
    ("objectId", "positions"),
]


def both(one: Filters, other: Filters) -> Filters:
    given = {member: value for filters in (one, other) for member in Filters.__slots__ if (value := getattr(filters, member))}
    return Filters(**given)


@pytest.fixture
def asked(database: Database) -> tuple[TrailQuery, list[Entry]]:
    return TrailQuery(Trail(database)), fill(database, COUNT)


def pages(query: TrailQuery, filters: Filters, *, descending: bool, limit: int) -> list[Entry]:
    cursor, found = None, []
    while True:
        page = query.page("default", filters, descending=descending, limit=limit, cursor=cursor)
        assert len(page.entries) <= limit
        assert page.head == COUNT
        found += page.entries
        if page.next is None:
            return found
        cursor = page.next


def test_answers(asked: tuple[TrailQuery, list[Entry]]) -> None:
    """Every filter alone and every pair, in both orders and over pages, gives exactly what matches, in order."""
    query, made = asked
    questions: list[tuple[Filters, Callable[[Entry], bool]]] = [*SINGLE.values()]
    for (one, holds), (other, also) in itertools.combinations(SINGLE.values(), 2):
        if one.action and other.action:
            continue
        questions.append((both(one, other), _all(holds, also)))
    for number, (filters, holds) in enumerate(questions):
        expected = [entry for entry in made if holds(entry)]
        descending = bool(number % 2)

        assert (expected[::-1] if descending else expected) == pages(query, filters, descending=descending, limit=400), filters


def _all(*conditions: Callable[[Entry], bool]) -> Callable[[Entry], bool]:
    return lambda entry: all(holds(entry) for holds in conditions)


def test_small_pages(asked: tuple[TrailQuery, list[Entry]]) -> None:
    """Pages neither repeat nor leave out an entry, also where they go by a resource's revisions."""
    query, made = asked
    filters = both(Filters(object_id="3"), SINGLE["time"][0])
    expected = [entry for entry in made if entry["objectId"] == "3" and 900 <= entry["position"] < 1500]

    assert expected == pages(query, filters, descending=False, limit=7)
    assert expected[::-1] == pages(query, filters, descending=True, limit=7)


def test_served_by_an_index(asked: tuple[TrailQuery, list[Entry]], database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each filter alone and each pair that people use examines no more than 2 x what it returns + 10."""
    query, _ = asked
    questions = [filters for filters, _ in SINGLE.values()]
    questions += [both(SINGLE[one][0], SINGLE[other][0]) for one, other in PAIRS]
    for filters, descending in itertools.product(questions, (True, False)):
        page = query.page("default", filters, descending=descending, limit=20)
        for cursor in (None, page.next):
            examined = _explained(query, database, monkeypatch, filters, descending=descending, cursor=cursor)

            assert examined["keys"] <= 2 * examined["returned"] + 10, (filters, examined)
            assert examined["documents"] <= 2 * examined["returned"] + 10, (filters, examined)


def _explained(
    query: TrailQuery, database: Database, monkeypatch: pytest.MonkeyPatch, filters: Filters, **how: Any
) -> dict[str, int]:
    """What the largest of the reads that the question makes examines, by MongoDB's own account."""
    seen: list[dict[str, Any]] = []
    find = type(database.trail).find

    def explained(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.name == "audit_trail":
            plain = database.client[database.trail.database.name]["audit_trail"]
            seen.append(find(plain, *args, **kwargs).explain()["executionStats"])
        return find(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(type(database.trail), "find", explained)
        query.page("default", filters, limit=20, **how)
    worst = max(seen, key=lambda stats: stats["totalKeysExamined"])
    return {"keys": worst["totalKeysExamined"], "documents": worst["totalDocsExamined"], "returned": worst["nReturned"]}


def test_cursor_of_another_question(asked: tuple[TrailQuery, list[Entry]]) -> None:
    """A cursor with other filters, another order or of another making is refused."""
    query, _ = asked
    cursor = query.page("default", Filters(name="ocr"), limit=1).next
    assert cursor is not None
    for filters, descending, text in (
        (Filters(), True, cursor),
        (Filters(name="ocr"), False, cursor),
        (Filters(name="ocr"), True, "x"),
    ):
        with pytest.raises(InvalidParameter, match="cursor"):
            query.page("default", filters, descending=descending, cursor=text)


def test_tenants_are_apart(asked: tuple[TrailQuery, list[Entry]], database: Database) -> None:
    """No question of one tenant is answered with another's entries."""
    query, _ = asked
    fill(database, 5, tenant="other")

    assert {"other"} == {entry["tenant"] for entry in query.page("other", Filters()).entries}
    assert 5 == query.page("other", Filters()).head
