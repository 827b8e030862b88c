"""The time that services share: MongoDB's.  Machines whose own clocks differ agree on it (DESIGN.md, "Data")."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

from dms_tags import counters
from dms_tags.errors import StoreUnavailable
from dms_tags.model import now

BELIEVED_SECONDS: Final = 10.0
"""For so long a process believes what it knows of MongoDB's clock."""

TOLERANCE: Final = timedelta(seconds=1)
"""A machine's clock that is off by more is not used for what is recorded."""

QUICK: Final = timedelta(milliseconds=100)
"""An answer that took no longer, there or back, tells the time as it is."""

ATTEMPTS: Final = 2
"""How often MongoDB is asked again for its time where it took longer than that."""

log = logging.getLogger(__name__)


class DatabaseClock:
    """MongoDB's clock, asked for now and then rather than with every call.

    `ask` tells the time by MongoDB's clock, `own` by this machine's.
    """

    def __init__(self, ask: Callable[[], datetime], own: Callable[[], datetime] = now) -> None:
        self._ask = ask
        self._own = own
        self._known: tuple[float, timedelta] | None = None
        self._asking = threading.Lock()
        self._off = False

    @property
    def off(self) -> bool:
        """Whether this machine's clock was more than `TOLERANCE` from MongoDB's when it was last compared."""
        return self._off

    def now(self) -> datetime:
        """The time in UTC, in whole milliseconds, by MongoDB's clock.  Raises `StoreUnavailable` where it was never told."""
        return _whole(self._own() + self._offset())

    def recorded(self) -> datetime:
        """The time that is recorded with a change: this machine's own, which is cheap and steady, unless it is off.

        Raises `StoreUnavailable` where MongoDB's clock was never told.
        """
        offset = self._offset()
        return _whole(self._own() + (offset if abs(offset) > TOLERANCE else timedelta()))

    def _offset(self) -> timedelta:
        known = self._known
        if known is None:
            return self._measure()
        if monotonic() - known[0] > BELIEVED_SECONDS and self._asking.acquire(blocking=False):
            # One asks; the others, and this one where MongoDB does not answer, go on with what is known
            try:
                return self._measure()
            except StoreUnavailable:
                self._known = monotonic(), known[1]
            finally:
                self._asking.release()
        return known[1]

    def _measure(self) -> timedelta:
        offset, slack = self._ask_once()
        for _ in range(ATTEMPTS):
            if slack > QUICK:
                offset, slack = min((offset, slack), self._ask_once(), key=lambda measured: measured[1])
        if slack > QUICK:
            # A slow answer is no wrong clock: only what it cannot explain is believed
            sure = max(abs(offset) - slack, timedelta())
            offset = sure if offset > timedelta() else -sure
        self._known = monotonic(), offset
        counters.note_clock_offset(offset.total_seconds())
        off = abs(offset) > TOLERANCE
        if off != self._off:
            self._off = off
            if off:
                log.error(
                    "this machine's clock is %.1f s %s MongoDB's: changes are recorded with MongoDB's time; set the clock",
                    abs(offset.total_seconds()),
                    "behind" if offset > timedelta() else "ahead of",
                )
            else:
                log.warning("this machine's clock agrees with MongoDB's again")
        return offset

    def _ask_once(self) -> tuple[timedelta, timedelta]:
        """How far the clocks are apart, and by how much that may be wrong."""
        before = self._own()
        told = self._ask()
        after = self._own()
        slack = (after - before) / 2
        return told - (before + slack), slack


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
