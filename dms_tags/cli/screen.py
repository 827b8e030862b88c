"""What reaches the terminal or the pipe: lines, tables, JSON, complaints.

Values come from other people. What could steer a terminal is escaped everywhere but in JSON that goes to a file or a pipe,
where it is escaped too, in JSON's own way; what the output's encoding cannot show is escaped instead of ending the command.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TextIO

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

WANTS_JSON: Final = "dms_tags.json"
"""Under this name the command line's context remembers `--json`."""
UNBOUNDED: Final = 1_000_000
"""Characters in a line that is not for a terminal: it is never broken."""

_unprintable = re.compile(r"[^ -~]")
_hump = re.compile(r"(?<=[a-z])(?=[A-Z])")


def visible(text: str) -> str:
    """The text, with backslash escapes for what a terminal would obey instead of show: controls, marks of direction, line ends."""
    return _unprintable.sub(lambda match: match[0] if match[0].isprintable() else _escape(match[0]), text)


def write(text: str, *, flush: bool = False) -> None:
    """Writes to standard output.  Raises `OSError` where that is closed or full, `BrokenPipeError` where nobody reads on."""
    out = _standard_output()
    encoding = out.encoding or "utf-8"
    out.write(text.encode(encoding, "backslashreplace").decode(encoding))
    if flush:
        out.flush()


def write_bytes(data: bytes) -> None:
    """Writes to standard output what is to arrive as it is."""
    out = _standard_output()
    out.flush()
    out.buffer.write(data)


def finish() -> None:
    """Writes what is still held back.  Raises as `write` does."""
    if sys.stdout is not None:
        sys.stdout.flush()


def abandon() -> None:
    """Forgets what could not be written, so that the interpreter does not try it once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except OSError:
                os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def counted(number: int, what: str) -> str:
    """`1 entry`, `2 entries`; `what` is one of them: `entry`, `set`."""
    return f"{number} {what if number == 1 else what[:-1] + 'ies' if what.endswith('y') else what + 's'}"


def say(text: str) -> None:
    """A line beside the output, on standard error."""
    click.echo(visible(text), err=True)


def complain(text: str) -> None:
    """The line that says why the command failed."""
    say(f"dms-tags: {text}")


def wants_json() -> bool:
    """Whether `--json` stands anywhere in the line."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(WANTS_JSON))


def write_json(document: Any, *, flush: bool = False) -> None:
    """One document, in one line."""
    text = json.dumps(document, ensure_ascii=False)
    try:
        text.encode(_standard_output().encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(document)
    write(_unprintable.sub(_json_escape, text) + "\n", flush=flush)


def show(documents: Iterable[Mapping[str, Any]], columns: Sequence[str], *, tabs: bool = False, heading: bool = True) -> None:
    """Lists documents: as JSON if `--json` was given, else as a table of the members that `columns` name.

    With `tabs` the table is for a terminal only; a pipe gets the cells separated by tabs, without a heading.
    """
    if wants_json():
        for document in documents:
            write_json(document)
    elif tabs and not _standard_output().isatty():
        for document in documents:
            write_line(document, columns)
    else:
        rows = [[_cell(document.get(column), "") for column in columns] for document in documents]
        head = [[_hump.sub(" ", column).upper() for column in columns]] if heading else []
        write(_aligned([*head, *rows]))


def write_line(document: Mapping[str, Any], columns: Sequence[str]) -> None:
    """One document as soon as it comes, as JSON if `--json` was given, else its cells separated by tabs."""
    if wants_json():
        write_json(document, flush=True)
    else:
        write("\t".join(_cell(document.get(column), "-") for column in columns) + "\n", flush=True)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows with their columns below each other; broken at the width of the terminal, if it is for one."""
    width = shutil.get_terminal_size().columns if _standard_output().isatty() else UNBOUNDED
    out = io.StringIO()
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for _ in rows[0] if rows else ():
        table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(file=out, width=width, color_system=None).print(table)
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines() if rows)


def _cell(value: Any, absent: str) -> str:
    if value is None:
        return absent
    return visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _standard_output() -> TextIO:
    if sys.stdout is None:
        raise OSError("standard output is closed")
    return sys.stdout


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _json_escape(match: re.Match[str]) -> str:
    return match[0] if match[0].isprintable() else json.dumps(match[0])[1:-1]
