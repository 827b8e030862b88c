"""Backups on a real MongoDB: whole or not there, of this database alone, and what is wrong with one is named."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from dms_tags.audit.archive import Archiver
from dms_tags.audit.log.signer import Checkpointer
from dms_tags.backup.writer import Backup
from dms_tags.errors import CannotStart
from dms_tags.model import Actor
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.backup.conftest import Command
from tests.support.trails import BEGIN, entries, fill, place_tags


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def backup(database: Database, signing: Settings) -> Backup:
    fill(database, 600)
    return Backup(database, Checkpointer.of(database, signing), TagStore(database))


def add(database: Database, count: int, upto: int) -> None:
    """Lets the trail go on by `count` entries, to `upto`."""
    made = list(entries(upto))
    database.trail.insert_many(made[-count:])
    database.tags.delete_many({})
    place_tags(database, made)


def test_each_backup_adds_what_came_since(backup: Backup, database: Database, folder: Path) -> None:
    """The first set has the whole trail, the next what came since; where nothing came it has no file of entries."""
    first = backup.make(folder)
    add(database, 100, 700)
    second, third = backup.make(folder), backup.make(folder)

    assert [600, 100, 0] == [made.entries for made in (first, second, third)]
    assert [0, 600, 700] == [made.set.trails["default"].after for made in (first, second, third)]
    assert (folder / "000002" / "trail-default.ndjson").exists()
    assert not (folder / "000003" / "trail-default.ndjson").exists()
    assert {0o700} == {path.stat().st_mode & 0o777 for path in (folder, folder / "000001")}


@pytest.mark.parametrize("step", ["rest", "end"])
def test_a_backup_that_is_cut_off_leaves_nothing(
    database: Database, signing: Settings, backup: Backup, folder: Path, step: str
) -> None:
    """Whichever step is the last: no set is there, also where not even the traces could be removed; the next backup is whole."""

    def cut(name: str) -> None:
        if name == step:
            shutil.copytree(folder / "000001.part", folder / "000009.part")  # as a killed process would leave it
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Backup(database, Checkpointer.of(database, signing), TagStore(database), step=cut).make(folder)
    assert ["000009.part"] == [path.name for path in folder.iterdir() if path.name != ".lock"]

    assert 600 == backup.make(folder).entries
    assert ["000001"] == [path.name for path in folder.iterdir() if path.name != ".lock"]


def test_two_at_once(database: Database, signing: Settings, backup: Backup, folder: Path) -> None:
    """While one backup writes into a folder another is refused, and told who writes; afterwards it may."""

    def meanwhile(name: str) -> None:
        if name == "trail":
            with pytest.raises(CannotStart, match=rf"process {os.getpid()} is writing a backup into"):
                backup.make(folder)

    Backup(database, Checkpointer.of(database, signing), TagStore(database), step=meanwhile).make(folder)
    assert 2 == backup.make(folder).set.number


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_cannot_be_written_is_said(backup: Backup, folder: Path) -> None:
    """Where there is no room the order says so, and leaves nothing behind."""
    with room_for(10_000), pytest.raises(CannotStart, match=r"cannot be written to .*: File too large; nothing of it"):
        backup.make(folder)
    assert [".lock"] == [path.name for path in folder.iterdir()]


def test_a_full_disk_is_said(database: Database, signing: Settings, backup: Backup, folder: Path) -> None:
    """A disk that is full is called so."""

    def full(name: str) -> None:
        if name == "manifest":
            Path("/dev/full").write_bytes(b"x")

    with pytest.raises(CannotStart, match="the disk is full; nothing of it was left there"):
        Backup(database, Checkpointer.of(database, signing), TagStore(database), step=full).make(folder)
    assert 600 == backup.make(folder).entries


def test_another_database_or_history_is_refused(
    backup: Backup, database: Database, elsewhere: Settings, folder: Path, tmp_path: Path
) -> None:
    """A folder is of one database and one choice of tenants; one that was put back behind the backup is named."""
    backup.make(folder)
    with pytest.raises(CannotStart, match="has backups of all tenants: give another folder"):
        backup.make(folder, "default")
    with pytest.raises(CannotStart, match="there is no tenant nobody"):
        backup.make(tmp_path / "other", "nobody")
    other = Database.connect(elsewhere)
    other.prepare()
    fill(other, 600)
    with pytest.raises(CannotStart, match="has backups of another database"):
        Backup(other, Checkpointer.of(other, elsewhere), TagStore(other)).make(folder)
    other.close()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(CannotStart, match=r"something else than backups \(letter.txt\)"):
        backup.make(tmp_path / "mine")
    database.trail.delete_one({"position": 600})
    with pytest.raises(CannotStart, match="position 600 of the trail of default is not here, or is another entry"):
        backup.make(folder)
    assert ["000001"] == sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_a_trail_that_is_archived_meanwhile_has_no_other_history(
    database: Database, signing: Settings, backup: Backup, folder: Path, tmp_path: Path
) -> None:
    """The entry that the last set ended with went to an archive between this one's moment and the look for it."""
    backup.make(folder)
    add(database, 300, 900)
    checkpointer, store = Checkpointer.of(database, signing), TagStore(database)

    def archive(step: str) -> None:
        if step == "trail":
            at = BEGIN + timedelta(seconds=800)
            Archiver(database, checkpointer, store).archive("default", at, tmp_path / "archived.ndjson", Actor("operator", "cli"))

    with pytest.raises(CannotStart, match="the trail was archived meanwhile: nothing was written; give the order again"):
        Backup(database, checkpointer, store, step=archive).make(folder)


