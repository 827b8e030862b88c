"""The whole service as its operator runs it: `dms-tags serve`, a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from dms_tags.serving.mongod import eventually

READY_SECONDS: Final = 60.0
SERVE: Final = (sys.executable, "-m", "dms_tags.cli.main", "serve")


class Service:
    """A running `dms-tags serve`, listening on `url`; what it says is in the files `out` and `err`."""

    def __init__(self, folder: Path, settings: Mapping[str, str], command: Sequence[str] = SERVE) -> None:
        self.out, self.err = folder / "out", folder / "err"
        own = {name: value for name, value in os.environ.items() if not name.startswith("DMS_TAGS_")}
        defaults = {"DMS_TAGS_BIND": "127.0.0.1:0", "DMS_TAGS_DATA": str(folder / "data"), "DMS_TAGS_LOG": "json"}
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                command,
                env={**own, **defaults, **settings},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def url(self) -> str:
        """Where it listens; waits until it says so."""
        if not eventually(lambda: "http://" in self.out.read_text() or self.process.poll() is not None, READY_SECONDS):
            raise TimeoutError(self.err.read_text())
        return self.out.read_text().split("listens on ")[1].split()[0]

    def ready(self) -> bool:
        """Whether it serves, and reaches MongoDB."""
        return self.status("/health/ready") == 200

    def status(self, path: str) -> int | None:
        """The status of a GET of `path`; None without an answer."""
        try:
            return httpx.get(self.url + path, timeout=20, trust_env=False).status_code
        except httpx.HTTPError:
            return None

    def children(self, module: str) -> list[int]:
        """Process ids of the running processes of `dms_tags.serving.<module>` of this service."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and _is_below(int(entry.name), self.process.pid):
                try:
                    command = (entry / "cmdline").read_text().split("\0")
                except OSError:
                    continue
                if f"dms_tags.serving.{module}" in command or Path(command[0]).name == module:
                    found.append(int(entry.name))
        return found

    def memory(self, pid: int) -> int:
        """Resident memory of one of its processes, in kB."""
        status = Path("/proc", str(pid), "status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10.0) -> int:
        """Tells it to end, and waits; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextmanager
def service(
    folder: Path,
    settings: Mapping[str, str] | None = None,
    *,
    ready: bool = True,
    command: Sequence[str] = SERVE,
    **more: str,
) -> Iterator[Service]:
    """A service with these settings (`DMS_TAGS_…` names and values) that ends with the context."""
    folder.mkdir(parents=True, exist_ok=True)
    running = Service(folder, {**(settings or {}), **more}, command)
    try:
        if ready and not eventually(running.ready, READY_SECONDS):
            raise TimeoutError(running.err.read_text())
        yield running
    finally:
        if running.process.poll() is None:
            running.process.terminate()
            running.process.wait(30)


def _is_below(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            pid = int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False
