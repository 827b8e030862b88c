"""The soak, for moments: that it looks, and that a slope is told with its error."""

from __future__ import annotations

from pathlib import Path

from tests.proofs.soak import Slope, soak
from tests.support.service import service


def test_slope() -> None:
    assert "+2.00 ± 0.00 an hour" == str(Slope.of([0, 3600, 7200], [1, 3, 5]))
    assert 0 < Slope.of([0, 3600, 7200, 10800], [1, 3, 5, 8]).error < 0.5


def test_soak(mongo_uri: str, database_name: str, tmp_path: Path) -> None:
    """Every kind of call is made, and everything is looked at."""
    settings = {"DMS_TAGS_MONGO_URI": mongo_uri, "DMS_TAGS_DATABASE": database_name, "DMS_TAGS_WORKERS": "1"}
    with service(tmp_path, settings) as running:
        seen = soak(running, int(running.url.rpartition(":")[2]), seconds=4, every=0.5, callers=2)
    assert seen.changes
    assert {"memory of worker 1, MB", "memory of keeper 1, MB", "open files of worker 1", "lag, s"} <= seen.slopes().keys()
    assert min(seen.values["memory of worker 1, MB"]) > 20
