"""Claimed work: held while the block runs, finished at its end, given back where it fails."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dms_tags.client import AsyncDmsTags, DmsTags, LockLost, Retries
from tests.client.test_calls import problem

QUERY = "SELECT * FROM document WHERE system:tags[ocr].state=1"
QUICK = Retries(deadline=0.2, first=0.01)


def until(condition: Callable[[], bool]) -> None:
    """Waits for the condition, generously."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class Queue:
    """A service with objects to claim.  `refuse` names the kinds of call to answer with the given refusal."""

    def __init__(self, *objects: str) -> None:
        self.objects = list(objects)
        self.calls: list[str] = []
        self.refuse: dict[str, httpx.Response] = {}
        self.extended = threading.Event()
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        kind = self._kind(request)
        self.calls.append(kind)
        self.requests.append(request)
        if kind == "extend":
            self.extended.set()
        if kind in self.refuse:
            return self.refuse[kind]
        if kind == "claim":
            taken, self.objects = self.objects[:1], self.objects[1:]
            return httpx.Response(200, json={"objects": [self._claimed(each) for each in taken]})
        state = int(request.url.path.rpartition("/")[2]) if kind == "finish" else 2
        row = ["ocr", state, "2020-02-20T02:20:20.220Z", "ff"]
        return httpx.Response(
            200, json={"objects": [{"properties": {"system:tags": {"value": [row]}}}]}, headers={"ETag": '"e2"'}
        )

    def connect(self) -> DmsTags:
        """A blocking client of it."""
        return DmsTags("http://t.test", transport=httpx.MockTransport(self), retries=QUICK)

    def connect_async(self) -> AsyncDmsTags:
        """A client of it for tasks."""
        return AsyncDmsTags("http://t.test", transport=httpx.MockTransport(self), retries=QUICK)

    @staticmethod
    def _kind(request: httpx.Request) -> str:
        if request.url.path.startswith("/api/dms/objects/tags/"):
            return "claim"
        if request.url.path.endswith("/lease"):
            return "extend" if request.method == "POST" else "release"
        return "finish"

    @staticmethod
    def _claimed(object_id: str) -> dict[str, Any]:
        rows = [["other", 7, "2020-02-20T02:20:20.220Z", "aa"], ["ocr", 2, "2020-02-20T02:20:20.220Z", "ff"]]
        return {
            "properties": {
                "system:objectId": {"value": object_id},
                "system:tags": {"value": rows},
                "dms:etags": {"value": ["e0", "e1"]},
                "dms:attempts": {"value": 3},
            }
        }


def test_work_knows_its_object_and_how_often_it_was_tried() -> None:
    """A claim tells the object, the tag with its ETag, all other tags and the attempts."""
    service = Queue("doc")
    with service.connect() as client, client.claim("ocr", 2, QUERY, lease_seconds=30) as work:
        assert work is not None
        assert (work.object_id, work.attempts, work.trace_id, work.tag.etag) == ("doc", 3, "ff", "e1")
        assert [tag.name for tag in work.tags] == ["other", "ocr"]
        assert not work.lost

    assert dict(service.requests[0].url.params) == {"limit": "1", "leaseSeconds": "30"}


def test_an_empty_queue_gives_no_work() -> None:
    """Nothing to do is no error, and nothing is given back."""
    service = Queue()
    with service.connect() as client, client.claim("ocr", 2, QUERY) as work:
        assert work is None

    assert service.calls == ["claim"]


def test_a_block_that_ends_well_marks_the_work_as_done() -> None:
    """The tag goes to the state for success, under the trace and the ETag of the claim."""
    service = Queue("doc")
    with service.connect() as client, client.claim("ocr", 2, QUERY, on_success=3):
        pass

    assert service.calls == ["claim", "finish"]
    finish = service.requests[-1]
    assert finish.url.path == "/api/dms/objects/doc/tags/ocr/state/3"
    assert finish.url.params["traceIdMustMatch"] == "true"
    assert (finish.headers["If-Match"], finish.headers["X-B3-TraceId"]) == ('"e1"', "ff")


def test_work_may_be_finished_with_a_state_of_its_own() -> None:
    """What the block says goes before the state for success."""
    service = Queue("doc")
    with service.connect() as client, client.claim("ocr", 2, QUERY, on_success=3) as work:
        assert work is not None
        assert work.finish(9).state == 9

    assert service.calls == ["claim", "finish"]


def test_a_block_that_raises_gives_the_object_back() -> None:
    """The error of the block comes out as it is, and another worker may try at once."""
    service = Queue("doc")
    with service.connect() as client, pytest.raises(KeyError, match="broken"), client.claim("ocr", 2, QUERY, on_success=3):
        raise KeyError("broken")

    assert service.calls == ["claim", "release"]


def test_work_that_nobody_finished_goes_back() -> None:
    """Without a state for success a block that says nothing has not done the work."""
    service = Queue("doc")
    with service.connect() as client, client.claim("ocr", 2, QUERY):
        pass

    assert service.calls == ["claim", "release"]


