"""What callers know of their own changes: the trace id of each, and what came of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from dms_tags.store.database import Database
from tests.proofs import oracle


@dataclass(slots=True)
class Ledger:
    """The trace ids of all changes that were asked for, each under one of its own, by what their callers were told."""

    made: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, outcome: set[str], trace_id: str) -> None:
        """Adds a trace id to `made`, `refused` or `unsure`."""
        with self._lock:
            outcome.add(trace_id)

    def settle(self, database: Database) -> None:
        """Waits until all is in the trail, and asserts that it agrees with what the callers were told."""
        oracle.wait_until_drained(database)
        oracle.check(database, made=self.made, refused=self.refused, unsure=self.unsure)
