"""Starts a command that cannot outlive whoever started it.

Run as a program of its own (`tether.py <signal> <parent> <command …>`) rather than in a fork's hook, because a fork in
a process with threads may do next to nothing safely.  It becomes the command, so the process id stays the same.
Linux only: elsewhere the command just runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

PR_SET_PDEATHSIG: Final = 1


def end_with_parent(number: int, parent: int) -> None:
    """Has the kernel send this process the signal `number` when `parent` ends, and ends it if that is so already."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        raise SystemExit(1)


def tethered(command: Sequence[str], number: int = signal.SIGTERM) -> list[str]:
    """`command`, to be started by this process, as one that gets the signal `number` when this process ends.

    The parent is, to the kernel, the thread that starts it: let that be the main thread.
    """
    return [sys.executable, "-I", "-S", __file__, str(int(number)), str(os.getpid()), *command]


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]), int(sys.argv[2]))
    os.execvp(sys.argv[3], sys.argv[3:])  # noqa: S606 - the whole purpose; there is no shell in it
