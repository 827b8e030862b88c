"""Entries as rows of CSV (RFC 4180), there and back: what a spreadsheet opens can still be proven.

A text that a spreadsheet would run as a formula gets a quote mark before it, and so does one that begins with a quote mark:
taking one away gives every text back.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final

from dms_tags.audit.trail.entry import MEMBERS, canonical
from dms_tags.model import Kind

FORMULA: Final = tuple("=+-@\t\r\n'\uff1d\uff0b\uff0d\uff20")
NUMBERS: Final = frozenset({"schema", "position", "revision", "action"})
STATES: Final = frozenset({"state", "previousState"})
TEXTS: Final = frozenset({Kind.SITE, Kind.USER, Kind.WAN, Kind.ACCOUNT})
"""Kinds of resource whose states are texts; on objects they are integers, elsewhere documents."""


def head() -> bytes:
    """The first line: the members' names."""
    return _line(MEMBERS)


def row(flat_entry: Mapping[str, Any]) -> bytes:
    """A flat entry as a row; null is an empty cell, a document its canonical JSON."""
    return _line([_cell(flat_entry.get(name)) for name in MEMBERS])


def rows(stream: BinaryIO) -> Iterator[bytes]:
    """The rows of a file as they are spelt; one with line ends within quotes is one row."""
    for line in stream:
        spelt = line
        while spelt.count(b'"') % 2:
            more = stream.readline()
            if not more:
                break
            spelt += more
        yield spelt


def leaf(spelt: bytes) -> bytes:
    """The canonical JSON of the entry that a row tells.  Raises ValueError where it tells none."""
    try:
        cells = next(csv.reader(io.StringIO(spelt.decode(), newline=""), strict=True))
    except (csv.Error, StopIteration) as error:
        raise ValueError("no row") from error
    if len(cells) != len(MEMBERS):
        raise ValueError("a row with other members")
    told = dict(zip(MEMBERS, cells, strict=True))
    kind = told["resource"].partition("/")[0]
    entry = {name: _value(name, cell, kind) for name, cell in told.items()}
    if row(entry) != spelt:  # a row is spelt in one way only: a changed quote or line end is a change
        raise ValueError("a row that is spelt otherwise")
    return canonical(entry)


def _line(cells: Sequence[Any]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return canonical(value).decode() if isinstance(value, Mapping) else value


def _value(name: str, cell: str, kind: str) -> Any:
    if not cell:
        return None
    if name in NUMBERS or (name in STATES and kind == Kind.OBJECT):
        return int(cell)
    if name in STATES and kind not in TEXTS:
        return json.loads(cell)
    return cell.removeprefix("'")
