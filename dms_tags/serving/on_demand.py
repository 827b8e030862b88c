"""A process that runs only while it is wanted, under the keeper: who needs none pays for none."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from dms_tags.serving.tether import tethered

FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 30.0
"""A process that ends by itself is started again after `FIRST_WAIT` seconds, twice as long each time, up to `LONGEST_WAIT`."""
STEADY_SECONDS: Final = 60.0
"""A process that ran for so long starts with `FIRST_WAIT` again."""
STOP_SECONDS: Final = 4.0
"""For so long it may finish what it is at, before it is killed."""

log = logging.getLogger(__name__)


class OnDemand:
    """Runs `command`, called `name`, while `wanted` says so: a duty of the keeper, whose thread it ends with."""

    def __init__(self, name: str, command: Sequence[str], wanted: Callable[[], bool]) -> None:
        self._name = name
        self._command = command
        self._wanted = wanted
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = self._start_at = 0.0
        self._wait = FIRST_WAIT

    def look(self) -> None:
        """Starts the process, in a session of its own, where it is wanted and does not run; ends it where it is not.  Raises what `wanted` does."""
        if self._process is not None and self._process.poll() is not None:
            self._note_end(self._process.returncode)
        if not self._wanted():
            self.end()
        elif self._process is None and monotonic() >= self._start_at:
            self._started_at = monotonic()
            self._process = subprocess.Popen(tethered(self._command), stdin=subprocess.DEVNULL, start_new_session=True)

    def end(self) -> None:
        """Ends the process, by force if it takes too long."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _note_end(self, code: int) -> None:
        self._process = None
        self._wait = FIRST_WAIT if monotonic() - self._started_at > STEADY_SECONDS else min(LONGEST_WAIT, self._wait * 2)
        self._start_at = monotonic() + self._wait
        log.warning("%s ended with code %d; starting it again in %.1f s", self._name, code, self._wait)
