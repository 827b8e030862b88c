from __future__ import annotations

from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.proofs.relays import relays_beside_writers


def test_relays_that_die_and_lose_replies(settings: Settings, database: Database) -> None:  # noqa: ARG001 - prepares the store
    """Four relays that die at any step, on a MongoDB that loses replies, make no gap, no duplicate and no disorder."""
    lags = relays_beside_writers(settings, seconds=4)

    assert lags
