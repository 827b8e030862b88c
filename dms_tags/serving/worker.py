"""gunicorn's gevent worker, made to hold many idle clients and to let go of slow ones.

A connection costs a greenlet, so a thousand idle event streams stand in nobody's way.  A client has
`settings.request_seconds` in all for each request's head, as long again for its body, and as long for the pause
between two requests; one that does not take its answer is cut off too.  A body is read before the application is called,
and no further than `settings.body_limit`: the application answers what is longer, in each API's own shape.
"""

from __future__ import annotations

import io
import json
import re
import socket
import time
from typing import Any, Final

import gevent
import gevent.socket
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

from dms_tags import draining
from dms_tags.settings import Settings

ANSWER_SHARE: Final = 3
"""A client may take so many times `settings.request_seconds` for each piece of its answer."""
GRACE_SECONDS: Final = 3.0
"""How long requests may still take once the service is told to stop; the service as a whole has 10 s."""
LISTEN_SECONDS: Final = 2.0
"""How long a client that sends too much is listened to, so that it gets to read the answer."""
LINGER_SECONDS: Final = 1.0
"""A connection that was used so short a time ago may be used again: it is not closed under its client's hands."""
POLL_SECONDS: Final = 0.1

REFUSALS: Final = {
    ExpectationFailed: (417, "Expectation Failed"),
    LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    LimitRequestLine: (414, "URI Too Long"),
    UnsupportedTransferCoding: (501, "Not Implemented"),
}
"""What else than a bad request gunicorn's parser finds."""


_without_body = re.compile(rb"HTTP/1\.\d (?:1\d\d|204|304) |.*\r\nContent-Length: 0\r\n", re.DOTALL).match


class Worker(GeventWorker):  # type: ignore[misc] # gunicorn is not typed
    """One process of the service; its `app` is a `dms_tags.serving.web.Server`."""

    def init_process(self) -> None:
        """Prepares this process, and serves until it is told to stop."""
        settings: Settings = self.app.settings
        self._body_limit = settings.body_limit
        self._seconds = settings.request_seconds
        self._idle: dict[socket.socket, float] = {}
        """Connections without a request at the moment, and since when, by the monotonic clock."""
        self._leaving = False
        self._busy = 0
        self.cfg: Any = Known(self.cfg)
        super().init_process()

    def run(self) -> None:
        """Serves until told to stop; then takes what has connected already, and finishes what was begun."""
        servers = [self._listen(listener) for listener in self.sockets]
        while self.alive:
            self.notify()
            if not self._leaving and draining.begun():
                self._leave()
            gevent.sleep(POLL_SECONDS)
        self._leave()
        for server, listener in zip(servers, self.sockets, strict=True):
            self._close_listener(server, listener)
        gevent.sleep(0)  # lets begin what was just taken
        deadline = time.monotonic() + GRACE_SECONDS
        while (self._busy or self._idle) and time.monotonic() < deadline:
            self.notify()
            self._close_idle(LINGER_SECONDS)
            gevent.sleep(POLL_SECONDS / 2)
        self._close_idle(0.0)

    def _leave(self) -> None:
        """From now on each answer ends its connection, and streams end, so that clients go where they can stay."""
        self._leaving = True
        self.app.end_streams()

    def _close_listener(self, server: StreamServer, listener: gevent.socket.socket) -> None:
        """Takes the connections that the system has made already, since those that nobody accepts would be reset, and closes.

        Without letting anything else run in between: a client that comes a moment later is refused, and has sent nothing.
        """
        server.stop_accepting()
        while True:
            try:
                descriptor, address = listener._sock._accept()  # noqa: SLF001 - gevent's own waits, and lets others run
            except OSError:
                break
            client = gevent.socket.socket(listener.family, listener.type, listener.proto, fileno=descriptor)
            server.pool.spawn(self.handle, Address(listener), client, address)
        server.close()

    def _close_idle(self, seconds: float) -> None:
        """Ends connections that have been idle for so long; what has arrived on them already is still read, and answered.

        One that was just used may be used again at this very moment: it gets its answer, and is closed with that.
        """
        before = time.monotonic() - seconds
        for client in [client for client, since in self._idle.items() if since <= before]:
            del self._idle[client]
            _shut(client, socket.SHUT_RD)

    def _listen(self, listener: socket.socket) -> StreamServer:
        listener.setblocking(True)

        own = Address(listener)

        def serve(client: socket.socket, address: Any) -> None:
            self.handle(own, client, address)

        server = StreamServer(listener, handle=serve, spawn=Pool(self.worker_connections))
        if self.cfg.workers > 1:
            server.max_accept = 1  # leaves the next connection to a process that is less busy
        server.start()
        return server

    def handle(self, listener: Address, client: socket.socket, address: Any) -> None:
        """Serves one connection from its first request to its last."""
        client.settimeout(self._seconds * ANSWER_SHARE)
        self._idle[client] = time.monotonic()
        try:
            AsyncWorker.handle(self, listener, client, address)
        finally:
            self._idle.pop(client, None)

    def timeout_ctx(self) -> gevent.Timeout:
        """Bounds the wait for a request and the sending of its head, as a whole."""
        return gevent.Timeout(self._seconds, False)

    def handle_request(self, listener_name: Any, req: Request, sock: socket.socket, addr: Any) -> None:
        """Reads the body of one request, then has the application answer it."""
        self._idle.pop(sock, None)
        self._busy += 1
        if self._leaving:
            req.force_close()
        # Where every answer is there already, this client's next request and MongoDB's reply alike, nothing would make a
        # connection wait, and the others would wait for it
        gevent.sleep(0)
        try:
            whole = self._read_body(req, sock)
            try:
                super().handle_request(listener_name, req, sock if req.method == "HEAD" else Outgoing(sock), addr)
            except TimeoutError:
                self.log.warning("cut off %s, which does not take its answer", addr[0])
                raise StopIteration from None
            finally:
                if not whole:
                    _linger(sock)
        finally:
            self._busy -= 1
            self._idle[sock] = time.monotonic()

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


