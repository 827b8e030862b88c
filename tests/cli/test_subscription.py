"""`dms-tags subscription`: where changes are sent."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.client.test_calls import Recorder, problem
from tests.support import commands

PATH = "/api/dms/subscriptions/siem"
SIEM: dict[str, Any] = {
    "name": "siem",
    "url": "https://h.example/",
    "names": ["ocr"],
    "proofs": False,
    "after": 7,
    "paused": False,
    "etag": "e1",
    "state": {"lag": 2, "failures": 3, "error": "the receiver answered 500", "pausedReason": None},
}


def test_set(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What was given is asked for, and nothing else; the secret is the last line on standard output."""
    service = Recorder(httpx.Response(200, json={**SIEM, "secret": "whsec_x"}))
    line = ("--name", "ocr", "--state", "3", "--state", "4", "--action", "310", "--proofs", "--after", "0")

    assert 0 == commands.run(monkeypatch, service, "subscription", "set", "siem", "https://h.example/", *line)
    assert "whsec_x\n" == capsys.readouterr().out
    assert ("PUT", PATH) == (service.asked.method, service.asked.url.path)
    assert {
        "url": "https://h.example/",
        "names": ["ocr"],
        "states": [3, 4],
        "actions": [310],
        "proofs": True,
        "after": 0,
    } == json.loads(service.asked.content)


def test_list(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each: how far it is, whether it runs, the last error."""
    paused = {**SIEM, "name": "z", "paused": True, "state": {**SIEM["state"], "pausedReason": "410"}}
    service = Recorder(httpx.Response(200, json={"subscriptions": [SIEM, paused]}))

    assert 0 == commands.run(monkeypatch, service, "subscription", "list")
    assert (
        "siem\thttps://h.example/\t7\t2\tfailing\tthe receiver answered 500\nz\thttps://h.example/\t7\t2\tpaused\t410\n"
        == capsys.readouterr().out
    )


def test_show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each member, or the document; one that is not there ends with 3."""
    service = Recorder(httpx.Response(200, json=SIEM), httpx.Response(200, json=SIEM), problem(404, "not-found"))

    assert 0 == commands.run(monkeypatch, service, "subscription", "show", "siem")
    assert "error\tthe receiver answered 500" in capsys.readouterr().out.splitlines()
    assert 0 == commands.run(monkeypatch, service, "subscription", "show", "siem", "--json")
    assert SIEM == json.loads(capsys.readouterr().out)
    assert 3 == commands.run(monkeypatch, service, "subscription", "show", "siem")


@pytest.mark.parametrize(
    ("line", "change"),
    [
        (("pause", "siem"), {"paused": True}),
        (("resume", "siem"), {"paused": False}),
        (("resume", "siem", "--after", "3"), {"paused": False, "after": 3}),
    ],
)
def test_pause_and_resume(monkeypatch: pytest.MonkeyPatch, line: tuple[str, ...], change: dict[str, Any]) -> None:
    """The rest stays as it was read, under its ETag; the place is not touched unless it is told."""
    service = Recorder(httpx.Response(200, json=SIEM), httpx.Response(200, json=SIEM))

    assert 0 == commands.run(monkeypatch, service, "subscription", *line)
    assert ("PUT", PATH, '"e1"') == (service.asked.method, service.asked.url.path, service.asked.headers["If-Match"])
    assert {"url": "https://h.example/", "names": ["ocr"], "proofs": False, **change} == json.loads(service.asked.content)


def test_secret_and_delete(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A new secret is printed alone; a removal says nothing."""
    service = Recorder(httpx.Response(200, json={"secret": "whsec_y"}), httpx.Response(200))

    assert 0 == commands.run(monkeypatch, service, "subscription", "secret", "siem")
    assert "whsec_y\n" == capsys.readouterr().out
    assert ("POST", f"{PATH}/secret") == (service.asked.method, service.asked.url.path)
    assert 0 == commands.run(monkeypatch, service, "subscription", "delete", "siem")
    assert ("DELETE", PATH) == (service.asked.method, service.asked.url.path)
    assert "" == capsys.readouterr().out


def test_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What the service refuses ends with 1 and its reason."""
    service = Recorder(problem(400, "invalid-body"))

    assert 1 == commands.run(monkeypatch, service, "subscription", "set", "siem", "http://10.0.0.1/")
    assert capsys.readouterr().err.startswith("dms-tags: ")
