"""The service's own MongoDB: a durable one-node replica set in `DMS_TAGS_DATA`, for one machine with nothing installed.

    <data>/lock          held (flock) by whoever runs the mongod; its text is that process's id
    <data>/mongod.key    the password of the only user, and the set's key file; readable by the owner alone
    <data>/mongod.port   the port, kept from start to start so that clients find a restarted mongod where it was
    <data>/mongod/       MongoDB's files
    <data>/mongod.log    its log

Only `dms-tags serve` creates one (`Embedded.open`); commands beside it use what there is (`attached`).
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from dms_tags.errors import CannotStart
from dms_tags.files import replace_whole
from dms_tags.serving.mongod import (
    HOST,
    START_SECONDS,
    STOP_SECONDS,
    Client,
    Mongod,
    eventually,
    find_mongod,
    free_port,
    initiate,
    port_is_free,
    wait_for_primary,
)
from dms_tags.settings import Settings

USER: Final = "dms-tags"
REPLICA_SET: Final = "dms-tags"
LOG_BYTES: Final = 10_000_000
"""A log that is longer than this is put aside at the next start; one older is kept."""
OWNER_ALONE: Final = 0o600
FULL_SECONDS: Final = 3.0
"""Time between two tries to start a mongod on a disk that was full."""

ARGUMENTS: Final = ("--wiredTigerCacheSizeGB", "0.5", "--oplogSize", "512")
"""Modest: the data of one machine's service, beside which other things run."""

log = logging.getLogger(__name__)

_AUTHENTICATION_FAILED: Final = 18
_UNAUTHORIZED: Final = 13
_ALREADY_INITIALIZED: Final = 23
_NOT_YET_INITIALIZED: Final = 94


class InUse(CannotStart):
    """Another process runs the mongod of this data folder."""


