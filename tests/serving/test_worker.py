"""The HTTP server: many idle clients, slow ones, those that send too much, and a stop that loses no answer."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from dms_tags.serving.mongod import eventually
from dms_tags.serving.web import allow_many_files
from dms_tags.serving.worker import Outgoing

LIMIT = 10_000
SECONDS = 1


class Running:
    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        assert process.stdout is not None
        self.process = process
        self.port = int(process.stdout.readline())
        self._log = log

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, path: str = "/", client: socket.socket | None = None) -> bytes:
        """The answer to a GET, on a connection of its own or on `client`."""
        with ExitStack() as own:
            used = client or own.enter_context(self.connect())
            used.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
            return answer(used)

    def logged(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]


@contextmanager
def small_server(folder: Path, workers: int = 1) -> Iterator[Running]:
    environment = {
        **os.environ,
        "DMS_TAGS_BIND": "127.0.0.1:0",
        "DMS_TAGS_WORKERS": str(workers),
        "DMS_TAGS_BODY_LIMIT": str(LIMIT),
        "DMS_TAGS_REQUEST_SECONDS": str(SECONDS),
        "DMS_TAGS_LOG": "json",
        "DMS_TAGS_ACCESS_LOG": "true",
    }
    log = folder / "log"
    command = [sys.executable, "-m", "tests.support.small_server"]
    with log.open("wb") as stream, subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stream) as process:
        try:
            yield Running(process, log)
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with small_server(tmp_path_factory.mktemp("server")) as running:
        yield running


def answer(client: socket.socket) -> bytes:
    """One answer, to the last byte of its body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
    while len(body) < length:
        body += client.recv(65_536)
    return head + b"\r\n\r\n" + body


def everything(client: socket.socket) -> bytes:
    """What arrives until the server closes the connection."""
    parts = []
    while part := client.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def test_a_head_that_does_not_arrive_in_time_is_cut_off(server: Running) -> None:
    """A client that drips its request line, byte after byte, has the same time in all as any other."""
    with server.connect() as slow:
        closed = threading.Event()

        def drip() -> None:
            for byte in b"GET / HTTP/1.1\r\nX-Dripping: " + b"x" * 10_000:
                if closed.wait(0.1):
                    return
                try:
                    slow.sendall(bytes([byte]))
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert b"" == everything(slow)
        except ConnectionResetError:
            pass
        finally:
            closed.set()
            dripping.join()


def test_a_body_that_does_not_arrive_in_time_is_told_so(server: Running) -> None:
    """A client that stops in the middle of its body gets 408 and is cut off."""
    with server.connect() as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\nabc")

        assert everything(slow).startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed(server: Running) -> None:
    """A connection that was used is kept for the next request, but not for ever."""
    with server.connect() as idle:
        assert server.ask(client=idle).startswith(b"HTTP/1.1 200 ")
        assert server.ask(client=idle).startswith(b"HTTP/1.1 200 ")
        assert b"" == everything(idle)


def test_an_answer_that_is_not_taken_is_cut_off(server: Running) -> None:
    """A client that stops reading in the midst of its answer does not hold it for ever."""
    with server.connect() as deaf:
        deaf.sendall(b"GET /flood HTTP/1.1\r\nHost: here\r\n\r\n")

        assert eventually(lambda: any("does not take its answer" in str(line["message"]) for line in server.logged()), 30)


def test_a_body_within_the_limit_reaches_the_application(server: Running) -> None:
    """A body of exactly the limit is passed on whole, with its length or in chunks."""
    with server.connect() as client:
        client.sendall(
            f"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: {LIMIT}\r\nConnection: close\r\n\r\n".encode() + b"x" * LIMIT
        )
        assert everything(client).endswith(f"\r\n{LIMIT} {LIMIT}".encode())
    with server.connect() as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        )
        assert everything(client).endswith(b"\r\n3 3")


def test_a_body_over_the_limit_is_not_read(server: Running) -> None:
    """What announces too much is answered at once, before it was sent, and the connection is closed."""
    with server.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100000000\r\n\r\n")

        assert b"Connection: close" in answer(client)


