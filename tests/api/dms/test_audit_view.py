"""The audit view: `system:audit` through the search, as statements and in the short form of DMS clients (API.md section 3)."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dms_tags.app import create_app
from dms_tags.audit.trail.relay import Relay
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.names import spell_time
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.app import Service, running
from tests.support.identity import ADMIN
from tests.support.metadata import define, put
from tests.support.openapi import documented
from tests.support.workflow import ids, post, tag

SEARCH = "/api/dms/objects/search"
OF_O1 = {"f": "system:referredObjectId", "o": "eq", "v1": "o1"}


def ask(service: Service, **query: Any) -> dict[str, Any]:
    """The answer to a search, held against the OpenAPI document."""
    answer = documented(service.client.post(SEARCH, json={"query": query}))
    assert 200 == answer.status_code, answer.text
    page: dict[str, Any] = answer.json or {}
    assert page["numItems"] == len(page["objects"])
    return page


def refused(service: Service, **query: Any) -> str:
    """The reason why a search is a 400."""
    answer = service.client.post(SEARCH, json={"query": query})
    assert 400 == answer.status_code, answer.text
    reason: str = (answer.json or {})["detail"]
    return reason


def shown(page: dict[str, Any], member: str = "system:subaction") -> list[Any]:
    """One member of each entry of a page."""
    return [entry["properties"][member]["value"] for entry in page["objects"]]


def of(*conditions: str, order: str = "") -> str:
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT * FROM system:audit{where}{order}"  # noqa: S608 - not SQL


@pytest.fixture(scope="module")
def asked() -> Iterator[Service]:
    """A service in memory that is only asked for what it refuses."""
    with running(Settings(mongo_uri="mongomock://", auth="none")) as application:
        yield application


@pytest.fixture
def filled(service: Service) -> Service:
    """Six changes of o1, one of o2, and one of something that is no object."""
    tag(service, "o1", state=0)
    for state in range(1, 5):
        tag(service, "o1", state=state, overwrite="true")
    service.client.delete("/api/dms/objects/o1/tags/ocr")
    tag(service, "o2", state=9)
    put(service, define(service), "site-1", "x")
    return service


def test_entries_are_those_of_the_history(filled: Service) -> None:
    """The view of one object has its history's entries, newest first, and pages as a search does."""
    history = (filled.client.get("/api/dms/objects/o1/history").json or {})["objects"]
    statement = of("system:referredObjectId = 'o1'")

    page = ask(filled, statement=statement, maxItems=4)
    rest = ask(filled, statement=statement, skipCount=4)

    assert history == page["objects"] + rest["objects"]
    assert [(True, 6, True), (False, 6, True)] == [
        (part["hasMoreItems"], part["totalNumItems"], part["complete"]) for part in (page, rest)
    ]


def test_what_a_statement_may_ask(filled: Service) -> None:
    """Object, action, state, actor, trace id and time are conditions, with and without their prefix; any order of time."""
    of_o1 = "system:referredObjectId = 'o1'"
    trace = shown(ask(filled, statement=of("referredObjectId='o1'", "action = 110")), "system:traceId")[0]
    asked = {
        of(of_o1, "system:action IN (110, 210)"): [4, 0],
        of(of_o1, "action = 310", order=" ORDER BY system:creationDate"): [1, 2, 3, 4],
        of(of_o1, "subaction = 3"): [3],
        of(of_o1, f"traceId = '{trace}'"): [0],
        of("system:createdBy = 'anonymous'", "system:subaction = 9"): [9],
        of("system:createdBy = 'nobody'"): [],
        of("action = 110", order=" ORDER BY creationDate ASC;"): [0, 9],
        of("system:creationDate = TODAY()", order=" ORDER BY system:creationDate DESC"): [9, 4, 4, 3, 2, 1, 0],
        of(of_o1, "creationDate < YESTERDAY()"): [],
        of(of_o1, "creationDate BETWEEN YESTERDAY() AND NOW()", "subaction = 2"): [2],
    }

    assert asked == {statement: shown(ask(filled, statement=statement)) for statement in asked}


def test_times_of_one_object_are_exact(filled: Service) -> None:
    """`>=`, `>`, `<=` and `<` of an entry's own time leave in and out what they say."""
    moment = shown(ask(filled, statement=of("referredObjectId='o1'", "subaction=2")), "system:creationDate")[0]
    every = shown(ask(filled, statement=of("referredObjectId='o1'")), "system:creationDate")

    for spelled, holds in {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt, "=": operator.eq}.items():
        page = ask(filled, statement=of("referredObjectId='o1'", f"creationDate {spelled} '{moment}'"))
        assert [time for time in every if holds(time, moment)] == shown(page, "system:creationDate"), spelled


