"""`dms-tags definition`: what the states of a tag name are called."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.client.test_calls import Recorder, problem
from tests.support import commands

OCR = {
    "name": "ocr",
    "states": {"1": "queued", "2": "running"},
    "transitions": {"1": [2]},
    "initial": [1],
    "enforce": True,
    "reasonRequired": [2],
}


def test_list(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each definition."""
    service = Recorder(httpx.Response(200, json={"definitions": [OCR]}))

    assert commands.run(monkeypatch, service, "definition", "list") == 0
    assert capsys.readouterr().out == "ocr\t1=queued 2=running\ttrue\n"


def test_get(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each state says where it may lead and whether a tag may begin with it; one that is not there ends with 3."""
    service = Recorder(httpx.Response(200, json=OCR), problem(404, "not-found"))

    assert commands.run(monkeypatch, service, "definition", "get", "ocr") == 0
    assert capsys.readouterr().out == "1\tqueued\t2\ttrue\n2\trunning\tnone\tfalse\n"
    assert commands.run(monkeypatch, service, "definition", "get", "nosuch") == 3


def test_what_get_prints_set_takes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """No member is lost on the way, also one that the client's own classes do not know."""
    service = Recorder(httpx.Response(200, json=OCR), httpx.Response(204))
    assert commands.run(monkeypatch, service, "definition", "get", "ocr", "--json") == 0
    file = tmp_path / "ocr.json"
    file.write_text(capsys.readouterr().out)

    assert commands.run(monkeypatch, service, "definition", "set", "ocr", str(file)) == 0
    assert ("PUT", "/api/dms/tag-definitions/ocr") == (service.asked.method, service.asked.url.path)
    assert {name: value for name, value in OCR.items() if name != "name"} == json.loads(service.asked.content)


def test_a_file_that_is_no_definition(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is named, and nothing is sent."""
    file = tmp_path / "ocr.json"
    file.write_text("states: 1")
    service = Recorder()

    assert commands.run(monkeypatch, service, "definition", "set", "ocr", str(file)) == 2
    assert str(file) in capsys.readouterr().err
    assert not service.requests


def test_rm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The definition goes."""
    service = Recorder(httpx.Response(204))

    assert commands.run(monkeypatch, service, "definition", "rm", "ocr") == 0
    assert ("DELETE", "/api/dms/tag-definitions/ocr") == (service.asked.method, service.asked.url.path)
