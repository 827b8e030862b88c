from __future__ import annotations

from pathlib import Path

from tests.proofs.seals import FORGED, forge


def test_seals(tmp_path: Path) -> None:
    """Entries of one object that are left out under signed manifests are found, at the right position; honest exports hold."""
    tallies = forge(tmp_path, 160)

    assert {kind.__name__ for kind in FORGED} == tallies.keys()
    assert {} == {kind: tally.missed[:2] for kind, tally in tallies.items() if tally.missed}
