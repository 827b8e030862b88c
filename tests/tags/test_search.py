"""Searching, and what a caller may find (API.md sections 3 and 6)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.model import Actor
from dms_tags.query import Statement, render
from dms_tags.settings import Settings
from tests.query.strategies import STATEMENTS
from tests.support.app import Service, running
from tests.support.workflow import QUEUED, ids, post, rows, search, tag


def test_a_search_pages_and_tells_how_many_there_are(service: Service) -> None:
    """Every page says how many it has, whether more follow, and how many match in all."""
    for number in range(5):
        tag(service, f"object-{number}")
    tag(service, "other", state=2)
    statement = f"{QUEUED} ORDER BY system:objectId"

    pages = [search(service, statement, skipCount=skip, maxItems=2) for skip in (0, 2, 4, 6)]

    assert [["object-0", "object-1"], ["object-2", "object-3"], ["object-4"], []] == [
        ids([found["properties"] for found in page["objects"]]) for page in pages
    ]
    assert [(2, True, 5), (2, True, 5), (1, False, 5), (0, False, 5)] == [
        (page["numItems"], page["hasMoreItems"], page["totalNumItems"]) for page in pages
    ]
    assert [["object-0", 1]] == [
        [found["properties"]["system:objectId"]["value"], found["properties"]["system:tags"]["value"][0][1]]
        for found in search(service, statement, maxItems=1)["objects"]
    ]


def test_a_search_shows_fifty_objects_unless_told_otherwise(service: Service) -> None:
    """`maxItems` is 50 by default."""
    changes = [{"objectId": f"object-{number}", "name": "ocr", "state": 1, "action": "add"} for number in range(60)]
    post(service, "/objects/tags", json={"changes": changes})

    page = search(service, QUEUED)

    assert (50, True, 60) == (page["numItems"], page["hasMoreItems"], page["totalNumItems"])
    assert (0, True, 60) == (search(service, QUEUED, maxItems=0)["numItems"], True, page["totalNumItems"])


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        (None, "invalid-body"),
        ({"query": {}}, "invalid-body"),
        ({"query": {"statement": 7}}, "invalid-body"),
        ({"query": {"statement": QUEUED, "maxItems": 1001}}, "invalid-body"),
        ({"query": {"statement": QUEUED, "skipCount": 10_001}}, "invalid-body"),
        ({"query": {"statement": QUEUED, "maxItems": True}}, "invalid-body"),
        ({"query": {"statement": QUEUED, "limit": 1}}, "invalid-body"),
        ({"query": {"statement": "SELECT * FROM x WHERE state=1"}}, "invalid-query"),
        ({"query": {"statement": "\ud800"}}, "invalid-body"),
    ],
)
def test_a_malformed_search_is_refused(shared: Service, body: Any, slug: str) -> None:
    """A 400 that says what would be right."""
    assert f"/problems/{slug}" == post(shared, "/objects/search", 400, json=body)["type"]


@how(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(st.randoms(use_true_random=False), STATEMENTS)
def test_any_statement_is_answered_or_refused(real: Service, chance: random.Random, statement: Statement) -> None:
    """Random and mutated statements, on a real mongod: 200, or 400 `invalid-query`, never an internal error."""
    if not rows(real, "object-1"):
        for number in range(8):
            tag(real, f"object-{number}", "a", number % 3)
    text = list(render(statement))
    for _ in range(chance.randint(0, 2)):
        place = chance.randrange(len(text))
        text[place : place + chance.randint(0, 2)] = [chance.choice(["'", "(", ")", " ", "1", "NOT ", "\u00e9", "<", "="])]

    answers = [
        real.client.post("/api/dms/objects/search", json={"query": {"statement": "".join(text)}}),
        real.client.post("/api/dms/objects/tags/b/state/1", query_string={"query": "".join(text)}),
    ]

    told = {answer.status_code if answer.status_code == 200 else (answer.json or {})["type"] for answer in answers}
    assert told in ({200}, {"/problems/invalid-query"})


@pytest.fixture
def limited(real: Service, mongo_uri: str, database_name: str) -> Iterator[Service]:
    """A service that knows its callers; this one may read and write tags called `ocr…` only."""
    tag(real, "a", "ocr", 1)
    tag(real, "a", "secret", 7)
    grant = Grant(frozenset({Permission.READ, Permission.WRITE}), read_prefixes=("ocr",), write_prefixes=("ocr",))
    token = TokenStore(real.database, real.services.store).create("default", "ocr-worker", grant, Actor("tests", "cli"))
    with running(Settings(mongo_uri=mongo_uri, database=database_name, auth="tokens")) as found:
        found.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        yield found


@pytest.mark.parametrize(
    "condition", ["system:tags[secret].state=7", "NOT (system:tags[ocr].state=1 AND system:tags[secret] IS NULL)"]
)
def test_asking_about_a_tag_that_the_caller_may_not_read_is_forbidden(limited: Service, condition: str) -> None:
    """Neither a search nor a claim tells a state by whether it finds the object."""
    statement = " ".join(["SELECT * FROM x WHERE", condition])

    post(limited, "/objects/search", 403, json={"query": {"statement": statement}})
    post(limited, "/objects/tags/ocr/state/2", 403, query_string={"query": statement})
    post(limited, "/objects/search", 403, json={"query": {"statement": "SELECT * FROM x ORDER BY system:tags[secret].state"}})


def test_rows_that_the_caller_may_not_read_are_left_out(limited: Service) -> None:
    """A search, a claim and a batch give and change only what the caller may."""
    found = search(limited, QUEUED)["objects"][0]["properties"]
    claimed = post(limited, "/objects/tags/ocr/state/2", query_string={"query": QUEUED})["objects"][0]["properties"]

    for properties in (found, claimed):
        assert ["ocr"] == [row[0] for row in properties["system:tags"]["value"]]
        assert 1 == len(properties["dms:etags"]["value"])
    results = post(
        limited, "/objects/tags", json={"changes": [{"objectId": "a", "name": "secret", "state": 1, "action": "set"}]}
    )["results"]
    assert 403 == results[0]["status"]
    post(limited, "/objects/tags/secret/state/2", 403, query_string={"query": QUEUED})