class Embedded:
    """The mongod of one data folder, run by this process from `open` to `close`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._data = settings.data.absolute()
        self._folder = self._data / "mongod"
        self._lock: int | None = None
        self._mongod: Mongod | None = None
        self._try_at = 0.0
        """When it is started again on a disk that was full, by the monotonic clock; 0: the disk is not known to be."""

    @property
    def exists(self) -> bool:
        """Whether the data folder holds a store."""
        return (self._folder / "WiredTiger").exists()

    def open(self, *, create: bool = True) -> str:
        """Starts the mongod and returns its address, with the credentials.

        What a crashed service has left running is stopped first.  Raises `InUse` while another process runs it, and
        `CannotStart` where there is no mongod, or no store and `create` is false.
        """
        if not create and not self.exists:
            raise CannotStart(
                f"there is no store in {self._data}: set DMS_TAGS_MONGO_URI or DMS_TAGS_DATA to the service's; "
                "`dms-tags serve` creates one"
            )
        binary = find_mongod(self._settings.mongod)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._take_lock()
        except OSError as error:
            raise CannotStart(f"DMS_TAGS_DATA={self._settings.data} cannot be written: {error.strerror}") from error
        try:
            _end_left_over(self._folder)
            key_file = self._data / "mongod.key"
            password = _key(key_file, may_create=not self.exists)
            port = self._port()
            _put_aside(self._folder.with_name("mongod.log"))
            arguments = (*ARGUMENTS, "--keyFile", str(key_file))
            self._mongod = Mongod(binary, self._folder, port=port, replica_set=REPLICA_SET, arguments=arguments)
            self._mongod.start()
            _prepare(self._mongod, password)
            replace_whole(self._data / "mongod.port", str(port), mode=OWNER_ALONE)
        except PyMongoError as error:
            self.close()
            raise CannotStart(f"the mongod of {self._settings.data} cannot be prepared: {error}") from error
        except BaseException:
            self.close()
            raise
        return _address(port, password)

    def revive(self) -> bool:
        """Starts the mongod again if it has ended; whether it had, and runs.

        A disk that is full ends a mongod, and keeps it from starting: that is said once, and tried again until there is
        space.  Raises `CannotStart` where it does not start for another reason.
        """
        if self._mongod is None or self._mongod.running or time.monotonic() < self._try_at:
            return False
        # looked at before as well: space that is made meanwhile is no reason to give up
        full = self._mongod.disk_was_full()
        if full:
            self._tell_full()
        try:
            self._mongod.start()
        except CannotStart:
            if not full and not self._mongod.disk_was_full():
                raise
            self._tell_full()
            return False
        self._try_at = 0.0
        return True

    def _tell_full(self) -> None:
        if self._try_at == 0.0:
            free = shutil.disk_usage(self._folder).free // 1_000_000
            log.error(
                "the disk of DMS_TAGS_DATA=%s is full (%d MB are free): its mongod cannot write, and calls are answered 503. "
                "What was acknowledged is kept. Make space; the service goes on by itself",
                self._settings.data,
                free,
            )
        self._try_at = time.monotonic() + FULL_SECONDS

    def close(self) -> None:
        """Stops the mongod and lets others have the folder."""
        if self._mongod is not None:
            self._mongod.stop()
            self._mongod = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        lock = os.open(self._data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(lock, 20).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            raise InUse(
                f"process {holder} already runs the MongoDB in {self._settings.data}: "
                "stop it, or give this service a DMS_TAGS_DATA of its own"
            ) from error
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock

    def _port(self) -> int:
        port = _recorded_port(self._data)
        return port if port is not None and port_is_free(port) else free_port()


@contextmanager
def attached(settings: Settings) -> Iterator[Settings]:
    """`settings` with the address of the MongoDB that the service uses, for a command beside it.

    The own mongod of `DMS_TAGS_DATA` is used where the service runs it, else started for as long as the context lasts.
    Raises `CannotStart` where there is neither an address nor a store.
    """
    if settings.mongo_uri is not None:
        if settings.in_memory:
            raise CannotStart("DMS_TAGS_MONGO_URI=mongomock:// lives inside the service alone: a command beside it sees nothing")
        yield settings
        return
    embedded = Embedded(settings)
    try:
        uri = embedded.open(create=False)
    except InUse:
        uri = _running(settings.data.absolute())
    try:
        yield replace(settings, mongo_uri=uri)
    finally:
        embedded.close()


def _running(data: Path) -> str:
    """The address of the mongod that another process runs in `data`; it may be just starting."""

    def answers() -> bool:
        port = _recorded_port(data)
        if port is None:
            return False
        try:
            with MongoClient[dict[str, Any]](_address(port, _key(data / "mongod.key")), serverSelectionTimeoutMS=500) as client:
                return bool(client.admin.command("hello")["isWritablePrimary"])
        except PyMongoError:
            return False

    if not eventually(answers, START_SECONDS):
        raise CannotStart(
            f"another process runs the MongoDB in {data}, but it does not answer: {data / 'mongod.log'} may say why"
        )
    return _address(_recorded_port(data) or 0, _key(data / "mongod.key"))


def _address(port: int, password: str) -> str:
    return f"mongodb://{USER}:{password}@{HOST}:{port}/?directConnection=true&authSource=admin"


def _recorded_port(data: Path) -> int | None:
    try:
        return int((data / "mongod.port").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _key(file: Path, *, may_create: bool = False) -> str:
    """The password in `file`, which is created if it is not there and `may_create` says so."""
    if may_create and not file.exists():
        replace_whole(file, secrets.token_hex(32), mode=OWNER_ALONE)
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise CannotStart(
            f"{file} cannot be read ({error.strerror}), and without it nobody can open the store beside it"
        ) from error


def _put_aside(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.old"))


def _prepare(mongod: Mongod, password: str) -> None:
    """Makes `mongod` a set of one with one user, or, when it is one already, sees to it that the set knows its port."""
    with mongod.client(username=USER, password=password, authSource="admin") as client:
        try:
            client.admin.command("ping")
        except OperationFailure as error:
            if error.code != _AUTHENTICATION_FAILED:
                raise
        else:
            _rename_member(client, mongod.address)
            wait_for_primary(client)
            return
    _bootstrap(mongod, password)


def _bootstrap(mongod: Mongod, password: str) -> None:
    # As long as there is no user, mongod lets a client on the loopback interface do just this much.
    with mongod.client() as client:
        try:
            try:
                initiate(client, REPLICA_SET, [mongod.address])
            except OperationFailure as error:
                if error.code != _ALREADY_INITIALIZED:  # a start that was cut off between this step and the next
                    raise
            wait_for_primary(client)
            client.admin.command("createUser", USER, pwd=password, roles=["root"])
        except OperationFailure as error:
            if error.code != _UNAUTHORIZED:
                raise
            raise CannotStart("mongod.key is not the key of the store beside it: restore the one that is") from error


def _rename_member(client: Client, address: str) -> None:
    """Tells the set the port of its only node, which is another one where the last was taken meanwhile."""
    configs: list[dict[str, Any]] = []

    def known() -> bool:
        try:
            configs.append(client.admin.command("replSetGetConfig")["config"])
        except OperationFailure as error:
            if error.code != _NOT_YET_INITIALIZED:  # it answers before it has read its configuration
                raise
        return bool(configs)

    if not eventually(known, START_SECONDS):
        raise CannotStart("mongod does not find the configuration of its replica set: mongod.log says why")
    config = configs[0]
    if config["members"][0]["host"] != address:
        config["members"][0]["host"] = address
        config["version"] += 1
        client.admin.command("replSetReconfig", config, force=True)


def _end_left_over(folder: Path) -> None:
    """Cleanly stops a mongod that a killed service has left running on the data in `folder`; never any other process."""
    try:
        pid = int((folder / "mongod.lock").read_text(encoding="ascii"))
        process = os.pidfd_open(pid)
    except (OSError, ValueError):  # none was left: mongod empties the file as it ends
        return
    try:
        # The descriptor is of one process even if its number is given to another between these lines.
        if _is_mongod_of(folder, pid):
            for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
                signal.pidfd_send_signal(process, number)
                if select.select([process], [], [], seconds)[0]:
                    return
    except ProcessLookupError:
        return
    finally:
        os.close(process)


def _is_mongod_of(folder: Path, pid: int) -> bool:
    try:
        command = Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return Path(os.fsdecode(command[0])).name == "mongod" and [b"--dbpath", os.fsencode(folder)] == command[1:3]
