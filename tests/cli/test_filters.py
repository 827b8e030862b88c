"""Which entries are asked for: the same options everywhere, in words that fit a command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from dms_tags.cli import remote
from dms_tags.cli.main import main
from tests.client.test_calls import Recorder, problem

EMPTY: Final[dict[str, Any]] = {"entries": [], "next": None, "head": 0, "first": 1, "complete": True}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    service = Recorder(httpx.Response(200, json=EMPTY))

    @contextmanager
    def http_client() -> Iterator[httpx.Client]:
        with httpx.Client(base_url="http://t.test", transport=httpx.MockTransport(service)) as client:
            yield client

    monkeypatch.setattr(remote, "http_client", http_client)
    return service


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        (["--from", "2026-01-31"], {"from": "2026-01-31T00:00:00.000Z"}),
        (["--after", "2026-01-31T12:00:00+01:00"], {"from": "2026-01-31T11:00:00.000Z"}),
        (["--to", "2026-01-31T12:00:00Z"], {"to": "2026-01-31T12:00:00.000Z"}),
        (["--before", "2026-01-31"], {"to": "2026-01-31T00:00:00.000Z"}),
        (["--after", "5", "--before", "90"], {"after": "5", "before": "90"}),
        (["--before", "90", "--to", "2026-01-31"], {"before": "90", "to": "2026-01-31T00:00:00.000Z"}),
        (["--object", "doc", "--by", "ann", "--trace-id", "ff"], {"objectId": "doc", "createdBy": "ann", "traceId": "ff"}),
    ],
)
def test_what_is_sent(service: Recorder, line: list[str], sent: dict[str, str]) -> None:
    """Days and times are taken by all four ends of the range; a whole number is a position."""
    assert 0 == main(["audit", "query", *line])
    assert sent | {"order": "desc", "limit": "100"} == dict(service.asked.url.params)


@pytest.mark.parametrize("option", ["--from", "--to", "--after", "--before"])
@pytest.mark.parametrize("text", ["soon", "2026-13-01", "2026-01-31T12:00:00", "2026-01-31T12:00:00 01:00", "-5", "1_0"])
def test_what_is_neither(service: Recorder, capsys: pytest.CaptureFixture[str], option: str, text: str) -> None:
    """What is neither a time nor a position is refused with the forms that are, and without the advice that a URL needs."""
    assert 2 == main(["audit", "query", option, text])
    said = capsys.readouterr().err
    assert "2026-01-31T12:00:00+01:00" in said
    assert "%2B" not in said
    assert not service.requests


def test_one_end_twice(service: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    """Two times for the same end are refused: one of them would be dropped."""
    assert 2 == main(["audit", "query", "--from", "2026-01-31", "--after", "2026-02-01"])
    assert "--after with a time is --from" in capsys.readouterr().err
    assert not service.requests


def test_what_was_archived_is_told(service: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    """Where archived entries may have matched, a line on standard error says where the trail begins."""
    service.answers = [httpx.Response(200, json=EMPTY | {"first": 257, "complete": False})]

    assert 0 == main(["audit", "query"])
    assert "begins at position 257" in capsys.readouterr().err


@pytest.mark.parametrize("line", [["query"], ["export", "--out", "{}"]])
def test_who_asks_without_a_token_is_told_how(
    service: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: list[str]
) -> None:
    """A 401 names the setting for the token."""
    monkeypatch.delenv("DMS_TAGS_TOKEN", raising=False)
    service.answers = [problem(401, "unauthenticated")]

    assert 2 == main(["audit", *(part.format(tmp_path / "new") for part in line)])
    assert "set DMS_TAGS_TOKEN to a token" in capsys.readouterr().err
