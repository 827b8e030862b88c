"""`dms-tags audit follow`: from the cursor on, at least once, whatever happens in between."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from dms_tags.cli import screen
from dms_tags.cli.audit import follow
from tests.client.test_calls import problem
from tests.client.test_stream import Pieces, block, entry
from tests.support import commands

OPENING = b"retry: 1\nid: 4\n\n"


class Feed:
    """A service whose stream is told piece by piece; what comes after the last answer is a 403, which ends the command."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.answers = iter(answers)
        self.resumed: list[str | None] = []
        self.query: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.resumed.append(request.headers.get("Last-Event-ID"))
        self.query.append(request.url.query.decode())
        return next(self.answers, problem(403, "forbidden"))


def stream(*pieces: bytes | type[httpx.TransportError]) -> httpx.Response:
    return httpx.Response(200, stream=Pieces(*pieces))


def run(monkeypatch: pytest.MonkeyPatch, service: Feed, cursor: Path, *more: str) -> int:
    return commands.run(monkeypatch, service, "audit", "follow", "--cursor", str(cursor), *more)


def test_begins_now_and_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The first run begins where the trail ends; the next one where the first has stopped."""
    cursor = tmp_path / "cursor"
    service = Feed(stream(OPENING, block(5), block(6)))
    assert 1 == run(monkeypatch, service, cursor)
    assert "6\n" == cursor.read_text()
    again = Feed(stream(block(7)))
    assert 1 == run(monkeypatch, again, cursor)

    assert [5, 6, 7] == [json.loads(line)["position"] for line in capsys.readouterr().out.splitlines()]
    assert (None, "6") == (service.resumed[0], again.resumed[0])
    assert "7\n" == cursor.read_text()
    assert ["cursor"] == [path.name for path in tmp_path.iterdir()]


def test_connects_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A stream that breaks off is taken up where it was, and nothing is printed twice."""
    service = Feed(
        stream(OPENING, block(5), httpx.ReadError), problem(503, "store-unavailable", retry_after="0"), stream(block(5), block(6))
    )
    assert 1 == run(monkeypatch, service, tmp_path / "cursor")

    assert [5, 6] == [json.loads(line)["position"] for line in capsys.readouterr().out.splitlines()]
    assert [None, "5", "5", "6"] == service.resumed


def test_a_filtered_cursor_moves_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where nothing is of interest the position is kept all the same."""
    service = Feed(stream(OPENING, b": nothing new for you\nid: 900\n\n"))
    assert 1 == run(monkeypatch, service, tmp_path / "cursor", "--name", "ocr", "--state", "3", "--object", "8f2c")

    assert "900\n" == (tmp_path / "cursor").read_text()
    assert "name=ocr&state=3&objectId=8f2c" == service.query[0]


def test_after_is_for_the_first_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`--after` says where a first run begins; a file that is there says it better."""
    first, second = Feed(stream(block(3))), Feed()
    run(monkeypatch, first, tmp_path / "cursor", "--after", "2")
    run(monkeypatch, second, tmp_path / "cursor", "--after", "2")

    assert ("2", "3") == (first.resumed[0], second.resumed[0])


@pytest.mark.parametrize(
    ("form", "begin"), [("cef", "CEF:0|dms-tags|"), ("syslog", "<110>1 2020-02-20T02:20:20.330Z 127.0.0.1 dms-tags")]
)
def test_formats(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, form: str, begin: str
) -> None:
    """A line for each entry, in the form that was asked for."""
    run(monkeypatch, Feed(stream(block(5), block(6))), tmp_path / "cursor", "--format", form)
    lines = capsys.readouterr().out.splitlines()

    assert [True, True] == [line.startswith(begin) for line in lines]


def test_archived(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What was archived meanwhile ends it with a status of its own, and says what to do; the cursor stays."""
    (tmp_path / "cursor").write_text("7\n")
    gone = problem(410, "gone", first=257)

    assert follow.ARCHIVED == run(monkeypatch, Feed(gone), tmp_path / "cursor")
    assert "dms-tags audit archive" in capsys.readouterr().err
    assert "7\n" == (tmp_path / "cursor").read_text()


@pytest.mark.parametrize("text", ["", "seven", "-1", "1 2", "\N{SUPERSCRIPT TWO}", "9" * 16])
def test_a_cursor_that_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    """A file without a position is refused before anything is asked; it is never taken for the beginning."""
    (tmp_path / "cursor").write_text(text)
    service = Feed()

    assert 2 == run(monkeypatch, service, tmp_path / "cursor")
    assert "has no position in it" in capsys.readouterr().err
    assert [] == service.resumed


def test_output_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The cursor is not moved past what could not be printed."""
    printed: list[str] = []

    def full(text: str, *, flush: bool = False) -> None:
        assert flush
        printed.append(text)
        if len(printed) > 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(screen, "write", full)

    assert 2 == run(monkeypatch, Feed(stream(OPENING, block(5), block(6))), tmp_path / "cursor")
    assert "5\n" == (tmp_path / "cursor").read_text()


def test_a_folder_that_is_not_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A cursor that cannot be kept ends it with one line."""
    assert 2 == run(monkeypatch, Feed(stream(OPENING)), tmp_path / "nowhere" / "cursor")
    assert "cannot be written" in capsys.readouterr().err


def test_unknown_members_are_passed_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What later entries have more is in the output too."""
    more: dict[str, Any] = {**entry(5), "schema": 2, "reason": "as asked"}
    document = {"specversion": "1.0", "id": "5", "source": "s", "type": "t", "data": more}
    run(monkeypatch, Feed(stream(f"id: 5\ndata: {json.dumps(document)}\n\n".encode())), tmp_path / "cursor")

    assert more == json.loads(capsys.readouterr().out)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service is where it is without any."""
    for name in [name for name in os.environ if name.startswith("DMS_TAGS_")]:
        monkeypatch.delenv(name)
