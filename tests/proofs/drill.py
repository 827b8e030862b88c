"""The restore drill: a loaded service is backed up, everything of it is killed, and it is restored on another MongoDB.

What was acknowledged before the last backup began is all there, nothing is there that never was, and the service goes on.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx
from pymongo import MongoClient

from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.verify.database import verify_database
from dms_tags.audit.verify.report import HOLDS, Report
from dms_tags.backup.resources import replayed
from dms_tags.model import new_trace_id
from dms_tags.serving.mongod import Client
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.mongo import replica_set
from tests.support.service import Service, service
from tests.support.trails import entries, keyed, place_keys

COMMAND: Final = (sys.executable, "-m", "dms_tags.cli.main")
TELLING_MEMORY: Final = """
import sys
from pathlib import Path
from dms_tags.cli.main import main
status = main(sys.argv[1:])
print(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")))
sys.exit(status)
"""
LIMIT_SECONDS: Final = 120.0
"""What restoring a million entries may take."""


@dataclass(frozen=True, slots=True)
class Drilled:
    """What came of a drill: entries restored, and changes that were made after the last backup and are gone, as said."""

    entries: int
    lost: int


def drill(folder: Path, *, seconds: float, callers: int, backups: int = 3) -> Drilled:
    """Runs a drill with so many callers, who write for so many seconds before each of the backups and all through them."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = keyed(Settings(), folder)
    with replica_set(folder / "lost") as lost, replica_set(folder / "found") as fresh:
        environment = _environment(settings, lost.uri)
        with service(folder / "service", {**environment, "DMS_TAGS_WORKERS": "1"}) as running:
            writers = [_Writer(running.url, f"doc{number}") for number in range(callers)]
            for writer in writers:
                writer.start()
            for _ in range(backups):
                time.sleep(seconds)  # the load itself: there is nothing to wait for
                sure = {writer.object_id: writer.made for writer in writers}
                _run(environment, "backup", "--to", str(folder / "backups"))
            _kill(running)
            lost.nodes[0].kill()
            for writer in writers:
                writer.join()
        _run(environment, "backup", "verify", str(folder / "backups"))
        restored = _environment(settings, fresh.uri)
        (folder / "signing.key.seen").unlink(missing_ok=True)  # the signer's memory went with the machine
        _run(restored, "restore", "--from", str(folder / "backups"))
        with fresh.nodes[0].client() as client:
            trail = list(client["drill"]["audit_trail"].find(sort=[("position", 1)]))
        lost.nodes[0].start()
        lost.primary()
        with MongoClient[dict[str, Any]](lost.uri) as client:
            _compare(client, trail)
        with service(folder / "again", restored) as running:
            _goes_on(running, sure)
    return Drilled(len(trail), sum(writer.made for writer in writers) - len(trail))


def _compare(before: Client, trail: list[dict[str, Any]]) -> None:
    """The entries that were restored are those that were there, to the last member."""
    old = list(before["drill"]["audit_trail"].find({"position": {"$lte": len(trail)}}, sort=[("position", 1)]))
    assert trail, "nothing was restored"
    assert [sorted(entry.items(), key=_name) for entry in old] == [sorted(entry.items(), key=_name) for entry in trail]


def _name(member: tuple[str, Any]) -> str:
    return member[0]


def _goes_on(running: Service, sure: Mapping[str, int]) -> None:
    """Each object has what was acknowledged before the last backup, and a history that leads there; then the next change is made."""
    with httpx.Client(base_url=running.url, timeout=30, trust_env=False) as client:
        for object_id, made in sure.items():
            path = f"/api/dms/objects/{object_id}"
            (row,) = client.get(f"{path}/tags").json()["objects"][0]["properties"]["system:tags"]["value"]
            newest = client.get(f"{path}/history?size=1").json()["objects"][0]["properties"]
            assert made <= row[1], f"{object_id} was acknowledged up to {made}, and is {row[1]}"
            assert (row[1], row[1]) == (newest["subaction"]["value"], newest["revision"]["value"])
            answer = client.post(f"{path}/tags/count/state/{row[1] + 1}?overwrite=true")
            assert 200 == answer.status_code, answer.text
            history = client.get(f"{path}/history?size=1").json()["objects"][0]["properties"]
            assert row[1] + 1 == history["revision"]["value"]


class _Writer(threading.Thread):
    """Sets one object's tag to 1, 2, 3 …; `made` is how far it came before the service was gone."""

    def __init__(self, url: str, object_id: str) -> None:
        super().__init__(daemon=True)
        self.object_id = object_id
        self.made = 0
        self._url = url

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30, trust_env=False) as client:
            for number in itertools.count(1):
                overwrite = "?overwrite=true" if number > 1 else ""
                try:
                    path = f"/api/dms/objects/{self.object_id}/tags/count/state/{number}{overwrite}"
                    answer = client.post(path, headers={"X-B3-TraceId": new_trace_id()})
                except httpx.HTTPError:
                    return
                if answer.status_code != 200:
                    return
                self.made = number


