"""`GET /api/dms/tags/events` over HTTP, as far as one process in memory shows it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from dms_tags.app import create_app
from dms_tags.client import BadRequest, DmsTags, Forbidden, Gone
from dms_tags.client.stream import Message, Parser
from dms_tags.settings import Settings
from tests.events.support import Recorded

PATH = "/api/dms/tags/events"


@pytest.fixture
def trail() -> Recorded:
    return Recorded()


@pytest.fixture
def transport(trail: Recorded) -> httpx.WSGITransport:
    """The application on that trail, without a server between."""
    return httpx.WSGITransport(create_app(Settings(mongo_uri="mongomock://"), database=trail.database))


@pytest.fixture
def http(transport: httpx.WSGITransport) -> Iterator[httpx.Client]:
    with httpx.Client(base_url="http://localhost", transport=transport) as client:
        yield client


def first_blocks(http: httpx.Client, count: int, query: str = "", **headers: str) -> list[Message]:
    """The first blocks of a stream."""
    parser, found = Parser(), list[Message]()
    with http.stream("GET", PATH + query, headers=headers) as answer:
        assert answer.status_code == 200
        for chunk in answer.iter_raw():
            found += parser.receive(chunk)
            if len(found) >= count:
                return found[:count]
    return found


def test_a_stream_is_never_kept_by_what_lies_between(http: httpx.Client) -> None:
    """The answer is an event stream that no cache may keep and no proxy should hold back."""
    with http.stream("GET", PATH) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Accel-Buffering"] == "no"


def test_the_last_event_id_wins_over_the_parameter(trail: Recorded, http: httpx.Client) -> None:
    """A browser repeats the address that it was given and adds where it is."""
    trail.record(5)

    assert [block.id for block in first_blocks(http, 3, "?after=1", **{"Last-Event-ID": "3"})] == ["3", "4", "5"]
    assert [block.id for block in first_blocks(http, 2, "?after=3", **{"Last-Event-ID": ""})] == ["3", "4"]


@pytest.mark.parametrize(
    "query", ["?after=-1", "?after=x", "?name=A", "?state=1.5", "?objectId=a%2Fb", "?names=ocr", "?name=a&name=b"]
)
def test_a_malformed_request_is_refused(trail: Recorded, http: httpx.Client, query: str) -> None:
    """What cannot be meant is a 400, and no stream that waits for ever."""
    trail.record(2)
    answer = http.get(PATH + query)

    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_malformed_last_event_id_is_refused(http: httpx.Client) -> None:
    """An id that is no position of this service is named as such."""
    answer = http.get(PATH, headers={"Last-Event-ID": "7e2"})

    assert answer.status_code == 400
    assert "Last-Event-ID" in answer.json()["detail"]


def test_what_was_archived_is_a_410(trail: Recorded, http: httpx.Client) -> None:
    """The problem's member `first` is the oldest position."""
    trail.record(9)
    trail.archive(4)
    answer = http.get(PATH + "?after=3")

    assert (answer.status_code, answer.json()["type"], answer.json()["first"]) == (410, "/problems/gone", 5)


def test_the_client_reads_the_stream_of_the_service(trail: Recorded, transport: httpx.WSGITransport) -> None:
    """Client and service agree: events, filters, and the errors as exceptions."""
    trail.record(2, name="check")
    trail.record(2, name="ocr", state=4)
    with DmsTags("http://localhost", transport=transport) as client:
        event = next(iter(client.events(name="ocr", after=0)))

        assert (event.position, event.action, event.entry.name, event.entry.state) == (3, "OBJECT_TAG_UPDATED", "ocr", 4)
        with pytest.raises(BadRequest):
            next(iter(client.events(name="OCR")))
        trail.archive(2)
        with pytest.raises(Gone):
            next(iter(client.events(after=1)))


def test_a_caller_from_elsewhere_is_refused(transport: httpx.WSGITransport) -> None:
    """The feed stands behind the same guard as every call."""
    with DmsTags("http://elsewhere.test", transport=transport) as client, pytest.raises(Forbidden):
        next(iter(client.events()))
