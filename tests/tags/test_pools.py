"""Candidates are read once for many claims, and a look that fails is not repeated by each who waited for it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

from dms_tags.errors import InvalidQuery
from dms_tags.query import Clock, Plan, Scope, compile_statement, parse
from dms_tags.tags.pools import Pool
from tests.support.workflow import QUEUED, eventually


class Queue:
    """Stands for the finder: gives what it holds, or fails, when it is let."""

    def __init__(self, *ids: str, fails: bool = False) -> None:
        self.documents = [{"_id": ident} for ident in ids]
        self.fails = fails
        self.looks = 0
        self.let = threading.Event()
        self.let.set()

    def find(self, _plan: Plan, limit: int, _skip: int = 0) -> list[dict[str, Any]]:
        self.looks += 1
        self.let.wait()
        if self.fails:
            raise InvalidQuery("the statement ran for longer than 5 s")
        return self.documents[:limit]

    def after(self, plan: Plan, _key: str, limit: int) -> list[dict[str, Any]]:
        return self.find(plan, limit)


def plan() -> Plan:
    return compile_statement(parse(QUEUED), Scope("default"), Clock())


def test_one_look_serves_many_claims_and_hands_each_object_out_once() -> None:
    """As many claims as there are objects cost one look."""
    queue = Queue(*(f"object-{number}" for number in range(30)))
    pool = Pool(queue)

    taken = [pool.take(plan, monotonic(), 0) for _ in range(30)]

    assert 30 == len({document["_id"] for document in taken if document is not None})
    assert 1 == queue.looks


def test_what_was_lost_several_times_in_a_row_is_read_anew() -> None:
    """A claim that keeps losing does not go on with what was read before it began."""
    queue = Queue("a", "b", "c", "d", "e", "f")
    pool = Pool(queue)
    pool.take(plan, monotonic(), 0)

    pool.take(plan, monotonic(), 3)

    assert 2 == queue.looks


def test_whoever_waited_for_a_look_that_failed_is_told_so_at_once() -> None:
    """Sixteen claims of a statement that takes too long do not wait for it one after the other."""
    queue = Queue(fails=True)
    queue.let.clear()
    pool = Pool(queue)
    started = threading.Semaphore(0)

    def claim() -> str:
        since = monotonic()
        started.release()
        try:
            pool.take(plan, since, 0)
        except InvalidQuery as error:
            return error.detail
        return ""

    with ThreadPoolExecutor(16) as claims:
        told = [claims.submit(claim) for _ in range(16)]
        for _ in range(16):
            started.acquire()
        eventually(lambda: queue.looks > 0)
        queue.let.set()

    assert {"the statement ran for longer than 5 s"} == {one.result() for one in told}
    assert 1 == queue.looks
