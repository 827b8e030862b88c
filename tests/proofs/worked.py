"""Judges a queue that was worked empty: the trail of every object, and what its workers were told."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from dms_tags.store.database import Database
from tests.proofs import oracle
from tests.proofs.worker import DONE, QUEUED, RUNNING

REAPER: Final = "system:lease"
CLOCKS: Final = timedelta(milliseconds=500)
"""How far the service's idea of the database's clock may be off on a busy machine."""


@dataclass(slots=True)
class Told:
    """What the workers wrote down: traces by what became of them, objects that were held, from when to when."""

    asked: set[str] = field(default_factory=set)
    claimed: dict[str, str] = field(default_factory=dict)
    finished: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    held: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the objects came through: claims, those that were taken or given back, late writes that were refused."""

    claims: int
    taken_back: int
    given_back: int
    refused: int
    most_attempts: int


def read(logs: Iterable[Path]) -> Told:
    """The logs of all workers; the last line of a killed one may be cut."""
    told = Told()
    began: dict[str, float] = {}
    for path in logs:
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                _take(told, json.loads(line), began)
    return told


def _take(told: Told, line: dict[str, Any], began: dict[str, float]) -> None:
    trace, object_id = line["trace"], line["object"]
    match line["what"]:
        case "asked":
            told.asked.add(trace)
        case "claimed":
            told.claimed[trace] = object_id
            began[trace] = line["at"]
        case "held":
            told.held.setdefault(object_id, []).append((began[trace], line["at"]))
        case "finished":
            told.finished[trace] = object_id
        case "refused":
            told.refused.add(trace)
        case "unsure":
            told.unsure.add(trace)


def judge(database: Database, told: Told, *, objects: int, lease_seconds: int) -> Verdict:
    """Asserts that every object went 1, 2, 3, with as many returns to 1 as leases ended, and as its workers were told."""
    oracle.wait_until_drained(database)
    by_object: dict[str, list[oracle.Document]] = {}
    for entry in oracle.trail_at_rest(database):
        by_object.setdefault(entry["objectId"], []).append(entry)
    assert len(by_object) == objects

    claims: dict[str, str] = {}
    finishes: dict[str, str] = {}
    ends: Counter[str] = Counter()
    most = 0
    for object_id, entries in by_object.items():
        taken = _walk(object_id, entries, timedelta(seconds=lease_seconds), ends)
        assert claims.keys().isdisjoint(taken), object_id
        claims |= dict.fromkeys(taken, object_id)
        finishes[taken[-1]] = object_id
        most = max(most, len(taken))

    assert set(claims) <= told.asked, "claimed by nobody"
    assert told.claimed.items() <= claims.items(), "a claim was answered, and is not in the trail"
    assert told.finished.items() <= finishes.items(), "the end of some work was answered, and is not in the trail"
    assert told.refused.isdisjoint(finishes), "a worker was refused, and what it wrote is in the trail"
    for object_id, held in told.held.items():
        held.sort()
        assert all(before[1] <= after[0] for before, after in pairwise(held)), f"two workers at once held {object_id}"
    return Verdict(len(claims), ends["taken back"], ends["given back"], len(told.refused), most)


def _walk(object_id: str, entries: Sequence[oracle.Document], lease: timedelta, ends: Counter[str]) -> list[str]:
    """The traces of an object's claims, in order: the last one's is that of its end, every other ended with its lease."""
    added, *rest = entries
    assert (added["previousState"], added["state"], added["action"]) == (None, QUEUED, 110), object_id
    assert len(rest) % 2 == 0, f"{object_id} ends with a claim"
    taken = []
    for number in range(0, len(rest), 2):
        claim, end = rest[number : number + 2]
        taken.append(claim["traceId"])
        assert (claim["previousState"], claim["state"]) == (QUEUED, RUNNING), (object_id, claim["revision"])
        assert end["previousTraceId"] == claim["traceId"], (object_id, end["revision"])
        if number == len(rest) - 2:
            assert (end["state"], end["traceId"]) == (DONE, claim["traceId"]), f"{object_id} was not finished by its last holder"
            assert end["createdBy"] == claim["createdBy"]
            continue
        assert end["state"] == QUEUED, (object_id, end["revision"])
        assert end["traceId"] != claim["traceId"], (object_id, end["revision"])
        if end["createdBy"] == REAPER:
            held = end["creationDate"] - claim["creationDate"]
            assert held >= lease - CLOCKS, f"{object_id} was taken back after {held}"
            ends["taken back"] += 1
        else:
            ends["given back"] += 1
    return taken
