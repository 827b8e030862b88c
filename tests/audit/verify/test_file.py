"""What is said around the entries of a file is not believed: filters, tenant, ends, and who signed them."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dms_tags.audit.export.manifest import manifest_key, seal, signed_text
from dms_tags.audit.log.keys import SigningKey
from dms_tags.audit.log.note import Verifier
from dms_tags.audit.trail.filters import Filters
from dms_tags.audit.verify.report import Report
from dms_tags.settings import Settings
from tests.audit.export.test_exporter import COUNT, Bench

Members = dict[str, Any]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(Settings(), tmp_path_factory.mktemp("verify"))


def forged(bench: Bench, file: Path, change: Callable[[list[bytes], Members], list[bytes]], *, unsigned: bool = False) -> Report:
    """The verdict over `file` after `change` of its lines and manifest, whose sums are made to fit."""
    *lines, last = file.read_bytes().splitlines(keepends=True)
    manifest: Members = json.loads(last)["manifest"]
    lines = change(lines, manifest)
    manifest |= {"sha256": hashlib.sha256(b"".join(lines)).hexdigest(), "count": len(lines)}
    if unsigned:
        manifest.pop("signature", None)
    file.write_bytes(b"".join(lines) + seal(manifest))
    return bench.verify(file)


def said(**members: Any) -> Callable[[list[bytes], Members], list[bytes]]:
    """Changes nothing but members of the manifest."""

    def change(lines: list[bytes], manifest: Members) -> list[bytes]:
        manifest |= members
        return lines

    return change


def test_says_what_was_proven(bench: Bench) -> None:
    """A run is genuine and complete; so is a part whose manifest the service signed; an unsigned part is genuine, no more."""
    whole = bench.verify(bench.export())
    assert (
        0,
        f"holds; genuine: each of the {COUNT} entries was signed; complete: nothing is missing between the positions 1 and {COUNT}",
    ) == (
        whole.status,
        whole.verdict,
    )
    part = bench.export(Filters(object_id="3"), proofs=True)
    assert "complete: all that matches its filters" in bench.verify(part).verdict

    unsigned = forged(bench, part, said(), unsigned=True)
    assert 2 == unsigned.status
    assert "not proven; genuine: each of the" in unsigned.verdict
    assert "completeness not told" in unsigned.unknown[0]


def test_unsigned_run(bench: Bench) -> None:
    """A run whose manifest nobody signed is proven by the tree; that its filters are not told is remarked."""
    report = forged(bench, bench.export(), said(), unsigned=True)

    assert 0 == report.status
    assert "its filters, and how far the trail went, are not told" in report.remarks[0]


def test_manifest_of_an_earlier_version(bench: Bench) -> None:
    """A manifest that does not tell where the trail began is no worse than it was."""
    file = bench.export()
    *lines, last = file.read_bytes().splitlines(keepends=True)
    manifest: Members = json.loads(last)["manifest"]
    assert 1 == manifest.pop("oldest")
    key = SigningKey.load(bench.folder / "signing.key").signer(f"{bench.verifier.name}/manifest")
    manifest["signature"] = key.sign(signed_text(manifest)).rpartition("\n\n")[2].removesuffix("\n")
    file.write_bytes(b"".join([*lines, seal(manifest)]))

    assert 0 == bench.verify(file).status


def test_manifest_key_has_another_id(bench: Bench) -> None:
    """Manifests are signed under a name of their own, so that no checkpoint passes for one; the key is the log's."""
    key = manifest_key(bench.verifier)

    assert f"{bench.verifier.name}/manifest" == key.name
    assert bench.verifier.public == key.public
    assert bench.verifier.key_id != key.key_id


@pytest.mark.thorough
@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize(
    ("filters", "members", "position"),
    [
        (Filters(object_id="3"), {"filters": {"objectId": "4"}}, "first"),
        (Filters(object_id="3"), {"filters": {"objectId": "3", "createdBy": "nobody"}}, "first"),
        (Filters(object_id="3"), {"filters": {"from": "2030-01-01T00:00:00.000Z", "name": "ocr"}}, "first"),
        (Filters(object_id="3"), {"filters": {"objectId": "3", "unheard": 1}}, None),
        (Filters(object_id="3"), {"filters": {"objectId": "3", "before": {}}}, "first"),
        (Filters(before=62), {"filters": {"before": 30}}, 30),
        (Filters(before=62), {"filters": {}}, 62),
        (Filters(after=61), {"filters": {}}, 1),
        (Filters(), {"tenant": "other"}, "first"),
        (Filters(), {"head": COUNT + 9}, COUNT + 1),
        (Filters(), {"head": COUNT - 9}, COUNT - 8),
        (Filters(), {"oldest": 9}, 1),
        (Filters(after=61), {"oldest": 99}, 62),
        (Filters(object_id="3"), {"filters": {}}, 1),
    ],
)
def test_manifest_that_the_lines_contradict(
    bench: Bench, filters: Filters, members: Members, position: object, unsigned: bool
) -> None:
    """Filters, tenant and head that the lines contradict are found, signed over or not, at the entry that contradicts."""
    file = bench.export(filters, proofs=True)
    first = json.loads(file.read_bytes().splitlines()[-1])["manifest"]["first"]
    report = forged(bench, file, said(**members), unsigned=unsigned)

    assert 1 == report.status, report
    assert report.worst is not None
    if unsigned or position is not None:
        assert (first if position == "first" else position) == report.worst.position, report.findings


