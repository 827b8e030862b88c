from __future__ import annotations

import json
from pathlib import Path

import pytest

from dms_tags.audit.export import sealed
from dms_tags.audit.trail.filters import Filters
from dms_tags.audit.verify.report import FAILS, HOLDS, Report
from tests.proofs.seals import FORGED, Sealed, forge


def test_seals(tmp_path: Path) -> None:
    """Entries of one object that are left out under signed manifests are found, at the right position; honest exports hold."""
    tallies = forge(tmp_path, 160)

    assert {kind.__name__ for kind in FORGED} == tallies.keys()
    assert {} == {kind: tally.missed[:2] for kind, tally in tallies.items() if tally.missed}


def test_what_belongs_to_a_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all that belongs to something each history is whole, or what is missing is found; of too many nothing is told, and that is."""
    base, file = Sealed(tmp_path), tmp_path / "export"

    def verify(lines: list[bytes]) -> Report:
        file.write_bytes(b"".join(lines))
        return base.verify_file(file)

    lines = base.export(Filters(within="chain/1"), proofs=True)
    entries = [json.loads(line) for line in lines[:-1]]
    up_to = json.loads(lines[-1])["manifest"]["seal"]["entry"]["state"]["upTo"]
    assert "nothing of 3 resources is missing up to position" in verify(lines).verdict
    for at, entry in enumerate(entries):
        behind = [other for other in entries[at + 1 :] if other["resource"] == entry["resource"]]
        if entry["position"] > up_to and not behind:
            continue  # what came behind the seal is complete by the manifest's word alone
        report = verify(base.signed([*lines[:at], *lines[at + 1 :]], {}))
        assert report.worst is not None
        assert (FAILS, (behind or [entry])[0]["position"]) == (report.status, report.worst.position)
    monkeypatch.setattr(sealed, "MOST", 2)
    report = verify(base.export(Filters(within="chain/1"), proofs=True))
    assert (HOLDS, ["no seal shows whether a history is whole: the export is of more than 1000 resources"]) == (
        report.status,
        report.remarks,
    )
