"""`dms-tags tag …`: what is sent, what is printed, and how it ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import httpx
import pytest

from dms_tags.cli import main, remote
from dms_tags.client import DmsTags, Retries
from tests.client.test_calls import ROW, Recorder, one_row, problem, rows
from tests.client.test_claim import Queue
from tests.client.test_stream import Feed, block, stream

LINE = "ocr\t2\t2020-02-20T02:20:20.220Z\t1234567887654321\te1\n"


def run(monkeypatch: pytest.MonkeyPatch, service: httpx.MockTransport, *arguments: str) -> int:
    """The exit status of a command whose client speaks to the service."""

    def connect(tenant: str | None) -> DmsTags:
        return DmsTags("http://t.test", tenant=tenant, transport=service, retries=Retries(deadline=0.2, first=0.01))

    monkeypatch.setattr(remote, "connect", connect)
    return main.main(["tag", *arguments])


def test_get_prints_a_line_for_each_tag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are separated by tabs; `--json` prints documents with the API's names."""
    service = Recorder(one_row(), httpx.Response(200, json=rows(ROW, ["a", 1, ROW[2], "ff"], etags=["e1", "e2"])))
    transport = httpx.MockTransport(service)

    assert run(monkeypatch, transport, "get", "doc", "ocr") == 0
    assert capsys.readouterr().out == LINE
    assert run(monkeypatch, transport, "--json", "get", "doc") == 0
    assert [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()] == ["ocr", "a"]


def test_get_reads_the_past(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With a name and a time, only that tag of then is shown; it has no ETag."""
    service = Recorder(httpx.Response(200, json=rows(ROW, ["a", 1, ROW[2], "ff"])))

    assert run(monkeypatch, httpx.MockTransport(service), "get", "doc", "ocr", "--at", "2020-02-20T12:00:00Z") == 0
    assert capsys.readouterr().out == LINE.replace("e1", "-")
    assert service.asked.url.params["at"] == "2020-02-20T12:00:00.000Z"


def test_set_adds_or_updates_and_a_condition_only_updates(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three ways to set a tag, told by the options."""
    both = httpx.Response(200, json={"results": [{"status": 200, "tag": ROW, "etag": "e1"}]})
    service = Recorder(both, one_row(), one_row())
    transport = httpx.MockTransport(service)

    assert run(monkeypatch, transport, "set", "doc", "ocr", "2") == 0
    assert run(monkeypatch, transport, "set", "doc", "ocr", "2", "--new", "--trace-id", "ab") == 0
    assert run(monkeypatch, transport, "set", "doc", "ocr", "2", "--expected-state", "1", "--if-match", "e0") == 0
    assert capsys.readouterr().out == LINE * 3
    assert [request.url.path for request in service.requests] == [
        "/api/dms/objects/tags",
        *["/api/dms/objects/doc/tags/ocr/state/2"] * 2,
    ]
    assert not service.requests[1].url.query
    assert dict(service.requests[2].url.params) == {"overwrite": "true", "expectedState": "1"}


def test_a_condition_on_a_new_tag_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It could never hold."""
    assert run(monkeypatch, httpx.MockTransport(Recorder()), "set", "doc", "ocr", "2", "--new", "--if-match", "e0") == 2
    assert "--new" in capsys.readouterr().err


def test_rm_removes_under_the_lock_given(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A removal prints nothing."""
    service = Recorder(httpx.Response(200))

    assert run(monkeypatch, httpx.MockTransport(service), "rm", "doc", "ocr", "--trace-id", "ab", "--trace-must-match") == 0
    assert capsys.readouterr().out == ""
    assert service.asked.method == "DELETE"
    assert service.asked.headers["X-B3-TraceId"] == "ab"


def test_a_refusal_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What the service said goes to standard error, and the status is 1."""
    service = Recorder(problem(403, "forbidden"))

    assert run(monkeypatch, httpx.MockTransport(service), "get", "doc", "ocr") == 1
    assert capsys.readouterr().err == "dms-tags: what was wrong\n"


def test_a_service_that_is_away_is_told_apart(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing is known the status is 2."""

    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    assert run(monkeypatch, httpx.MockTransport(away), "get", "doc", "ocr") == 2
    assert "t.test" in capsys.readouterr().err


def test_claim_prints_what_it_took(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The object, its attempts and the tag; 3 where there was nothing."""
    service = Queue("doc")
    transport = httpx.MockTransport(service)

    assert run(monkeypatch, transport, "claim", "ocr", "2", "--from", "1", "--lease", "9") == 0
    assert capsys.readouterr().out.split("\t")[:4] == ["doc", "3", "ocr", "2"]
    assert dict(service.requests[0].url.params) == {"limit": "1", "leaseSeconds": "9"}
    assert "system:tags[ocr].state = 1" in json.loads(service.requests[0].content)["query"]["statement"]
    assert run(monkeypatch, transport, "claim", "ocr", "2", "--from", "1") == 3


@pytest.mark.parametrize(("status", "end"), [(0, "finish"), (7, "release")])
def test_claim_holds_the_object_while_a_command_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, end: str
) -> None:
    """A command that ends with 0 finishes the work, any other gives it back; its status is passed on."""
    service = Queue("doc")
    seen = tmp_path / "seen"
    code = f"import sys; open(r'{seen}', 'w').write(sys.argv[1]); sys.exit({status})"
    arguments = (
        "claim",
        "ocr",
        "2",
        "--query",
        "SELECT * FROM x",
        "--on-success",
        "3",
        "--run",
        sys.executable,
        "-c",
        code,
        "{}",
    )

    assert run(monkeypatch, httpx.MockTransport(service), *arguments) == status
    assert seen.read_text() == "doc"
    assert service.calls == ["claim", end]


def test_a_command_is_not_run_where_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty queue is told by the status."""
    arguments = ("claim", "ocr", "2", "--from", "1", "--run", "no-such-command")

    assert run(monkeypatch, httpx.MockTransport(Queue()), *arguments) == 3


def test_watch_prints_events_until_it_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each event; the end of the feed is an error like any other."""
    feed = Feed(stream(block(7), block(8)), problem(410, "gone", first=900))

    assert run(monkeypatch, httpx.MockTransport(feed), "--json", "watch", "--name", "ocr", "--object", "doc", "--after", "6") == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["position"], line["objectId"], line["state"], line["creationDate"]) for line in lines] == [
        (7, "doc", 7, "2020-02-20T02:20:20.220Z"),
        (8, "doc", 8, "2020-02-20T02:20:20.220Z"),
    ]
    assert dict(feed.requests[0].url.params) == {"name": "ocr", "objectId": "doc"}
