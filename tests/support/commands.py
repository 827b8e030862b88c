"""Running client commands against a service that answers from a script, or one behind a real port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from dms_tags.cli import main, remote
from dms_tags.client import DmsTags, Retries
from tests.support.beside import answering

Handler = Callable[[httpx.Request], httpx.Response]


def run(monkeypatch: pytest.MonkeyPatch, service: Handler, *line: str) -> int:
    """The exit status of a command whose client speaks to the service."""

    def connect(tenant: str | None) -> DmsTags:
        retries = Retries(deadline=0.2, first=0.01)
        return DmsTags("http://t.test", tenant=tenant, transport=httpx.MockTransport(service), retries=retries)

    monkeypatch.setattr(remote, "connect", connect)
    return main.main(line)


@contextmanager
def served(service: Handler) -> Iterator[str]:
    """The address at which the service answers, for commands that are processes of their own."""

    class Answer(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = service(httpx.Request(self.command, f"http://t.test{self.path}", content=content))
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            with suppress(ConnectionError):  # commands are killed here, as workers are
                self.end_headers()
                self.wfile.write(answer.content)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    with answering(server) as address:
        yield address
