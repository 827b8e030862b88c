"""A worker that freezes until its lease is over and another holds its object, both under one trace id.

    python -m tests.proofs.frozen <port>

is that worker: it says when it holds the object, and, once it is thawed and told so by a line, whether it knows its loss.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dms_tags.client import DmsTags, Retries, Work, in_state

TRACE: Final = "00000000000000ff"
QUEUED, RUNNING, DONE = 1, 2, 3
LEASE_SECONDS: Final = 2
ROOT: Final = Path(__file__).parents[2]


def successor_keeps_its_lease(port: int) -> None:
    """Freezes a worker, takes its object over, thaws it, and asserts that it neither extends nor ends the new lease."""
    with DmsTags(f"http://127.0.0.1:{port}", retries=Retries(first=0.05)) as client:
        client.add("doc", "work", QUEUED)
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.proofs.frozen", str(port)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert worker.stdin is not None
            assert worker.stdout is not None
            assert "holds\n" == worker.stdout.readline()
            worker.send_signal(signal.SIGSTOP)
            with _next(client) as work:
                worker.send_signal(signal.SIGCONT)
                worker.stdin.write("thawed\n")
                worker.stdin.flush()
                assert "lost True\n" == worker.stdout.readline(), "the worker believes in its lease"
                worker.wait(30)
                assert work.tag.etag == client.get("doc", "work").etag, "the late worker ended its successor's lease"
                work.finish(DONE)
        finally:
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                if pipe is not None:
                    pipe.close()


@contextmanager
def _next(client: DmsTags) -> Iterator[Work]:
    """The object, as soon as the frozen worker's lease is over."""
    give_up = time.monotonic() + 30
    while True:
        with client.claim("work", RUNNING, in_state("work", QUEUED), lease_seconds=60, trace_id=TRACE) as work:
            if work is not None:
                yield work
                return
        assert time.monotonic() < give_up, "the frozen worker's lease does not end"
        time.sleep(0.1)


def main(port: str) -> None:
    """Holds the object until a line comes, waits for an extension to be answered, and says what it knows."""
    with (
        DmsTags(f"http://127.0.0.1:{port}", retries=Retries(first=0.05)) as client,
        client.claim("work", RUNNING, in_state("work", QUEUED), lease_seconds=LEASE_SECONDS, trace_id=TRACE) as work,
    ):
        assert work is not None
        sys.stdout.write("holds\n")
        sys.stdout.flush()
        sys.stdin.readline()
        give_up = time.monotonic() + 2 * work.pause
        while not work.refused and time.monotonic() < give_up:
            time.sleep(0.02)
        sys.stdout.write(f"lost {work.refused}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
