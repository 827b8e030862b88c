"""Entries as security desks read them: whatever is in a value, it stays in its place."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dms_tags.cli.audit import siem
from dms_tags.version import __version__
from tests.client.test_stream import entry

NASTY = [
    "a|b\\c=d",
    "two\nlines\r\nand more",
    '<script>alert("x")</script>',
    ']"\\] <14>1 - - - - - - forged',
    "CEF:0|x|y|z|1|n|9|suser=root",
    "Jürgen \N{GRINNING FACE}\u2028\u2029\x85\x00\x1b[2J",
    " leading and trailing = ",
    "\\",
    "\\n",
]

texts = st.one_of(st.text(max_size=30), st.sampled_from(NASTY))


def with_text(text: str) -> dict[str, Any]:
    return {**entry(7), "createdBy": text, "name": text, "state": {"value": text, "active": True}}


def read_cef(line: str) -> tuple[list[str], dict[str, str]]:
    """Header and extension of a CEF line, read as its own reader would."""
    *header, extension = re.split(r"(?<!\\)(?:\\\\)*\|", line, maxsplit=7)
    places = list(re.finditer(r"(?:^| )(\w+)=", extension))
    ends = [place.start() for place in places[1:]] + [len(extension)]
    fields = {place[1]: extension[place.end() : end] for place, end in zip(places, ends, strict=True)}
    meant = {"\\\\": "\\", "\\=": "=", "\\n": "\n", "\\r": "\r"}
    return header, {name: re.sub(r"\\.", lambda pair: meant[pair[0]], value) for name, value in fields.items()}


def spelt(text: str) -> str:
    """The text with what is no text in CEF spelt out."""
    return re.sub(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", text)


def test_cef() -> None:
    """What a line looks like."""
    header, fields = read_cef(siem.cef(entry(7)))

    assert ["CEF:0", "dms-tags", "dms-tags", __version__, "310", "OBJECT_TAG_UPDATED", "3"] == header
    assert {
        "rt": "1582165220330",
        "start": "1582165220220",
        "externalId": "7",
        "suser": "ann",
        "act": "OBJECT_TAG_UPDATED",
        "cs1Label": "tag",
        "cs1": "ocr",
        "cs2Label": "resource",
        "cs2": "object/doc",
        "cs3Label": "state",
        "cs3": "7",
        "cs4Label": "previousState",
        "cs4": "1",
        "cs5Label": "traceId",
        "cs5": "ff",
        "cs6Label": "tenant",
        "cs6": "default",
    } == fields


@given(texts)
def test_cef_is_read_back(text: str) -> None:
    """Whatever a value is, it is one field of one line, and reads back as what it was."""
    line = siem.cef(with_text(text))
    header, fields = read_cef(line)

    assert [line] == line.splitlines()
    assert 7 == len(header)
    assert (spelt(text), spelt(text)) == (fields["suser"], fields["cs1"])
    assert {"value": text, "active": True} == json.loads(fields["cs3"])


def test_null_is_left_out() -> None:
    """A member that is null is no field."""
    _, fields = read_cef(siem.cef({**entry(7), "previousState": None, "createdBy": None}))

    assert not {"suser", "cs4", "cs4Label"} & fields.keys()


SYSLOG = re.compile(r'<(\d{1,3})>1 (\S+) ([!-~]{1,255}) ([!-~]{1,48}) - ([!-~]{1,32}) (\[\w+(?: \w+="[^"\\\]]*")*\]) \ufeff(.*)')
"""A message by the grammar of RFC 5424, section 6, as far as it is used."""


@given(texts, st.text(max_size=300))
@example("x", "")
def test_syslog_is_read_back(text: str, host: str) -> None:
    """Whatever a value is, a message is one line of RFC 5424, whose text is the entry."""
    line = siem.syslog(with_text(text), host)
    match = SYSLOG.fullmatch(line)

    assert [line] == line.splitlines()
    assert match is not None, line
    assert ("110", "2020-02-20T02:20:20.330Z", "dms-tags", "OBJECT_TAG_UPDATED") == (match[1], match[2], match[4], match[5])
    assert f'[origin software="dms-tags" swVersion="{__version__}"]' == match[6]
    assert with_text(text) == json.loads(match[7])


@given(texts)
def test_ndjson_is_read_back(text: str) -> None:
    """A line is the entry."""
    line = siem.ndjson(with_text(text))

    assert [line] == line.splitlines()
    assert with_text(text) == json.loads(line)


@pytest.mark.parametrize("text", NASTY)
def test_nothing_steers_a_terminal(text: str) -> None:
    """No form has a control character."""
    for name in ("ndjson", "cef", "syslog"):
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", siem.form(name, "h")(with_text(text)))