def test_a_lease_that_cannot_be_given_back_hides_no_error() -> None:
    """The lease runs out by itself; what the block raised is what matters."""
    service = Queue("doc")
    service.refuse["release"] = problem(503, "store-unavailable")
    with service.connect() as client, pytest.raises(KeyError, match="broken"), client.claim("ocr", 2, QUERY):
        raise KeyError("broken")


def test_the_lease_is_extended_while_the_block_runs() -> None:
    """Long work keeps its object, without a word of the worker's."""
    service = Queue("doc")
    with service.connect() as client, client.claim("ocr", 2, QUERY, lease_seconds=1, on_success=3):
        assert service.extended.wait(20)

    assert service.requests[1].url.path == "/api/dms/objects/doc/tags/ocr/lease"
    assert dict(service.requests[1].url.params) == {"seconds": "1"}
    assert service.requests[1].headers["X-B3-TraceId"] == "ff"


@pytest.mark.parametrize("refusal", [problem(412, "trace-mismatch"), problem(409, "not-leased")])
def test_a_worker_that_lost_its_lease_is_told(refusal: httpx.Response) -> None:
    """After a refused extension `lost` is set, and the late result is refused with the service's own error."""
    service = Queue("doc")
    service.refuse = dict.fromkeys(("extend", "release"), refusal) | {"finish": problem(412, "revision-mismatch")}
    with service.connect() as client:

        def work_too_long() -> None:
            with client.claim("ocr", 2, QUERY, lease_seconds=1, on_success=3) as work:
                assert work is not None
                assert service.extended.wait(20)
                until(lambda: work.lost)

        with pytest.raises(LockLost):
            work_too_long()


def test_a_lease_that_could_not_be_extended_in_time_counts_as_lost() -> None:
    """A worker that is cut off from the service cannot know better than that its time is up."""
    service = Queue("doc")
    service.refuse["extend"] = problem(503, "store-unavailable")
    with service.connect() as client, client.claim("ocr", 2, QUERY, lease_seconds=1) as work:
        assert work is not None
        until(lambda: work.lost)


def test_several_objects_can_be_taken_at_once() -> None:
    """`take` is the claim without the block, for whoever keeps leases in another way."""
    service = Queue("doc")
    with service.connect() as client:
        (taken,) = client.take("ocr", 2, QUERY, limit=5, lease_seconds=None)

    assert taken.object_id == "doc"
    assert dict(service.requests[0].url.params) == {"limit": "5"}


def test_a_task_holds_its_work_in_the_same_way() -> None:
    """The asynchronous claim extends, finishes and gives back as the blocking one does."""
    service = Queue("a", "b", "c")

    async def run() -> None:
        async with service.connect_async() as client:
            async with client.claim("ocr", 2, QUERY, lease_seconds=1, on_success=3):
                while not service.extended.is_set():
                    await asyncio.sleep(0.05)
            with pytest.raises(KeyError):
                async with client.claim("ocr", 2, QUERY, on_success=3):
                    raise KeyError
            async with client.claim("ocr", 2, QUERY) as work:
                assert work is not None
                await work.finish(4)
            async with client.claim("ocr", 2, QUERY) as work:
                assert work is None

    asyncio.run(run())

    assert [call for call in service.calls if call != "extend"] == [
        "claim",
        "finish",
        "claim",
        "release",
        "claim",
        "finish",
        "claim",
    ]


def test_a_cancelled_task_gives_its_work_back() -> None:
    """Cancelling a worker releases what it holds."""
    service = Queue("doc")

    async def run() -> None:
        async with service.connect_async() as client:
            begun = asyncio.Event()

            async def work() -> None:
                async with client.claim("ocr", 2, QUERY, on_success=3):
                    begun.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(work())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())

    assert service.calls == ["claim", "release"]


def test_all_that_a_holder_asks_names_the_etag_of_its_claim() -> None:
    """The ETag alone tells two holders apart that share a trace id."""
    service = Queue("a", "b")
    with service.connect() as client:
        with client.claim("ocr", 2, QUERY, lease_seconds=30) as work:
            assert work is not None
            work.extend()
            work.release()
        with client.claim("ocr", 2, QUERY, lease_seconds=30) as work:
            assert work is not None
            work.finish(3)

    held = [request for request, kind in zip(service.requests, service.calls, strict=True) if kind != "claim"]
    assert ["extend", "release", "finish"] == [kind for kind in service.calls if kind != "claim"]
    assert {'"e1"'} == {request.headers.get("If-Match") for request in held}


@pytest.mark.parametrize("kind", ["extend", "release", "finish"])
def test_work_that_is_refused_counts_as_lost(kind: str) -> None:
    """Whatever the holder asked for: a 412 says that somebody else has the object."""
    service = Queue("doc")
    service.refuse[kind] = problem(412, "revision-mismatch")
    with service.connect() as client, client.claim("ocr", 2, QUERY, lease_seconds=60) as work:
        assert work is not None
        ask: dict[str, Callable[[], object]] = {
            "extend": work.extend,
            "release": work.release,
            "finish": functools.partial(work.finish, 3),
        }
        with pytest.raises(LockLost):
            ask[kind]()

        assert work.lost
