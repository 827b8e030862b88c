"""Where calls go: past a proxy to a service on this machine, and through it by name elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from dms_tags.client import DmsTags, Retries, Unreachable
from dms_tags.serving.mongod import free_port

ONCE = Retries(deadline=0.0)


class NoDefinitions(BaseHTTPRequestHandler):
    """A service without definitions."""

    def do_GET(self) -> None:
        """Answers with none."""
        body = b'{"definitions": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Where it listens."""
    with HTTPServer(("127.0.0.1", 0), NoDefinitions) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment with a proxy that nobody runs."""
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://user:secret@127.0.0.1:{free_port()}")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_service_on_this_machine_is_asked_past_the_proxy(port: int, host: str) -> None:
    """A proxy could not reach it, or would reach itself."""
    with DmsTags(f"http://{host}:{port}", retries=ONCE) as client:
        assert () == client.definitions()


def test_a_proxy_that_fails_is_named_without_its_password() -> None:
    """Else one would look for the fault at the service."""
    with DmsTags("http://tags.example", retries=ONCE) as client, pytest.raises(Unreachable) as failure:
        client.definitions()

    assert "tags.example through the proxy http://127.0.0.1:" in str(failure.value)
    assert "secret" not in str(failure.value)
