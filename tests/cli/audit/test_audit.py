"""`dms-tags audit …`, as it is typed, against a running service and a real MongoDB."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from dms_tags.audit.log.keys import SigningKey
from dms_tags.audit.log.note import Verifier
from dms_tags.cli.main import main
from dms_tags.serving.mongod import free_port
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.app import Service, running
from tests.support.beside import answering
from tests.support.trails import fill, keyed

COUNT = 520


@pytest.fixture
def service(settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    fill(database, COUNT)
    assert settings.mongo_uri is not None
    with running(keyed(settings, tmp_path)) as service:
        server = make_server("127.0.0.1", 0, service.app, threaded=True)
        with answering(server) as address:
            monkeypatch.setenv("DMS_TAGS_URL", address)
            monkeypatch.setenv("DMS_TAGS_MONGO_URI", settings.mongo_uri)
            monkeypatch.setenv("DMS_TAGS_DATABASE", settings.database)
            monkeypatch.setenv("DMS_TAGS_SIGNING_KEY_FILE", str(tmp_path / "signing.key"))
            monkeypatch.setenv("DMS_TAGS_LOG_ORIGIN", "log.example/audit")
            yield service


def key_line(service: Service) -> str:
    identity = service.services.checkpointer.identities.current()
    assert identity is not None
    return str(identity.verifier("default"))


def test_query(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """`query` prints entries, one a line, over as many pages as it takes."""
    assert 0 == main(["audit", "query", "--name", "ocr", "--limit", "0", "--order", "asc"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [entry["position"] for entry in service.entries() if entry["name"] == "ocr"] == [line["position"] for line in lines]


@pytest.mark.usefixtures("service")
def test_a_service_on_this_machine_is_asked_past_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A proxy of the environment could not reach it; where one is asked for a service elsewhere, a failure names it."""
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://user:secret@127.0.0.1:{free_port()}")
    assert 0 == main(["audit", "query", "--limit", "1"])
    assert 0 == main(["audit", "export", "--out", str(tmp_path / "export.ndjson")])
    monkeypatch.setenv("DMS_TAGS_URL", "http://tags.example")
    capsys.readouterr()

    assert 2 == main(["audit", "query"])
    said = capsys.readouterr().err
    assert "through the proxy http://127.0.0.1:" in said
    assert "secret" not in said


