"""What reaches the terminal or the pipe, and what happens where nothing can."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dms_tags.cli import screen

COMMAND = [sys.executable, "-m", "dms_tags.cli.main", "settings"]


def test_a_broken_pipe_ends_quietly() -> None:
    """Whoever looks at the first lines only gets no complaint; the status is 141, as of a program that SIGPIPE ended."""
    read, write = os.pipe()
    os.close(read)
    try:
        ended = subprocess.run(COMMAND, stdout=write, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(write)

    assert (141, b"") == (ended.returncode, ended.stderr)


def test_a_closed_output_is_told_in_one_line() -> None:
    """What cannot be printed anywhere is an error, and no traceback."""
    ended = subprocess.run(["/bin/sh", "-c", 'exec "$@" >&-', "sh", *COMMAND], stderr=subprocess.PIPE, check=False)

    assert (2, b"dms-tags: standard output is closed\n") == (ended.returncode, ended.stderr)


def test_a_full_disk_is_told_in_one_line() -> None:
    """Output that was lost is an error, also when that shows at the very end."""
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(COMMAND, stdout=full, stderr=subprocess.PIPE, check=False)

    assert 2 == ended.returncode
    assert (1, True) == (ended.stderr.count(b"\n"), b"No space left" in ended.stderr)


def test_what_the_output_cannot_show_is_escaped() -> None:
    """An encoding without the character ends nothing; JSON stays JSON."""
    code = "from dms_tags.cli import screen; screen.write('Zoë\\n'); screen.write_json('Zoë'); screen.say('Zoë')"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"},
        capture_output=True,
        check=True,
        text=True,
    )

    line, document = ended.stdout.splitlines()
    assert ("Zo\\xeb", "Zoë") == (line, json.loads(document))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ann", "ann"),
        ("Zoë 漢字 ✓", "Zoë 漢字 ✓"),
        ("\x1b]0;x\x07", "\\x1b]0;x\\x07"),
        ("a\tb\r\n", "a\\tb\\r\\n"),
        ("\x7f\x9b\u202e\u2028\ud800", "\\x7f\\x9b\\u202e\\u2028\\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    """Letters of all scripts are shown; controls, marks of direction, line ends and halves of characters are spelt out."""
    assert shown == screen.visible(text)


def test_a_table_has_its_columns_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    """Wide characters count as two; a line is never broken in a file or a pipe, and ends without spaces."""
    screen.show([{"name": "漢", "lastUsed": "x" * 200}, {"name": "abcd", "lastUsed": None}], ("name", "lastUsed"))

    assert f"NAME  LAST USED\n漢    {'x' * 200}\nabcd\n" == capsys.readouterr().out


def test_a_document_in_a_cell_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """States of administration are documents: they are shown as the API spells them."""
    screen.show([{"state": {"enforce": True}, "within": None}], ("state", "within"), tabs=True)

    assert '{"enforce": true}\t-\n' == capsys.readouterr().out


def test_a_terminal_gets_a_table_and_a_pipe_gets_tabs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `tabs` the heading is for people only; on a terminal a cell that is too wide is broken within its column."""
    documents = [{"name": "ocr", "createdBy": "ann " * 20}]
    screen.show(documents, ("name", "createdBy"), tabs=True)
    assert f"ocr\t{'ann ' * 20}\n" == capsys.readouterr().out

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    screen.show(documents, ("name", "createdBy"), tabs=True)
    heading, *lines = capsys.readouterr().out.splitlines()
    assert "NAME  CREATED BY" == heading
    assert len(lines) > 1
    assert all(len(line) <= 40 for line in lines)
