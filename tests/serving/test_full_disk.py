"""The own mongod on a disk that is full: said so, and over when there is space again, with nothing lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from dms_tags.errors import CannotStart
from dms_tags.serving.embedded import attached
from dms_tags.serving.mongod import eventually
from dms_tags.settings import Settings
from tests.support.service import service

DISK = "400m"
PIECE = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own, which is small."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["/bin/umount", folder], check=True)


def test_a_full_disk_is_said_and_waited_for(small_disk: Path) -> None:
    """Changes fail with 503 while it lasts; what was acknowledged is there afterwards, in the trail once."""
    made: list[int] = []
    with service(small_disk, {"DMS_TAGS_WORKERS": "1"}) as running, httpx.Client(base_url=running.url, trust_env=False) as client:

        def change(number: int) -> int:
            answer = client.post(f"/api/dms/objects/doc{number}/tags/ocr/state/{number}", timeout=30)
            if answer.status_code == 200:
                made.append(number)
            return answer.status_code

        assert 200 == change(0)
        ballast = small_disk / "ballast"
        _fill(ballast)
        with (
            suppress(PyMongoError, CannotStart),  # it may have ended by itself already
            attached(Settings(data=small_disk / "data")) as store,
            MongoClient[dict[str, Any]](store.mongo_uri) as mongod,
        ):
            mongod.admin.command("fsync")  # what it does once a minute
        numbers = iter(range(1, 100_000))
        assert eventually(lambda: change(next(numbers)) != 200, 120)
        assert eventually(lambda: " is full (" in running.err.read_text(), 60), running.err.read_text()
        assert 503 == client.get("/health/ready").status_code

        ballast.unlink()
        assert eventually(running.ready, 90), running.err.read_text()
        assert eventually(lambda: change(next(numbers)) == 200, 30)
        entries = client.get("/api/dms/audit", params={"limit": "1000", "name": "ocr"}).json()["entries"]
        assert {entry["objectId"] for entry in entries} >= {f"doc{number}" for number in made}
        assert len(entries) == len({entry["objectId"] for entry in entries})
        assert 1 == running.err.read_text().count(" is full (")


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"x" * PIECE)
        except OSError:
            return
