from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from dms_tags.audit.trail.relay import Relay
from dms_tags.errors import RevisionMismatch
from dms_tags.model import Actor, Change, Conditions, Kind, Resource, Verb, new_trace_id
from dms_tags.settings import Settings
from dms_tags.tags.store import TagStore
from tests.proofs import oracle
from tests.proofs.relays import prepared

ROUNDS: Final = 40
CALLERS: Final = 32


def test_mongomock_holds_the_lock() -> None:
    """In memory, too, one of 32 callers that race under one ETag wins, in each of 40 rounds."""
    resource = Resource("default", Kind.OBJECT, "raced")
    with prepared(Settings(mongo_uri="mongomock://")) as database, ThreadPoolExecutor(CALLERS) as pool:
        store = TagStore(database)
        made = [new_trace_id()]
        added = store.change(Change(resource, "ocr", Verb.ADD, Actor("caller", "token"), 1, made[0])).tag
        assert added is not None
        etag = added.etag
        start = threading.Barrier(CALLERS)

        def update(state: int) -> tuple[str, str] | None:
            """The ETag and trace id of the change, if it was made."""
            trace_id = new_trace_id()
            lock = Conditions(etags=(etag,))
            start.wait()
            try:
                tag = store.change(
                    Change(resource, "ocr", Verb.UPDATE, Actor("caller", "token"), state, trace_id, conditions=lock)
                ).tag
            except RevisionMismatch:
                return None
            return None if tag is None else (tag.etag, trace_id)

        for number in range(ROUNDS):
            winners = [won for won in pool.map(update, range(CALLERS)) if won is not None]
            assert len(winners) == 1, f"round {number}"
            etag, trace_id = winners[0]
            made.append(trace_id)

        relay = Relay(database)
        while relay.run_once():
            pass
        oracle.check(database, made=made)
