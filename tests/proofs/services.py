"""Service processes that a proof starts, crashes and starts again, always at the same address."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from dms_tags.serving.mongod import eventually, free_port, port_is_free
from tests.support.service import Service

READY_SECONDS: Final = 60.0
END_SECONDS: Final = 20.0


class Crashable:
    """One `dms-tags serve` with one worker process, on a port that stays its own."""

    def __init__(self, folder: Path, uri: str, database: str, settings: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._folder = folder
        self._environment = {
            "DMS_TAGS_MONGO_URI": uri,
            "DMS_TAGS_DATABASE": database,
            "DMS_TAGS_BIND": f"127.0.0.1:{self.port}",
            "DMS_TAGS_WORKERS": "1",
            "TMPDIR": str(folder.absolute()),  # what a crash leaves there goes with the folder
            **(settings or {}),
        }
        self._service: Service | None = None

    def start(self) -> None:
        """Starts it, without waiting until it is ready."""
        assert eventually(lambda: port_is_free(self.port), END_SECONDS), "what was left of the service did not end by itself"
        self._service = Service(self._folder, self._environment)

    def wait_until_ready(self) -> None:
        """Waits until it serves and reaches MongoDB."""
        service = self._running()
        assert eventually(service.ready, READY_SECONDS), service.err.read_text()[-2000:]

    def crash(self) -> None:
        """Ends all its processes at once, as a loss of the machine's power would."""
        for pid in self._family():
            _kill(pid)
        self._running().process.wait()

    def crash_one(self) -> bool:
        """Ends one of its processes at random; true if that was the supervisor, so that nobody starts anything again."""
        pid = random.choice(self._family())
        _kill(pid)
        if pid != self._running().process.pid:
            return False
        self._running().process.wait()
        return True

    def crash_courier(self) -> bool:
        """Ends the process that delivers subscriptions; false where this service runs none."""
        couriers = self._running().children("courier")
        for pid in couriers:
            _kill(pid)
        return bool(couriers)

    def restart(self) -> None:
        """Stops it as its operator would, and starts it again; asserts that it ended by itself, with 0."""
        assert self._running().stop(seconds=END_SECONDS) == 0
        self.start()
        self.wait_until_ready()

    def stop(self) -> None:
        """Ends it as its operator would; by force if that does not help."""
        if self._service is None or self._service.process.poll() is not None:
            return
        family = self._family()
        self._service.process.terminate()
        with suppress(Exception):
            self._service.process.wait(END_SECONDS)
        for pid in family:
            _kill(pid)
        self._service.process.wait()

    def _running(self) -> Service:
        assert self._service is not None, "start it first"
        return self._service

    def _family(self) -> list[int]:
        root = self._running().process.pid
        parents = {int(stat.parent.name): _parent(stat) for stat in Path("/proc").glob("[0-9]*/stat")}
        found = [root]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found


@contextmanager
def fleet(
    folder: Path, uri: str, database: str, count: int = 2, settings: Mapping[str, str] | None = None
) -> Iterator[Sequence[Crashable]]:
    """`count` ready services on one database; all of them end with the context."""
    services = [Crashable(folder / f"service{number}", uri, database, settings) for number in range(count)]
    try:
        for service in services:
            service.start()
        for service in services:
            service.wait_until_ready()
        yield services
    finally:
        for service in services:
            service.stop()


def _parent(stat: Path) -> int:
    with suppress(OSError):
        return int(stat.read_text().rpartition(")")[2].split()[1])
    return 0


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
