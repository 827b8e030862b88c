"""`dms-tags tag batch`: changes from a file."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.client.test_calls import ROW, Recorder
from tests.support import commands


def results(*outcomes: dict[str, object]) -> httpx.Response:
    """The answer to a batch."""
    return httpx.Response(200, json={"results": list(outcomes)})


DONE = {"status": 200, "tag": ROW, "etag": "e1"}
REFUSED = {"status": 412, "problem": {"type": "/problems/trace-mismatch", "status": 412, "detail": "another trace"}}


def test_each_line_is_a_change(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """They are sent as they stand, under a key of their own; what came of each is a line, and one refused makes the status 1."""
    file = tmp_path / "changes"
    file.write_text('{"objectId":"a","name":"ocr","state":2}\n\n{"objectId":"b","name":"ocr","action":"delete","color":"red"}\n')
    service = Recorder(results(DONE, REFUSED), results(DONE, {"status": 200}))

    assert commands.run(monkeypatch, service, "tag", "batch", str(file)) == 1
    assert capsys.readouterr().out == "a\tocr\tdone\t2\te1\t-\nb\tocr\ttrace-mismatch\t-\t-\tanother trace\n"
    first, second = json.loads(service.asked.content)["changes"]
    assert ("set", "delete", "red") == (first["action"], second["action"], second["color"])
    assert first["idempotencyKey"] != second["idempotencyKey"]
    assert commands.run(monkeypatch, service, "tag", "batch", str(file)) == 0
    assert "b\tocr\tremoved" in capsys.readouterr().out


def test_a_long_file_is_sent_in_portions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A request carries 1,000 changes at most; a file has any number."""
    file = tmp_path / "changes"
    file.write_text('{"objectId":"a","name":"ocr","state":2}\n' * 1001)
    service = Recorder(results(*[DONE] * 1000), results(DONE))

    assert commands.run(monkeypatch, service, "tag", "batch", str(file)) == 0
    assert [1000, 1] == [len(json.loads(request.content)["changes"]) for request in service.requests]


@pytest.mark.parametrize("line", ["not JSON", "[1]"])
def test_a_line_that_is_no_change_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str
) -> None:
    """Nothing is sent before the whole file was read."""
    file = tmp_path / "changes"
    file.write_text(f'{{"objectId":"a","name":"ocr","state":2}}\n{line}\n')
    service = Recorder()

    assert commands.run(monkeypatch, service, "tag", "batch", str(file)) == 2
    assert "line 2 is no" in capsys.readouterr().err
    assert not service.requests
