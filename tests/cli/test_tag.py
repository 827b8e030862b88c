"""`dms-tags tag …`: what is sent, what is printed, and how it ends."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.client.test_calls import ROW, Recorder, one_row, problem, rows
from tests.client.test_stream import Feed, block, stream
from tests.support import commands

LINE = "ocr\t2\t2020-02-20T02:20:20.220Z\t1234567887654321\te1\n"


def run(monkeypatch: pytest.MonkeyPatch, service: commands.Handler, *arguments: str) -> int:
    """The exit status of `dms-tags tag …`."""
    return commands.run(monkeypatch, service, "tag", *arguments)


def test_get_prints_a_line_for_each_tag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are separated by tabs; `--json` prints documents with the API's names."""
    service = Recorder(one_row(), httpx.Response(200, json=rows(ROW, ["a", 1, ROW[2], "ff"], etags=["e1", "e2"])))

    assert run(monkeypatch, service, "get", "doc", "ocr") == 0
    assert capsys.readouterr().out == LINE
    assert run(monkeypatch, service, "--json", "get", "doc") == 0
    assert [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()] == ["ocr", "a"]


def test_get_reads_the_past(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With a name and a time, only that tag of then is shown; it has no ETag."""
    service = Recorder(httpx.Response(200, json=rows(ROW, ["a", 1, ROW[2], "ff"])))

    assert run(monkeypatch, service, "get", "doc", "ocr", "--at", "2020-02-20T12:00:00Z") == 0
    assert capsys.readouterr().out == LINE.replace("e1", "-")
    assert service.asked.url.params["at"] == "2020-02-20T12:00:00.000Z"


def test_set_adds_or_updates_and_a_condition_only_updates(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three ways to set a tag, told by the options."""
    both = httpx.Response(200, json={"results": [{"status": 200, "tag": ROW, "etag": "e1"}]})
    service = Recorder(both, one_row(), one_row())

    assert run(monkeypatch, service, "set", "doc", "ocr", "2") == 0
    assert run(monkeypatch, service, "set", "doc", "ocr", "2", "--new", "--trace-id", "ab") == 0
    assert run(monkeypatch, service, "set", "doc", "ocr", "2", "--expected-state", "1", "--if-match", "e0") == 0
    assert capsys.readouterr().out == LINE * 3
    assert [request.url.path for request in service.requests] == [
        "/api/dms/objects/tags",
        *["/api/dms/objects/doc/tags/ocr/state/2"] * 2,
    ]
    assert not service.requests[1].url.query
    assert dict(service.requests[2].url.params) == {"overwrite": "true", "expectedState": "1"}


def test_a_condition_on_a_new_tag_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It could never hold."""
    assert run(monkeypatch, Recorder(), "set", "doc", "ocr", "2", "--new", "--if-match", "e0") == 2
    assert "--new" in capsys.readouterr().err


def test_rm_removes_under_the_lock_given(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A removal prints nothing."""
    service = Recorder(httpx.Response(200))

    assert run(monkeypatch, service, "rm", "doc", "ocr", "--trace-id", "ab", "--trace-must-match") == 0
    assert capsys.readouterr().out == ""
    assert service.asked.method == "DELETE"
    assert service.asked.headers["X-B3-TraceId"] == "ab"


def test_a_refusal_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What the service said goes to standard error, and the status is 1."""
    service = Recorder(problem(403, "forbidden"))

    assert run(monkeypatch, service, "get", "doc", "ocr") == 1
    assert capsys.readouterr().err == "dms-tags: what was wrong\n"


def test_a_service_that_is_away_is_told_apart(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing is known the status is 2."""

    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    assert run(monkeypatch, away, "get", "doc", "ocr") == 2
    assert "t.test" in capsys.readouterr().err


def test_watch_prints_events_until_it_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each event; the end of the feed is an error like any other."""
    feed = Feed(stream(block(7), block(8)), problem(410, "gone", first=900))

    assert run(monkeypatch, feed, "--json", "watch", "--name", "ocr", "--object", "doc", "--after", "6") == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["position"], line["objectId"], line["state"], line["creationDate"]) for line in lines] == [
        (7, "doc", 7, "2020-02-20T02:20:20.220Z"),
        (8, "doc", 8, "2020-02-20T02:20:20.220Z"),
    ]
    assert dict(feed.requests[0].url.params) == {"name": "ocr", "objectId": "doc"}


def test_an_object_without_tags_is_told_apart(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says that nothing is there, and the status is 3: for no tags, no such tag, and none at that time."""
    service = Recorder(
        httpx.Response(200, json=rows()), problem(404, "tag-not-found"), httpx.Response(200, json=rows(["a", 1, ROW[2], "ff"]))
    )

    assert run(monkeypatch, service, "get", "nosuch") == 3
    assert run(monkeypatch, service, "get", "doc", "ocr") == 3
    assert run(monkeypatch, service, "get", "doc", "ocr", "--at", "2020-02-20") == 3
    assert capsys.readouterr() == (
        "",
        "dms-tags: nosuch has no tags\ndms-tags: doc has no tag ocr\ndms-tags: doc has no tag ocr at 2020-02-20T00:00:00.000Z\n",
    )


@pytest.mark.parametrize(
    "line",
    [
        ("--json", "tag", "get", "doc"),
        ("tag", "--json", "get", "doc"),
        ("tag", "get", "--json", "doc"),
        ("tag", "get", "doc", "--json"),
    ],
)
def test_json_is_asked_for_anywhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: tuple[str, ...]
) -> None:
    """`--json` holds wherever it stands in the line."""
    assert commands.run(monkeypatch, Recorder(one_row()), *line) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "ocr"


