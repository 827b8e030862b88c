"""What the client sends and how it reads the answers, over a transport that answers from a script."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from dms_tags.client import (
    AsyncDmsTags,
    BatchAction,
    BatchChange,
    Conflict,
    Definition,
    DmsTags,
    Forbidden,
    Gone,
    LockLost,
    Problem,
    StateMismatch,
    Tag,
    TagExists,
    TagNotFound,
    TraceMismatch,
    UnexpectedAnswer,
)

NOON = datetime(2020, 2, 20, 2, 20, 20, 220000, UTC)
ROW = ["ocr", 2, "2020-02-20T02:20:20.220Z", "1234567887654321"]
TAG = Tag("ocr", 2, NOON, "1234567887654321", "e1")

Handler = Callable[[httpx.Request], httpx.Response]


def rows(*found: list[Any], etags: list[str] | None = None) -> dict[str, Any]:
    """The body of an answer with these rows."""
    properties: dict[str, Any] = {"system:tags": {"value": list(found)}}
    if etags is not None:
        properties["dms:etags"] = {"value": etags}
    return {"objects": [{"properties": properties}]}


def problem(status: int, slug: str, **members: Any) -> httpx.Response:
    """A refusal of the service."""
    document = {"type": f"/problems/{slug}", "title": "title", "status": status, "detail": "what was wrong", **members}
    return httpx.Response(status, json=document, headers={"Content-Type": "application/problem+json"})


class Recorder:
    """Answers with one answer after the other and keeps what was asked."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answers.pop(0)

    @property
    def asked(self) -> httpx.Request:
        """The last request."""
        return self.requests[-1]


def connect(handler: Handler) -> DmsTags:
    """A client whose requests the handler answers."""
    return DmsTags("http://tags.test", "secret", tenant="acme", transport=httpx.MockTransport(handler), sleep=lambda _: None)


def one_row() -> httpx.Response:
    """The answer to a change."""
    return httpx.Response(200, json=rows(ROW), headers={"ETag": 'W/"e1"', "X-B3-TraceId": "1234567887654321"})


def test_a_tag_is_read_with_its_etag() -> None:
    """One tag comes with the time in UTC and the opaque part of its ETag, and the request says who asks."""
    service = Recorder(one_row())
    with connect(service) as client:
        tag = client.get("doc~1", "ocr")

    assert tag == TAG
    assert service.asked.method == "GET"
    assert service.asked.url == "http://tags.test/api/dms/objects/doc~1/tags/ocr"
    assert service.asked.headers["Authorization"] == "Bearer secret"
    assert service.asked.headers["X-ID-TENANT-NAME"] == "acme"


def test_all_tags_of_an_object_come_in_order() -> None:
    """Several rows take their ETags from the member beside them; an object without tags gives none."""
    service = Recorder(
        httpx.Response(200, json=rows(ROW, ["a", -1, "2020-02-20T03:20:20.220+01:00", "ff"], etags=["e1", "e2"])),
        httpx.Response(200, json=rows(etags=[])),
    )
    with connect(service) as client:
        assert client.tags("doc") == (TAG, Tag("a", -1, NOON, "ff", "e2"))
        assert client.tags("doc", at=NOON.astimezone(timezone(timedelta(hours=2)))) == ()

    assert service.asked.url.params["at"] == "2020-02-20T02:20:20.220Z"


def test_a_time_without_a_zone_is_refused_before_it_is_sent() -> None:
    """A naive datetime could mean anything."""
    with connect(Recorder()) as client, pytest.raises(ValueError, match="time zone"):
        client.tags("doc", at=datetime(2020, 1, 1))  # noqa: DTZ001 - the very thing that is refused


@pytest.mark.parametrize("object_id", ["", ".", ".."])
def test_an_id_that_would_be_resolved_away_is_refused_before_it_is_sent(object_id: str) -> None:
    """A path segment of dots would ask for another resource."""
    with connect(Recorder()) as client, pytest.raises(ValueError, match="neither"):
        client.get(object_id, "ocr")


def test_an_add_carries_trace_and_key() -> None:
    """An add names its trace and a key, and has no `overwrite`."""
    service = Recorder(one_row())
    with connect(service) as client:
        assert client.add("doc", "ocr", 2, trace_id="ab") == TAG

    assert service.asked.method == "POST"
    assert service.asked.url.path == "/api/dms/objects/doc/tags/ocr/state/2"
    assert not service.asked.url.query
    assert service.asked.headers["X-B3-TraceId"] == "ab"
    assert len(service.asked.headers["Idempotency-Key"]) == 32


