from __future__ import annotations

from pathlib import Path

from dms_tags.settings import Settings
from tests.proofs.services import fleet
from tests.proofs.statements import ask


def test_statements_at_random(tmp_path: Path, settings: Settings) -> None:
    """Whatever text is asked as a statement is answered, or refused with the reason, and soon."""
    with fleet(tmp_path, settings.mongo_uri or "", settings.database, count=1) as services:
        asked = ask([services[0].port], statements=200, objects=300)

    assert set(asked.statuses) == {200, 400}