@dataclass(frozen=True, slots=True)
class Sized:
    """How long each step took, in seconds, and the most memory that the restore had, in MB."""

    backup: float
    verify: float
    restore: float
    memory: float


def restore_at_size(folder: Path, *, count: int, objects: int) -> Sized:
    """Backs up a trail of `count` entries on `objects` objects, restores it, and verifies what was restored."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = keyed(Settings(), folder)
    with replica_set(folder / "mongod") as mongod:
        source, target = (replace(settings, mongo_uri=mongod.uri, database=name) for name in ("drill", "again"))
        database = Database.connect(source, socket_ms=600_000)
        _fill(database, count, objects)
        Checkpointer.of(database, source).checkpoint("default")
        database.close()
        environment = _environment(settings, mongod.uri)
        backup = _run(environment, "backup", "--to", str(folder / "backups"))
        verify = _run(environment, "backup", "verify", str(folder / "backups"))
        began = time.monotonic()
        memory = _peak(environment | {"DMS_TAGS_DATABASE": "again"}, "restore", "--from", str(folder / "backups"))
        restore = time.monotonic() - began
        report = _verified(target)
        assert (HOLDS, count) == (report.status, report.entries), report.findings
    return Sized(backup, verify, restore, memory)


def _fill(database: Database, count: int, objects: int) -> None:
    made = entries(count, objects=objects, step=0.01)
    while batch := list(itertools.islice(made, 5_000)):
        database.trail.insert_many(batch)
        place_keys(database, batch)
    database.prepare()
    along = database.trail.find({"tenant": "default"}, sort=[("resource", 1), ("revision", 1)], hint="revision")
    for documents in _batches(
        replayed("default", name, None, entries_of)
        for name, entries_of in itertools.groupby(along, lambda entry: entry["resource"])
    ):
        database.tags.insert_many(documents)


def _batches(documents: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(itertools.islice(documents, 5_000)):
        yield batch


def _verified(settings: Settings) -> Report:
    database = Database.connect(settings, socket_ms=600_000)
    try:
        return verify_database(database, "default", [], None, lambda _done, _total: None)
    finally:
        database.close()


def _environment(settings: Settings, uri: str) -> dict[str, str]:
    return {
        "DMS_TAGS_MONGO_URI": uri,
        "DMS_TAGS_DATABASE": "drill",
        "DMS_TAGS_SIGNING_KEY_FILE": str(settings.signing_key_file),
        "DMS_TAGS_LOG_ORIGIN": str(settings.log_origin),
    }


def _run(environment: Mapping[str, str], *line: str) -> float:
    """Runs a command, which must succeed; how many seconds it took."""
    began = time.monotonic()
    done = subprocess.run((*COMMAND, *line), env=os.environ | environment, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    return time.monotonic() - began


def _peak(environment: Mapping[str, str], *line: str) -> float:
    """Runs a command, which must succeed; the most memory that it had, in MB."""
    done = subprocess.run(
        (sys.executable, "-c", TELLING_MEMORY, *line), env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return int(done.stdout.split()[-2]) / 1024


def _kill(running: Service) -> None:
    """Ends every process of the service at once."""
    for pid in [running.process.pid, *(pid for module in ("web", "worker", "keeper") for pid in running.children(module))]:
        os.kill(pid, signal.SIGKILL)
    running.process.wait()