class Known:
    """gunicorn's configuration, which looks a value up by several steps each time, some twenty times in a request."""

    def __init__(self, cfg: Any) -> None:
        self._cfg = cfg

    def __getattr__(self, name: str) -> Any:
        value = self.__dict__[name] = getattr(self._cfg, name)
        return value


class Outgoing:
    """A client's socket while it is answered: the head of an answer waits for the first piece of its body, and goes with it.

    gunicorn sends each by itself, which costs both sides as much again.
    """

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._held = b""
        self._begun = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def sendall(self, data: bytes) -> None:
        """Sends all of it, or keeps it where it is the head of an answer that has a body of a known length."""
        if not self._begun:
            self._begun = True
            if b"\r\nContent-Length: " in data and not _without_body(data):
                self._held = data
                return
        data, self._held = self._held + data, b""
        self._client.sendall(data)


class Address:
    """What gunicorn asks a listening socket for with each request, also once that is closed: its own address."""

    def __init__(self, listener: socket.socket) -> None:
        self._name = listener.getsockname()

    def getsockname(self) -> Any:
        """As a socket tells it."""
        return self._name


def _is_chunked(req: Request) -> bool:
    return any(name == "TRANSFER-ENCODING" for name, _ in req.headers)


def _answer(status: int, title: str, detail: str) -> bytes:
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail}).encode()
    head = f"HTTP/1.1 {status} {title}\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def _linger(sock: socket.socket) -> None:
    # A socket closed with something unread is reset, and the client may lose the answer before it has read it.
    _shut(sock, socket.SHUT_WR)
    with gevent.Timeout(LISTEN_SECONDS, False):
        try:
            while sock.recv(65_536):
                pass
        except OSError:
            return


def _shut(sock: socket.socket, how: int) -> None:
    try:
        # The system's own: gevent's would end whoever waits on it with an error, where an end of what is read is meant
        getattr(sock, "_sock", sock).shutdown(how)
    except OSError:
        return
