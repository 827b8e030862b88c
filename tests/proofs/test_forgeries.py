from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.proofs.forgeries import Tally, forge_databases, forge_files


@pytest.mark.parametrize(("forge", "count"), [(forge_files, 210), (forge_databases, 75)])
def test_forgeries(tmp_path: Path, forge: Callable[[Path, int], dict[str, Tally]], count: int) -> None:
    """Forged files and databases of every kind are found out, at the right position; honest ones of every kind hold."""
    tallies = forge(tmp_path, count)

    assert {} == {kind: tally.missed for kind, tally in tallies.items() if tally.missed}
