"""`dms-tags chain` and `dms-tags session`, at a real MongoDB."""

from __future__ import annotations

import pytest

from dms_tags.chains.model import Access
from dms_tags.chains.sessions import Sessions, SessionStore
from dms_tags.cli.main import main
from dms_tags.errors import Unauthenticated
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore

ADD = ["chain", "add", "--id", "1", "--name", "FOO Chain, inc.", "--email", "info@foo.com", "--phone", "01 1234 4321"]
CREATE = ["session", "create", "--user", "7", "--chain", "1:read,write,delete"]


@pytest.fixture(autouse=True)
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DMS_TAGS_MONGO_URI", settings.mongo_uri or "")
    monkeypatch.setenv("DMS_TAGS_DATABASE", settings.database)


def sessions(database: Database) -> Sessions:
    return Sessions(SessionStore(database, TagStore(database)), database.clock.now)


def test_chains(capsys: pytest.CaptureFixture[str]) -> None:
    """Chains are added once, changed in part, and listed in order of id."""
    assert 0 == main(["chain", "add", "--id", "10", "--name", "Bar"])
    assert 0 == main(ADD)
    assert 1 == main(ADD)
    assert "already" in capsys.readouterr().err
    assert 0 == main(["chain", "change", "--id", "10", "--phone", "02"])
    assert 1 == main(["chain", "change", "--id", "11", "--phone", "02"])
    capsys.readouterr()
    assert 0 == main(["chain", "list"])
    assert [["ID", "NAME", "EMAIL", "PHONE"], ["1", "FOO Chain, inc.", "info@foo.com", "01 1234 4321"], ["10", "Bar", "02"]] == [
        [cell.strip() for cell in line.split("  ") if cell.strip()] for line in capsys.readouterr().out.splitlines()
    ]


@pytest.mark.parametrize("wrong", [["--id", "0"], ["--id", "x"], ["--name", ""], ["--name", "a\nb"], ["--tenant", "A B"]])
def test_chain_that_cannot_be(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A chain with a wrong id or an unprintable name is refused in one line."""
    assert 1 == main([*ADD, *wrong])
    assert 1 == len(capsys.readouterr().err.splitlines())


def test_session(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """A session's key is the last line on standard output, all else goes to standard error, and it is in force."""
    main(ADD)
    assert 0 == main(CREATE)
    printed = capsys.readouterr()
    session = sessions(database).identify("7", printed.out.strip())

    assert 1 == len(printed.out.splitlines())
    assert printed.out.strip() not in printed.err
    assert {1: frozenset(Access)} == session.chains

    assert 0 == main(["session", "revoke", "--session", session.id])
    with pytest.raises(Unauthenticated):
        sessions(database).identify("7", printed.out.strip())
    capsys.readouterr()
    assert 0 == main(["session", "list"])
    listed = capsys.readouterr().out
    assert all(word in listed for word in (session.id, "revoked", "7"))
    assert printed.out.strip().rpartition("_")[2] not in listed


@pytest.mark.parametrize(
    "wrong",
    [
        ["--chain", "2:read"],
        ["--chain", "1"],
        ["--chain", "1:"],
        ["--chain", "1:admin"],
        ["--user", ""],
        ["--user", "a b"],
        ["--expires", "yesterday"],
    ],
)
def test_session_that_cannot_be(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A session for a chain that is not there, an unknown access, a wrong user or time is refused; no key is printed."""
    main(ADD)
    capsys.readouterr()

    assert 1 == main([*CREATE, *wrong])
    printed = capsys.readouterr()
    assert ("", 1) == (printed.out, len(printed.err.splitlines()))
