"""The listening socket: opened once, by the supervisor, and kept through every restart of the web process."""

from __future__ import annotations

import errno
import socket
from typing import Final

from dms_tags.errors import CannotStart
from dms_tags.settings import Settings

BACKLOG: Final = 2_048


def listen(settings: Settings) -> socket.socket:
    """A socket that listens where `settings.bind` says.  Raises `CannotStart` if it cannot."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(
                f"{settings.bind} is in use: stop what listens there, or choose another port with DMS_TAGS_BIND (0: a free one)"
            ) from error
        hint = "; this machine has no such address" if error.errno == errno.EADDRNOTAVAIL else ""
        raise CannotStart(f"DMS_TAGS_BIND={settings.bind}: {error.strerror}{hint}") from error
    return listener


def address_of(listener: socket.socket) -> str:
    """`host:port` of a listening socket, as it stands in a URL."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
