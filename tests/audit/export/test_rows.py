"""Rows of CSV that no spreadsheet runs, whatever separator it takes."""

from __future__ import annotations

import csv
import io
import re
from codecs import BOM_UTF8
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dms_tags.audit.export import rows
from dms_tags.audit.trail.entry import MEMBERS_1, canonical, flat
from tests.support.trails import entries

FORMULAS = ["=1+1", "+1", "@x", "-1+1", "\uff1d1", '"=1+1', " =1+1", "'=1+1"]


def entry_by(actor: str) -> dict[str, Any]:
    """An entry of an actor called so."""
    return flat(next(iter(entries(1)))) | {"createdBy": actor, "actorKey": None, "reasonKey": None}


def cells_of(row: bytes) -> list[str]:
    """The cells as a reader of CSV sees them."""
    return next(csv.reader(io.StringIO(row.decode(), newline="")))


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("before", ["", "x;", "x|", "x\t", "x\n", "x\r\n", ";", "x;y;", "x; "])
def test_no_separator_makes_a_formula(formula: str, before: str) -> None:
    """A cell that a `;`, a tab, a `|` or a line end splits has no part that begins like a formula, and reads back as it was."""
    entry = entry_by(before + formula)
    row = rows.row(entry)

    cell = cells_of(row)[MEMBERS_1.index("createdBy")]
    assert not [part for part in re.split(r"[;|\t\r\n]", cell) if part.lstrip(" ")[:1] in set('=+-@"\uff1d') - {""}]
    assert canonical(entry) == rows.line(row)


@given(st.text("ab'\"=+-@;|\t\r\n ,\uff1d", min_size=1))
def test_every_text_comes_back(actor: str) -> None:
    """Marks are put and taken away at the same places, however separators, apostrophes and signs follow each other."""
    entry = entry_by(actor)

    assert canonical(entry) == rows.line(rows.row(entry))


def test_every_cell_is_quoted() -> None:
    """Numbers, absent members and names too: a program that guesses forms from quotes finds one form."""
    for row in (rows.head(), rows.row(entry_by("ann"))):
        assert all(cell.startswith('"') and cell.endswith('"') for cell in row.decode().rstrip("\r\n").split(","))


def test_a_row_of_an_earlier_version_still_tells_its_entry() -> None:
    """It is quoted where it must be, marked at its start alone, and as exact about its spelling as today's."""
    entry = flat(next(iter(entries(1, earlier=1)))) | {"createdBy": "=1;=2"}
    row = earlier(["'=1;=2" if name == "createdBy" else entry[name] for name in MEMBERS_1])

    assert canonical(entry) == rows.line(row)
    with pytest.raises(ValueError, match="otherwise"):
        rows.line(row.replace(b"'=1;=2", b'"\'=1;=2"'))


def earlier(cells: list[Any]) -> bytes:
    """A row as earlier versions wrote it."""
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue().encode()


def test_a_byte_order_mark_is_no_part_of_the_table() -> None:
    """It goes before the line of names, for spreadsheets, and is passed over."""
    row = rows.row(entry_by("ann"))

    assert [rows.head(), row] == list(rows.rows(io.BytesIO(BOM_UTF8 + rows.head() + row)))