def test_the_short_form(filled: Service) -> None:
    """The query of the web clients' view: one type, filters that all hold, numbers as texts too, newest first."""
    sort = [{"field": "system:creationDate", "order": "desc"}]
    today = datetime.now(UTC)
    range_ = {
        "f": "system:creationDate",
        "o": "gtelt",
        "v1": spell_time(today - timedelta(days=1)),
        "v2": spell_time(today + timedelta(days=1)),
    }

    whole = ask(filled, types=["system:audit"], filters=[OF_O1], sort=sort, skipCount=0, maxItems=50)
    some = ask(filled, types=["system:audit"], filters=[OF_O1, {"f": "system:action", "o": "in", "v1": ["110", 210]}, range_])

    assert [4, 4, 3, 2, 1, 0] == shown(whole)
    assert [4, 0] == shown(some)


def test_the_short_form_of_objects(filled: Service) -> None:
    """Objects are found by the same form: each operator of a state, ids, times, and their order."""
    for number in range(3):
        tag(filled, f"doc-{number}", state=number)
    state = "system:tags[ocr].state"
    asked: list[tuple[dict[str, Any], set[str]]] = [
        ({"f": state, "o": "eq", "v1": 1}, {"doc-1"}),
        ({"f": 'system:tags["ocr"]', "o": "in", "v1": [0, "2"]}, {"doc-0", "doc-2"}),
        ({"f": state, "o": "gt", "v1": 1}, {"doc-2", "o2"}),
        ({"f": state, "o": "gte", "v1": 1.0}, {"doc-1", "doc-2", "o2"}),
        ({"f": state, "o": "lt", "v1": 1}, {"doc-0"}),
        ({"f": state, "o": "lte", "v1": "1"}, {"doc-0", "doc-1"}),
        ({"f": state, "o": "gtlte", "v1": 0, "v2": 2}, {"doc-1", "doc-2"}),
        ({"f": "system:objectId", "o": "in", "v1": ["o2", "doc-1"]}, {"o2", "doc-1"}),
        ({"f": "system:tags[ocr].creationDate", "o": "lt", "v1": "2020-01-01T00:00:00Z"}, set()),
        ({"f": "system:createdBy", "o": "in", "v1": ["anonymous"]}, {"doc-0", "doc-1", "doc-2", "o1", "o2"}),
    ]

    for given, objects in asked:
        page = ask(filled, types=["document"], filters=[given])
        assert objects == set(ids([each["properties"] for each in page["objects"]])), given
    ordered = ask(filled, filters=[{"f": state, "o": "lte", "v1": 2}], sort=[{"field": "system:objectId", "order": "desc"}])
    assert ["doc-2", "doc-1", "doc-0"] == ids([each["properties"] for each in ordered["objects"]])


def test_the_short_form_alone(filled: Service) -> None:
    """Web clients send the short form without a query around it, with its paging by other names; columns make no difference."""
    view = {"types": ["system:audit"], "filters": [OF_O1], "sort": [{"field": "system:creationDate", "order": "desc"}]}
    within = ask(filled, **view, maxItems=2, skipCount=1)

    alone = documented(filled.client.post(SEARCH, json={**view, "size": 2, "from": 1, "fields": ["system:detail"]}))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"maxItems": 2}, "maxItems"),
        ({"term": "x"}, "term"),
        ({"size": "x"}, "maxItems"),
    ]

    assert within == alone.json
    for more, named in wrong:
        answer = filled.client.post(SEARCH, json={**view, **more})
        assert (400, True) == (answer.status_code, named in answer.text), answer.text


def test_which_custom_entries_there_are(filled: Service) -> None:
    """Clients ask which kinds of custom entries an object has: none, whatever else it has."""
    page = ask(filled, statement=of("action=10000", "referredObjectId='o1'") + " GROUP BY subaction")

    assert [] == page["objects"]
    assert not page["hasMoreItems"]


