"""One delivery over HTTP: a POST on a connection that is kept, to an address that was looked at before it was connected to.

A name is looked up once for a connection, each of its addresses is checked, and one of those is connected to, so that no second
answer of the name server leads elsewhere.  TLS and the header Host go by the name.  Proxies of the environment are not used.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore

from dms_tags.subscriptions.networks import Networks, NotAllowed
from dms_tags.version import __version__

SECONDS: Final = 10.0
"""From the beginning of a delivery to the end of its answer."""

MAX_ANSWER: Final = 64 * 1024
"""Bytes of an answer that are read, and thrown away, so that the connection can be kept; after more it is closed."""

KEPT_SECONDS: Final = 60.0
"""How long a connection is kept that nothing is sent on."""

HEADERS: Final = [("Content-Type", "application/cloudevents+json; charset=utf-8"), ("User-Agent", f"dms-tags/{__version__}")]

Options = Iterable[Any]


class Undelivered(Exception):
    """No answer came; the text says why."""


class Outlet:
    """The way to one receiver: at most one connection, which is kept."""

    def __init__(self, url: str, networks: Networks, tls: ssl.SSLContext, *, seconds: float = SECONDS) -> None:
        self._url = url
        self._seconds = seconds
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=1,
            keepalive_expiry=KEPT_SECONDS,
            network_backend=_Checked(networks, tls=urlsplit(url).scheme == "https"),
        )

    async def post(self, body: bytes, headers: Sequence[tuple[str, str]]) -> int:
        """Sends `body`; the status of the answer.  Raises `Undelivered`."""
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._pool.stream("POST", self._url, headers=[*HEADERS, *headers], content=body) as answer,
            ):
                read = 0
                async for chunk in answer.aiter_stream():
                    read += len(chunk)
                    if read > MAX_ANSWER:
                        break
                return int(answer.status)
        except TimeoutError as error:
            raise Undelivered(f"no answer within {self._seconds:g} s") from error
        except NotAllowed as error:
            raise Undelivered(str(error)) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            raise Undelivered(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        """Ends the connection."""
        await self._pool.aclose()


class _Checked(httpcore.AsyncNetworkBackend):
    """Connects to addresses that events may be sent to."""

    def __init__(self, networks: Networks, *, tls: bool) -> None:
        self._networks = networks
        self._tls = tls
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Options | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await _addresses(host, port)
        for address in addresses:
            try:
                self._networks.require(address, tls=self._tls)
            except NotAllowed as error:
                # Whoever subscribes reads it: what a name of the operator's own network leads to is not told
                raise NotAllowed(str(error).replace(address, host)) from error
        failed: Exception = httpcore.ConnectError(f"{host} has no address")
        for number, address in enumerate(addresses):
            # Of several addresses one that does not answer must not take the time of the others
            part = SECONDS / 2 if number < len(addresses) - 1 else timeout
            try:
                return await self._inner.connect_tcp(address, port, part, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


async def _addresses(host: str, port: int) -> list[str]:
    """The addresses of a name, each once.  Raises `Undelivered`."""
    try:
        told = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Undelivered(f"{host} cannot be looked up: {error}") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in told))
