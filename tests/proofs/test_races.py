from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dms_tags.store.database import Database
from tests.proofs import races
from tests.proofs.ledger import Ledger
from tests.proofs.services import fleet


@pytest.fixture
def ports(mongo_uri: str, database_name: str, tmp_path: Path) -> Iterator[Sequence[int]]:
    with fleet(tmp_path, mongo_uri, database_name) as services:
        yield [service.port for service in services]


def test_races_of_callers_on_two_services(ports: Sequence[int], database: Database) -> None:
    """Of callers that race under one lock, on two services, those win whose condition still held, and the trail knows it."""
    ledger = Ledger()
    races.race_for_a_revision(ports, ledger, rounds=5)
    races.race_to_add_one_tag(ports, ledger)
    races.race_to_fill_an_object(ports, ledger)

    ledger.settle(database)
