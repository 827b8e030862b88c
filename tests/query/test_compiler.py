"""The compiled filter and order agree with a naive evaluator, on both stores, and an index serves them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from dms_tags.errors import InvalidQuery
from dms_tags.query import Scope, Statement, compile_statement, parse
from dms_tags.query.filters import KEPT
from dms_tags.query.statement import Order
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.finder import Finder
from tests.query.naive import Facts, Rows, matches
from tests.query.strategies import CLOCK, FACTS, ROWS, STATEMENTS

SHARED = how(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


@pytest.fixture(params=["mongod", "mongomock"])
def store(request: pytest.FixtureRequest) -> Database:
    """Either store, prepared and empty."""
    if request.param == "mongod":
        database: Database = request.getfixturevalue("database")
        return database
    database = Database.connect(Settings(mongo_uri="mongomock://"))
    database.prepare()
    return database


def fill(
    database: Database, objects: list[Rows], tenant: str = "default", kind: str = "object", facts: Sequence[Facts] = ()
) -> None:
    """Objects with these rows, called object-0, object-1 …, in place of any that were there."""
    database.tags.delete_many({"tenant": tenant, "kind": kind})
    for number, rows in enumerate(objects):
        tags = [{"name": name, "etag": f"e{number}", "since": CLOCK.now, **row} for name, row in rows.items()]
        ident = f"object-{number}"
        known = {KEPT[what].removeprefix("known."): value for what, value in (facts[number] if facts else {}).items()}
        database.tags.insert_one(
            {
                "_id": f"{tenant}/{kind}/{ident}",
                "tenant": tenant,
                "kind": kind,
                "id": ident,
                "seq": 1,
                "tags": tags,
                "known": known,
            }
        )


def found(database: Database, statement: Statement, limit: int = 100, skip: int = 0) -> list[str]:
    """The ids that the statement finds."""
    plan = compile_statement(statement, Scope("default"), CLOCK)
    return [document["id"] for document in Finder(database).find(plan, limit, skip)]


def rank(order: Order, ident: str, rows: Rows, facts: Facts) -> tuple[bool, Any]:
    """What the order compares of an object: those without it come last."""
    if order.known is not None:
        return (False, facts[order.known]) if order.known in facts else (True, None)
    if order.name is None:
        return False, ident
    return (False, rows[order.name][str(order.member)]) if order.name in rows else (True, None)


@SHARED
@given(statement=STATEMENTS, objects=st.lists(st.tuples(ROWS, FACTS), min_size=1, max_size=8))
def test_the_filter_finds_what_a_naive_evaluator_finds(
    store: Database, statement: Statement, objects: list[tuple[Rows, Facts]]
) -> None:
    """On random objects, the compiled filter and the evaluator choose the same, and the count is right."""
    fill(store, [rows for rows, _ in objects], facts=[facts for _, facts in objects])
    expected = {
        f"object-{number}"
        for number, (rows, facts) in enumerate(objects)
        if matches(statement.condition, f"object-{number}", rows, CLOCK, facts)
    }

    answer = found(store, statement)

    assert sorted(expected) == sorted(answer)
    assert (len(expected), True) == Finder(store).count(compile_statement(statement, Scope("default"), CLOCK))


@SHARED
@given(
    statement=STATEMENTS.filter(lambda one: one.order is not None),
    objects=st.lists(st.tuples(ROWS, FACTS), min_size=2, max_size=8),
)
def test_the_order_asked_for_is_kept_and_objects_without_the_tag_come_last(
    store: Database, statement: Statement, objects: list[tuple[Rows, Facts]]
) -> None:
    """`ORDER BY` holds in both directions, and a page is a part of the whole."""
    fill(store, [rows for rows, _ in objects], facts=[facts for _, facts in objects])
    assert statement.order is not None

    answer = found(store, statement)

    by_id = {f"object-{number}": each for number, each in enumerate(objects)}
    ranks = [rank(statement.order, ident, *by_id[ident]) for ident in answer]
    present = [value for missing, value in ranks if not missing]
    assert sorted(present, reverse=statement.order.descending) == present
    assert sorted(missing for missing, _ in ranks) == [missing for missing, _ in ranks]
    assert answer[1:3] == found(store, statement, limit=2, skip=1)


def test_no_statement_reaches_another_tenant_or_another_kind_of_resource(store: Database) -> None:
    """Tenant and kind are part of every filter, whatever the statement says."""
    row = {"state": 1, "creationDate": CLOCK.now, "traceid": "a1"}
    fill(store, [{"ocr": row}], tenant="other")
    fill(store, [{"ocr": row}], kind="token")

    for text in (
        "SELECT * FROM x",
        "SELECT * FROM x WHERE system:tags[ocr].state=1",
        "SELECT * FROM x WHERE system:objectId='object-0'",
        "SELECT * FROM x WHERE system:creationDate > '2000-01-01T00:00:00Z'",
        "SELECT * FROM x WHERE system:createdBy <> 'a' ORDER BY system:createdBy",
        "SELECT * FROM x WHERE NOT system:tags[b].state=1 OR system:tags[ocr] IS NOT NULL ORDER BY system:tags[ocr].state",
        "SELECT * FROM x WHERE system:tags[ocr].state=1 ORDER BY system:tags[ocr].creationDate DESC",
    ):
        assert [] == found(store, parse(text))


def stages(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The stages of an explained plan, from the last to the first."""
    inner = plan.get("inputStages") or ([plan["inputStage"]] if "inputStage" in plan else [])
    return [plan, *(stage for one in inner for stage in stages(one))]


