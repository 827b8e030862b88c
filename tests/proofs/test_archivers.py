from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.proofs.archivers import STEPS, two_orders
from tests.support.trails import fill, keyed


@pytest.mark.parametrize(
    ("halt_at", "later", "patient"), [*product(STEPS, (300, 900), (True,)), ("file", 900, False), ("remove", 300, False)]
)
def test_two_orders(settings: Settings, database: Database, tmp_path: Path, halt_at: str, later: int, *, patient: bool) -> None:
    """Whatever step one order halts at while another runs, no baseline is lost, the past is told, and the late one says so."""
    fill(database, 1000)

    two_orders(keyed(settings, tmp_path), database, tmp_path, halt_at, later=later, patient=patient)