def test_one_tenant(database: Database, signing: Settings, folder: Path) -> None:
    """A backup of one tenant has nothing of another's but what belongs to the database."""
    fill(database, 10)
    fill(database, 20, tenant="second")
    for name in ("default", "second"):
        database.collection("credentials").insert_one({"_id": f"{name}/a", "tenant": name, "token": name})
        database.collection("counters").insert_one({"_id": f"{name}/chain-tag", "value": 3})

    made = Backup(database, Checkpointer.of(database, signing), TagStore(database)).make(folder, "second")

    assert {"second": 20} == {tenant: trail.last for tenant, trail in made.set.trails.items()}
    text = b"".join(file.read_bytes() for file in made.set.folder.iterdir())
    assert b"second/chain-tag" in text
    assert b"default" not in text


def test_verify(
    backup: Backup, database: Database, signing: Settings, folder: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing, altered, swapped or of another backup is named; a whole backup holds."""
    backup.make(folder)
    add(database, 100, 700)
    backup.make(folder)
    manifest = json.loads((folder / "000002" / "manifest.json").read_text())

    def told(expected: int, path: str, change: bytes | None) -> str:
        file = folder / path
        before = file.read_bytes()
        file.unlink()
        if change is not None:
            file.write_bytes(change)
        assert expected == command(signing, "backup", "verify", str(folder))
        file.write_bytes(before)
        return capsys.readouterr().out

    entries_file = folder / "000001" / "trail-default.ndjson"
    assert 0 == command(signing, "backup", "verify", str(folder))
    assert "positions 1 to 700" in capsys.readouterr().out
    assert "000001/tags-default.bson is missing" in told(1, "000001/tags-default.bson", None)
    assert "meta.bson was altered: it has 1 bytes" in told(1, "000002/meta.bson", b"x")
    altered = entries_file.read_bytes().replace(b'"ocr"', b'"OCR"', 1)
    assert "trail-default.ndjson was altered: its sha256" in told(1, "000001/trail-default.ndjson", altered)
    assert "000001/manifest.json is missing" in told(1, "000001/manifest.json", None)
    forged = json.dumps(manifest | {"at": "2020-01-01T00:00:00.000Z"}).encode()
    assert "manifest.json was altered, or is another's" in told(1, "000002/manifest.json", forged)
    stranger = json.dumps(manifest | {"previous": "0" * 64}).encode()
    assert "does not follow 000001" in told(1, "000002/manifest.json", stranger)
    assert "of the tenant x, of another database or tenant" in told(
        1, "000002/manifest.json", json.dumps(manifest | {"tenant": "x"}).encode()
    )
    shutil.move(folder / "000001", folder.parent / "away")
    assert 1 == command(signing, "backup", "verify", str(folder))
    assert "the set 000001 is missing: 000002 stands there" in capsys.readouterr().out
    assert 2 == command(signing, "backup", "verify", str(folder.parent / "away"))


def test_nobody_signed(
    database: Database, settings: Settings, folder: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a signing key a backup is made all the same; verifying it tells that nothing is proven."""
    fill(database, 300)

    assert 0 == command(settings, "backup", "--to", str(folder))
    assert "the backup is not signed" in capsys.readouterr().err
    assert 2 == command(settings, "backup", "verify", str(folder))
    assert "not proven" in capsys.readouterr().out
