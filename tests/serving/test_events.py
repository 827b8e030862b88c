"""Events from a real service with two processes on a real MongoDB, over a network that breaks."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from dms_tags.client import AsyncDmsTags, BatchChange, DmsTags, Event, Retries, in_state
from dms_tags.serving.mongod import eventually
from tests.support.proxy import breaking
from tests.support.service import Service, service

ROOT = Path(__file__).parents[2]
OBJECTS = 50
ROUNDS = 24
EVENTS = OBJECTS * ROUNDS


@pytest.fixture(scope="module")
def running(mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with service(folder, DMS_TAGS_MONGO_URI=mongo_uri, DMS_TAGS_DATABASE="events_server", DMS_TAGS_WORKERS="2") as one:
        yield one


@contextmanager
def worker(url: str, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """The example, with this command as its work."""
    arguments = [sys.executable, str(ROOT / "scripts" / "worker-example"), "work", "1", "2", "3", "4", *command]
    process = subprocess.Popen(
        arguments, env={**os.environ, "DMS_TAGS_URL": url, "PYTHONPATH": str(ROOT)}, start_new_session=True
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_client_that_is_cut_off_a_hundred_times_sees_every_event_once(running: Service) -> None:
    """Changes go on while the connection breaks at random, and each comes back from whichever process answers."""
    seen: list[Event] = []
    quick = Retries(chance=lambda: 0.02)

    def follow(url: str) -> None:
        with DmsTags(url, tenant="cut", retries=quick) as client:
            for event in client.events(after=0):
                seen.append(event)
                if len(seen) >= EVENTS:
                    return

    with breaking(running.url, cuts=100, most=12_000) as network, DmsTags(running.url, tenant="cut") as writer:
        reader = threading.Thread(target=follow, args=(network.url,), daemon=True)
        reader.start()
        for state in range(ROUNDS):
            outcomes = writer.batch([BatchChange(f"doc{number}", "ocr", state) for number in range(OBJECTS)])
            assert all(outcome.error is None for outcome in outcomes)
        reader.join(60)

        assert [event.position for event in seen] == list(range(1, EVENTS + 1))
        assert network.left == 0
    for number in range(OBJECTS):
        mine = [event.entry.state for event in seen if event.entry.object_id == f"doc{number}"]
        assert mine == list(range(ROUNDS))


def test_changes_over_a_network_that_breaks_are_made_once(running: Service) -> None:
    """A change whose answer was lost is found again by its key: the trail has each of them exactly once."""
    quick = Retries(chance=lambda: 0.02)
    with breaking(running.url, cuts=60, most=700) as network, DmsTags(network.url, tenant="once", retries=quick) as client:
        tag = client.add("doc", "ocr", 0)
        for state in range(1, 60):
            tag = client.update("doc", "ocr", state, if_match=tag.etag)
        client.delete("doc", "ocr", if_match=tag.etag)

    with DmsTags(running.url, tenant="once") as client:
        history = client.history("doc", size=100).entries
        assert [entry.revision for entry in history] == list(range(61, 0, -1))
        assert [entry.state for entry in history] == [59, *range(59, -1, -1)]
        assert client.tags("doc") == ()


def test_claims_over_a_network_that_breaks_lose_no_object(running: Service) -> None:
    """A claim whose answer was lost is found again by its key, so that no object waits for a lease to run out."""
    quick = Retries(chance=lambda: 0.02)
    worked: list[str] = []
    with breaking(running.url, cuts=30, most=900) as network, DmsTags(network.url, tenant="queue", retries=quick) as client:
        client.batch([BatchChange(f"doc{number}", "ocr", 1) for number in range(25)])
        while True:
            with client.claim("ocr", 2, in_state("ocr", 1), on_success=3) as work:
                if work is None:
                    break
                worked.append(work.object_id)

    with DmsTags(running.url, tenant="queue") as client:
        assert sorted(worked) == sorted(f"doc{number}" for number in range(25))
        for object_id in worked:
            assert [entry.state for entry in client.history(object_id).entries] == [3, 2, 1]


def test_tasks_work_on_a_queue_and_listen_to_it(running: Service) -> None:
    """The asynchronous client claims, finishes and follows on the real service as the blocking one does."""

    async def run() -> tuple[list[str], list[tuple[str, int]]]:
        async with AsyncDmsTags(running.url, tenant="tasks") as client:
            await client.batch([BatchChange(f"doc{number}", "ocr", 1) for number in range(6)])

            async def work() -> list[str]:
                done: list[str] = []
                while True:
                    async with client.claim("ocr", 2, in_state("ocr", 1), on_success=3) as held:
                        if held is None:
                            return done
                        done.append(held.object_id)

            worked = await asyncio.gather(work(), work(), work())
            finished = []
            async for event in client.events(name="ocr", state=3, after=0):
                finished.append((event.entry.object_id, event.entry.previous_state))
                if len(finished) == 6:
                    break
            return [each for mine in worked for each in mine], finished

    worked, finished = asyncio.run(run())

    assert sorted(worked) == [f"doc{number}" for number in range(6)]
    assert sorted(finished) == [(f"doc{number}", 2) for number in range(6)]


def test_an_event_comes_soon_after_its_change(running: Service) -> None:
    """A client that waits is told within a moment, whichever process made the change."""
    delays: list[float] = []
    with DmsTags(running.url, tenant="soon") as client, DmsTags(running.url, tenant="soon") as listener:
        client.add("doc", "ocr", 0)
        events = listener.events(after=0)
        next(events)
        for state in range(1, 11):
            began = time.monotonic()
            client.update("doc", "ocr", state)
            assert next(events).entry.state == state
            delays.append(time.monotonic() - began)

    assert sorted(delays)[len(delays) // 2] < 5


def test_a_stopping_service_ends_its_streams_with_a_word(mongo_uri: str, tmp_path: Path) -> None:
    """A stream does not hold up the end of the service, and its client is told to come back."""
    with (
        service(tmp_path, DMS_TAGS_MONGO_URI=mongo_uri, DMS_TAGS_DATABASE="events_stop", DMS_TAGS_WORKERS="1") as one,
        httpx.stream("GET", f"{one.url}/api/dms/tags/events", trust_env=False, timeout=30) as stream,
    ):
        parts = stream.iter_text()
        next(parts)
        assert one.stop() == 0
        assert "event: closing" in "".join(parts)


def test_a_worker_that_is_killed_loses_its_work_to_another(running: Service) -> None:
    """The example takes an object, dies, and a second one finishes it after the lease ran out."""
    with DmsTags(running.url) as client:
        client.set("killed", "work", 1)
        with worker(running.url, "sh", "-c", "sleep 100"):
            assert eventually(lambda: client.get("killed", "work").state == 2, 30)
        with worker(running.url, "true"):
            assert eventually(lambda: client.get("killed", "work").state == 3, 60)

        assert [entry.created_by for entry in client.history("killed").entries][2] == "system:lease"
        assert client.search(in_state("work", 2)).total == 0
