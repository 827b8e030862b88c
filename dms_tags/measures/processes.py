"""The processes of one service as Linux tells of them in `/proc`; elsewhere nothing is told.

What processes that have ended took of the processor is their parent's to tell, so the figures of a kind of process only
grow while its parent lives.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

SUPERVISOR: Final = "DMS_TAGS_SERVICE_SUPERVISOR"
"""The environment variable in which the supervisor gives its process id to the others."""

PROC: Final = Path("/proc")


@dataclass(slots=True)
class Group:
    """The processes of one kind: processor time in seconds, memory in bytes, open files; `since` in seconds since 1970."""

    process: str
    count: int = 0
    cpu: float = 0.0
    memory: int = 0
    largest: int = 0
    files: int = 0
    files_limit: int = 0
    since: float = float("inf")


def groups() -> list[Group]:
    """The processes of the service that this one belongs to, by kind; without a supervisor this process alone."""
    root = int(os.environ.get(SUPERVISOR, "0"))
    told: dict[str, Group] = {}
    for pid, process in _family(root) if root else [(os.getpid(), "service")]:
        try:
            _add(told, pid, process)
        except (OSError, ValueError, IndexError):
            continue  # it has just ended, or this is no Linux
    return list(told.values())


def _family(root: int) -> Iterator[tuple[int, str]]:
    yield root, "supervisor"
    for child in _children(root):
        process = _kind(child)
        if process is not None:
            yield child, process
        if process == "web":
            yield from ((worker, "worker") for worker in _children(child))
        if process == "keeper":
            yield from ((helper, "courier") for helper in _children(child))


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for each in (PROC / f"{pid}/task").glob("*/children") for word in each.read_text().split()]
    except OSError:
        return []


def _kind(pid: int) -> str | None:
    try:
        command = (PROC / f"{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return None
    if Path(command[0]).name == "mongod":
        return "mongod"
    return next((word.rpartition(".")[2] for word in command if word.startswith("dms_tags.serving.")), None)


def _add(told: dict[str, Group], pid: int, process: str) -> None:
    # The name of the program, in brackets, may hold blanks: the fields are counted from behind it
    stat = (PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, user_of_ended, system_of_ended, started = (int(stat[at]) / _TICKS for at in (11, 12, 13, 14, 19))
    memory = int(stat[21]) * _PAGE
    files = len(os.listdir(PROC / f"{pid}/fd"))  # noqa: PTH208 - names alone, without a path object for each
    limit = (PROC / f"{pid}/limits").read_text().partition("Max open files")[2].split()[0]
    group = told.setdefault(process, Group(process))
    group.count += 1
    group.cpu += user + system
    group.memory += memory
    group.largest = max(group.largest, memory)
    group.files = max(group.files, files)
    group.files_limit = int(limit) if limit.isdecimal() else 0
    group.since = min(group.since, _booted() + started)
    if process == "web":
        told.setdefault("worker", Group("worker")).cpu += user_of_ended + system_of_ended


@cache
def _booted() -> float:
    """When the machine was started, in seconds since 1970."""
    return float((PROC / "stat").read_text().partition("btime ")[2].split()[0])


_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