def test_export_and_verify_offline(service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `export` writes `verify` proves with the key alone, in an environment without any setting."""
    out, kept = tmp_path / "export.ndjson", tmp_path / "kept"
    assert 0 == main(["audit", "checkpoint"])
    kept.write_text(capsys.readouterr().out)
    assert 0 == main(["audit", "export", "--out", str(out)])
    command = [
        sys.executable,
        "-c",
        "import sys\nfrom dms_tags.cli.main import main\ncode = main()\nassert 'flask' not in sys.modules\nsys.exit(code)",
    ]
    verify = [*command, "audit", "verify", str(out), "--key", key_line(service), "--checkpoint", str(kept)]
    held = subprocess.run(verify, env={}, capture_output=True, text=True, check=False, cwd=Path.cwd())
    assert 0 == held.returncode, held.stderr
    assert f"{COUNT} entries, positions 1 to {COUNT}" in held.stdout
    lines = out.read_text().splitlines(keepends=True)
    lines[99] = lines[99].replace('"state":', '"state":1')
    out.write_text("".join(lines))
    fails = subprocess.run(verify, env={}, capture_output=True, text=True, check=False, cwd=Path.cwd())

    assert 1 == fails.returncode
    assert "first bad: position 100: is not the entry that was signed" in fails.stdout


@pytest.mark.parametrize(("form", "proofs"), [("ndjson", False), ("ndjson", True), ("csv", False)])
def test_export_that_broke_off(service: Service, tmp_path: Path, form: str, proofs: bool) -> None:
    """An export that broke off anywhere goes on where it stopped, though the trail has grown, and is what it would have been."""
    options = ["--format", form, *(["--proofs"] if proofs else [])]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    service.services.checkpointer.checkpoint("default")
    assert 0 == main(["audit", "export", "--out", str(whole), *options])
    lines = whole.read_bytes()
    part = broken.with_name("broken.part")
    for length in (1000, len(lines) // 2, len(lines) - 30, lines.rindex(b"\n", 0, -1) + 1):
        service.services.checkpointer.checkpoint("default")
        part.write_bytes(lines[:length])
        broken.with_name("broken.part.json").write_text(json.dumps(note(service, form=form, proofs=proofs)))
        assert 0 == main(["audit", "export", "--out", str(broken), *options])

        assert not part.exists()
        if form == "csv":
            assert lines == broken.read_bytes()
            beside = broken.with_name("broken.manifest.json")
            assert manifest_of(whole.with_name("whole.manifest.json")) == manifest_of(beside) | {"head": COUNT}
            assert hashlib.sha256(lines).hexdigest() == manifest_of(beside)["sha256"]
        else:
            assert lines.splitlines()[:-1] == broken.read_bytes().splitlines()[:-1]
            assert manifest_of(whole) == manifest_of(broken) | {"head": COUNT}
        assert 0 == main(["audit", "verify", str(broken), "--key", key_line(service)])
        broken.unlink()


def note(service: Service, /, **members: Any) -> dict[str, Any]:
    """What tells of an export that was under way which export it is."""
    of: dict[str, Any] = {"service": os.environ["DMS_TAGS_URL"], "log": key_line(service), "filters": {}, "form": "ndjson"}
    return {"order": {**of, "proofs": False, "bom": False, **members}, "first": 1, "before": COUNT + 1}


def manifest_of(file: Path) -> dict[str, Any]:
    """The manifest of an export, without what hangs on when it was made, and in how many parts: nobody signs those."""
    manifest: dict[str, Any] = json.loads(file.read_bytes().splitlines()[-1])["manifest"]
    return {name: value for name, value in manifest.items() if name not in ("total", "signature", "lines")}


@pytest.mark.usefixtures("service")
def test_export_never_overwrites(tmp_path: Path) -> None:
    """A file that is there is left alone: status 2."""
    (tmp_path / "there").write_text("mine")

    assert 2 == main(["audit", "export", "--out", str(tmp_path / "there")])
    assert "mine" == (tmp_path / "there").read_text()
    assert ["there"] == [file.name for file in tmp_path.glob("there*")]


def test_verify_status(service: Service, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 where all holds, 1 where something does not, 2 where it could not look: at the service, the store and a file."""
    assert 2 == main(["audit", "verify"])
    assert 2 == main(["audit", "verify", "--database"])
    assert 0 == main(["audit", "checkpoint"])
    assert 0 == main(["audit", "verify"])
    assert 0 == main(["audit", "verify", "--database", "--key", key_line(service)])
    other = Verifier("log.example/audit/default", SigningKey.create(tmp_path / "other").public)
    assert 1 == main(["audit", "verify", "--key", str(other)])
    assert 1 == main(["audit", "verify", "--database", "--key", str(other)])
    database.trail.delete_one({"position": 77})
    assert 1 == main(["audit", "verify", "--database"])
    assert 1 == main(["audit", "verify"])
    (tmp_path / "empty").write_text("")
    assert 2 == main(["audit", "verify", str(tmp_path / "empty"), "--key", key_line(service)])
    assert 2 == main(["audit", "verify", str(tmp_path / "missing"), "--key", key_line(service)])
    assert 2 == main(["audit", "verify", str(tmp_path / "empty")])
    assert 2 == main(["audit", "verify", "--key", "no key"])
    monkeypatch.setenv("DMS_TAGS_URL", "http://127.0.0.1:9")
    assert 2 == main(["audit", "verify"])


def test_keygen(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`keygen` makes the key of a database that has none, prints the public line, and records it; a second key starts anew only by order."""
    assert settings.mongo_uri is not None
    monkeypatch.setenv("DMS_TAGS_MONGO_URI", settings.mongo_uri)
    monkeypatch.setenv("DMS_TAGS_DATABASE", settings.database)
    monkeypatch.setenv("DMS_TAGS_LOG_ORIGIN", "log.example/audit")
    monkeypatch.setenv("DMS_TAGS_SIGNING_KEY_FILE", str(tmp_path / "one"))
    assert 0 == main(["audit", "keygen"])
    first = Verifier.parse(capsys.readouterr().out.splitlines()[-1])
    assert ("log.example/audit/default", SigningKey.load(tmp_path / "one").public) == (first.name, first.public)
    assert 2 == main(["audit", "keygen"])
    fill(database, 3, tenant="other")
    assert 0 == main(["audit", "checkpoint", "--tenant", "other"])
    monkeypatch.setenv("DMS_TAGS_SIGNING_KEY_FILE", str(tmp_path / "two"))
    assert 0 == main(["audit", "keygen"])
    assert "begin anew" in capsys.readouterr().err
    assert 2 == main(["audit", "checkpoint", "--tenant", "other"])
    assert 2 == main(["audit", "checkpoint", "--tenant", "other", "--new-origin", "log.example/audit"])
    assert 2 == main(["audit", "checkpoint", "--tenant", "other", "--new-origin", "a b"])
    assert 0 == main(["audit", "checkpoint", "--tenant", "other", "--new-origin", "log.example/second"])
    assert capsys.readouterr().out.startswith("log.example/second/other\n4\n")
    record = database.trail.find_one({"tenant": "other", "position": 4})

    assert record is not None
    assert ("trail/other", "log.example/second/other") == (record["resource"], record["state"]["origin"])
    assert "cli" == record["actorKind"]


def test_archive(service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`archive` writes what is old, says where the trail begins now, and what it wrote verifies alone."""
    out = tmp_path / "archive.ndjson"
    assert 2 == main(["audit", "archive", "--before", "soon", "--out", str(out)])
    assert 0 == main(["audit", "archive", "--before", "2025-01-01", "--out", str(out)])
    assert "nothing to archive" in capsys.readouterr().out
    assert 0 == main(["audit", "archive", "--before", "2026-02-01", "--out", str(out)])

    assert "positions 1 to 512; the trail now begins at 513" in capsys.readouterr().out
    assert 0 == main(["audit", "verify", str(out), "--key", key_line(service)])
    assert 0 == main(["audit", "verify", "--database"])
    assert 0 == main(["audit", "verify"])


def test_seal(service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`seal` records how far each resource has come; an export of one is then complete as of that, and says so."""
    out = tmp_path / "one.ndjson"
    assert 0 == main(["audit", "seal"])
    assert "resources up to position" in capsys.readouterr().out
    assert 0 == main(["audit", "seal"])
    assert "nothing was sealed" in capsys.readouterr().out
    assert 0 == main(["audit", "export", "--object", "3", "--proofs", "--out", str(out)])
    assert 0 == main(["audit", "verify", str(out), "--key", key_line(service)])

    assert "nothing of object/3 is missing up to position" in capsys.readouterr().out
    assert 0 == main(["audit", "verify"])
    assert "sealed: each of 1 seals" in capsys.readouterr().out


def test_archive_without_a_key(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the order cannot be signed at once the command says what `verify --database` waits for."""
    service.services.checkpointer.checkpoint("default")
    monkeypatch.delenv("DMS_TAGS_SIGNING_KEY_FILE")
    assert 0 == main(["audit", "archive", "--before", "2026-02-01", "--out", str(tmp_path / "out")])

    assert "once a checkpoint covers the order" in capsys.readouterr().err
    assert 2 == main(["audit", "verify", "--database"])


def test_query_as_a_table(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """`--table` shows people what matters most, below headings."""
    assert 0 == main(["audit", "query", "--limit", "2", "--table"])
    heading, newest, _ = capsys.readouterr().out.splitlines()

    assert heading.startswith("POSITION  ACTION NAME")
    assert newest.startswith(f"{service.entries()[-1]['position']} ")


def test_export_to_a_pipe(service: Service, tmp_path: Path) -> None:
    """`--out -` and the path of a pipe give the very file, and nothing else, on standard output."""
    service.services.checkpointer.checkpoint("default")
    assert 0 == main(["audit", "export", "--before", str(COUNT + 1), "--out", str(tmp_path / "file")])
    for out in ("-", "/dev/stdout"):
        command = [sys.executable, "-m", "dms_tags.cli.main", "audit", "export", "--before", str(COUNT + 1), "--out", out]
        exported = subprocess.run(command, capture_output=True, check=True)

        # the export of the file is an entry itself, so that only the manifests differ
        assert (tmp_path / "file").read_bytes().splitlines()[:-1] == exported.stdout.splitlines()[:-1]
        assert exported.stdout.splitlines()[-1].startswith(b'{"manifest":')
        assert b"" == exported.stderr


def test_export_for_excel(service: Service, tmp_path: Path) -> None:
    """`--bom` begins CSV with a byte-order mark, and the table verifies as without."""
    out = tmp_path / "table.csv"
    service.services.checkpointer.checkpoint("default")
    assert 2 == main(["audit", "export", "--out", str(out), "--bom"])
    assert 0 == main(["audit", "export", "--out", str(out), "--format", "csv", "--bom"])

    assert out.read_bytes().startswith(BOM_UTF8 + b'"schema",')
    assert 0 == main(["audit", "verify", str(out), "--key", key_line(service)])


@pytest.mark.usefixtures("service")
def test_an_empty_trail_is_not_called_unsigned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is nothing to sign, nobody is told that the service cannot."""
    assert 0 == main(["audit", "export", "--tenant", "empty", "--out", str(tmp_path / "nothing")])
    said = capsys.readouterr().err

    assert "the trail is empty" in said
    assert "cannot sign" not in said


def test_a_file_that_is_not_there_comes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever mistyped the name reads so, whether or not the key was given."""
    assert 2 == main(["audit", "verify", str(tmp_path / "missing")])
    assert 2 == main(["audit", "verify", str(tmp_path)])
    missing, folder = capsys.readouterr().err.splitlines()

    assert "there is no file" in missing
    assert "is a folder" in folder


def test_audit_without_a_service_or_a_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refused connection names the address and its setting."""
    monkeypatch.setenv("DMS_TAGS_URL", "http://127.0.0.1:9")
    for line in (["query"], ["export", "--out", str(tmp_path / "new")], ["verify"]):
        assert 2 == main(["audit", *line])
        said = capsys.readouterr().err
        assert "http://127.0.0.1:9" in said
        assert "DMS_TAGS_URL" in said