@pytest.mark.parametrize(
    ("text", "direction"),
    [
        ("SELECT * FROM x WHERE system:tags[ocr].state=1", "forward"),
        ("SELECT * FROM x WHERE system:tags[ocr].(state=1 AND (creationDate=YESTERDAY() OR creationDate=TODAY()))", "forward"),
        ("SELECT * FROM x WHERE system:tags[ocr].state=1 ORDER BY system:tags[ocr].creationDate DESC", "backward"),
        ("SELECT * FROM x WHERE system:tags[ocr].state IN (1, 2) ORDER BY system:tags[ocr].creationDate", "forward"),
        ("SELECT * FROM x WHERE system:tags[ocr].(state > 0 AND traceId='a') AND system:tags[b] IS NULL", "forward"),
        ("SELECT * FROM x WHERE system:tags[ocr].state > 0 ORDER BY system:tags[ocr].state DESC", "backward"),
    ],
)
def test_a_queue_is_read_from_its_index_in_order_and_not_sorted(database: Database, text: str, direction: str) -> None:
    """The server reads the queue index within bounds, in the direction asked for, and sorts nothing."""
    now = CLOCK.now
    old = {
        "ocr": {"state": 1, "creationDate": now - timedelta(days=9), "traceid": "a"},
        "a": {"state": 7, "creationDate": now, "traceid": "a"},
    }
    fill(database, [old] * 200 + [{"ocr": {"state": 1, "creationDate": now, "traceid": "a"}}] * 5)
    database.client[database.tags.database.name].command("profile", 2)

    answer = found(database, parse(text), limit=5)

    database.client[database.tags.database.name].command("profile", 0)
    reads = list(database.tags.database["system.profile"].find({"ns": database.tags.full_name, "op": "query"}))
    assert 5 == len(answer)
    assert reads
    for read in reads:
        chain = stages(read["execStats"])
        assert {"SORT"}.isdisjoint(stage["stage"] for stage in chain)
        scan = next(stage for stage in chain if stage["stage"] == "IXSCAN")
        assert "queue" == scan["indexName"]
        assert read["keysExamined"] <= 12
        if "sort" in read["command"]:
            assert direction == scan["direction"]
    assert any("sort" in read["command"] for read in reads) == (direction == "backward")


def test_a_statement_that_takes_too_long_is_refused(database: Database) -> None:
    """What MongoDB cannot answer in the time is the statement's fault, and is told so."""
    fill(database, [{"a": {"state": number, "creationDate": CLOCK.now, "traceid": "a"}} for number in range(200)])
    plan = compile_statement(parse("SELECT * FROM x ORDER BY system:tags[ocr].state"), Scope("default"), CLOCK)
    database.client.admin.command({"configureFailPoint": "maxTimeAlwaysTimeOut", "mode": "alwaysOn"})
    try:
        with pytest.raises(InvalidQuery, match="ran for longer than 5 s"):
            Finder(database).find(plan, 10)
    finally:
        database.client.admin.command({"configureFailPoint": "maxTimeAlwaysTimeOut", "mode": "off"})
