from __future__ import annotations

from pathlib import Path

import pytest

from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.proofs.console import PAGES, fill, first_paints
from tests.support.browser import CHROMIUM, MISSING


@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
def test_first_paints(settings: Settings, database: Database, tmp_path: Path) -> None:
    """Each page of the console is painted in time; `scripts/prove` shows it with a million entries."""
    fill(database, 2_000)
    seconds = first_paints(tmp_path / "service", settings, 2_000, times=1)

    assert PAGES.keys() == seconds.keys()
    assert max(map(max, seconds.values())) < 10  # beside other tests; alone it is a tenth of a second
