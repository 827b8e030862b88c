"""Entries as rows of CSV (RFC 4180), there and back: what a spreadsheet opens can still be proven.

Every cell is quoted.  A spreadsheet may split a row at another separator than the comma, so a text is made harmless wherever a
cell could begin: at its start, and after `;`, `|`, a tab or a line end.  What could be run as a formula there gets an
apostrophe before it, and so does an apostrophe: taking one away at each of these places gives every text back.

A row of schema 1 leaves the cells empty of what came with schema 2; tables of versions that knew schema 1 alone lack these.

Rows of earlier versions are quoted only where RFC 4180 demands it, and are made harmless at their start alone.  They begin with
a digit where today's begin with a quote, and are read as they were written.
"""

from __future__ import annotations

import csv
import io
import json
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final

from dms_tags.audit.trail.entry import EXPORTED, MEMBERS, MEMBERS_1, canonical
from dms_tags.model import Kind

FORMULA: Final = "=+\\-@\t\r\n'\uff1d\uff0b\uff0d\uff20"
"""What a formula may begin with, the signs of full width too, and the apostrophe itself; for a class of characters."""
COLUMNS: Final = (*MEMBERS, *EXPORTED)
NUMBERS: Final = frozenset({"schema", "position", "revision", "action"})
STATES: Final = frozenset({"state", "previousState"})
TEXTS: Final = frozenset({Kind.SITE, Kind.USER, Kind.WAN, Kind.ACCOUNT, Kind.METADATA})
"""Kinds of resource whose states are texts; on objects they are integers, elsewhere documents."""

_dangerous = re.compile(rf'(^|[;|\t\r\n])(?= *["{FORMULA}])')
_harmless = re.compile(r"(^|[;|\t\r\n])'")
_once_dangerous = re.compile(f"^(?=[{FORMULA}])")
_once_harmless = re.compile("^'")


def head() -> bytes:
    """The first line: the columns' names."""
    return _line(COLUMNS)


def row(flat_entry: Mapping[str, Any]) -> bytes:
    """A flat entry as a row; null is an empty cell, a document its canonical JSON."""
    return _line([_cell(flat_entry.get(name)) for name in COLUMNS])


def rows(stream: BinaryIO) -> Iterator[bytes]:
    """The rows of a file as they are spelt; one with line ends within quotes is one row.

    A byte-order mark at the beginning is for spreadsheets, and no part of the table.
    """
    for number, line in enumerate(stream):
        spelt = line if number else line.removeprefix(BOM_UTF8)
        while spelt.count(b'"') % 2:
            more = stream.readline()
            if not more:
                break
            spelt += more
        yield spelt


def earlier_head() -> bytes:
    """The first line of tables of versions that knew schema 1 alone."""
    return _line(MEMBERS_1)


def line(spelt: bytes) -> bytes:
    """The line of an export, without its end, that a row tells.  Raises ValueError where it tells none."""
    try:
        cells = next(csv.reader(io.StringIO(spelt.decode(), newline=""), strict=True))
    except (csv.Error, StopIteration) as error:
        raise ValueError("no row") from error
    if len(cells) not in (len(COLUMNS), len(MEMBERS_1)):
        raise ValueError("a row with other members")
    told = dict(zip(COLUMNS, cells, strict=False))
    columns = len(told)
    if told["schema"] == "1":
        told = {name: told[name] for name in MEMBERS_1}
    elif columns != len(COLUMNS):
        raise ValueError("a row of another schema")
    kind = told["resource"].partition("/")[0]
    todays = spelt.startswith(b'"')
    entry = {name: _value(name, cell, kind, _text if todays else _earlier_text) for name, cell in told.items()}
    # a row is spelt in one way only: a changed quote or line end is a change
    if _line([_cell(entry.get(name)) for name in COLUMNS[:columns]] if todays else _earlier_cells(entry), quoted=todays) != spelt:
        raise ValueError("a row that is spelt otherwise")
    return canonical(entry)


def _earlier_cells(entry: Mapping[str, Any]) -> list[Any]:
    return [_once_dangerous.sub("'", cell) if isinstance(cell, str) else _plain(cell) for cell in entry.values()]


def _line(cells: Sequence[Any], *, quoted: bool = True) -> bytes:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL).writerow(cells)
    return out.getvalue().encode()


def _plain(value: Any) -> Any:
    return canonical(value).decode() if isinstance(value, (Mapping, list)) else value


def _cell(value: Any) -> Any:
    plain = _plain(value)
    return _dangerous.sub(r"\1'", plain) if isinstance(plain, str) else plain


def _text(cell: str) -> str:
    return _harmless.sub(r"\1", cell)


def _earlier_text(cell: str) -> str:
    return _once_harmless.sub("", cell)


def _value(name: str, cell: str, kind: str, text: Callable[[str], str]) -> Any:
    if not cell:
        return None
    if name in NUMBERS or (name in STATES and kind == Kind.OBJECT):
        return int(cell)
    if name == "erased" or (name in STATES and kind not in TEXTS):
        return json.loads(text(cell))
    return text(cell)
