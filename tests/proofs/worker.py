"""A process of workers, to be killed: each takes an object, holds it for a while, finishes it, and takes the next.

    python -m tests.proofs.worker <log> <lease seconds> <mean seconds of work> <workers> <port> …

Before and after each call a line goes to the log, so that what was known at the moment of a kill is there to be judged.
"""

from __future__ import annotations

import json
import logging
import random
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, TextIO

from dms_tags.client import DmsTags, DmsTagsError, LockLost, Retries, Work, in_state
from dms_tags.model import new_trace_id

NAME: Final = "work"
QUEUED, RUNNING, DONE = 1, 2, 3
IDLE_SECONDS: Final = 0.2
LONG: Final = 0.02
"""The part of the objects whose work lasts longer than half a lease, so that it needs an extension."""


class Log:
    """Lines of JSON, each wholly in the file as soon as it was told."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = threading.Lock()

    def tell(self, what: str, trace_id: str, object_id: str | None = None, **more: Any) -> None:
        """What has happened, by the machine's monotonic clock, which all its processes share."""
        line = {"what": what, "trace": trace_id, "object": object_id, "at": time.monotonic(), **more}
        with self._lock:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


def main(log_path: str, lease: str, pace: str, workers: str, *ports: str) -> None:
    """Works until it is killed."""
    logging.getLogger("dms_tags.client").setLevel(logging.ERROR)  # a lost lease is no news here; what is said is a fault
    with ExitStack() as stack:
        log = Log(stack.enter_context(Path(log_path).open("a", encoding="utf-8")))
        quick = Retries(first=0.05, most=0.5)
        services = [stack.enter_context(DmsTags(f"http://127.0.0.1:{port}", retries=quick)) for port in ports]
        threads = [threading.Thread(target=_work, args=(services, log, int(lease), float(pace))) for _ in range(int(workers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _work(services: Sequence[DmsTags], log: Log, lease: int, pace: float) -> None:
    while True:
        trace_id = new_trace_id()
        log.tell("asked", trace_id)
        try:
            with random.choice(services).claim(
                NAME, RUNNING, in_state(NAME, QUEUED), lease_seconds=lease, trace_id=trace_id
            ) as work:
                if work is not None:
                    _one(work, log, lease, pace)
        except LockLost:
            log.tell("refused", trace_id)
        except DmsTagsError:
            log.tell("unsure", trace_id)
        else:
            if work is None:
                time.sleep(IDLE_SECONDS)


def _one(work: Work, log: Log, lease: int, pace: float) -> None:
    log.tell("claimed", work.trace_id, work.object_id, attempts=work.attempts)
    time.sleep(lease * 0.6 if random.random() < LONG else random.uniform(0, 2 * pace))
    if not work.lost:
        log.tell("held", work.trace_id, work.object_id)
    work.finish(DONE)  # also where it is lost: to refuse that is up to the service
    log.tell("finished", work.trace_id, work.object_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
