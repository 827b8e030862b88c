from __future__ import annotations

from pathlib import Path

from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.proofs.calls import at_random
from tests.proofs.services import fleet


def test_calls_at_random(tmp_path: Path, settings: Settings, database: Database) -> None:
    """Whatever is sent to whichever route, no call fails, none goes unanswered, and the trail agrees with the tags."""
    with fleet(tmp_path, settings.mongo_uri or "", settings.database, count=1) as services:
        told = at_random(settings, database, [services[0].port], calls=1_500)

    assert {200, 400, 404} <= {status for _, status in told.statuses}
