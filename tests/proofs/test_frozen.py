from __future__ import annotations

from pathlib import Path

from dms_tags.settings import Settings
from tests.proofs.frozen import successor_keeps_its_lease
from tests.proofs.services import fleet


def test_a_thawed_worker_leaves_its_successors_lease_alone(settings: Settings, tmp_path: Path) -> None:
    """Both use one trace id: the late one is refused by its ETag, knows it, and the object is worked on once."""
    with fleet(tmp_path, settings.mongo_uri or "", settings.database) as services:
        successor_keeps_its_lease(services[0].port)
