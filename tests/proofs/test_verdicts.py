from __future__ import annotations

from pathlib import Path

import pytest

from tests.proofs.verdicts import NODE, agree


@pytest.mark.skipif(NODE is None, reason="node is not here; the browser runs a sample all the same")
def test_verdicts(tmp_path: Path) -> None:
    """The console's verifier tells of forged files and of honest ones what `audit verify` does: verdict, first bad position, what was not told."""
    assert "215 files" in agree(tmp_path, 120)
