"""A bounded share for statements: who finds it full comes again, and only what is slow by itself is called slow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from dms_tags.errors import InvalidQuery, StoreUnavailable
from dms_tags.query import Clock, parse
from dms_tags.query.compiler import Plan, Scope, compile_statement
from dms_tags.serving.mongod import Client
from dms_tags.store.database import Database
from dms_tags.tags.finder import PLACES, Finder
from dms_tags.tags.share import Share
from tests.support.app import Service
from tests.support.workflow import QUEUED, claim, post, search, tag


@contextmanager
def out_of_time(client: Client, times: int) -> Iterator[None]:
    """So many of the next queries end as MongoDB ends one that ran for too long."""
    slow = {"failCommands": ["find"], "errorCode": 50, "appName": "dms-tags"}
    client.admin.command("configureFailPoint", "failCommand", mode={"times": times}, data=slow)
    try:
        yield
    finally:
        client.admin.command("configureFailPoint", "failCommand", mode="off")


def plan() -> Plan:
    """A statement's plan."""
    return compile_statement(parse(QUEUED), Scope("default"), Clock())


def test_who_finds_every_place_taken_is_told_when_to_come_again() -> None:
    """A share of two gives no third place, until one of the two is free."""
    share = Share(2, "statements", wait=0.01)
    with share.place():
        with share.place(), pytest.raises(StoreUnavailable, match="too many statements") as full, share.place():
            """Not reached."""
        assert full.value.retry_after
        with share.place():
            """There is one again."""


def test_no_more_wait_for_a_place_than_may() -> None:
    """Who waits holds the body of a request: beyond so many, a caller is sent away at once."""
    share = Share(1, "statements", wait=60, waiting=1)
    answers: list[StoreUnavailable] = []
    one_refused = threading.Event()

    def ask() -> None:
        try:
            with share.place():
                """It was free in the end."""
        except StoreUnavailable as refusal:
            answers.append(refusal)
            one_refused.set()

    with ThreadPoolExecutor(2) as pool:
        with share.place():
            asking = [pool.submit(ask) for _ in range(2)]
            assert one_refused.wait(30)
        for asked in asking:
            asked.result(30)

    assert 1 == len(answers)


def test_a_place_knows_whether_it_had_company() -> None:
    """Whoever overlaps with another is not alone, also once the other has gone."""
    share = Share(2, "statements")
    with share.place() as first:
        assert first.alone
        with share.place() as second:
            assert not second.alone
        assert not first.alone
    with share.place() as third:
        assert third.alone


def test_a_statement_that_takes_too_long_alone_is_refused(database: Database, mongo_client: Client) -> None:
    """It is `InvalidQuery` where nothing else can have made it slow."""
    with out_of_time(mongo_client, 1), pytest.raises(InvalidQuery, match="longer than 5 s"):
        Finder(database).find(plan(), 10)


def test_a_statement_that_takes_too_long_beside_others_may_come_again(database: Database, mongo_client: Client) -> None:
    """Where others ran beside it nobody can say whose fault it was."""
    finder = Finder(database)
    with finder.share.place(), out_of_time(mongo_client, 1), pytest.raises(StoreUnavailable, match="beside others") as slow:
        finder.find(plan(), 10)

    assert slow.value.retry_after


def test_searches_that_fill_their_share_hinder_no_other_call(service: Service) -> None:
    """A search gets 503 with `Retry-After`; reading, changing and claiming go on."""
    tag(service, "a")
    with ExitStack() as places:
        for _ in range(PLACES):
            places.enter_context(service.services.search.finder.share.place())
        refused = service.client.post("/api/dms/objects/search", json={"query": {"statement": QUEUED}})

        assert (503, "/problems/store-unavailable") == (refused.status_code, (refused.json or {})["type"])
        assert int(refused.headers["Retry-After"])
        tag(service, "b")
        assert claim(service)
        post(service, "/objects/a/tags/other/state/1")

    assert 1 == search(service, QUEUED)["totalNumItems"]


def test_long_statements_are_read_one_by_one(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is read others that are long wait or are sent away; short ones are read, and once for all that ask the same."""
    long = f"{QUEUED} OR " + " OR ".join(f"system:tags[ocr].state={number}" for number in range(60))
    search_ = service.services.search
    reading, go_on = threading.Event(), threading.Event()

    def slow(_: float) -> None:
        reading.set()
        go_on.wait(20)

    monkeypatch.setattr("dms_tags.tags.search.sleep", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(search_.read, long)
        assert reading.wait(20)
        waiting = pool.submit(search_.read, long)
        assert search_.read(QUEUED) is search_.read(QUEUED)
        with pytest.raises(StoreUnavailable, match="too many long statements"):
            search_.read(long)
        with pytest.raises(StoreUnavailable, match="too many long statements"):
            waiting.result()
        go_on.set()

    assert first.result() == parse(long)
