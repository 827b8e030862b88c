"""Log lines: for machines or for people, and never with a credential."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dms_tags.serving.logs import ConsoleLines, JsonLines


def record(message: str, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("dms_tags.tests", logging.WARNING, __file__, 1, message, None, None)
    made.fields = fields
    made.created = 0.25
    return made


def test_a_json_line_has_time_level_message_and_fields() -> None:
    """A machine reads each member by its name."""
    line = JsonLines().format(record("refused", status=403))

    assert {
        "time": "1970-01-01T00:00:00.250+00:00",
        "level": "warning",
        "logger": "dms_tags.tests",
        "message": "refused",
        "status": 403,
    } == json.loads(line)


def test_a_console_line_is_for_people() -> None:
    """Time, level, message, and the fields behind it."""
    assert "00:00:00 warning refused status=403" == ConsoleLines().format(record("refused", status=403))


@pytest.mark.parametrize("lines", [JsonLines(), ConsoleLines()])
def test_an_error_is_told_with_its_trace(lines: logging.Formatter) -> None:
    """What went wrong is in the line, in either form."""
    made = record("failed")
    try:
        int("odd")
    except ValueError:
        made.exc_info = sys.exc_info()

    assert "ValueError: invalid literal" in lines.format(made)


@given(message=st.text())
def test_whatever_is_said_is_one_json_line(message: str) -> None:
    """No text breaks out of its line."""
    line = JsonLines().format(record(message))

    assert 1 == len(line.split("\n"))
    assert message == json.loads(line)["message"]


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("mongodb://me:geheim@host:1/?x=y is down", "mongodb://***@host:1/?x=y is down"),
        ("mongodb+srv://me:geheim@host/", "mongodb+srv://***@host/"),
        ("Authorization: Bearer geheim.geheim-geheim", "Authorization: Bearer ***"),
    ],
)
def test_credentials_are_left_out(message: str, says: str) -> None:
    """Passwords in addresses and the values of Authorization headers never reach the log."""
    assert ConsoleLines().format(record(message)).endswith(says)
    assert json.loads(JsonLines().format(record(message)))["message"] == says
