"""A caller of the service: one thread's kept connection, which tells apart what was answered from what was not."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

PATIENCE: Final = 30.0
"""How long a caller waits before it gives up, in seconds: twice what the contract promises."""


class Unanswered(Exception):
    """The connection was refused or broke; the change was made or not."""


class Unreachable(Exception):
    """Nobody listened: nothing was sent."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and how long it took in seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def etag(self) -> str:
        """The tag's ETag, as it is to be sent in `If-Match`."""
        return self.headers["etag"]


class Caller:
    """Calls one service over one connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: HTTPConnection | None = None

    def call(self, method: str, path: str, headers: Mapping[str, str] | None = None, *, body: bytes | None = None) -> Answer:
        """Sends a request once.  Raises `Unreachable` or `Unanswered`."""
        began = time.monotonic()
        connection = self._connected()
        try:
            connection.request(method, path, body, headers=dict(headers or {}))
            answer = connection.getresponse()
            content = answer.read()
        except TimeoutError as error:
            raise AssertionError(f"{method} {path} hung for {PATIENCE:.0f} s") from error
        except (OSError, HTTPException) as error:
            self.close()
            raise Unanswered(str(error)) from error
        return Answer(
            answer.status, {name.lower(): value for name, value in answer.getheaders()}, content, time.monotonic() - began
        )

    def _connected(self) -> HTTPConnection:
        if self._connection is None:
            connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
            try:
                connection.connect()
            except OSError as error:
                raise Unreachable(str(error)) from error
            self._connection = connection
        return self._connection

    def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def once(port: int, method: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Calls over a connection of its own.  Raises `Unreachable` or `Unanswered`."""
    with closing(Caller(port)) as caller:
        return caller.call(method, path, headers)
