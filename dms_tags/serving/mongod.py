"""Finding a mongod, running it, and making replica sets of it.

Of one process and of nothing that it stores: whose data it is and who may use it is `dms_tags.serving.embedded`'s.
"""

from __future__ import annotations

import importlib.util
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import AutoReconnect

from dms_tags.errors import CannotStart
from dms_tags.serving.tether import tethered

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 30.0
"""How long a mongod may take until it answers: after a crash it recovers its journal first."""
STOP_SECONDS: Final = 8.0
"""How long a mongod may take to end; the service as a whole has 10 s (API.md section 7)."""
TRANSACTION_SECONDS: Final = 12
"""After so long mongod ends a transaction by itself: longer than the service lets one take (`store/transaction.py`)."""
POLL_SECONDS: Final = 0.02
NO_SPACE: Final = b"No space left on device"
"""What mongod's log says of a disk that is full."""
LEAST_FREE: Final = 1_000_000
"""With fewer bytes free a mongod could not even say so."""

Client = MongoClient[dict[str, Any]]


def find_mongod(configured: str | None = None) -> Path:
    """A mongod that runs here: the `configured` one, else that on the PATH, else that of the `mongod` extra.

    Raises `CannotStart` where there is none, or where the one found does not run.
    """
    path = shutil.which(configured or "mongod")
    binary = Path(path) if path else None if configured else _packaged_mongod()
    if binary is None:
        wanted = f"no mongod at {configured}" if configured else "no mongod on the PATH or in the environment"
        raise CannotStart(
            f"{wanted}: set DMS_TAGS_MONGO_URI to a MongoDB, or DMS_TAGS_MONGOD to a mongod, "
            "or install dms-tags[mongod] (Linux x86-64), or set DMS_TAGS_MONGO_URI=mongomock:// to keep nothing"
        )
    try:
        subprocess.run([binary, "--version"], check=True, capture_output=True, timeout=START_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or str(error).encode()
        raise CannotStart(f"{binary} does not run here: {reason.decode(errors='replace').strip().splitlines()[0]}") from error
    return binary


def _packaged_mongod() -> Path | None:
    # The namespace is looked at, not imported: a whole FiftyOne that is installed beside would take seconds to import.
    package = importlib.util.find_spec("fiftyone")
    for location in (package and package.submodule_search_locations) or ():
        binary = Path(location, "db", "bin", "mongod")
        if binary.is_file():
            _make_runnable(binary)
            return binary
    return None


def _make_runnable(binary: Path) -> None:
    mode = binary.stat().st_mode
    if not mode & stat.S_IXUSR:
        try:
            binary.chmod(mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        except OSError as error:
            raise CannotStart(f"{binary} has no run bit, and it cannot be set: {error.strerror}") from error


def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback interface now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


class Mongod:
    """One mongod on the loopback interface, a member of `replica_set`, with its data in `folder` and its log beside.

    It runs in a session of its own, so that Ctrl-C in the terminal reaches the service and not its store, and it is
    told to end (SIGTERM, a clean stop) when the process that started it is gone.
    """

    def __init__(self, binary: Path, folder: Path, *, port: int, replica_set: str, arguments: Sequence[str] = ()) -> None:
        self.port = port
        self.address = f"{HOST}:{port}"
        self.log = folder.with_name(f"{folder.name}.log")
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._log_begin = 0
        self._command = [
            *(str(binary), "--dbpath", str(folder), "--logpath", str(self.log), "--logappend", "--quiet"),
            *("--bind_ip", HOST, "--port", str(port), "--nounixsocket", "--replSet", replica_set),
            # Its diagnostic records would take 200 MB; a stop need not wait for clients to find another primary.
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=0"),
            # A service that dies in a transaction leaves it open for so long; a change of many objects never takes longer.
            *("--setParameter", f"transactionLifetimeLimitSeconds={TRANSACTION_SECONDS}"),
            *arguments,
        ]

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process and self.running else None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it and waits until it answers.  Raises `CannotStart` if it ends instead, or takes too long."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log_begin = self.log.stat().st_size if self.log.exists() else 0
        self._process = subprocess.Popen(
            tethered(self._command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        listens = eventually(lambda: not self.running or self._answers(), START_SECONDS)
        if not self.running:
            if self.disk_was_full():
                raise CannotStart(f"mongod ended at its start: the disk of {self._folder} is full; make space")
            raise CannotStart(f"mongod ended at its start with code {self._process.returncode}: {self.log} says why")
        if not listens:
            self.kill()
            raise CannotStart(f"mongod does not answer after {START_SECONDS:.0f} s: {self.log} says why")

    def disk_was_full(self) -> bool:
        """Whether it ended since its disk is full, by its own log or by what is free where that could not be written either."""
        if self.running or self._process is None:
            return False
        with suppress(OSError):
            if shutil.disk_usage(self._folder).free < LEAST_FREE:
                return True
            with self.log.open("rb") as stream:
                stream.seek(self._log_begin)
                return NO_SPACE in stream.read()
        return False

    def stop(self) -> None:
        """Ends it cleanly, or by force where that takes longer than `STOP_SECONDS`."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it as a crash would."""
        self._end(signal.SIGKILL)

    def client(self, **options: Any) -> Client:
        """A client of this one node, whatever the rest of its set does."""
        return MongoClient(HOST, self.port, directConnection=True, serverSelectionTimeoutMS=int(START_SECONDS * 1000), **options)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True


def initiate(client: Client, replica_set: str, addresses: Sequence[str], **settings: int) -> None:
    """Makes one replica set of the nodes at `addresses`; `client` is one of them, and `settings` are the set's."""
    members = [{"_id": number, "host": address} for number, address in enumerate(addresses)]
    client.admin.command("replSetInitiate", {"_id": replica_set, "members": members, "settings": settings})


def wait_for_primary(client: Client, seconds: float = START_SECONDS) -> None:
    """Waits until the node of `client` is a primary that takes writes.  Raises `CannotStart` if it does not become one."""

    def writable() -> bool:
        try:
            return bool(client.admin.command("hello")["isWritablePrimary"])
        except AutoReconnect:  # an election closes connections
            return False

    if not eventually(writable, seconds):
        raise CannotStart(f"mongod does not become primary within {seconds:.0f} s")


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` holds within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
