"""What clients of a service at the command line say while they wait for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dms_tags.cli import remote
from dms_tags.cli.main import main

CALLS = (["tag", "get", "8f2c"], ["audit", "query"], ["audit", "follow", "--cursor", "unused"])
each_call = pytest.mark.parametrize("line", CALLS, ids=lambda line: " ".join(line[:2]))


@each_call
@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("DMS_TAGS_URL", "127.0.0.1:8080", "it begins with http:// or https://"),
        ("DMS_TAGS_TOKEN", "a secret\nof two lines", "no token has those"),
        ("DMS_TAGS_TOKEN", "s\N{LATIN SMALL LETTER E WITH ACUTE}cret", "no token has those"),
        ("DMS_TAGS_TOKEN_FILE", "/no/such/file", "DMS_TAGS_TOKEN_FILE=/no/such/file cannot be read"),
    ],
)
def test_what_a_client_cannot_use_is_named(
    line: list[str], variable: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address or a token that is none ends a command at once, with 2 and one line that does not show the token."""
    monkeypatch.setenv(variable, value)

    assert 2 == main(line)
    said = capsys.readouterr().err
    assert 1 == said.count("\n")
    assert says in said
    assert "cret" not in said
    assert not Path("unused").exists()


@pytest.mark.parametrize("line", [["tag", "set", "8f2c", "ocr", "2"], ["tag", "rm", "8f2c", "ocr"]], ids=lambda line: line[1])
def test_a_trace_that_must_match_is_given(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The missing option is named as it is typed, before anybody is asked."""
    assert 2 == main([*line, "--trace-must-match"])
    assert "--trace-must-match needs --trace-id" in capsys.readouterr().err


def test_whoever_waits_is_told_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A command that tries again says so after a second, once for as long as the service is away."""
    monkeypatch.setenv("DMS_TAGS_URL", "http://tags.example")
    now = 0.0

    def pass_by(seconds: float) -> None:
        nonlocal now
        now += seconds

    wait = remote.patiently(pass_by, lambda: now)
    wait(0.5)
    assert "" == capsys.readouterr().err
    for _ in range(3):
        wait(1.0)
    assert "dms-tags: no answer from http://tags.example yet; trying again (Ctrl-C ends this)\n" == capsys.readouterr().err
    assert 3.5 == now

    now += 2 * remote.SECONDS  # it was there meanwhile
    wait(0.5)
    assert "" == capsys.readouterr().err
    wait(1.0)
    assert 1 == capsys.readouterr().err.count("\n")