def test_an_update_carries_all_its_conditions() -> None:
    """Trace, revision and state are all sent, and the key is the caller's where there is one."""
    service = Recorder(one_row())
    with connect(service) as client:
        client.update(
            "doc", "ocr", -3, trace_id="ab", trace_must_match=True, if_match="e0", expected_state=1, idempotency_key="mine"
        )

    assert service.asked.url.path.endswith("/state/-3")
    assert dict(service.asked.url.params) == {"overwrite": "true", "traceIdMustMatch": "true", "expectedState": "1"}
    assert service.asked.headers["If-Match"] == '"e0"'
    assert service.asked.headers["Idempotency-Key"] == "mine"


def test_a_removal_answers_nothing() -> None:
    """A removal under a lock has an empty answer."""
    service = Recorder(httpx.Response(200))
    with connect(service) as client:
        client.delete("doc", "ocr", trace_id="ab", trace_must_match=True)

    assert service.asked.method == "DELETE"
    assert dict(service.asked.url.params) == {"traceIdMustMatch": "true"}


def test_each_change_has_a_key_of_its_own() -> None:
    """Two changes that are equal are still two."""
    service = Recorder(one_row(), one_row())
    with connect(service) as client:
        client.add("doc", "ocr", 2)
        client.add("doc", "ocr", 2)

    assert len({request.headers["Idempotency-Key"] for request in service.requests}) == 2


def test_a_set_adds_or_updates() -> None:
    """A set is a batch of one change, whose refusal is raised."""
    service = Recorder(
        httpx.Response(200, json={"results": [{"status": 200, "tag": ROW, "etag": "e1"}]}),
        httpx.Response(200, json={"results": [{"status": 409, "problem": problem(409, "too-many-tags").json()}]}),
    )
    with connect(service) as client:
        assert client.set("doc", "ocr", 2, trace_id="ab", idempotency_key="k") == TAG
        with pytest.raises(Conflict):
            client.set("doc", "ocr", 2)

    assert json.loads(service.requests[0].content) == {
        "changes": [
            {"objectId": "doc", "name": "ocr", "action": "set", "state": 2, "traceId": "ab", "idempotencyKey": "k"},
        ]
    }


def test_a_batch_gives_each_change_its_outcome() -> None:
    """The outcomes stand in the order of the changes: a tag, nothing for a removal, or the error."""
    current = {"state": 5, "creationDate": ROW[2], "etag": "e9"}
    refused = problem(412, "state-mismatch", current=current).json()
    service = Recorder(
        httpx.Response(
            200,
            json={"results": [{"status": 200, "tag": ROW, "etag": "e1"}, {"status": 200}, {"status": 412, "problem": refused}]},
        )
    )
    with connect(service) as client:
        made, removed, failed = client.batch(
            [
                BatchChange("a", "ocr", 2),
                BatchChange("b", "ocr", action=BatchAction.DELETE, if_match="e0"),
                BatchChange("c", "ocr", 2, BatchAction.UPDATE, expected_state=1, trace_id="ab", trace_must_match=True),
            ],
            trace_id="ff",
        )

    assert made.tag == TAG
    assert (removed.tag, removed.error) == (None, None)
    assert isinstance(failed.error, StateMismatch)
    assert failed.error.current is not None
    assert failed.error.current.state == 5
    assert service.asked.headers["X-B3-TraceId"] == "ff"
    sent = json.loads(service.asked.content)["changes"]
    assert [change["action"] for change in sent] == ["set", "delete", "update"]
    assert all(change["idempotencyKey"] for change in sent)


def test_a_search_gives_objects_with_their_tags() -> None:
    """A page of a search has objects, a total and whether there is more."""
    found = {"properties": {"system:objectId": {"value": "doc"}, **rows(ROW, etags=["e1"])["objects"][0]["properties"]}}
    service = Recorder(httpx.Response(200, json={"objects": [found], "numItems": 1, "hasMoreItems": True, "totalNumItems": 7}))
    with connect(service) as client:
        page = client.search("SELECT * FROM document", skip=3, limit=1)

    assert (page.total, page.more) == (7, True)
    assert page.objects[0].object_id == "doc"
    assert page.objects[0].tag("ocr") == TAG
    assert page.objects[0].tag("none") is None
    assert json.loads(service.asked.content) == {
        "query": {"statement": "SELECT * FROM document", "skipCount": 3, "maxItems": 1},
    }


def test_the_history_is_read_as_the_dms_shows_it() -> None:
    """An entry of the history knows its tag's name, which the DMS only tells in `detail`."""
    properties = {
        "system:createdBy": {"value": "ann"},
        "system:creationDate": {"value": ROW[2]},
        "system:traceId": {"value": "ff"},
        "referredObjectId": {"value": "doc"},
        "action": {"value": 310},
        "subaction": {"value": 2},
        "detail": {"value": "OBJECT_TAG_UPDATED: [ocr, 2]"},
        "previousState": {"value": 1},
        "revision": {"value": 2},
        "position": {"value": 9},
    }
    with connect(Recorder(httpx.Response(200, json={"objects": [{"properties": properties}], "hasMoreItems": False}))) as client:
        page = client.history("doc", size=1, page=1)

    assert not page.more
    assert (page.entries[0].name, page.entries[0].state, page.entries[0].previous_state) == ("ocr", 2, 1)


