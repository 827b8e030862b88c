"""Times as texts, whole: with any offset, finer than what is kept, at a leap second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dms_tags.errors import InvalidParameter
from dms_tags.names import next_millisecond, spell_time, time

AT = datetime(2020, 2, 20, 2, 20, 20, 220_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2020-02-20T02:20:20.22Z", 0),
        ("2020-02-20t03:20:20.220+01:00", 0),
        ("2020-02-20 02:20:20.220000000z", 0),
        ("2020-02-20T02:20:20.220000-00:00", 0),
        ("2020-02-20T02:20:20.2205Z", 500),
        ("2020-02-20T02:20:20.220000000001Z", 1),
        ("2020-02-20T02:20:20.2199999999Z", -1),
    ],
)
def test_a_time_is_read_whole(text: str, micros: int) -> None:
    """What is finer than a millisecond is neither cut off nor rounded onto one."""
    assert AT + timedelta(microseconds=micros) == time(text)


def test_after_a_leap_second_the_next_minute_begins() -> None:
    """RFC 3339 has a second 60."""
    assert datetime(2017, 1, 1, tzinfo=UTC) == time("2016-12-31T23:59:60Z")


@pytest.mark.parametrize(
    "text", ["2020-02-20T02:20:20", "2020-02-30T02:20:20Z", "2020-02-20T02:20:61Z", "2020-02-20T24:00:00Z", "now"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """A day that does not exist, a time without an offset."""
    with pytest.raises(InvalidParameter):
        time(text)


def test_the_next_millisecond_is_the_first_that_is_not_before() -> None:
    """It is what an entry's time, kept in milliseconds, is compared with."""
    assert (AT, AT + timedelta(milliseconds=1)) == (next_millisecond(AT), next_millisecond(AT + timedelta(microseconds=1)))
    assert "2020-02-20T02:20:20.221Z" == spell_time(next_millisecond(time("2020-02-20T02:20:20.2205Z")))
    with pytest.raises(InvalidParameter, match="no later time"):
        next_millisecond(time("9999-12-31T23:59:59.9999Z"))
