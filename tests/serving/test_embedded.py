"""The service's own MongoDB: kept from start to start, one owner at a time, whatever a crash has left behind."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from dms_tags.errors import CannotStart
from dms_tags.serving.embedded import Embedded, attached
from dms_tags.serving.mongod import eventually
from dms_tags.settings import Settings


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data")


@contextmanager
def opened(settings: Settings) -> Iterator[MongoClient[dict[str, Any]]]:
    with closing(Embedded(settings)) as embedded, MongoClient[dict[str, Any]](embedded.open()) as client:
        yield client


def put(client: MongoClient[dict[str, Any]]) -> None:
    client["dms_tags"]["tags"].insert_one({"_id": 1})


def held(client: MongoClient[dict[str, Any]]) -> list[dict[str, Any]]:
    return list(client["dms_tags"]["tags"].find())


def test_data_survives_a_restart_on_the_same_port(own: Settings) -> None:
    """What was written before a stop is there after the next start, and the address is the same."""
    with opened(own) as client:
        put(client)
        first = client.address

    with opened(own) as client:
        assert [{"_id": 1}] == held(client)
        assert first == client.address


def test_a_port_that_was_taken_meanwhile_is_given_up(own: Settings) -> None:
    """When something else listens on the last port, the store comes up on another one."""
    with opened(own) as client:
        put(client)
        assert client.address is not None
        taken = client.address

    with ThreadingHTTPServer(taken, BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever).start()
        try:
            with opened(own) as client:
                assert [{"_id": 1}] == held(client)
                assert taken != client.address
        finally:
            other.shutdown()


def test_only_those_with_the_key_get_in(own: Settings) -> None:
    """The store asks for a password, which only the owner can read, and which is on no command line."""
    key_file = own.data / "mongod.key"
    with opened(own), MongoClient[dict[str, Any]](_address(own), directConnection=True) as stranger:
        assert stat.S_IRUSR | stat.S_IWUSR == stat.S_IMODE(key_file.stat().st_mode)
        assert key_file.read_text() not in _command_line(own)
        with pytest.raises(OperationFailure, match="requires authentication"):
            put(stranger)


def test_a_key_that_is_not_the_stores_opens_nothing(own: Settings) -> None:
    """A lost key is told rather than made anew, and a wrong one is refused in one line."""
    key_file = own.data / "mongod.key"
    with opened(own):
        key_file.unlink()

    with pytest.raises(CannotStart, match=r"mongod\.key cannot be read"):
        Embedded(own).open()

    key_file.write_text("0" * 64)
    key_file.chmod(0o600)
    with pytest.raises(CannotStart, match=r"not the key of the store"):
        Embedded(own).open()


def test_one_service_at_a_time_and_commands_beside_it(own: Settings) -> None:
    """A second owner of the folder is told who the first is; a command uses what the first runs, and leaves it running."""
    with opened(own) as client:
        with pytest.raises(CannotStart, match=rf"process {os.getpid()} already runs the MongoDB in .*DMS_TAGS_DATA"):
            Embedded(own).open()

        with attached(own) as found, MongoClient[dict[str, Any]](found.mongo_uri) as beside:
            put(beside)

        assert [{"_id": 1}] == held(client)


def test_what_a_killed_service_left_running_is_stopped_first(own: Settings) -> None:
    """A mongod that outlived its service is ended cleanly, and its data are served on."""
    crashed = Embedded(own)
    with MongoClient[dict[str, Any]](crashed.open()) as client:
        put(client)
    left = _pid(own)
    _forget_lock(crashed)

    with opened(own) as client:
        assert [{"_id": 1}] == held(client)
        assert left != _pid(own)
    crashed.close()


def test_a_mongod_that_crashes_is_revived_with_its_data(own: Settings) -> None:
    """After a crash of mongod alone the same address answers again, with everything acknowledged."""
    with closing(Embedded(own)) as embedded, MongoClient[dict[str, Any]](embedded.open()) as client:
        put(client)
        assert not embedded.revive()
        os.kill(_pid(own), signal.SIGKILL)

        assert eventually(embedded.revive, 30)
        assert [{"_id": 1}] == held(client)


def test_a_command_starts_the_store_when_no_service_runs(own: Settings) -> None:
    """Without the service, a command runs the store for itself and stops it at its end; nothing else is taken for it."""
    with opened(own) as client:
        put(client)
    (own.data / "mongod" / "mongod.lock").write_text(f"{os.getpid()}\n")  # a number that was given away since

    with attached(own) as found, MongoClient[dict[str, Any]](found.mongo_uri) as alone:
        assert [{"_id": 1}] == held(alone)

    assert "" == (own.data / "mongod" / "mongod.lock").read_text()


def test_a_command_never_creates_a_store(own: Settings) -> None:
    """A misspelt data folder is told rather than filled."""
    with pytest.raises(CannotStart, match=r"there is no store in .*`dms-tags serve` creates one"), attached(own):
        pass

    assert not own.data.exists()


def test_a_command_cannot_look_into_another_process_memory(own: Settings) -> None:
    """mongomock lives in the service's process: a command says so instead of showing an empty store."""
    with pytest.raises(CannotStart, match="mongomock"), attached(replace(own, mongo_uri="mongomock://")):
        pass


def _address(settings: Settings) -> str:
    return f"mongodb://127.0.0.1:{(settings.data / 'mongod.port').read_text()}/"


def _pid(settings: Settings) -> int:
    return int((settings.data / "mongod" / "mongod.lock").read_text())


def _command_line(settings: Settings) -> str:
    return Path("/proc", str(_pid(settings)), "cmdline").read_text()


def _forget_lock(embedded: Embedded) -> None:
    """The kernel drops the lock of a process that is killed; the mongod goes on for a moment."""
    assert embedded._lock is not None  # noqa: SLF001 - no public way to die
    os.close(embedded._lock)  # noqa: SLF001
    embedded._lock = None  # noqa: SLF001
