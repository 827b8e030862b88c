"""Exports, and what verifying them offline finds."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dms_tags.audit.export import rows
from dms_tags.audit.export.exporter import Exporter
from dms_tags.audit.export.manifest import manifest_beside, seal
from dms_tags.audit.log.keys import SigningKey
from dms_tags.audit.log.note import Signer, Verifier
from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.trail.actors import ActorKeys
from dms_tags.audit.trail.entry import canonical, flat, leaf_of
from dms_tags.audit.trail.filters import Filters
from dms_tags.audit.verify.file import verify_file
from dms_tags.audit.verify.report import Report
from dms_tags.model import Actor
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.support.trails import BEGIN, entries, fill, keyed

COUNT = 700
ACTOR = Actor("auditor", "token")


class Bench:
    """A signed trail of 700 entries, and exports of it."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        settings = keyed(settings, folder)
        self.database = Database.connect(Settings(mongo_uri="mongomock://"))
        self.database.prepare()
        self.entries = fill(self.database, COUNT)
        self.checkpointer = Checkpointer.of(self.database, settings)
        self.exporter = Exporter(self.checkpointer, TagStore(self.database), ActorKeys(self.database))
        identity = self.checkpointer.identities
        self.checkpointer.checkpoint("default")
        found = identity.current()
        assert found is not None
        self.verifier = found.verifier("default")
        self.folder = folder

    def export(self, filters: Filters | None = None, *, proofs: bool = False, name: str = "export.ndjson") -> Path:
        file = self.folder / name
        export = self.exporter.begin("default", filters or Filters(), ACTOR, form="ndjson", proofs=proofs)
        file.write_bytes(b"".join(self.exporter.ndjson(export)))
        self.database.tags.delete_many({})  # the record of this export, for which there is no relay here
        return file

    def verify(self, file: Path, kept: str | None = None, verifier: Verifier | None = None) -> Report:
        return verify_file(file, [verifier or self.verifier], kept, lambda _done, _total: None)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(Settings(), tmp_path_factory.mktemp("export"))


def test_lines_are_the_leaves(bench: Bench) -> None:
    """Each line is the canonical JSON of an entry; the manifest counts, sums and covers them."""
    *lines, last = bench.export().read_bytes().splitlines(keepends=True)
    manifest = json.loads(last)["manifest"]

    assert [leaf_of(flat(entry)) for entry in bench.entries] == [leaf_of(json.loads(line)) for line in lines]
    assert (COUNT, 1, COUNT, COUNT, {}) == tuple(manifest[name] for name in ("count", "first", "last", "head", "filters"))
    assert hashlib.sha256(b"".join(lines)).hexdigest() == manifest["sha256"]
    assert manifest["checkpoint"].split("\n")[1] == str(COUNT)


@pytest.mark.parametrize(
    ("filters", "proofs", "count"),
    [
        (Filters(), False, COUNT),
        (Filters(), True, COUNT),
        (Filters(after=100, before=613), False, 512),
        (Filters(after=255, before=258), True, 2),
        (Filters(object_id="3"), True, None),
        (Filters(name="ocr", action=(310, 210)), True, None),
        (Filters(since=BEGIN), False, COUNT),
    ],
)
def test_export_holds(bench: Bench, filters: Filters, proofs: bool, count: int | None) -> None:
    """Whole exports, runs of positions, and parts with proofs verify with nothing but the public key."""
    report = bench.verify(bench.export(filters, proofs=proofs))

    assert 0 == report.status, report
    assert report.entries == count or count is None


def as_table(bench: Bench, file: Path) -> Path:
    """The same export as CSV with its manifest beside it."""
    return as_csv(file.read_bytes().splitlines(keepends=True), bench.folder / "export.csv")


def as_csv(lines: list[bytes], file: Path) -> Path:
    """The lines of an export as CSV in `file`, its manifest beside it, as `dms-tags audit export` writes both."""
    table = rows.head() + b"".join(rows.row(json.loads(line)) for line in lines[:-1])
    manifest = json.loads(lines[-1])["manifest"]
    file.write_bytes(table)
    sums = {"sha256": hashlib.sha256(table).hexdigest(), "lines": manifest["sha256"]}
    manifest_beside(file).write_bytes(seal(manifest | sums))
    return file


def test_table_holds(bench: Bench) -> None:
    """An export as CSV verifies like one as NDJSON: its rows tell the very entries that were signed."""
    report = bench.verify(as_table(bench, bench.export(Filters(after=5, before=200))))

    assert (0, 194) == (report.status, report.entries)


