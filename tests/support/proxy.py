"""A network that breaks: passes bytes between clients and a server, and cuts connections at random."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Breaking:
    """Cuts each connection after up to `most` bytes from the server, `left` times; from then on it holds."""

    def __init__(self, upstream: str, *, cuts: int, most: int, seed: int = 1) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self._chance = random.Random(seed)
        self._most = most
        self.left = cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = {self._listener}
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Ends every connection."""
        for one in list(self._open):
            self._end(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._upstream)
            self._open |= {client, server}
            allowed = None
            if self.left > 0:
                self.left -= 1
                allowed = self._chance.randint(0, self._most)
            threading.Thread(target=self._pass, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, allowed), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, allowed: int | None) -> None:
        try:
            while allowed is None or allowed > 0:
                part = source.recv(65_536 if allowed is None else min(allowed, 65_536))
                if not part:
                    break
                target.sendall(part)
                allowed = None if allowed is None else allowed - len(part)
        except OSError:
            pass
        finally:
            self._end(source)
            self._end(target)

    def _end(self, one: socket.socket) -> None:
        self._open.discard(one)
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


@contextmanager
def breaking(upstream: str, *, cuts: int, most: int) -> Iterator[Breaking]:
    """A breaking network in front of a server."""
    network = Breaking(upstream, cuts=cuts, most=most)
    try:
        yield network
    finally:
        network.close()
