"""`GET /api/dms/tags/events` over HTTP, as far as one process in memory shows it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from dms_tags.app import create_app
from dms_tags.client import BadRequest, DmsTags, Forbidden, Gone
from dms_tags.client.stream import Message, Parser
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.model import Actor
from dms_tags.settings import Settings
from dms_tags.tags.store import TagStore
from tests.support.events import Recorded

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


@pytest.mark.thorough
def test_a_token_hears_what_it_may_until_it_is_revoked(trail: Recorded) -> None:
    """A stream tells of the tag names that its token covers, and ends within ten seconds of the token's end."""
    store = TokenStore(trail.database, TagStore(trail.database))
    operator = Actor("ann", "cli")
    secret = store.create("default", "worker", Grant(frozenset({Permission.READ}), read_prefixes=("ocr",)), operator)
    app = create_app(Settings(mongo_uri="mongomock://", auth="tokens"), database=trail.database)
    trail.record(name="check")
    trail.record(name="ocr:de")
    headers = {"Authorization": f"Bearer {secret}"}
    with httpx.Client(base_url="http://any.test", transport=httpx.WSGITransport(app), headers=headers) as http:
        assert http.get(PATH + "?name=check").status_code == 403
        with http.stream("GET", PATH + "?after=0") as answer:
            parser, parts = Parser(), answer.iter_raw()
            blocks = (block for part in parts for block in parser.receive(part))
            assert [next(blocks).id for _ in range(2)] == ["0", "2"]
            revoked_at = time.monotonic()
            store.revoke("default", "worker", operator)

            assert [block.event for block in blocks if block.data] == ["revoked"]
            assert time.monotonic() - revoked_at < 10
        assert http.get(PATH).status_code == 401


def test_a_caller_from_elsewhere_is_refused(transport: httpx.WSGITransport) -> None:
    """The feed stands behind the same guard as every call."""
    with DmsTags("http://elsewhere.test", transport=transport) as client, pytest.raises(Forbidden):
        next(iter(client.events()))