STATES = st.one_of(
    st.tuples(st.just("object"), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just("site"), st.text(min_size=1)),
    st.tuples(st.just("token"), st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.booleans()))),
)


@given(STATES, st.text(min_size=1), st.one_of(st.none(), st.text(min_size=1)))
def test_rows_there_and_back(state: tuple[str, Any], actor: str, trace_id: str | None) -> None:
    """Whatever an entry holds, its row gives back its canonical JSON, and no cell begins like a formula."""
    entry = flat(next(iter(entries(1))))
    entry |= {
        "resource": f"{state[0]}/1",
        "state": state[1],
        "createdBy": actor,
        "previousTraceId": trace_id,
        "actorKey": None,
        "reasonKey": None,
    }
    row = rows.row(entry)

    assert canonical(entry) == rows.line(row)
    assert [row] == list(rows.rows(io.BytesIO(row)))
    cells = next(csv.reader(io.StringIO(row.decode(), newline="")))
    assert not [
        cell for cell in cells if cell.startswith(("=", "+", "@", "\t")) or (cell.startswith("-") and not cell[1:].isdigit())
    ]


def test_tampered_table(bench: Bench) -> None:
    """Every changed byte of a row is detected, at the right position."""
    file = as_table(bench, bench.export(Filters(before=60)))
    names, *rows = file.read_bytes().splitlines(keepends=True)
    for seed in range(40):
        lines, position = changed_byte([*rows, b""], random.Random(seed))
        file.write_bytes(names + b"".join(lines))
        report = bench.verify(file)

        assert 1 == report.status
        assert report.worst is not None
        assert position == report.worst.position, (seed, report.findings)


def test_part_without_proofs_is_not_called_proven(bench: Bench) -> None:
    """A part without proofs, an export of nothing and one without a checkpoint are not called good."""
    assert 2 == bench.verify(bench.export(Filters(object_id="3"))).status
    assert 2 == bench.verify(bench.export(Filters(name="none"))).status


def test_export_without_a_key(settings: Settings, tmp_path: Path) -> None:
    """A service that cannot sign exports all the same; what it makes is not called proven."""
    database = Database.connect(Settings(mongo_uri="mongomock://"))
    fill(database, 5)
    exporter = Exporter(Checkpointer(database, settings, None), TagStore(database), ActorKeys(database))
    file = tmp_path / "export"
    file.write_bytes(b"".join(exporter.ndjson(exporter.begin("default", Filters(), ACTOR, form="ndjson", proofs=True))))

    assert json.loads(file.read_bytes().splitlines()[-1])["manifest"]["checkpoint"] is None
    assert 2 == verify_file(file, [], None, lambda _done, _total: None).status


def test_kept_checkpoint(bench: Bench) -> None:
    """A checkpoint kept outside is borne out by the trail that it was made of, and by no other."""
    file = bench.export()
    log = bench.checkpointer.log
    tree = log.tree("default")
    key = SigningKey.load(bench.folder / "signing.key").signer(bench.verifier.name)

    def checkpoint(size: int, root: bytes) -> str:
        return key.sign(f"{bench.verifier.name}\n{size}\n{base64.b64encode(root).decode()}\n")

    assert 0 == bench.verify(file, checkpoint(300, tree.root(300))).status
    assert 0 == bench.verify(file, checkpoint(300, tree.root(300)) + "\n" + checkpoint(COUNT, tree.root(COUNT))).status
    altered = bench.verify(file, checkpoint(300, b"\1" * 32))
    assert 1 == altered.status
    assert "entries 1 to 300" in str(altered.worst)
    older = bench.verify(file, checkpoint(COUNT + 5, b"\1" * 32))
    assert 2 == older.status
    assert "not told beyond its end" in older.unknown[0]
    assert 1 == bench.verify(file, checkpoint(COUNT, b"\1" * 32)).status
    part = bench.export(Filters(before=200))
    assert 0 == bench.verify(part, checkpoint(150, tree.root(150))).status
    assert 2 == bench.verify(part, checkpoint(300, tree.root(300))).status


def test_another_key(bench: Bench) -> None:
    """A file whose checkpoint was signed anew with another key is refused."""
    file = bench.export()
    other = SigningKey.create(bench.folder / "other.key")
    *lines, last = file.read_text().splitlines(keepends=True)
    manifest = json.loads(last)
    text = manifest["manifest"]["checkpoint"].rpartition("\n\n")[0] + "\n"
    manifest["manifest"]["checkpoint"] = Signer(bench.verifier.name, other.private).sign(text)
    file.write_text("".join(lines) + json.dumps(manifest) + "\n")

    assert "not signed by the key" in str(bench.verify(file).worst)