def test_a_definition_goes_out_as_it_came_in() -> None:
    """Writing back a definition that was read sends the same document."""
    document = {"states": {"1": "queued", "2": "done"}, "transitions": {"1": [2]}, "initial": [1], "enforce": True}
    service = Recorder(
        httpx.Response(200, json={"name": "ocr", **document}),
        httpx.Response(204),
        httpx.Response(200, json={"definitions": [{"name": "ocr", "states": {"1": "queued"}}]}),
        httpx.Response(204),
    )
    with connect(service) as client:
        read = client.definition("ocr")
        client.define("ocr", read)
        sent = json.loads(service.asked.content)
        listed = client.definitions()
        client.undefine("ocr")

    assert read == Definition("ocr", {1: "queued", 2: "done"}, {1: (2,)}, (1,), enforce=True)
    assert sent == document
    assert listed == (Definition("ocr", {1: "queued"}),)


@pytest.mark.parametrize(
    ("status", "slug", "kind"),
    [
        (404, "tag-not-found", TagNotFound),
        (409, "tag-exists", TagExists),
        (412, "trace-mismatch", TraceMismatch),
        (412, "a-lock-of-the-future", LockLost),
        (403, "forbidden", Forbidden),
        (410, "gone", Gone),
        (418, "teapot", Problem),
    ],
)
def test_a_refusal_is_raised_as_its_problem_type(status: int, slug: str, kind: type[Problem]) -> None:
    """The exception's class follows the problem type, and where that is unknown the status."""
    with connect(Recorder(problem(status, slug, first=7))) as client, pytest.raises(Problem) as caught:
        client.get("doc", "ocr")

    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.type, caught.value.detail) == (status, slug, "what was wrong")
    assert caught.value.document["first"] == 7


def test_a_lost_lock_shows_the_tag_as_it_stands() -> None:
    """The error of a failed condition carries the current state and ETag, to decide on at once."""
    answer = problem(412, "revision-mismatch", current={"state": 4, "creationDate": ROW[2], "etag": "e7"})
    with connect(Recorder(answer)) as client, pytest.raises(LockLost) as caught:
        client.update("doc", "ocr", 3, if_match="e1")

    assert caught.value.current is not None
    assert (caught.value.current.state, caught.value.current.changed, caught.value.current.etag) == (4, NOON, "e7")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(302, headers={"Location": "http://elsewhere.test"}),
        httpx.Response(200, json={"objects": []}),
        httpx.Response(404, text="<html>"),
    ],
)
def test_an_answer_of_something_else_is_named_as_such(answer: httpx.Response) -> None:
    """A page of another service, a redirect or a body without the tag is an unexpected answer, not a crash."""
    with connect(Recorder(answer)) as client, pytest.raises(UnexpectedAnswer):
        client.get("doc", "ocr")


def test_the_asynchronous_client_makes_the_same_calls() -> None:
    """Both clients have the same methods with the same signatures, and send the same."""
    service = Recorder(one_row())

    async def read() -> Tag:
        async with AsyncDmsTags("http://tags.test", transport=httpx.MockTransport(service)) as client:
            return await client.update("doc", "ocr", 2, expected_state=1)

    assert asyncio.run(read()) == TAG
    assert dict(service.asked.url.params) == {"overwrite": "true", "expectedState": "1"}
    public = {name for name in vars(DmsTags) if not name.startswith("_")}
    assert public == {name for name in vars(AsyncDmsTags) if not name.startswith("_")}


def test_an_address_without_a_scheme_is_refused() -> None:
    """A URL that is none fails when the client is made, not with the first call."""
    with pytest.raises(ValueError, match="http://"):
        DmsTags("localhost:8080")


def test_address_and_token_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """What is not given is taken from the same variables as the commands use."""
    secret = tmp_path / "token"
    secret.write_text("from-file\n")
    monkeypatch.setenv("DMS_TAGS_URL", "http://env.test/prefix")
    monkeypatch.setenv("DMS_TAGS_TOKEN_FILE", str(secret))
    service = Recorder(one_row())
    with DmsTags(transport=httpx.MockTransport(service)) as client:
        client.get("doc", "ocr")

    assert service.asked.url == "http://env.test/prefix/api/dms/objects/doc/tags/ocr"
    assert service.asked.headers["Authorization"] == "Bearer from-file"


def test_importing_the_client_imports_nothing_of_the_service() -> None:
    """A worker needs neither Flask nor the MongoDB driver."""
    code = "import sys, dms_tags.client; print([name for name in ('flask', 'pymongo', 'gevent', 'marshmallow') if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout

    assert printed.strip() == "[]"
