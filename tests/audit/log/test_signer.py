"""Signing: one line of checkpoints, never over a trail that does not bear out what was signed before."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from dms_tags.audit.log import merkle
from dms_tags.audit.log.checkpoint import Checkpoint
from dms_tags.audit.log.keys import EMBEDDED_KEY, PUBLIC_LINE, SigningKey, embedded_key
from dms_tags.audit.log.note import Verifier
from dms_tags.audit.log.signer import Checkpointer, NotSigned
from dms_tags.audit.trail.entry import flat, leaf_of
from dms_tags.errors import CannotStart, Unproven
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.beside import answering
from tests.support.trails import entries, fill, keyed

LOG = "log.example/audit/default"


@pytest.fixture
def signing(settings: Settings, tmp_path: Path) -> Settings:
    return keyed(settings, tmp_path)


@pytest.fixture
def checkpointer(database: Database, signing: Settings) -> Checkpointer:
    return Checkpointer.of(database, signing)


def opened(checkpointer: Checkpointer, document: dict[str, Any] | None) -> Checkpoint:
    identity = checkpointer.identities.current()
    assert document is not None
    assert identity is not None
    return Checkpoint.open(document["note"], [identity.verifier("default")])


def append(database: Database, begin: int, end: int, **options: Any) -> None:
    database.trail.insert_many([entry for entry in entries(end, **options) if entry["position"] > begin])


def test_signs_the_trail(checkpointer: Checkpointer, database: Database) -> None:
    """A checkpoint commits to the RFC 9162 root over the canonical JSON of all entries."""
    made = fill(database, 700)
    root = merkle.root_of(merkle.leaf_hash(leaf_of(flat(entry))) for entry in made)

    assert Checkpoint(LOG, 700, root) == opened(checkpointer, checkpointer.checkpoint("default"))


def test_grows_with_the_trail(checkpointer: Checkpointer, database: Database) -> None:
    """Each checkpoint is the continuation of the one before; nothing new, no new checkpoint."""
    line = []
    for begin, end in ((0, 1), (1, 200), (200, 256), (256, 257), (257, 1100)):
        append(database, begin, end)
        line.append(opened(checkpointer, checkpointer.checkpoint("default")))
    assert line[-1] == opened(checkpointer, checkpointer.checkpoint("default"))

    tree = checkpointer.log.tree("default")
    for old, new in itertools.pairwise(line):
        merkle.verify_consistency(old.size, old.root, new.size, new.root, tree.consistency(old.size, new.size))


def test_catches_up_a_level_that_a_crash_left_behind(checkpointer: Checkpointer, database: Database) -> None:
    """Tiles that are missing above what is there are made at the next checkpoint."""
    fill(database, 600)
    checkpointer.checkpoint("default")
    database.collection("log_tiles").delete_many({"level": 1})
    append(database, 600, 601)

    expected = merkle.root_of(merkle.leaf_hash(leaf_of(flat(entry))) for entry in database.trail.find(sort=[("position", 1)]))
    assert expected == opened(checkpointer, checkpointer.checkpoint("default")).root


def test_two_signers_make_one_line(database: Database, signing: Settings) -> None:
    """Signers that race while the trail grows leave one line: dense numbers, growing sizes, one root a size."""
    signers = [Checkpointer.of(database, signing) for _ in range(4)]
    made = list(entries(400))
    done = threading.Event()
    failures: list[BaseException] = []

    def sign(checkpointer: Checkpointer) -> None:
        try:
            while not done.is_set():
                try:
                    checkpointer.checkpoint("default")
                except NotSigned as refused:
                    if "faster" not in str(refused):
                        raise
        except BaseException as failure:  # noqa: BLE001 - told by the test itself
            failures.append(failure)

    threads = [threading.Thread(target=sign, args=(signer,)) for signer in signers]
    for thread in threads:
        thread.start()
    for at in range(0, 400, 8):
        database.trail.insert_many(made[at : at + 8])
    done.set()
    for thread in threads:
        thread.join()
    signers[0].checkpoint("default")

    assert not failures
    line = list(database.collection("log_checkpoints").find(sort=[("number", 1)]))
    sizes = [one["size"] for one in line]
    assert list(range(1, len(line) + 1)) == [one["number"] for one in line]
    assert sorted(set(sizes)) == sizes
    assert sizes[-1] == 400
    tree = signers[0].log.tree("default")
    for one in line:
        assert tree.root(one["size"]) == one["root"] == opened(signers[0], one).root


def test_service_without_the_key_signs_nothing(database: Database, settings: Settings, signing: Settings, tmp_path: Path) -> None:
    """A service without a key, with another key or with another origin signs nothing, and says why."""
    fill(database, 3)
    Checkpointer.of(database, signing).checkpoint("default")
    append(database, 3, 4)
    for other, reason in (
        (settings, "no signing key"),
        (keyed(settings, tmp_path, "other.key"), "not the one that signs"),
        (replace(signing, log_origin="log.example/else"), "DMS_TAGS_LOG_ORIGIN"),
    ):
        with pytest.raises(NotSigned, match=reason):
            Checkpointer.of(database, other).checkpoint("default")
    assert 1 == database.collection("log_checkpoints").count_documents({})


def test_gap_in_the_trail_is_not_signed(checkpointer: Checkpointer, database: Database) -> None:
    """A trail that lacks an entry is not signed; the position is named."""
    fill(database, 9)
    database.trail.delete_one({"position": 5})

    with pytest.raises(Unproven, match="position 5 is missing"):
        checkpointer.checkpoint("default")


@contextmanager
def restored(database: Database, copies: tuple[str, ...] = ("audit_trail", "log_tiles", "log_checkpoints")) -> Iterator[None]:
    """Runs the context, then puts the database back to where it was, as a restore from a backup does."""
    backup = {name: list(database.collection(name).find()) for name in copies}
    yield
    for name, documents in backup.items():
        database.collection(name).delete_many({})
        database.collection(name).insert_many(documents)


@pytest.mark.parametrize("remembering", ["same process", "key file", "witness file"])
def test_restored_database_is_noticed(
    database: Database, signing: Settings, tmp_path: Path, remembering: str, caplog: pytest.LogCaptureFixture
) -> None:
    """After a restore nothing is signed, also once the trail has grown past the checkpoint known outside."""
    signing = replace(signing, witness_file=tmp_path / "witness")
    checkpointer = Checkpointer.of(database, signing)
    fill(database, 50)
    checkpointer.run_once(threading.Event())
    with restored(database):
        append(database, 50, 60)
        checkpointer.checkpoint("default")
        checkpointer.run_once(threading.Event())
    seen = tmp_path / "signing.key.seen"
    assert seen.exists()
    if remembering == "key file":
        (tmp_path / "witness").unlink()
    elif remembering == "witness file":
        seen.unlink()
    if remembering != "same process":
        checkpointer = Checkpointer.of(database, signing)

    with pytest.raises(NotSigned, match="restored from a backup"):
        checkpointer.checkpoint("default")
    append(database, 50, 70, by="another")
    with pytest.raises(NotSigned):
        checkpointer.checkpoint("default")
    checkpointer.run_once(threading.Event())
    assert "no checkpoint for default" in caplog.text


def test_start_anew_after_a_restore(database: Database, checkpointer: Checkpointer) -> None:
    """An order to start anew begins another line under another name; the old one stays verifiable, its name is used up."""
    fill(database, 300)
    checkpointer.checkpoint("default")
    with restored(database):
        append(database, 300, 320)
        checkpointer.checkpoint("default")
    append(database, 300, 310, by="another")
    with pytest.raises(NotSigned, match="used before"):
        checkpointer.start_anew("log.example/audit")
    before, after = checkpointer.start_anew("log.example/audit2")
    checkpoint = opened(checkpointer, Checkpointer(database, Settings(), checkpointer._key).checkpoint("default"))  # noqa: SLF001

    assert before is not None
    assert ("log.example/audit", "log.example/audit2") == (before.origin, after.origin)
    assert ("log.example/audit2/default", 310) == (checkpoint.origin, checkpoint.size)
    assert ["log.example/audit2/default", LOG] == [verifier.name for verifier in after.verifiers("default")]


def test_altered_tree_is_not_signed_over(checkpointer: Checkpointer, database: Database) -> None:
    """Where the tiles no longer give the root that was signed nothing more is signed."""
    fill(database, 10)
    checkpointer.checkpoint("default")
    tiles = database.collection("log_tiles")
    spoilt = tiles.find_one({"level": 0})
    assert spoilt is not None
    tiles.update_one({"_id": spoilt["_id"]}, {"$set": {"hashes": b"\0" * 32 + spoilt["hashes"][32:]}})
    append(database, 10, 11)

    with pytest.raises(NotSigned, match="not the continuation"):
        checkpointer.checkpoint("default")


def test_trail_alone_restored_is_not_signed(checkpointer: Checkpointer, database: Database) -> None:
    """A trail that was put back behind a tree that no checkpoint covered yet, and then went on otherwise, is not signed."""
    fill(database, 10)
    checkpointer.checkpoint("default")
    with restored(database, ("audit_trail",)):
        append(database, 10, 20)
        checkpointer.log.extend("default", 20)
    append(database, 10, 18, by="another")

    with pytest.raises(NotSigned, match="not that of its trail"):
        checkpointer.checkpoint("default")


def test_key_file(tmp_path: Path) -> None:
    """A key is readable by its owner alone, never overwritten, and refused in one line where it is none."""
    key = SigningKey.create(tmp_path / "key")

    assert 0o600 == (tmp_path / "key").stat().st_mode & 0o777
    assert key.public == SigningKey.load(tmp_path / "key").public
    with pytest.raises(CannotStart, match="never overwritten"):
        SigningKey.create(tmp_path / "key")
    (tmp_path / "none").write_text("no key")
    for name in ("none", "missing"):
        with pytest.raises(CannotStart):
            SigningKey.load(tmp_path / name)


def test_embedded_store_makes_its_own_key(tmp_path: Path) -> None:
    """The embedded store's key is made once; the public line beside it is a verifier key of the default tenant."""
    settings = Settings(data=tmp_path)
    file = embedded_key(settings)
    public = SigningKey.load(file).public
    embedded_key(settings)

    assert tmp_path / EMBEDDED_KEY == file
    assert public == SigningKey.load(file).public
    assert public == Verifier.parse((tmp_path / PUBLIC_LINE).read_text()).public


def test_spoilt_memory_signs_nothing(checkpointer: Checkpointer, database: Database, tmp_path: Path) -> None:
    """Where the signer's memory cannot be read nothing is signed."""
    fill(database, 3)
    (tmp_path / "signing.key.seen").write_text("{")

    with pytest.raises(CannotStart, match="memory"):
        checkpointer.checkpoint("default")


def test_witness_gets_every_checkpoint(database: Database, signing: Settings, tmp_path: Path) -> None:
    """A witness that is down gets every checkpoint once it is up, in order; so does a file."""
    taken: list[str] = []
    up = False

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if up:
                taken.append(text)
            self.send_response(200 if up else 503)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Taker)
    with answering(server) as address:
        signing = replace(signing, witness_url=f"{address}/checkpoints", witness_file=tmp_path / "witness")
        for end in (1, 2, 3):
            append(database, end - 1, end)
            up = end == 3
            Checkpointer.of(database, signing).run_once(threading.Event())

    line = [one["note"] for one in database.collection("log_checkpoints").find(sort=[("number", 1)])]
    assert 3 == len(line)
    assert line == taken
    assert "".join(f"{note}\n" for note in line) == (tmp_path / "witness").read_text()
