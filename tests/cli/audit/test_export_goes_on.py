"""`dms-tags audit export` goes on in the part file of the very same export, and in no other."""

from __future__ import annotations

import fcntl
import hashlib
import json
from codecs import BOM_UTF8
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dms_tags.audit.verify import part
from dms_tags.cli.main import main
from tests.cli.audit.test_audit import COUNT, key_line, note
from tests.cli.audit.test_audit import service as service
from tests.support.app import Service


@pytest.fixture
def lines(service: Service, tmp_path: Path) -> list[bytes]:
    """The lines of the whole export, the manifest last."""
    service.services.checkpointer.checkpoint("default")
    assert 0 == main(["audit", "export", "--out", str(tmp_path / "whole")])
    return (tmp_path / "whole").read_bytes().splitlines(keepends=True)


def refused(tmp_path: Path, noted: object, text: bytes, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of a part with that text and note, which stay as they are."""
    (tmp_path / "new.part").write_bytes(text)
    if noted is not None:
        (tmp_path / "new.part.json").write_text(noted if isinstance(noted, str) else json.dumps(noted))
    before = {file.name: file.read_bytes() for file in tmp_path.glob("new*")}
    capsys.readouterr()
    assert 2 == main(["audit", "export", "--out", str(tmp_path / "new")])
    assert before == {file.name: file.read_bytes() for file in tmp_path.glob("new*")}
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"service": "http://elsewhere/"}, 'its service: "http://elsewhere/"'),
        ({"log": "log.example/audit/other+00+AA"}, "its log: "),
        ({"filters": {"name": "ocr"}}, 'its filters: {"name": "ocr"}, not {}'),
        ({"form": "csv"}, 'its form: "csv"'),
        ({"proofs": True}, "its proofs: true"),
    ],
)
def test_of_something_else(
    service: Service,
    lines: list[bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    members: dict[str, Any],
    said: str,
) -> None:
    """A part of another service, log, form or of other filters is not gone on with; what differs is named."""
    said_of = refused(tmp_path, note(service, **members), b"".join(lines[:100]), capsys)

    assert said in said_of
    assert "new.part" in said_of
    assert "remove both files" in said_of


def test_of_another_tenant(service: Service, lines: list[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody signs the lines themselves tell whose they are."""
    noted = note(service, log=None)
    service.database.collection("log_identity").delete_many({})
    text = b"".join(lines[:100]).replace(b'"tenant":"default"', b'"tenant":"other"')
    (tmp_path / "new.part").write_bytes(text)
    (tmp_path / "new.part.json").write_text(json.dumps(noted))

    assert 2 == main(["audit", "export", "--out", str(tmp_path / "new")])
    assert "is of the tenant 'other'" in capsys.readouterr().err
    assert text == (tmp_path / "new.part").read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:0], "is empty"),
        (lambda lines: lines[1:], "the export began with 1"),
        (lambda lines: [*lines[:40], *lines[41:]], "line 41 has position 42 after 40"),
        (lambda lines: [*lines[:41], *lines[40:]], "line 42 has position 41 after 41"),
        (lambda lines: [*lines[:40], b"\0" * 400 + b"\n", *lines[41:]], "line 41 is no entry"),
        (lambda lines: [*lines[:40], lines[40][:90] + b"\n", *lines[41:]], "line 41 is no entry"),
        (lambda lines: [*lines[:40], b'{"manifest":{}}\n', *lines[40:]], "line 41 is no entry"),
    ],
)
def test_damaged(
    service: Service,
    lines: list[bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[list[bytes]], list[bytes]],
    said: str,
) -> None:
    """A part with a gap, a doubled or broken line, and an empty one, are refused, the place named."""
    text = b"".join(change(lines[:100]))

    assert said in refused(tmp_path, note(service), text, capsys)


@pytest.mark.parametrize("noted", [None, "", "{}", '{"order": {}, "first": "x", "before": 3}', "[" * 20])
@pytest.mark.usefixtures("service")
def test_a_note_that_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], noted: object) -> None:
    """A part that nothing tells the export of is left alone, as somebody's file."""
    assert "new.part" in refused(tmp_path, noted, b"mine\n", capsys)


def test_two_at_once(service: Service, lines: list[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While one export writes a file, another to it ends at once and touches nothing; after that the first is gone on with."""
    with (tmp_path / "new.part").open("ab") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        assert "another export" in refused(tmp_path, note(service), b"".join(lines[:100]), capsys)
    assert 0 == main(["audit", "export", "--out", str(tmp_path / "new")])

    assert lines[:-1] == (tmp_path / "new").read_bytes().splitlines(keepends=True)[:-1]


@pytest.mark.parametrize("options", [[], ["--proofs"], ["--format", "csv"], ["--format", "csv", "--bom"]])
@pytest.mark.usefixtures("lines")
def test_a_full_disk(
    service: Service,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
) -> None:
    """A full disk is said in one line, what came is kept, and the same command goes on from it."""
    write, written = part.Part.write, 0

    def full(self: part.Part, line: bytes) -> None:
        nonlocal written
        written += 1
        if written > 200:
            raise OSError(28, "No space left on device")
        write(self, line)

    monkeypatch.setattr(part.Part, "write", full)
    assert 2 == main(["audit", "export", "--out", str(tmp_path / "new"), *options])
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert "the same command goes on from there" in said
    assert (tmp_path / "new.part").stat().st_size
    monkeypatch.setattr(part.Part, "write", write)
    assert 0 == main(["audit", "export", "--out", str(tmp_path / "new"), *options])

    assert 0 == main(["audit", "verify", str(tmp_path / "new"), "--key", key_line(service)])
    assert ("--bom" in options) == (tmp_path / "new").read_bytes().startswith(BOM_UTF8)
    assert ["new", *(["new.manifest.json"] if "csv" in options else [])] == sorted(file.name for file in tmp_path.glob("new*"))


def test_goes_on_in_an_archived_trail(service: Service, tmp_path: Path) -> None:
    """What was archived before an export began is told by its manifest also where it came in several parts."""
    assert 0 == main(["audit", "archive", "--before", "2026-01-01T00:05:00Z", "--out", str(tmp_path / "archive")])
    assert 0 == main(["audit", "export", "--out", str(tmp_path / "whole")])
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    trail = {"oldest": 257, "complete": False}
    (tmp_path / "new.part").write_bytes(b"".join(lines[:100]))
    (tmp_path / "new.part.json").write_text(json.dumps(note(service) | {"first": 257, "before": COUNT + 2, "trail": trail}))
    assert 0 == main(["audit", "export", "--out", str(tmp_path / "new")])
    manifests = [json.loads((tmp_path / name).read_bytes().splitlines()[-1])["manifest"] for name in ("whole", "new")]

    assert [trail, trail] == [{name: manifest[name] for name in trail} for manifest in manifests]
    assert 0 == main(["audit", "verify", str(tmp_path / "new"), "--key", key_line(service)])


def test_altered_since(service: Service, lines: list[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What came before an export broke off is known by its sum: a byte that was altered meanwhile is found."""
    text = b"".join(lines[:100])
    noted = note(service) | {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}

    assert "was altered since" in refused(tmp_path, noted, text.replace(b'"anna"', b'"hugo"', 1), capsys)


@pytest.mark.usefixtures("service")
def test_nowhere_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there is said in one line."""
    assert 2 == main(["audit", "export", "--out", str(tmp_path / "no" / "new")])

    assert "cannot be written: No such file or directory" in capsys.readouterr().err