def test_a_claim_takes_the_short_form(filled: Service) -> None:
    """A claim's statement may be the body of a search in either form; but entries are not claimed."""
    body = {"query": {"types": ["document"], "filters": [{"f": "system:tags[ocr].state", "o": "eq", "v1": 9}]}}

    claimed = post(filled, "/objects/tags/ocr/state/10", json=body)
    refusal = post(filled, "/objects/tags/ocr/state/10", 400, json={"query": {"statement": of()}})

    assert ["o2"] == [each["properties"]["system:objectId"]["value"] for each in claimed["objects"]]
    assert "system:audit" in refusal["detail"]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({}, "short form"),
        ({"statement": of(), "types": ["system:audit"]}, "short form"),
        ({"statement": of("action = 110 OR action = 210")}, "AND alone"),
        ({"statement": of("NOT action = 110")}, "line 1, column"),
        ({"statement": of("action = 110") + " GROUP BY subaction"}, "custom entries"),
        ({"statement": of("action = 10000") + " GROUP BY detail"}, "expected system:subaction"),
        ({"statement": of("detail = 'x'")}, "found 'detail'"),
        ({"statement": of("action = 110", "action = 210")}, "twice"),
        ({"statement": of("referredObjectId = 'a/b'")}, "object id"),
        ({"statement": of(order=" ORDER BY system:action")}, "system:creationDate"),
        ({"statement": of("creationDate = 'yesterday'")}, "RFC 3339"),
        ({"statement": of(f"createdBy = '{'x' * 6000}'")}, "5,000"),
        ({"types": ["a", "b"]}, "types"),
        ({"types": ["a b"]}, "no type"),
        ({"filters": [{**OF_O1, "v2": 1}]}, "v2"),
        ({"filters": [{**OF_O1, "o": "like"}]}, "one of eq"),
        ({"filters": [{**OF_O1, "v1": {}}]}, "v1"),
        ({"filters": [{**OF_O1, "v1": "'\""}]}, "quotes"),
        ({"filters": [{**OF_O1, "f": "system:objectId = 'x' OR system:objectId"}]}, "no column"),
        (
            {"filters": [{"f": "title", "o": "eq", "v1": "x"}]},
            "the short form says: SELECT * FROM system:object WHERE title = 'x'",
        ),
        ({"filters": [OF_O1] * 51}, "at most 50"),
        ({"types": ["system:audit"], "sort": [{"field": "system:creationDate", "order": "up"}]}, "asc, desc"),
    ],
    ids=str,
)
def test_refusals(asked: Service, query: dict[str, Any], reason: str) -> None:
    """What cannot be asked is a 400 that says so; of the short form with the statement that it stands for."""
    assert reason in refused(asked, **query)


def test_who_may_look(memory: Database, token_store: TokenStore) -> None:
    """The whole trail takes `audit`; one object `read`, within its prefixes; neither opens what the other is for."""
    app = create_app(Settings(mongo_uri="mongomock://", auth="tokens"), database=memory)
    client = app.test_client()
    every = token_store.create("default", "every", Grant(frozenset(Permission)), ADMIN)
    callers = {
        "reader": Grant(frozenset({Permission.READ})),
        "limited": Grant(frozenset({Permission.READ}), ("ocr",)),
        "auditor": Grant(frozenset({Permission.AUDIT})),
        "writer": Grant(frozenset({Permission.WRITE})),
    }
    secrets = {name: token_store.create("default", name, grant, ADMIN) for name, grant in callers.items()}
    for name in ("ocr", "hidden"):
        client.post(f"/api/dms/objects/o1/tags/{name}/state/7", headers={"Authorization": f"Bearer {every}"})
    relay = Relay(memory)
    while relay.run_once():
        """Until everything is in the trail."""

    def asked(name: str, statement: str) -> list[Any] | int:
        answer = client.post(
            SEARCH, json={"query": {"statement": statement}}, headers={"Authorization": f"Bearer {secrets[name]}"}
        )
        if answer.status_code != 200:
            return answer.status_code
        page: dict[str, Any] = answer.json or {}
        return [page["totalNumItems"], *(["hidden"] if "hidden" in answer.text else [])]

    one, whole, objects = of("referredObjectId = 'o1'"), of(), "SELECT * FROM system:object"

    assert {"reader": [2, "hidden"], "limited": [1], "auditor": [2, "hidden"], "writer": 403} == {
        name: asked(name, one) for name in secrets
    }
    assert {"reader": 403, "limited": 403, "auditor": [2, "hidden"], "writer": 403} == {
        name: asked(name, whole) for name in secrets
    }
    assert 403 == asked("auditor", objects)


def test_each_question_is_read_from_an_index(real: Service) -> None:
    """MongoDB finds a page along an index in order: nothing is sorted, and no other object's entries are read."""
    for number in range(30):
        tag(real, f"o{number % 3}", name=f"n{'abcdefghij'[number // 3]}", state=number)
    real.entries()
    commands = [
        "referredObjectId = 'o1'",
        "action = 110",
        "createdBy = 'anonymous'",
        "subaction = 3",
        "action = 110 AND subaction = 3",
    ]
    database = real.database.tags.database
    database.command("profile", 2)
    for condition in commands:
        ask(real, statement=of(condition), maxItems=2)
    database.command("profile", 0)

    reads = list(
        database["system.profile"].find(
            {"ns": {"$regex": "audit_trail$"}, "command.filter": {"$exists": True}, "command.maxTimeMS": {"$gt": 0}}
        )
    )
    assert len(commands) == len(reads)
    assert all("IXSCAN" in read["planSummary"] and not read.get("hasSortStage") for read in reads)
    assert all(read["docsExamined"] <= 4 for read in reads), [(read["planSummary"], read["docsExamined"]) for read in reads]
