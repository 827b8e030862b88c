"""gunicorn's gevent worker, made to hold many idle clients and to let go of slow ones.

A connection costs a greenlet, so a thousand idle event streams stand in nobody's way.  A client has
`settings.request_seconds` in all for each request's head, as long again for its body, and as long for the pause
between two requests; one that does not take its answer is cut off too.  A body is read before the application is called,
and no further than `settings.body_limit`: the application answers what is longer, in each API's own shape.
"""

from __future__ import annotations

import io
import json
import socket
import time
from typing import Any, Final

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.http.message import Request
from gunicorn.workers.base_async import AsyncWorker
from gunicorn.workers.ggevent import GeventWorker

from dms_tags.settings import Settings

ANSWER_SHARE: Final = 3
"""A client may take so many times `settings.request_seconds` for each piece of its answer."""
GRACE_SECONDS: Final = 3.0
"""How long requests may still take once the service is told to stop; the service as a whole has 10 s."""
LINGER_SECONDS: Final = 2.0
"""How long a client that sends too much is listened to, so that it gets to read the answer."""
POLL_SECONDS: Final = 0.1

REFUSALS: Final = {
    ExpectationFailed: (417, "Expectation Failed"),
    LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    LimitRequestLine: (414, "URI Too Long"),
    UnsupportedTransferCoding: (501, "Not Implemented"),
}
"""What else than a bad request gunicorn's parser finds."""


class Worker(GeventWorker):  # type: ignore[misc] # gunicorn is not typed
    """One process of the service; its `app` is a `dms_tags.serving.web.Server`."""

    def init_process(self) -> None:
        """Prepares this process, and serves until it is told to stop."""
        settings: Settings = self.app.settings
        self._body_limit = settings.body_limit
        self._seconds = settings.request_seconds
        self._idle: set[socket.socket] = set()
        self._busy = 0
        super().init_process()

    def run(self) -> None:
        """Serves until told to stop; then finishes the requests in progress, and closes idle connections at once."""
        servers = [self._listen(listener) for listener in self.sockets]
        while self.alive:
            self.notify()
            gevent.sleep(POLL_SECONDS)
        for server in servers:
            server.close()
        self.app.end_streams()
        for client in self._idle:
            # What has arrived already is still read, and answered; then the connection reads as ended.
            _shut(client, socket.SHUT_RD)
        deadline = time.monotonic() + GRACE_SECONDS
        while self._busy and time.monotonic() < deadline:
            self.notify()
            gevent.sleep(POLL_SECONDS)

    def _listen(self, listener: socket.socket) -> StreamServer:
        listener.setblocking(True)

        def serve(client: socket.socket, address: Any) -> None:
            self.handle(listener, client, address)

        server = StreamServer(listener, handle=serve, spawn=Pool(self.worker_connections))
        if self.cfg.workers > 1:
            server.max_accept = 1  # leaves the next connection to a process that is less busy
        server.start()
        return server

    def handle(self, listener: socket.socket, client: socket.socket, address: Any) -> None:
        """Serves one connection from its first request to its last."""
        client.settimeout(self._seconds * ANSWER_SHARE)
        self._idle.add(client)
        try:
            AsyncWorker.handle(self, listener, client, address)
        finally:
            self._idle.discard(client)

    def timeout_ctx(self) -> gevent.Timeout:
        """Bounds the wait for a request and the sending of its head, as a whole."""
        return gevent.Timeout(self._seconds, False)

    def handle_request(self, listener_name: Any, req: Request, sock: socket.socket, addr: Any) -> None:
        """Reads the body of one request, then has the application answer it."""
        self._idle.discard(sock)
        self._busy += 1
        # Where every answer is there already, this client's next request and MongoDB's reply alike, nothing would make a
        # connection wait, and the others would wait for it
        gevent.sleep(0)
        try:
            whole = self._read_body(req, sock)
            try:
                super().handle_request(listener_name, req, sock, addr)
            except TimeoutError:
                self.log.warning("cut off %s, which does not take its answer", addr[0])
                raise StopIteration from None
            finally:
                if not whole:
                    _linger(sock)
        finally:
            self._busy -= 1
            self._idle.add(sock)

    def _read_body(self, req: Request, sock: socket.socket) -> bool:
        """Replaces the body by its bytes in memory; false if it is longer than it may be, and thus not all there."""
        length = next((int(value) for name, value in req.headers if name == "CONTENT-LENGTH"), None)
        if length == 0 or (length is None and not _is_chunked(req)):
            return True
        if length is not None and length > self._body_limit:
            req.force_close()
            req.body = io.BytesIO()
            req._expected_100_continue = False  # noqa: SLF001 - gunicorn would invite the client to send it
            return False
        if req._expected_100_continue:  # noqa: SLF001 - gunicorn says so only when it calls the application
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            req._expected_100_continue = False  # noqa: SLF001
        try:
            with gevent.Timeout(self._seconds):
                body = req.body.read(self._body_limit + 1)
        except gevent.Timeout:
            sock.sendall(_answer(408, "Request Timeout", f"the body did not arrive within {self._seconds} s"))
            raise StopIteration from None  # gunicorn's word for: close the connection
        if length is not None and len(body) < length:
            raise StopIteration  # the client went away in the middle of it
        if len(body) > self._body_limit:
            req.force_close()
        if length is None:
            # It is in one piece now, and the application judges by its length whether it is too long.
            req.headers = [header for header in req.headers if header[0] != "TRANSFER-ENCODING"]
            req.headers.append(("CONTENT-LENGTH", str(len(body))))
        req.body = io.BytesIO(body)
        return len(body) <= self._body_limit

    def handle_error(self, req: Request | None, client: socket.socket, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answers what is no HTTP request, or not one that this server takes; the connection is closed then."""
        if isinstance(exc, ParseException):
            status, title = REFUSALS.get(type(exc), (400, "Bad Request"))
            self.log.warning("refused from %s: %s", addr[0], exc)
        else:
            status, title = 500, "Internal Server Error"
            self.log.error("a request failed", exc_info=exc)
        try:
            client.sendall(_answer(status, title, str(exc) if status < 500 else title))
        except OSError:
            return
        _linger(client)


def _is_chunked(req: Request) -> bool:
    return any(name == "TRANSFER-ENCODING" for name, _ in req.headers)


def _answer(status: int, title: str, detail: str) -> bytes:
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail}).encode()
    head = f"HTTP/1.1 {status} {title}\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def _linger(sock: socket.socket) -> None:
    # A socket closed with something unread is reset, and the client may lose the answer before it has read it.
    _shut(sock, socket.SHUT_WR)
    with gevent.Timeout(LINGER_SECONDS, False):
        try:
            while sock.recv(65_536):
                pass
        except OSError:
            return


def _shut(sock: socket.socket, how: int) -> None:
    try:
        sock.shutdown(how)
    except OSError:
        return
