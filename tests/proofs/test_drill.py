"""A sample of the restore drill that `scripts/prove` runs at full size."""

from __future__ import annotations

from pathlib import Path

from tests.proofs.drill import drill


def test_drill(tmp_path: Path) -> None:
    """Four callers, two backups under their load, everything killed, restored elsewhere, and gone on."""
    drilled = drill(tmp_path, seconds=0.3, callers=4, backups=2)

    assert drilled.entries > 0
