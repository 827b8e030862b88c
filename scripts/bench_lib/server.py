"""Starting, measuring and ending the servers under load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY_SECONDS = 60
SCRIPTS = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.  `ready_seconds` is the time from its start to its first answer that was 200."""

    address: str
    pid: int
    ready_seconds: float

    def memory(self) -> list[float]:
        """Resident memory of its processes in MB, largest first, without a mongod among them."""
        return sorted((_resident(pid) for pid in _family(self.pid) if _name(pid) != "mongod"), reverse=True)

    def cpu_seconds(self) -> float:
        """CPU time that its processes have used so far, without a mongod among them."""
        return sum(cpu_seconds(pid) for pid in _family(self.pid) if _name(pid) != "mongod")


@contextmanager
def running(
    command: Sequence[str], *, port: int, ready: str, environment: Mapping[str, str], python_path: bool = False
) -> Iterator[Server]:
    """Runs `command` in a session of its own until its path `ready` answers 200; ends it and all it started afterwards.

    `python_path` lets the command import this package, as the peers do.
    """
    address = f"http://127.0.0.1:{port}"
    paths = {"PYTHONPATH": str(SCRIPTS)} if python_path else {}
    started = time.monotonic()
    said = tempfile.TemporaryFile()  # noqa: SIM115 - closed below, with the server
    process = subprocess.Popen(
        command, env={**_clean(os.environ), **environment, **paths}, stdout=said, stderr=said, start_new_session=True
    )
    try:
        try:
            _wait_until_ready(process, address + ready, started + READY_SECONDS)
        except TimeoutError as error:
            said.seek(0)
            raise SystemExit(f"bench: {error}\n{said.read().decode(errors='replace')[-2000:]}") from error
        yield Server(address, process.pid, time.monotonic() - started)
    finally:
        family = _family(process.pid)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        said.close()


def gunicorn(python: Path, module: str, port: int) -> list[str]:
    """The command that serves a peer as this service serves itself: two gevent workers, no access log."""
    return [
        str(python), "-m", "gunicorn", f"bench_lib.peers.{module}:app", "--bind", f"127.0.0.1:{port}",
        "--workers", "2", "--worker-class", "gevent", "--log-level", "error",
    ]  # fmt: skip


def uvicorn(python: Path, module: str, port: int) -> list[str]:
    """The command that serves a peer that is no WSGI application: two workers, no access log."""
    return [
        str(python), "-m", "uvicorn", f"bench_lib.peers.{module}:app", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "2", "--log-level", "error", "--no-access-log",
    ]  # fmt: skip


def service_environment(uri: str, port: int, database: str, **settings: str) -> dict[str, str]:
    """The settings of this service under load: two workers, the given database, and any others by name."""
    fixed = {"MONGO_URI": uri, "BIND": f"127.0.0.1:{port}", "DATABASE": database, "WORKERS": "2", "AUTH": "none", "LOG": "json"}
    return {f"DMS_TAGS_{name.upper()}": value for name, value in {**fixed, **settings}.items()}


def output(command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Runs a command to its end; gives its lines on standard output.  Its failure ends the bench."""
    done = subprocess.run(command, env={**_clean(os.environ), **environment}, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"bench: {' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout.splitlines()


def post(url: str, body: Any) -> None:
    """Posts JSON; anything but success raises `urllib.error.HTTPError`."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - an address of our own making
    with urllib.request.urlopen(request, timeout=60):  # noqa: S310 - an address of our own making
        pass


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("DMS_TAGS_")}


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, deadline: float) -> None:
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - an address of our own making
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            if process.poll() is not None:
                raise TimeoutError(f"{process.args!r} ended with {process.returncode} before it was ready") from error
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url} was not ready within {READY_SECONDS} s: {error}") from error
            time.sleep(0.02)


def _family(root: int) -> list[int]:
    """The process and all its descendants that still run."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = status.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(status.parent.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _resident(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0
