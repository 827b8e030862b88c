"""The event feed as the client sees it: reading Server-Sent Events, and coming back after a loss.  Without I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dms_tags.client.answers import entry_from
from dms_tags.client.attempts import Retries
from dms_tags.client.calls import API
from dms_tags.client.errors import Unreachable
from dms_tags.client.model import Event, EventBatch
from dms_tags.client.wire import Reply, problem_of

LINE_END: Final = re.compile(rb"\r\n|\n|\r")
SILENCE_SECONDS: Final = 45.0
"""The service sends something every 15 s; a connection that is silent for three times as long is dead."""


@dataclass(frozen=True, slots=True)
class Message:
    """One block of an event stream; `id` is the last one seen, also where this block has none."""

    event: str
    data: str
    id: str | None
    retry: float | None


class Parser:
    """Blocks of an event stream, from its bytes in whatever pieces they come (WHATWG HTML, section 9.2.6).

    Other than there a block without data is given out too: it tells the position reached.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False
        self._id: str | None = None
        self._fields: list[tuple[str, str]] = []

    def receive(self, chunk: bytes) -> Iterator[Message]:
        """The blocks that `chunk` completes."""
        self._rest += chunk
        held = b""
        if self._rest.endswith(b"\r"):  # the second half of a line end may be on its way
            self._rest, held = self._rest[:-1], b"\r"
        *lines, self._rest = LINE_END.split(self._rest)
        self._rest += held
        for line in lines:
            text = line.decode("utf-8", "replace")
            if not self._begun:
                text, self._begun = text.removeprefix("\ufeff"), True
            if text:
                name, _, value = text.partition(":")
                self._fields.append((name, value.removeprefix(" ")))
            else:
                yield from self._block()

    def _block(self) -> Iterator[Message]:
        event, data, retry = "message", [], None
        for name, value in self._fields:
            if name == "data":
                data.append(value)
            elif name == "event":
                event = value or "message"
            elif name == "id" and "\0" not in value:
                self._id = value
            elif name == "retry" and value.isdecimal():
                retry = int(value) / 1000
        if any(name for name, _ in self._fields):  # more than comments
            yield Message(event, "\n".join(data), self._id, retry)
        self._fields = []


class Following:
    """One caller's place in the feed: what to ask for next, what has come, how long to wait before asking again.

    `patience` is how many seconds without a connection are borne before the error is raised; None: any number.
    """

    def __init__(
        self,
        *,
        name: str | None,
        state: int | None,
        object_id: str | None,
        after: int | None,
        patience: float | None,
        retries: Retries,
    ) -> None:
        wanted = {"name": name, "state": state, "objectId": object_id}
        self.path = f"{API}/tags/events"
        self.query = {key: str(value) for key, value in wanted.items() if value is not None}
        self._position = after
        self._patience = patience
        self._retries = retries
        self._parser = Parser()
        self._failures = 0
        self._connected_at = retries.clock()
        self._asked: float | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What makes the service go on where this caller is."""
        resume = {} if self._position is None else {"Last-Event-ID": str(self._position)}
        return {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-store", **resume}

    def receive(self, chunk: bytes) -> EventBatch:
        """What `chunk` completes, no event of it twice."""
        self._failures = 0
        self._connected_at = self._retries.clock()
        events = []
        for message in self._parser.receive(chunk):
            self._asked = message.retry or self._asked
            event = _event_from(message)
            if event is not None and (self._position is None or event.position > self._position):
                events.append(event)
            if message.id is not None and message.id.isdecimal():
                self._position = max(self._position or 0, int(message.id))
        return EventBatch(tuple(events), self._position)

    def lost(self, error: Exception | None = None) -> float:
        """The connection ended or could not be made: seconds to wait before the next.  Raises when patience is at an end."""
        self._parser = Parser()
        away = self._retries.clock() - self._connected_at
        if self._patience is not None and away > self._patience:
            raise Unreachable(f"no event stream for {away:.0f} s: {error or 'it ended at once'}")
        delay = self._retries.delay(self._failures, None) if self._failures else (self._asked or 0.0) * self._retries.chance()
        self._failures += 1
        return delay

    def refused(self, reply: Reply) -> float:
        """The service answered something else than a stream.  Raises what will not pass by itself, `Gone` above all."""
        problem = problem_of(reply)
        if not problem.transient:
            raise problem
        return max(self.lost(problem), problem.retry_after or 0.0)


def _event_from(message: Message) -> Event | None:
    """The event of a block; None for one that only tells the position, or why the stream ends."""
    if not message.data:
        return None
    document = json.loads(message.data)
    if "specversion" not in document:
        return None
    return Event(int(message.id or document["data"]["position"]), message.event, entry_from(document["data"]), document)