def test_who_asks_without_a_token_is_told_how(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A 401 names the setting, in words for a command line; and the token in it, if there was one."""
    service = Recorder(problem(401, "unauthenticated"), problem(401, "unauthenticated"))
    monkeypatch.delenv("DMS_TAGS_TOKEN", raising=False)
    assert run(monkeypatch, service, "get", "doc", "ocr") == 1
    monkeypatch.setenv("DMS_TAGS_TOKEN", "old")
    assert run(monkeypatch, service, "get", "doc", "ocr") == 1
    without, with_token = capsys.readouterr().err.splitlines()

    assert "set DMS_TAGS_TOKEN to a token" in without
    assert "the token in DMS_TAGS_TOKEN is not" in with_token


def test_a_refused_connection_names_the_address_and_its_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever forgot to start the service, or started it elsewhere, reads where it was looked for."""
    monkeypatch.setenv("DMS_TAGS_URL", "http://127.0.0.1:9")

    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused", request=request)

    assert run(monkeypatch, away, "get", "doc") == 2
    said = capsys.readouterr().err
    assert "http://127.0.0.1:9" in said
    assert "DMS_TAGS_URL" in said


def test_ctrl_c_ends_a_watch_quietly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is said; the status is 130."""

    def interrupted(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    assert run(monkeypatch, interrupted, "watch") == 130
    assert capsys.readouterr() == ("", "")


def test_what_others_wrote_reaches_no_terminal_raw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Controls in an event are escaped, in the line as in JSON; JSON gives the very value back."""
    actor = "ann\x1b[2J\x9b\u202e\n"
    feed = Feed(stream(_by(actor)), problem(410, "gone", first=900), stream(_by(actor)), problem(410, "gone", first=900))

    assert run(monkeypatch, feed, "watch", "--after", "6") == 1
    assert run(monkeypatch, feed, "--json", "watch", "--after", "6") == 1
    line, document = capsys.readouterr().out.splitlines()
    assert line.endswith("ann\\x1b[2J\\x9b\\u202e\\n")
    assert document.isprintable()
    assert json.loads(document)["createdBy"] == actor


def _by(actor: str) -> bytes:
    """The block of an event by this actor."""
    head, data = block(7).decode().split("data: ")
    document = json.loads(data)
    document["data"]["createdBy"] = actor
    return f"{head}data: {json.dumps(document)}\n\n".encode()


def test_search_prints_a_line_for_each_tag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It asks for as many as were wanted, and says on standard error when there are more."""
    object_properties = {"system:objectId": {"value": "doc"}, **rows(ROW, ["a", 1, ROW[2], "ff"])["objects"][0]["properties"]}
    page = {"objects": [{"properties": object_properties}], "numItems": 1, "hasMoreItems": True, "totalNumItems": 7}
    service = Recorder(httpx.Response(200, json=page))

    assert run(monkeypatch, service, "search", "SELECT * FROM object", "--limit", "1", "--skip", "2") == 0
    printed = capsys.readouterr()
    assert [line.split("\t")[:3] for line in printed.out.splitlines()] == [["doc", "ocr", "2"], ["doc", "a", "1"]]
    assert printed.err == "objects 3 to 3 of 7; --skip 3 goes on\n"
    assert json.loads(service.asked.content) == {"query": {"statement": "SELECT * FROM object", "skipCount": 2, "maxItems": 1}}


def test_history(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each entry; what was archived is said on standard error, and an object without any history ends with 3."""
    entry = {
        "referredObjectId": "doc",
        "action": 310,
        "subaction": 2,
        "detail": "OBJECT_TAG_UPDATED: [ocr, 2]",
        "previousState": 1,
        "system:creationDate": ROW[2],
        "system:traceId": "ff",
        "system:createdBy": "ann",
        "revision": 5,
        "position": 9,
    }
    properties = {name: {"value": value} for name, value in entry.items()}
    service = Recorder(
        httpx.Response(200, json={"objects": [{"properties": properties}], "hasMoreItems": False, "complete": False}),
        httpx.Response(200, json={"objects": [], "hasMoreItems": False, "complete": True}),
    )

    assert run(monkeypatch, service, "history", "doc") == 0
    printed = capsys.readouterr()
    assert printed.out == f"{ROW[2]}\tOBJECT_TAG_UPDATED\tocr\t1\t2\tff\tann\t5\t9\t-\n"
    assert "archived" in printed.err
    assert run(monkeypatch, service, "history", "nosuch") == 3
    assert capsys.readouterr().err == "dms-tags: nosuch has no history\n"
