"""What the tests of tags share."""

from __future__ import annotations

import pytest

from dms_tags.store import trips
from dms_tags.store.database import Database
from tests.support.groups import Grouped


@pytest.fixture
def grouped(database: Database, monkeypatch: pytest.MonkeyPatch) -> Grouped:
    """Five objects with a tag, and the door, behind which callers wait as long as it takes."""
    monkeypatch.setattr(trips, "PATIENCE", 60)
    grouped = Grouped(database)
    for number in range(5):
        grouped.change(f"o{number}", 0)
    return grouped
