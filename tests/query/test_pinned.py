"""Objects that a statement names, and that it would match without any tag."""

from __future__ import annotations

import pytest

from dms_tags.query import parse
from dms_tags.query.pinned import MOST, untagged

MANY = ",".join(f"'o{number}'" for number in range(MOST + 1))


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("system:objectId='a'", ("a",)),
        ("system:objectId IN ('b','a')", ("a", "b")),
        ("system:objectId IN ('b','a') AND system:objectId='b'", ("b",)),
        ("system:objectId='a' AND system:tags[ocr] IS NULL", ("a",)),
        ("system:objectId='a' AND NOT system:tags[ocr].state=1", ("a",)),
        ("system:objectId='a' OR system:objectId='b' AND system:tags[ocr] IS NOT NULL", ("a",)),
        ("system:objectId='a' AND system:tags[ocr].state=1", ()),
        ("system:objectId='a' OR system:tags[ocr] IS NULL", ()),
        ("NOT system:objectId='a'", ()),
        ("system:tags[ocr] IS NULL", ()),
        (f"system:objectId IN ({MANY})", ()),
        (f"system:objectId IN ({MANY}) AND system:objectId IN ('o1','o2')", ("o1", "o2")),
    ],
)
def test_what_is_pinned_and_matches_without_tags(where: str, ids: tuple[str, ...]) -> None:
    """Only where every match is one of the ids, and an object of that id without tags is one."""
    assert ids == untagged(parse(f"SELECT * FROM document WHERE {where}"))  # noqa: S608


def test_the_order_of_the_statement_is_kept() -> None:
    """By id, in the direction asked for."""
    statement = "SELECT * FROM document WHERE system:objectId IN ('b','a') ORDER BY system:objectId DESC"

    assert ("b", "a") == untagged(parse(statement))