def test_chunks_without_end_are_cut_off_at_the_limit(server: Running) -> None:
    """A body of unknown length is read to the limit and one byte more, which tells the application that it is too long."""
    with server.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.sendall(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
        client.sendall(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")

        assert answer(client).endswith(f"\r\n{LIMIT + 1} {LIMIT + 1}".encode())


def test_a_client_that_waits_for_permission_is_given_it(server: Running) -> None:
    """`Expect: 100-continue` gets its 100 before the body, unless the body is too long."""
    with server.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert client.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert everything(client).startswith(b"HTTP/1.1 200 ")
    with server.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100000000\r\nExpect: 100-continue\r\n\r\n")
        assert answer(client).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: here\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: here\r\nX-Long: " + b"x" * 9_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: here\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(100)) + b"\r\n", b"431"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", b"400"),
        (b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", b"400"),
    ],
)
def test_what_is_no_request_is_refused(server: Running, request_head: bytes, status: bytes) -> None:
    """Heads that are too long or malformed get a 4xx from the server, and no application sees them."""
    with server.connect() as client:
        client.sendall(request_head)

        assert everything(client).startswith(b"HTTP/1.1 " + status)


def test_a_thousand_idle_streams_are_in_nobodys_way(tmp_path: Path) -> None:
    """With 1,000 open event streams other callers are answered as before, and a process stays under 100 MB."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    allow_many_files()
    try:
        with small_server(tmp_path, workers=2) as server, ExitStack() as streams:
            for _ in range(1_000):
                stream = streams.enter_context(server.connect())
                stream.sendall(b"GET /stream HTTP/1.1\r\nHost: here\r\n\r\n")
                assert stream.recv(65_536).startswith(b"HTTP/1.1 200 ")

            assert all(server.ask().startswith(b"HTTP/1.1 200 ") for _ in range(20))
            assert all(memory < 100_000 for memory in _memory_of_children(server.process.pid))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_stop_lets_requests_finish(tmp_path: Path) -> None:
    """On SIGTERM a request in progress is answered, an idle connection and a stream are closed, and all ends within seconds."""
    with small_server(tmp_path) as server, server.connect() as busy, server.connect() as idle, server.connect() as stream:
        server.ask(client=idle)
        stream.sendall(b"GET /stream HTTP/1.1\r\nHost: here\r\n\r\n")
        stream.recv(65_536)
        busy.sendall(b"GET /slow HTTP/1.1\r\nHost: here\r\n\r\n")
        assert eventually(lambda: b"HTTP/1.1 200" in server.ask(), 5)
        started = time.monotonic()

        server.process.send_signal(signal.SIGTERM)

        assert everything(busy).startswith(b"HTTP/1.1 200 ")
        assert b"" == everything(idle)
        assert 0 == server.process.wait(20)
        assert time.monotonic() - started < 10


def test_each_request_is_logged_without_its_secrets(tmp_path: Path) -> None:
    """Where it is asked for, a log line says what was asked and what became of it; not the query, not the headers."""
    with small_server(tmp_path) as server:
        with server.connect() as client:
            client.sendall(
                b"GET /there?token=geheim HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer geheim\r\nConnection: close\r\n\r\n"
            )
            everything(client)

        assert eventually(lambda: bool(server.logged()), 10)
        (line,) = server.logged()
        assert {"message": "request", "method": "GET", "path": "/there", "status": 200} == {
            name: line[name] for name in ("message", "method", "path", "status")
        }
        assert "geheim" not in json.dumps(line)


def _memory_of_children(parent: int) -> list[int]:
    """Resident memory of each child process, in kB."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        except OSError:
            continue
        if int(fields["PPid"]) == parent:
            found.append(int(fields["VmRSS"].split()[0]))
    return found


def sent(*pieces: bytes) -> list[bytes]:
    """What goes out, send by send, where the server writes these pieces of an answer."""
    server, client = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with server, client:
        outgoing = Outgoing(server)
        for piece in pieces:
            outgoing.sendall(piece)
        server.shutdown(socket.SHUT_WR)
        return list(iter(lambda: client.recv(65_536), b""))


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"


def test_a_head_goes_with_its_body() -> None:
    """An answer of a known length is one send; what follows the first piece is sent as it comes."""
    assert [HEAD + b"abc"] == sent(HEAD, b"abc")
    assert [HEAD + b"a", b"bc"] == sent(HEAD, b"a", b"bc")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n",
    ],
)
def test_a_head_that_may_stay_alone_waits_for_nothing(head: bytes) -> None:
    """A stream's client learns at once that it is heard; an answer without a body is sent."""
    assert [head] == sent(head)


def test_the_head_of_an_answer_to_head(server: Running) -> None:
    """It tells a length, and no body follows."""
    with server.connect() as client:
        client.sendall(b"HEAD / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")

        assert everything(client).endswith(b"\r\n\r\n")