def without_five(lines: list[bytes], manifest: Members) -> list[bytes]:
    del manifest["run"]
    return lines[:200] + lines[205:]


def test_five_lines_taken_out(bench: Bench) -> None:
    """Lines taken out of a whole export with proofs, with what proves the run: found at the first that is missing."""
    report = forged(bench, bench.export(proofs=True), without_five, unsigned=True)

    assert report.worst is not None
    assert 201 == report.worst.position


@pytest.mark.parametrize(("begin", "end"), [(0, -1), (1, None), (3, -3)])
def test_ends_of_an_object(bench: Bench, begin: int, end: int | None) -> None:
    """An object's export that lacks its first or last lines never plainly holds: not told, or found where it was signed."""

    def cut(lines: list[bytes], manifest: Members) -> list[bytes]:
        lines = lines[begin:end]
        manifest |= {"first": json.loads(lines[0])["position"], "last": json.loads(lines[-1])["position"]}
        return lines

    assert 1 == forged(bench, bench.export(Filters(object_id="3"), proofs=True), cut).status
    report = forged(bench, bench.export(Filters(object_id="3"), proofs=True), cut, unsigned=True)
    assert 2 == report.status
    assert "completeness not told" in report.unknown[0]


@pytest.mark.parametrize("proofs", [False, True])
def test_cut_off_and_the_manifest_made_anew(bench: Bench, proofs: bool) -> None:
    """Where lines were cut off and the manifest made to fit, the first position that is missing is named."""

    def cut(lines: list[bytes], manifest: Members) -> list[bytes]:
        manifest |= {"last": 400}
        return lines[:400]

    report = forged(bench, bench.export(proofs=proofs), cut, unsigned=True)
    assert report.worst is not None
    assert 401 == report.worst.position


def test_end_of_a_part_cut_off(bench: Bench) -> None:
    """Where the end of a part was cut off the last entry that is there is named."""
    file = bench.export(Filters(object_id="3"), proofs=True)
    last = json.loads(file.read_bytes().splitlines()[-3])["position"]
    report = forged(bench, file, lambda lines, _: lines[:-1], unsigned=True)

    assert report.worst is not None
    assert last == report.worst.position
    assert "cut off behind it" in report.worst.what


@pytest.mark.parametrize(
    "members",
    [
        {"count": 1e999},
        {"count": float("nan")},
        {"count": True},
        {"head": -1},
        {"first": "1"},
        {"checkpoint": 5},
        {"filters": []},
        {"filters": {"after": {}}},
        {"tenant": None},
        {"run": 3},
        {"run": {"size": 1e999, "left": [], "right": [], "marks": ""}},
        {"signature": {}},
        {"signature": "\ud800"},
        {"last": 1 << 70},
    ],
)
def test_malformed_manifest(bench: Bench, members: Members) -> None:
    """A manifest that is none is told, not a traceback."""
    file = bench.export()
    *lines, last = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines) + json.dumps({"manifest": json.loads(last)["manifest"] | members}).encode() + b"\n")

    assert 1 == bench.verify(file).status


@pytest.mark.thorough
@pytest.mark.parametrize(
    "line",
    [
        b"[" * 300_000,
        b"",
        b"5",
        b'"text"',
        b"{}",
        b'{"position":2,"revision":"x","resource":"object/1","tenant":"default","recordedAt":""}',
        b'{"position":2,"revision":null,"resource":"object/1","tenant":"default","recordedAt":""}',
        b'{"position":2,"revision":1,"resource":["object/1"],"tenant":"default","recordedAt":""}',
        b'{"position":Infinity,"revision":1,"resource":"object/1","tenant":"default","recordedAt":""}',
        b'{"position":1e999,"revision":1,"resource":"object/1","tenant":"default","recordedAt":""}',
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("filters", [Filters(), Filters(object_id="3")])
@pytest.mark.parametrize("proofs", [False, True])
def test_malformed_line(bench: Bench, line: bytes, filters: Filters, proofs: bool) -> None:
    """A line that is no entry is named by its position, not a traceback; the same where the manifest is missing."""
    file = bench.export(filters, proofs=proofs)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], line + b"\n", *lines[2:]]))
    assert 1 == bench.verify(file).status
    file.write_bytes(b"".join([line + b"\n", *lines[2:-1]]))
    assert 1 == bench.verify(file).status


def test_member_twice(bench: Bench) -> None:
    """A member that stands twice in the manifest is refused: readers would differ on which one holds."""
    file = bench.export(Filters(object_id="3"), proofs=True)
    text = file.read_bytes()
    file.write_bytes(text.replace(b'"filters":{', b'"filters":{},"filters":{'))

    assert "twice" in str(bench.verify(file).worst)


def test_not_looked(bench: Bench) -> None:
    """What cannot be looked at is 2, not 1: a compressed or empty file, a checkpoint of another log, an empty or cut-off one."""
    file = bench.export()
    note = json.loads(file.read_bytes().splitlines()[-1])["manifest"]["checkpoint"]
    other = Verifier("log.example/audit/other", bench.verifier.public)

    for kept in ("", note[:-30], note[:20], "no checkpoint", note.replace("/default", "/other")):
        assert 2 == bench.verify(file, kept).status, kept
    assert 2 == bench.verify(file, verifier=other).status
    file.write_bytes(gzip.compress(file.read_bytes()))
    assert ["the file is compressed: decompress it first"] == bench.verify(file).unknown
    file.write_bytes(b"")
    assert 2 == bench.verify(file).status
