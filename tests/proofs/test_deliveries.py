"""A sample of the proof that crashes leave no event out and change no order; `scripts/prove --only subscriptions` has the whole."""

from __future__ import annotations

from pathlib import Path

from dms_tags.settings import Settings
from tests.proofs.deliveries import deliver_through_crashes
from tests.proofs.relays import prepared
from tests.support.mongo import replica_set


def test_deliveries_through_crashes(tmp_path: Path) -> None:
    """The couriers killed, then mongod: every event comes, in order, and again only where its answer was not noted."""
    with replica_set(tmp_path / "mongod") as mongod, prepared(Settings(mongo_uri=mongod.uri, database="proofs")) as database:
        proof = deliver_through_crashes(tmp_path, mongod, database, rounds=2, whole=False, count=1, pause=0.2)

    assert proof.events > 60
