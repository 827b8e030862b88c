"""`dms-tags token`, at a real MongoDB."""

from __future__ import annotations

import getpass

import pytest

from dms_tags.cli.main import main
from dms_tags.identity import tokens
from dms_tags.identity.store import TokenStore
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore

CREATE = ["token", "create", "--name", "ocr-worker", "--allow", "read,write"]


@pytest.fixture(autouse=True)
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DMS_TAGS_MONGO_URI", settings.mongo_uri or "")
    monkeypatch.setenv("DMS_TAGS_DATABASE", settings.database)


def test_create(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """A created token is the last line on standard output, all else goes to standard error, and it is in force."""
    assert 0 == main([*CREATE, "--tags", "ocr:,index:", "--expires", "90d"])
    printed = capsys.readouterr()
    presented = tokens.parse(printed.out.splitlines()[-1])
    store = TokenStore(database, TagStore(database))
    (token,) = store.in_force()

    assert presented is not None
    assert printed.out == presented.text + "\n"
    assert presented.secret not in printed.err
    assert tokens.proves(presented, store.key(), token.digest)
    assert ("ocr:", "index:") == token.identity.read_prefixes == token.identity.write_prefixes


def test_administration_is_recorded(database: Database) -> None:
    """Creating and revoking are recorded with the operating system's account as the actor."""
    main(CREATE)
    main(["token", "revoke", "--name", "ocr-worker"])
    document = database.tags.find_one({"kind": "token"})

    assert document is not None
    assert [(10110, getpass.getuser(), "cli"), (10210, getpass.getuser(), "cli")] == [
        (record["action"], record["by"], record["byKind"]) for record in document["outbox"]
    ]


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """Tokens are listed with what they may do and whether they are in force, and without their secrets."""
    main(CREATE)
    secret = capsys.readouterr().out.strip()
    main(["token", "create", "--name", "auditor", "--tenant", "acme", "--allow", "audit,read", "--read-tags", "ocr:"])
    main(["token", "revoke", "--name", "ocr-worker"])
    capsys.readouterr()
    assert 0 == main(["token", "list"])
    printed = capsys.readouterr().out
    heading, auditor, worker = printed.splitlines()

    assert heading.startswith("TENANT  ")
    assert ["acme", "auditor"] == auditor.split()[:2]
    assert ["active", "audit,read", "read", "ocr:;", "write", "all"] == auditor.split()[3:9]
    assert ["default", "ocr-worker", secret.split("_")[1], "revoked"] == worker.split()[:4]
    assert secret.rpartition("_")[2] not in printed

    main(["token", "list", "--tenant", "acme"])

    assert "ocr-worker" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--name", "system:x", "--allow", "read"], "system:"),
        (["--name", "a:b", "--allow", "read"], "name"),
        (["--name", "a", "--allow", "wirte"], "wirte"),
        (["--name", "a", "--allow", "read", "--tenant", "Ac me"], "tenant"),
        (["--name", "a", "--allow", "read", "--expires", "2001-01-01"], "over already"),
        (["--name", "a", "--allow", "read", "--expires", "soon"], "90d"),
        (["--name", "a", "--allow", "read", "--tags", "o cr"], "prefix"),
    ],
)
def test_refused(arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be is refused with one line on standard error that says what would be right; no token is made."""
    assert 1 == main(["token", "create", *arguments])
    printed = capsys.readouterr()

    assert "" == printed.out
    assert reason in printed.err
    assert 1 == printed.err.count("\n")


def test_names_are_used_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that was used is refused, and so is revoking what is not in force."""
    main(CREATE)
    assert 1 == main(CREATE)
    main(["token", "revoke", "--name", "ocr-worker"])
    assert 1 == main(["token", "revoke", "--name", "ocr-worker"])
    assert 1 == main(CREATE)
    assert "never used twice" in capsys.readouterr().err


def test_no_store(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A command beside a service that keeps everything in memory says that it cannot reach it."""
    monkeypatch.setenv("DMS_TAGS_MONGO_URI", "mongomock://")

    assert 2 == main(["token", "list"])
    assert "mongomock" in capsys.readouterr().err


def test_tenants_are_told_apart_by_case(database: Database) -> None:
    """Tenants are called as a DMS calls them, and compared exactly."""
    assert 0 == main([*CREATE, "--tenant", "Acme.DE_1"])
    assert 0 == main([*CREATE, "--tenant", "acme.de_1"])

    assert ["Acme.DE_1", "acme.de_1"] == sorted(token.tenant for token in TokenStore(database, TagStore(database)).every())


@pytest.mark.parametrize(
    "line",
    [
        [*CREATE, "--tenant"],
        ["token", "list", "--tenant"],
        ["token", "revoke", "--name", "t", "--tenant"],
        ["session", "create", "--user", "7", "--chain", "1:read", "--tenant"],
        ["session", "list", "--tenant"],
        ["session", "revoke", "--session", "0", "--tenant"],
        ["chain", "add", "--id", "1", "--name", "x", "--tenant"],
        ["chain", "list", "--tenant"],
        ["audit", "checkpoint", "--tenant"],
        ["audit", "archive", "--before", "2026-01-01", "--out", "x.ndjson", "--tenant"],
    ],
    ids=lambda line: " ".join(line[:2]),
)
@pytest.mark.parametrize("tenant", ["..", "a/b", "a b", ""])
def test_what_is_no_tenant(line: list[str], tenant: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command that goes to the store refuses what is no tenant's name, in one line."""
    assert 1 == main([*line, tenant])
    assert "a tenant is 1 to 64 of" in capsys.readouterr().err
