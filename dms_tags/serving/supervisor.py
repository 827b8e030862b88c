"""`dms-tags serve`: starts the processes of the service, starts them again when they die, and ends them.

    supervisor ─┬─ mongod    (its own session; only without DMS_TAGS_MONGO_URI)
                ├─ web       gunicorn's master ── one process for each of DMS_TAGS_WORKERS
                └─ keeper    relay and other duties in the background (with mongomock: threads of the one worker)
                      ── courier    deliveries, while there are subscriptions

The supervisor imports no web framework, so that little can go wrong in it.  It owns the listening socket, so that the
port stays the service's when the web process is started again.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Final

from dms_tags import draining
from dms_tags.audit.log.keys import embedded_key
from dms_tags.errors import CannotStart
from dms_tags.measures.processes import SUPERVISOR
from dms_tags.serving import logs
from dms_tags.serving.embedded import Embedded
from dms_tags.serving.failure import VARIABLE as REPORT
from dms_tags.serving.listener import address_of, listen
from dms_tags.serving.preflight import check
from dms_tags.serving.tether import tethered
from dms_tags.serving.welcome import welcome
from dms_tags.settings import Settings
from dms_tags.version import __version__

POLL_SECONDS: Final = 0.1
FIRST_WAIT: Final = 0.2
LONGEST_WAIT: Final = 10.0
"""A process that dies is started again after `FIRST_WAIT` seconds, twice as long each time, up to `LONGEST_WAIT`."""
STEADY_SECONDS: Final = 30.0
"""A process that ran for so long starts with `FIRST_WAIT` again."""
STOP_SECONDS: Final = 7.0
"""Web and keeper have this long to end, before they are killed."""

MEMORY_WARNING: Final = "DMS_TAGS_MONGO_URI=mongomock:// keeps everything in memory: NOTHING survives the end of this process"


log = logging.getLogger(__name__)


def serve(settings: Settings) -> int:
    """Runs the service until SIGTERM or Ctrl-C; the exit status.  Raises `CannotStart`."""
    logs.configure(settings)
    return Supervisor(settings).run()


class Supervisor:
    """The service's processes, from the first to the last."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._embedded = Embedded(settings) if settings.mongo_uri is None else None
        self._children: list[Child] = []
        self._told = 0
        """How often it was told to stop."""

    def run(self) -> int:
        """Starts everything, and watches over it until told to stop."""
        check(self._settings)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        with ExitStack() as cleanup:
            listener = cleanup.enter_context(listen(self._settings))
            reports, told = os.pipe()
            cleanup.callback(os.close, reports)
            cleanup.callback(os.close, told)
            os.set_blocking(reports, False)
            metrics = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="dms-tags-metrics-"))
            self._draining = Path(metrics, "draining")
            environment = {
                **os.environ,
                "DMS_TAGS_BIND": address_of(listener),
                "PROMETHEUS_MULTIPROC_DIR": metrics,
                draining.VARIABLE: str(self._draining),
                REPORT: str(told),
                SUPERVISOR: str(os.getpid()),
            }
            if self._embedded is not None:
                environment["DMS_TAGS_MONGO_URI"] = self._embedded.open()
                cleanup.callback(self._embedded.close)
                if self._settings.signing_key_file is None:
                    environment["DMS_TAGS_SIGNING_KEY_FILE"] = str(embedded_key(self._settings).absolute())
            self._start_children(environment, listener, told)
            cleanup.callback(self._end_children)
            if self._settings.in_memory:
                log.warning(MEMORY_WARNING)
            facts = {"version": __version__, "address": address_of(listener), "auth": self._settings.authentication}
            log.info("listens", extra={"fields": facts})
            sys.stdout.write(welcome(self._settings, address_of(listener)))
            sys.stdout.flush()
            while not self._told:
                self._look_after(reports)
                time.sleep(POLL_SECONDS)
            self._drain(reports)
            # Before anyone else closes it: a connection that only this process could accept would be reset
            listener.close()
            log.info("stops: finishes what was begun")
        log.info("stopped")
        return 0

    def _start_children(self, environment: Mapping[str, str], listener: socket.socket, told: int) -> None:
        module = (sys.executable, "-m")
        descriptor = listener.fileno()
        web = [*module, "dms_tags.serving.web", str(descriptor)]
        self._children = [Child("web", web, environment, (descriptor, told))]
        if not self._settings.in_memory:
            keeper = [*module, "dms_tags.serving.keeper"]
            self._children.append(Child("keeper", keeper, environment, (told,)))
        for child in self._children:
            child.start()

    def _drain(self, reports: int) -> None:
        """Serves on for a while, no longer ready, so that whoever spreads calls over services sends no more; told twice, not."""
        told = self._told
        until = time.monotonic() + self._settings.drain
        draining.begin(self._draining)
        if self._settings.drain:
            log.info("stops in %d s: serves on, and is not ready", self._settings.drain)
        while time.monotonic() < until and self._told == told:
            self._look_after(reports)
            time.sleep(POLL_SECONDS)

    def _look_after(self, reports: int) -> None:
        _raise_reported(reports)
        if self._embedded is not None and self._embedded.revive():
            log.warning("mongod had ended, and was started again")
        for child in self._children:
            child.restart_if_ended()

    def _end_children(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.wait(deadline)

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's signature
        self._told += 1


class Child:
    """One process under the supervisor."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], descriptors: Sequence[int]) -> None:
        self._name = name
        self._command = command
        self._environment = environment
        self._descriptors = descriptors
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._wait = FIRST_WAIT
        self._start_at: float | None = None

    def start(self) -> None:
        """Starts it, in a session of its own: Ctrl-C is the supervisor's to pass on."""
        self._started_at = time.monotonic()
        self._start_at = None
        self._process = subprocess.Popen(
            tethered(self._command),
            env=self._environment,
            pass_fds=self._descriptors,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def restart_if_ended(self) -> None:
        """Starts it again if it has ended, after a while that grows."""
        if self._process is None or self._process.poll() is None:
            return
        moment = time.monotonic()
        if self._start_at is None:
            self._wait = FIRST_WAIT if moment - self._started_at > STEADY_SECONDS else min(LONGEST_WAIT, self._wait * 2)
            self._start_at = moment + self._wait
            code = self._process.returncode
            log.warning("%s ended with code %d; starting it again in %.1f s", self._name, code, self._wait)
        elif moment >= self._start_at:
            self.start()

    def terminate(self) -> None:
        """Asks it to end."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, deadline: float) -> None:
        """Waits until it has ended, by force at `deadline` (of the monotonic clock)."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _raise_reported(reports: int) -> None:
    try:
        told = os.read(reports, 65_536)
    except BlockingIOError:
        return
    raise CannotStart(told.decode(errors="replace").splitlines()[0])
