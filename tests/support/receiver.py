"""A receiver of events: a small real HTTP server that answers as it is told, and remembers what it was sent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

from tests.support.beside import answering

CLOSE = 0
"""The answer that is none: the connection ends after the request was read."""


@dataclass(frozen=True)
class Sent:
    """One delivery as it came, `at` by the monotonic clock; `answer` is the status that it was given."""

    id: str
    timestamp: int
    signatures: tuple[str, ...]
    body: bytes
    path: str
    answer: int
    connection: int
    at: float
    headers: dict[str, str] = field(repr=False, default_factory=dict)

    @property
    def position(self) -> int:
        return int(self.id.rpartition("/")[2])

    @property
    def event(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document

    def is_signed_by(self, secret: str) -> bool:
        """Whether one of the signatures is that of the secret, by the algorithm that Standard Webhooks describes."""
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        signed = b".".join((self.id.encode(), str(self.timestamp).encode(), self.body))
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return any(hmac.compare_digest(f"v1,{expected}", signature) for signature in self.signatures)


class Receiver:
    """What came to a running server, whose `answer` gives the status for the delivery of a position, or `CLOSE`."""

    def __init__(self) -> None:
        self.answer: Callable[[int], int] = lambda _position: 204
        self.sent: list[Sent] = []
        self.url = ""
        self._came = threading.Condition()

    @property
    def taken(self) -> list[int]:
        """The positions that were answered with 2xx, in the order they came."""
        with self._came:
            return [sent.position for sent in self.sent if 200 <= sent.answer < 300]

    def wait(self, until: Callable[[Receiver], bool], seconds: float = 20.0) -> None:
        """Waits until what came is as it should be."""
        with self._came:
            assert self._came.wait_for(lambda: until(self), seconds), [(sent.position, sent.answer) for sent in self.sent][-20:]

    def note(self, sent: Sent) -> None:
        with self._came:
            self.sent.append(sent)
            self._came.notify_all()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver behind a free port of this machine."""
    receiver = Receiver()

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            message_id = self.headers["webhook-id"]
            status = receiver.answer(int(message_id.rpartition("/")[2]))
            receiver.note(
                Sent(
                    message_id,
                    int(self.headers["webhook-timestamp"]),
                    tuple(self.headers["webhook-signature"].split(" ")),
                    body,
                    self.path,
                    status,
                    self.client_address[1],
                    monotonic(),
                    {name.lower(): value for name, value in self.headers.items()},
                )
            )
            if status == CLOSE:
                self.close_connection = True
                return
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"{receiver.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A sender that was killed in the middle is what some tests are about."""

    server = Server(("127.0.0.1", 0), Answer)
    with answering(server) as receiver.url:
        yield receiver
