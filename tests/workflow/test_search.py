"""Searching, and what a caller may find (API.md sections 3 and 6)."""

from __future__ import annotations

from typing import Any

import pytest

from dms_tags.identity.model import Identity, Permission
from dms_tags.tags.model import Actor
from tests.support.app import Service
from tests.workflow.steps import QUEUED, ids, post, search, tag


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
        ({"query": {"statement": "\ud800"}}, "invalid-query"),
    ],
)
def test_a_malformed_search_is_refused(service: Service, body: Any, slug: str) -> None:
    """A 400 that says what would be right."""
    assert f"/problems/{slug}" == post(service, "/objects/search", 400, json=body)["type"]


OCR_ONLY = Identity(
    "default",
    Actor("ocr-worker", "token"),
    frozenset({Permission.READ, Permission.WRITE}),
    read_prefixes=("ocr",),
    write_prefixes=("ocr",),
)


@pytest.fixture
def limited(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """The caller may read and write tags called `ocr…` only."""
    tag(service, "a", "ocr", 1)
    tag(service, "a", "secret", 7)
    monkeypatch.setattr(service.services.guard, "identify", lambda _request: OCR_ONLY)
    return service


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
