"""Randomness from the operating system, fetched in blocks: a call into the system for each id costs more than the id."""

from __future__ import annotations

import os
import threading
from typing import Final

BLOCK: Final = 4096
"""Bytes that are fetched at once."""


class _Source:
    """Hands out each byte once.  A process forked off begins with a block of its own, or both would give the same."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._block = b""
        self._used = 0

    def take(self, count: int) -> bytes:
        with self._lock:
            if self._used + count > len(self._block):
                self._block, self._used = os.urandom(BLOCK), 0
            self._used += count
            return self._block[self._used - count : self._used]


_source = _Source()


def random_hex(count: int) -> str:
    """`count` random bytes, at most 64, as hexadecimal characters; nobody can foretell them."""
    return _source.take(count).hex()
