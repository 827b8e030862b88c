"""Workers on one queue that are killed and frozen at random, beside services that are crashed at random."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dms_tags.client import BatchChange, DmsTags
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.proofs import worked
from tests.proofs.services import Crashable, fleet
from tests.proofs.worker import DONE, NAME, QUEUED

ROOT: Final = Path(__file__).parents[2]
STUCK_SECONDS: Final = 120.0
"""Without any object being finished for so long, none will be."""


class Gang:
    """Some workers in one process that can be killed, and is then started anew."""

    def __init__(self, log: Path, arguments: Sequence[str]) -> None:
        self.log = log
        self._err = log.with_suffix(".err")
        self._arguments = arguments
        self._wakes_at: float | None = None
        self.start()

    def start(self) -> None:
        """Starts the process."""
        with self._err.open("ab") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.proofs.worker", str(self.log), *self._arguments],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stderr=err,
            )

    def kill(self) -> None:
        """Ends it as it stands."""
        self._process.kill()
        self._process.wait()
        self._wakes_at = None

    def freeze(self, seconds: float) -> None:
        """Stops it for so long, in the middle of whatever it does; `thaw_if_due` lets it go on."""
        self._process.send_signal(signal.SIGSTOP)
        self._wakes_at = time.monotonic() + seconds

    def thaw_if_due(self) -> None:
        """Lets it go on if it has been frozen for long enough."""
        if self._wakes_at is not None and time.monotonic() >= self._wakes_at:
            self._process.send_signal(signal.SIGCONT)
            self._wakes_at = None

    @property
    def sound(self) -> bool:
        """Whether it runs and is not frozen."""
        return self._wakes_at is None and self._process.poll() is None

    @property
    def faults(self) -> str:
        """What it said: nothing, unless something happened that should not."""
        return self._err.read_text()


def work_through_crashes(
    folder: Path,
    settings: Settings,
    database: Database,
    *,
    objects: int,
    gangs: int,
    workers: int,
    disturbances: int,
    lease_seconds: int,
    pace: float,
    tell: Callable[[str], None] = lambda _line: None,
) -> worked.Verdict:
    """Lets `gangs` processes of `workers` each work a queue empty, and judges what they leave.

    One after the other, evenly spread over the queue, `disturbances` happen: workers are killed, a service is crashed,
    workers are frozen until their leases have run out, one process of a service is crashed.  `pace` is the mean time of
    work on an object, in seconds.
    """
    with fleet(folder, settings.mongo_uri or "", settings.database) as services:
        _seed(services[0].port, objects)
        arguments = [str(lease_seconds), str(pace), str(workers), *(str(service.port) for service in services)]
        began = time.monotonic()
        with _at_work(folder, arguments, gangs) as crew:
            kinds: Iterator[Callable[[], str]] = itertools.cycle(
                [
                    lambda: _kill(crew),
                    lambda: _crash(services, whole=True),
                    lambda: _freeze(crew, lease_seconds + 1.0),
                    lambda: _crash(services, whole=False),
                ]
            )
            for number, disturb in zip(range(disturbances), kinds, strict=False):
                done = _wait_until_done(database, crew, objects * (number + 1) // (disturbances + 2))
                tell(f"{time.monotonic() - began:4.0f} s, {done} objects finished: {disturb()}")
            _wait_until_done(database, crew, objects)
            seconds = time.monotonic() - began
        assert "".join(gang.faults for gang in crew) == ""
        verdict = worked.judge(database, worked.read(gang.log for gang in crew), objects=objects, lease_seconds=lease_seconds)
        tell(f"{objects} objects in {seconds:.0f} s, {objects / seconds:.0f}/s, through {disturbances} disturbances: {verdict}")
        return verdict


def _seed(port: int, objects: int) -> None:
    with DmsTags(f"http://127.0.0.1:{port}") as client:
        for first in range(0, objects, 1000):
            changes = [BatchChange(f"o{number}", NAME, QUEUED) for number in range(first, min(first + 1000, objects))]
            assert all(outcome.error is None for outcome in client.batch(changes))


@contextmanager
def _at_work(folder: Path, arguments: Sequence[str], gangs: int) -> Iterator[list[Gang]]:
    crew = [Gang(folder / f"gang{number}.log", arguments) for number in range(gangs)]
    try:
        yield crew
    finally:
        for gang in crew:
            gang.kill()


def _wait_until_done(database: Database, crew: Sequence[Gang], count: int) -> int:
    """Waits until so many objects are finished; how many they are by then."""
    best, moved_at = -1, time.monotonic()
    while True:
        for gang in crew:
            gang.thaw_if_due()
        done = database.tags.count_documents({"tags": {"$elemMatch": {"name": NAME, "state": DONE}}})
        if done > best:
            best, moved_at = done, time.monotonic()
        if done >= count:
            return done
        assert time.monotonic() - moved_at < STUCK_SECONDS, f"{done} objects are finished, and no more of them"
        time.sleep(0.1)


def _kill(crew: Sequence[Gang]) -> str:
    gang = random.choice([gang for gang in crew if gang.sound])
    gang.kill()
    gang.start()
    return "killed a process of workers"


def _freeze(crew: Sequence[Gang], seconds: float) -> str:
    random.choice([gang for gang in crew if gang.sound]).freeze(seconds)
    return f"froze a process of workers for {seconds:.0f} s"


def _crash(services: Sequence[Crashable], *, whole: bool) -> str:
    service = random.choice(services)
    if whole:
        service.crash()
        service.start()
        return "crashed a service"
    if service.crash_one():
        service.start()
    return "crashed one process of a service"
