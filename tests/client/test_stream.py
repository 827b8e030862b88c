"""The event feed from the client's side: parsing, coming back after a loss, each event once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dms_tags.client import AsyncDmsTags, DmsTags, Event, Forbidden, Gone, Retries, Unreachable
from dms_tags.client.stream import Message, Parser
from tests.client.test_calls import problem

Piece = bytes | type[httpx.TransportError]


def entry(position: int) -> dict[str, Any]:
    """A flat entry of the trail."""
    return {
        "schema": 1,
        "tenant": "default",
        "position": position,
        "resource": "object/doc",
        "objectId": "doc",
        "within": None,
        "revision": position,
        "action": 310,
        "actionName": "OBJECT_TAG_UPDATED",
        "name": "ocr",
        "state": position,
        "previousState": 1,
        "traceId": "ff",
        "previousTraceId": "ff",
        "createdBy": "ann",
        "actorKind": "token",
        "creationDate": "2020-02-20T02:20:20.220Z",
        "recordedAt": "2020-02-20T02:20:20.330Z",
    }


def block(position: int) -> bytes:
    """An event as the service sends it."""
    document = {"specversion": "1.0", "id": str(position), "source": "s", "type": "OBJECT_TAG_UPDATED", "data": entry(position)}
    return f"id: {position}\nevent: OBJECT_TAG_UPDATED\ndata: {json.dumps(document)}\n\n".encode()


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A stream that sends its pieces and then ends, or breaks where a piece is an error."""

    def __init__(self, *pieces: Piece) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if not isinstance(piece, bytes):
                raise piece("lost")
            yield piece

    async def __aiter__(self) -> Any:
        for piece in self:
            yield piece


class Feed:
    """A service that answers each request for the feed with the next of the answers; keeps where each one began."""

    def __init__(self, *answers: httpx.Response | type[httpx.TransportError]) -> None:
        self.answers = list(answers)
        self.begun: list[str | None] = []
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []
        self.now = 0.0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.begun.append(request.headers.get("Last-Event-ID"))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, httpx.Response):
            return answer
        raise answer("lost", request=request)

    def sleep(self, seconds: float) -> None:
        """Waits, in the clock's time."""
        self.waits.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        """The same, for a task."""
        self.sleep(seconds)

    @property
    def retries(self) -> Retries:
        """The usual times by this clock, without chance."""
        return Retries(clock=lambda: self.now, chance=lambda: 1.0)

    def take(self, count: int, **arguments: Any) -> list[Event]:
        """The first events that a blocking client sees."""
        with DmsTags("http://t.test", transport=httpx.MockTransport(self), retries=self.retries, sleep=self.sleep) as client:
            return list(islice(client.events(**arguments), count))


def stream(*pieces: Piece) -> httpx.Response:
    """An answer that streams the pieces."""
    return httpx.Response(200, stream=Pieces(*pieces), headers={"Content-Type": "text/event-stream"})


def positions(events: list[Event]) -> list[int]:
    """What is compared."""
    return [event.position for event in events]


def test_events_come_with_position_action_and_entry() -> None:
    """An event is the entry of the trail, and the filters go with the request."""
    feed = Feed(stream(block(7)))
    (event,) = feed.take(1, name="ocr", state=7, object_id="doc", after=6)

    assert (event.position, event.action) == (7, "OBJECT_TAG_UPDATED")
    assert (event.entry.object_id, event.entry.name, event.entry.state, event.entry.previous_state) == ("doc", "ocr", 7, 1)
    assert dict(feed.requests[0].url.params) == {"name": "ocr", "state": "7", "objectId": "doc"}
    assert feed.begun == ["6"]


def test_after_a_loss_the_client_goes_on_where_it_was() -> None:
    """The next connection begins after the last event that came whole."""
    feed = Feed(stream(block(1), block(2)[:30], httpx.ReadError), httpx.ConnectError, stream(block(2)), stream(block(3)))

    assert positions(feed.take(3)) == [1, 2, 3]
    assert feed.begun == [None, "1", "1", "2"]


def test_a_block_without_data_moves_the_position() -> None:
    """A client whose filter lets nothing through stays young all the same."""
    feed = Feed(stream(b": waiting\nid: 41\n\n"), stream(block(42)))

    assert positions(feed.take(1)) == [42]
    assert feed.begun == [None, "41"]


def test_what_was_seen_is_not_given_out_again() -> None:
    """A service that repeats is not believed."""
    feed = Feed(stream(block(1), block(2), block(1), block(2), block(3)))

    assert positions(feed.take(3)) == [1, 2, 3]


def test_a_client_that_was_cut_off_comes_back() -> None:
    """The last words of a stream are no event; the wait they ask for is kept."""
    feed = Feed(stream(block(1), b'retry: 2000\nevent: cut-off\ndata: {"detail":"too slow"}\n\n'), stream(block(2)))

    assert positions(feed.take(2)) == [1, 2]
    assert feed.waits == [2.0]


def test_a_position_that_the_trail_no_longer_holds_is_an_error() -> None:
    """What is missed for ever is said, with the oldest position still there."""
    with pytest.raises(Gone) as caught:
        Feed(problem(410, "gone", first=500)).take(1, after=3)

    assert caught.value.first == 500


def test_a_refusal_ends_the_feed() -> None:
    """A caller without permission is told, not kept waiting."""
    with pytest.raises(Forbidden):
        Feed(problem(403, "forbidden")).take(1)


def test_a_busy_service_is_asked_again_when_it_said() -> None:
    """A 503 is waited out for as long as the service asks."""
    busy = problem(503, "store-unavailable")
    busy.headers["Retry-After"] = "4"
    feed = Feed(busy, stream(block(1)))

    assert positions(feed.take(1)) == [1]
    assert feed.waits == [4.0]


def test_patience_ends_when_no_connection_comes_about() -> None:
    """With a limit the caller learns that the service is away; without one the client goes on trying."""
    feed = Feed(httpx.ConnectError)
    with pytest.raises(Unreachable, match="no event stream for"):
        feed.take(1, patience=60)

    assert 60 <= feed.now < 70


def test_the_asynchronous_client_follows_in_the_same_way() -> None:
    """Both clients share the place in the feed; only the waiting differs."""
    feed = Feed(stream(block(1), httpx.ReadError), problem(503, "store-unavailable"), stream(block(2)), httpx.ConnectError)

    async def run() -> list[Event]:
        transport = httpx.MockTransport(feed)
        async with AsyncDmsTags("http://t.test", transport=transport, retries=feed.retries, sleep=feed.sleep_async) as client:
            seen = []
            async for event in client.events(patience=20):
                seen.append(event)
                if len(seen) == 2:
                    break
            return seen

    assert positions(asyncio.run(run())) == [1, 2]
    assert feed.begun == [None, "1", "1"]


@given(st.data(), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_a_stream_reads_the_same_in_any_pieces(data: st.DataObject, line_end: bytes) -> None:
    """However the network cuts a stream, and whichever line ends it has, the blocks are the same."""
    text = "\ufeff: hello\nid: 1\nevent: made\ndata: ä\ndata:  b\n\n:\n\nid: 2\n\nretry: 500\ndata: c\n\ndata: d\n\n: end\n\n"
    whole = text.encode().replace(b"\n", line_end)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    parser = Parser()
    seen: list[Message] = []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        seen += parser.receive(whole[start:end])

    assert seen == [
        Message("made", "ä\n b", "1", None),
        Message("message", "", "2", None),
        Message("message", "c", "2", 0.5),
        Message("message", "d", "2", None),
    ]
