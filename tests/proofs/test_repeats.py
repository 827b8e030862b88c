from __future__ import annotations

from pathlib import Path

from dms_tags.settings import Settings
from tests.proofs.repeats import claim_twice_at_once, repeat_before_a_majority_has_it
from tests.proofs.services import fleet
from tests.support.mongo import replica_set


def test_a_repeat_is_answered_only_from_what_is_safe(tmp_path: Path) -> None:
    """While both secondaries stand still no repeat is told to be done; once they go on each is, and was made once."""
    with replica_set(tmp_path, members=3, election_ms=10_000) as nodes:
        repeat_before_a_majority_has_it(nodes)


def test_a_claim_key_takes_one_object(tmp_path: Path, settings: Settings) -> None:
    """Keyed claims that are sent to two services at the same moment take one object for each key, and tell the same one."""
    with fleet(tmp_path, settings.mongo_uri or "", settings.database) as services:
        claim_twice_at_once([service.port for service in services], keys=24)
