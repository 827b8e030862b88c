"""The log as implementations that are not ours read it.

Go's `golang.org/x/mod/sumdb` checks signatures, tiles and proofs where `go` and the package's source are installed (on Debian
`golang-go` and `golang-golang-x-mod-dev`); a second reading, written from RFC 9162's definitions and sharing nothing with the
code under test, does so everywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.log.tiles import TileName, width_at
from dms_tags.audit.trail.entry import flat, leaf_of
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.trails import entries, keyed

SIZES = (1, 256, 300, 700)
GOPATH = Path("/usr/share/gocode")
GO = shutil.which("go")
PROGRAM = Path(__file__).parent / "golang" / "main.go"


def published(folder: Path) -> dict[str, Any]:
    """A log signed at several sizes, as the service gives it out."""
    database = Database.connect(Settings(mongo_uri="mongomock://"))
    checkpointer = Checkpointer.of(database, keyed(Settings(), folder))
    made, notes = list(entries(SIZES[-1])), []
    for begin, end in zip((0, *SIZES), SIZES, strict=False):
        database.trail.insert_many(made[begin:end])
        notes.append((checkpointer.checkpoint("default") or {})["note"])
    identity = checkpointer.identities.current()
    assert identity is not None
    size, log = SIZES[-1], checkpointer.log
    names = [(level, number) for level in range(2) for number in range(4) if width_at(size, level, number)]
    tree = log.tree("default")
    return {
        "Key": str(identity.verifier("default")),
        "Checkpoints": notes,
        "Tiles": {
            str(TileName(*name, width_at(size, *name))): text(hashes) for name, hashes in log.tiles("default", names).items()
        },
        "Entries": [text(leaf_of(flat(entry))) for entry in made],
        "Inclusion": {str(index): texts(tree.inclusion(index, size)) for index in (*range(0, size, 37), size - 1)},
        "Consistency": [texts(tree.consistency(old, size)) for old in SIZES],
    }


def text(data: bytes) -> str:
    return b64encode(data).decode()


def texts(hashes: list[bytes]) -> list[str]:
    return [text(digest) for digest in hashes]


def by_go(log: dict[str, Any], folder: Path) -> None:
    environment = os.environ | {"GO111MODULE": "off", "GOPATH": str(GOPATH), "GOCACHE": str(folder / "cache"), "GOFLAGS": ""}
    done = subprocess.run(
        [str(GO), "run", str(PROGRAM)],
        input=json.dumps(log),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )

    assert done.returncode == 0, done.stderr


def by_definition(log: dict[str, Any], _folder: Path) -> None:
    leaves = [b64decode(entry) for entry in log["Entries"]]
    name, _, public = log["Key"].split("+", 2)
    heads = []
    for note in log["Checkpoints"]:
        signed, signature = note.split("\n\n")
        Ed25519PublicKey.from_public_bytes(b64decode(public)[1:]).verify(
            b64decode(signature.split()[2])[4:], f"{signed}\n".encode()
        )
        origin, size, root = signed.split("\n")
        assert origin == name == signature.split()[1]
        assert root == text(mth(leaves[: int(size)]))
        heads.append(int(size))
    for path, hashes in log["Tiles"].items():
        level, number = int(path[0]), int(path[2:5])
        span = 256**level
        parts = [leaves[at : at + span] for at in range(number * 256 * span, min(len(leaves), (number + 1) * 256 * span), span)]
        assert hashes == text(b"".join(mth(part) for part in parts if len(part) == span))
    for index, proof in log["Inclusion"].items():
        assert proof == texts(path_of(int(index), leaves))
    for size, proof in zip(heads, log["Consistency"], strict=True):
        assert proof == texts([] if size == len(leaves) else subproof(size, leaves, known=True))


def mth(leaves: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = largest_power(len(leaves))
    return hashlib.sha256(b"\1" + mth(leaves[:split]) + mth(leaves[split:])).digest()


def path_of(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 9162, 2.1.3.1."""
    if len(leaves) == 1:
        return []
    split = largest_power(len(leaves))
    if index < split:
        return [*path_of(index, leaves[:split]), mth(leaves[split:])]
    return [*path_of(index - split, leaves[split:]), mth(leaves[:split])]


def subproof(old: int, leaves: list[bytes], *, known: bool) -> list[bytes]:
    """RFC 9162, 2.1.4.1."""
    if old == len(leaves):
        return [] if known else [mth(leaves)]
    split = largest_power(len(leaves))
    if old <= split:
        return [*subproof(old, leaves[:split], known=known), mth(leaves[split:])]
    return [*subproof(old - split, leaves[split:], known=False), mth(leaves[:split])]


def largest_power(count: int) -> int:
    split = 1
    while split * 2 < count:
        split *= 2
    return split


READERS: list[Callable[[dict[str, Any], Path], None]] = [by_definition]
if GO and (GOPATH / "src/golang.org/x/mod/sumdb/tlog").exists():
    READERS.append(by_go)


@pytest.mark.parametrize("read", READERS)
def test_log_is_accepted(tmp_path: Path, read: Callable[[dict[str, Any], Path], None]) -> None:
    """Another implementation accepts the checkpoints, every tile, every entry and the proofs."""
    read(published(tmp_path), tmp_path)


@pytest.mark.parametrize("read", READERS)
def test_altered_log_is_not_accepted(tmp_path: Path, read: Callable[[dict[str, Any], Path], None]) -> None:
    """The same implementation refuses a log in which one entry was altered."""
    log = published(tmp_path)
    log["Entries"][300] = text(b64decode(log["Entries"][300]).replace(b'"schema":', b'"schema":9'))

    with pytest.raises(AssertionError):
        read(log, tmp_path)
