"""The README tells what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from dms_tags.settings import settings_table

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_settings() -> None:
    """Its table has every setting, with its default and meaning, and no other."""
    rows = re.findall(r"^\| `(DMS_TAGS_\w+)` \| `?(.*?)`? \| (.*) \|$", README, re.MULTILINE)

    assert settings_table() == rows


def test_links() -> None:
    """Every link into the document or the tree leads somewhere."""
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ")).strip().lower().replace(" ", "-")
        for line in README.splitlines()
        if line.startswith("#")
    }
    root = Path(__file__).parent.parent
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("http") or target.removeprefix("#") in headings or (root / target).exists(), target
