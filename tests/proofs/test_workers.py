from __future__ import annotations

from pathlib import Path

from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.proofs.workers import work_through_crashes


def test_workers_that_are_killed_on_services_that_are_crashed(tmp_path: Path, settings: Settings, database: Database) -> None:
    """Every object is finished once, by the one that holds it, whoever is killed or frozen meanwhile."""
    verdict = work_through_crashes(
        tmp_path, settings, database, objects=120, gangs=3, workers=4, disturbances=4, lease_seconds=1, pace=0.1
    )

    assert verdict.claims >= 120
