"""Work that a call starts and does not wait for, and a bound on how often."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Final

Job = Callable[[], None]
Background = Callable[[Job], None]


def in_thread(job: Job) -> None:
    """Runs `job` beside the caller; under gevent that is a greenlet.  A process that ends does not wait for it."""
    threading.Thread(target=job, daemon=True, name="dms-tags-identity").start()


class Allowance:
    """How often something may be done: `burst` times at once, one more every `seconds`."""

    def __init__(self, burst: int, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._burst: Final = burst
        self._seconds: Final = seconds
        self._clock = clock
        self._left = float(burst)
        self._at = clock()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Uses one up.  False: there is none left."""
        with self._lock:
            at = self._clock()
            self._left = min(float(self._burst), self._left + (at - self._at) / self._seconds)
            self._at = at
            if self._left < 1:
                return False
            self._left -= 1
            return True