Mutation = Callable[[list[bytes], random.Random], tuple[list[bytes], int | None]]


def changed_byte(lines: list[bytes], chance: random.Random) -> tuple[list[bytes], int | None]:
    at = chance.randrange(len(lines) - 1)
    line = bytearray(lines[at])
    byte = chance.randrange(len(line))
    line[byte] = chance.choice([value for value in range(256) if value != line[byte]])
    return [*lines[:at], bytes(line), *lines[at + 1 :]], at + 1


def changed_manifest(lines: list[bytes], chance: random.Random) -> tuple[list[bytes], int | None]:
    line = bytearray(lines[-1])
    byte = chance.randrange(len(line))
    line[byte] ^= 1 << chance.randrange(7)
    return [*lines[:-1], bytes(line)], None


def changed_value(lines: list[bytes], chance: random.Random) -> tuple[list[bytes], int | None]:
    """A forger's change: the sum in the manifest is made to fit."""
    at = chance.randrange(len(lines) - 1)
    entry = json.loads(lines[at])
    member, value = chance.choice(
        [("state", 4711), ("createdBy", "nobody"), ("traceId", "f" * 16), ("recordedAt", "2026-01-01T00:00:00.001Z")]
    )
    entry[member] = value
    lines = [*lines[:at], canonical(entry) + b"\n", *lines[at + 1 :]]
    return summed(lines), at + 1


def removed(lines: list[bytes], chance: random.Random) -> tuple[list[bytes], int | None]:
    at = chance.randrange(len(lines) - 1)
    return summed([*lines[:at], *lines[at + 1 :]]), at + 1


def doubled(lines: list[bytes], chance: random.Random) -> tuple[list[bytes], int | None]:
    at = chance.randrange(len(lines) - 1)
    return summed([*lines[: at + 1], *lines[at:]]), at + 2


def swapped(lines: list[bytes], chance: random.Random) -> tuple[list[bytes], int | None]:
    one, other = sorted(chance.sample(range(len(lines) - 1), 2))
    lines = list(lines)
    lines[one], lines[other] = lines[other], lines[one]
    return summed(lines), one + 1


def inserted(lines: list[bytes], chance: random.Random) -> tuple[list[bytes], int | None]:
    at = chance.randrange(len(lines) - 1)
    forged = json.loads(lines[at]) | {"createdBy": "nobody"}
    return summed([*lines[:at], canonical(forged) + b"\n", *lines[at:]]), at + 1


def cut_off(lines: list[bytes], chance: random.Random) -> tuple[list[bytes], int | None]:
    at = chance.randrange(1, len(lines) - 1)
    if chance.random() < 0.5:
        return [*lines[:at], lines[at][: chance.randrange(len(lines[at]))]], at + 1
    return summed([*lines[:at], lines[-1]]), at + 1


def summed(lines: list[bytes]) -> list[bytes]:
    """The lines with count and sum in the manifest made to fit."""
    manifest = json.loads(lines[-1])
    manifest["manifest"] |= {"sha256": hashlib.sha256(b"".join(lines[:-1])).hexdigest(), "count": len(lines) - 1}
    return [*lines[:-1], _sealed(manifest)]


def _sealed(manifest: dict[str, Any]) -> bytes:
    """The manifest line with its own sum made to fit."""
    return seal(manifest["manifest"])


MUTATIONS: list[Mutation] = [changed_byte, changed_manifest, changed_value, removed, doubled, swapped, inserted, cut_off]


@pytest.mark.parametrize("proofs", [False, True])
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_tampered_file(bench: Bench, mutation: Mutation, proofs: bool) -> None:
    """Every random mutation of a file is detected, and the first bad position is named right."""
    original = bench.export(Filters(before=300), proofs=proofs).read_bytes().splitlines(keepends=True)
    file = bench.folder / "tampered.ndjson"
    for seed in range(12):
        lines, position = mutation(original, random.Random(f"{mutation.__name__} {seed}"))
        assert lines != original
        file.write_bytes(b"".join(lines))
        report = bench.verify(file)

        assert 1 == report.status, (seed, report)
        assert report.worst is not None
        assert position == report.worst.position, (seed, report.findings)
