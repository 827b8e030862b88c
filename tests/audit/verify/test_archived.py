"""Which orders to archive explain that positions are not here."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection
from typing import Any

import pytest

from dms_tags.audit.verify.archived import Archive
from dms_tags.audit.verify.report import Report

ROOT = b"\1" * 32


def order(position: int, number: int | None, **members: Any) -> dict[str, Any]:
    state = {"first": 1, "last": 256, "root": b64encode(ROOT).decode(), "sha256": f"sum{position}", **members}
    return {"position": position, "action": 10500, "state": state if number is None else state | {"order": number}}


@pytest.mark.parametrize(
    ("entries", "moved", "named"),
    [
        ([order(300, None)], None, "sum300"),
        ([order(300, None)], [], "sum300"),
        ([order(300, 1)], None, "sum300"),
        ([order(300, 1)], [1], "sum300"),
        ([order(300, 2), order(301, 1), order(302, 1, takenBack=True)], None, "sum300"),
        ([order(300, 2), order(301, 1)], [2], "sum300"),
        ([order(300, 1), order(301, 1, takenBack=True)], None, None),
        ([order(300, 1)], [2], None),
    ],
)
def test_orders_that_count(entries: list[dict[str, Any]], moved: Collection[int] | None, named: str | None) -> None:
    """An order counts unless it was taken back, or is known not to have moved the cut; those of earlier versions have no number."""
    archive, report = Archive(256, moved), Report()
    for entry in entries:
        archive.take(entry)
    archive.judge(400, ROOT, report, seen_to=400)

    if named is None:
        assert "they were taken away" in str(report.worst)
    else:
        assert [] == report.findings
        assert [1, True] == [report.remarks[0].count("sha256"), named in report.remarks[0]]
