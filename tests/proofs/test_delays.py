from __future__ import annotations

from pathlib import Path

from dms_tags.settings import Settings
from tests.proofs import delays
from tests.proofs.services import fleet


def test_events_of_busy_writers(tmp_path: Path, settings: Settings) -> None:
    """While tags are changed as fast as can be, a listener at either service is told of every change, in order and once."""
    with fleet(tmp_path, settings.mongo_uri or "", settings.database) as services:
        heard = delays.measure([service.port for service in services], seconds=1)

    assert heard.part(0.5) < 10
