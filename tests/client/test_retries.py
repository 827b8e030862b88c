"""Calls that fail in a way that may pass are sent again: when, how often, and never twice in effect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dms_tags.client import (
    AsyncDmsTags,
    DmsTags,
    Problem,
    RateLimited,
    Retries,
    TagExists,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
)
from tests.client.test_calls import TAG, one_row, problem

Outcome = httpx.Response | type[httpx.TransportError]


class Flaky:
    """Loses connections or refuses as the script says; keeps a clock that only moves when somebody waits."""

    def __init__(self, *script: Outcome) -> None:
        self.script = list(script)
        self.keys: list[str] = []
        self.waits: list[float] = []
        self.now = 0.0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.keys.append(request.headers.get("Idempotency-Key", ""))
        outcome = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(outcome, httpx.Response):
            return outcome
        raise outcome("lost", request=request)

    def sleep(self, seconds: float) -> None:
        """Waits, in the clock's time."""
        self.waits.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        """The same, for a task."""
        self.sleep(seconds)

    @property
    def retries(self) -> Retries:
        """The usual times, by this clock and without chance."""
        return Retries(clock=lambda: self.now, chance=lambda: 1.0)

    def call(self, make: Callable[[DmsTags], Any]) -> Any:
        """What a blocking client gets."""
        with DmsTags("http://t.test", transport=httpx.MockTransport(self), retries=self.retries, sleep=self.sleep) as client:
            return make(client)


def add(client: DmsTags) -> Any:
    """The call of most tests."""
    return client.add("doc", "ocr", 2)


@pytest.mark.parametrize("lost", [httpx.ConnectError, httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError])
def test_a_lost_answer_is_asked_for_again_under_the_same_key(lost: type[httpx.TransportError]) -> None:
    """The service may have made the change: the same key finds the answer again."""
    service = Flaky(lost, lost, one_row())

    assert service.call(add) == TAG
    assert len(service.keys) == 3
    assert len(set(service.keys)) == 1
    assert service.waits == [0.1, 0.2]


def test_the_service_says_how_long_to_wait() -> None:
    """`Retry-After` is honoured, with a little chance on top so that clients do not return together."""
    refused = problem(503, "store-unavailable")
    refused.headers["Retry-After"] = "3"
    service = Flaky(refused, one_row())

    assert service.call(add) == TAG
    assert service.waits == [3.1]


def test_retry_after_may_be_a_date_and_may_be_nonsense() -> None:
    """A date in the past asks for no wait; a text that is neither number nor date is passed over."""
    past, nonsense = problem(503, "store-unavailable"), problem(503, "store-unavailable")
    past.headers["Retry-After"] = "Wed, 21 Oct 2015 07:28:00 GMT"
    nonsense.headers["Retry-After"] = "soon"
    service = Flaky(past, nonsense, one_row())

    assert service.call(add) == TAG
    assert service.waits == [0.1, 0.2]


def test_a_proxys_refusal_is_repeated_too() -> None:
    """A 502 with a page of the proxy's own says no more than that the service is away."""
    service = Flaky(httpx.Response(502, text="<html>Bad Gateway</html>"), one_row())

    assert service.call(add) == TAG


def test_the_wait_grows_and_stays_within_bounds() -> None:
    """Waits double up to the most, and the deadline ends it with the last error."""
    service = Flaky(httpx.ConnectError)
    with pytest.raises(Unreachable, match=r"t\.test: lost"):
        service.call(add)

    assert service.waits[:7] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0])
    assert 25 < service.now <= 30


def test_a_service_that_stays_away_is_reported_as_such() -> None:
    """At the deadline the last refusal is raised, with what it said."""
    service = Flaky(problem(503, "store-unavailable"))
    with pytest.raises(Unavailable) as caught:
        service.call(add)

    assert caught.value.detail == "what was wrong"
    assert service.now <= 30


def test_a_longer_wait_than_the_deadline_allows_is_not_begun() -> None:
    """Asked to come back in an hour the client says so at once."""
    refused = problem(429, "rate-limited")
    refused.headers["Retry-After"] = "3600"
    service = Flaky(refused)
    with pytest.raises(RateLimited) as caught:
        service.call(add)

    assert caught.value.retry_after == 3600
    assert service.waits == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(problem(409, "tag-exists"), TagExists), (problem(500, "internal"), Problem), (httpx.Response(500), UnexpectedAnswer)],
)
def test_what_will_not_pass_is_raised_at_once(answer: httpx.Response, kind: type[Exception]) -> None:
    """A refusal that is about the request itself is not sent again."""
    service = Flaky(answer)
    with pytest.raises(kind):
        service.call(add)

    assert len(service.keys) == 1


def test_a_change_of_a_batch_that_the_store_could_not_make_is_set_again() -> None:
    """A `set` is repeated when its one result says that the store was away."""
    away = httpx.Response(200, json={"results": [{"status": 503, "problem": problem(503, "store-unavailable").json()}]})
    made = httpx.Response(
        200, json={"results": [{"status": 200, "tag": ["ocr", 2, "2020-02-20T02:20:20.220Z", "1234567887654321"], "etag": "e1"}]}
    )
    service = Flaky(away, made)

    assert service.call(lambda client: client.set("doc", "ocr", 2)) == TAG


def test_the_asynchronous_client_repeats_in_the_same_way() -> None:
    """Both clients share one conversation; only the waiting differs."""
    service = Flaky(httpx.ReadError, problem(503, "store-unavailable"), one_row())

    async def run() -> Any:
        transport = httpx.MockTransport(service)
        async with AsyncDmsTags(
            "http://t.test", transport=transport, retries=service.retries, sleep=service.sleep_async
        ) as client:
            return await client.add("doc", "ocr", 2)

    assert asyncio.run(run()) == TAG
    assert len(set(service.keys)) == 1
    assert service.waits == [0.1, 0.2]
