"""A stop that loses no call: not ready first, then nothing new, then what was begun."""

from __future__ import annotations

import http.client
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from dms_tags.serving.mongod import eventually
from tests.support.service import Service, service

PATH = "/api/dms/objects/doc1/tags"


class Caller(threading.Thread):
    """Calls without a pause, over one connection as long as it may; ends when nobody listens any more."""

    def __init__(self, port: int, *, keep: bool) -> None:
        super().__init__()
        self.answered = 0
        self.failed: list[BaseException] = []
        self._port = port
        self._keep = keep

    def run(self) -> None:
        """Until the connection is refused, which costs no call: nothing was sent."""
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            try:
                connection.connect()
            except ConnectionRefusedError:
                return
            except OSError as error:
                self.failed.append(error)
                return
            try:
                self._call(connection)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(error)
                return
            finally:
                connection.close()

    def _call(self, connection: http.client.HTTPConnection) -> None:
        while True:
            connection.request("GET", PATH)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            self.answered += 1
            if answer.will_close or not self._keep:
                return


def under_load(running: Service, callers: int, stop: Callable[[], Any]) -> list[Caller]:
    """Callers of both kinds, busy while the service is stopped, and ended."""
    port = int(running.url.rpartition(":")[2])
    threads = [Caller(port, keep=number % 2 == 0) for number in range(callers)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: all(thread.answered for thread in threads), 20)
    stop()
    for thread in threads:
        thread.join(30)
    return threads


@pytest.mark.parametrize("drain", ["0", "1"])
def test_no_call_is_lost_at_a_stop(tmp_path: Path, drain: str) -> None:
    """Six busy callers get an answer to every call that they could send, whether the service drains first or not."""
    settings = {"DMS_TAGS_WORKERS": "2", "DMS_TAGS_DRAIN_SECONDS": drain}
    with service(tmp_path, settings) as running:
        threads = under_load(running, 6, lambda: running.stop(seconds=20))

    assert [] == [thread.failed for thread in threads if thread.failed]


def test_a_service_that_drains_serves_and_is_not_ready(tmp_path: Path) -> None:
    """While it drains calls are answered, each ends its connection, and `/health/ready` says 503 and why; a second signal ends it."""
    settings = {"DMS_TAGS_MONGO_URI": "mongomock://", "DMS_TAGS_DRAIN_SECONDS": "60"}
    with service(tmp_path, settings) as running, httpx.Client(trust_env=False, timeout=20) as client:
        url = running.url
        running.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: client.get(f"{url}/health/ready").status_code == 503, 20)
        assert "about to stop" in client.get(f"{url}/health/ready").text
        assert eventually(lambda: client.get(url + PATH).headers.get("Connection") == "close", 20)
        assert 200 == client.get(url + PATH).status_code

        running.process.send_signal(signal.SIGTERM)
        assert 0 == running.process.wait(20)


def test_ready_answers_within_a_second_also_without_mongodb(tmp_path: Path) -> None:
    """Whoever asks often is not kept waiting by a MongoDB that does not answer."""
    settings = {"DMS_TAGS_MONGO_URI": "mongodb://127.0.0.1:9/?replicaSet=none", "DMS_TAGS_WORKERS": "1"}
    with service(tmp_path, settings, ready=False) as running:
        assert eventually(lambda: running.status("/health/live") == 200, 30)
        for _ in range(3):
            began = time.monotonic()
            assert 503 == running.status("/health/ready")
            assert time.monotonic() - began < 3  # a second, and what a busy machine adds; a look for a server takes 4 s elsewhere
