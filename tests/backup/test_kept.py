"""What a backup keeps: every collection that the code knows is in one of the tables, none is forgotten."""

from __future__ import annotations

import re
from pathlib import Path

import dms_tags
from dms_tags.backup.kept import KEPT, OWN_WAYS, PASSED_OVER

_NAMED = re.compile(r'(?:\.collection\(|Registry\(\w+, |^    collection = )"([a-z_]+)"', re.MULTILINE)


def test_every_collection_has_its_line() -> None:
    """A collection that some module opens is kept whole, kept in a way of its own, or passed over for a reason."""
    root = Path(dms_tags.__file__).parent
    opened = {name for file in root.rglob("*.py") for name in _NAMED.findall(file.read_text(encoding="utf-8"))}
    kept = {line.name for line in KEPT}

    assert kept | OWN_WAYS | PASSED_OVER == opened
    assert len(KEPT) == len(kept)
    assert not kept & (OWN_WAYS | PASSED_OVER)
