"""What object ids, tag names, states, trace ids and times look like; the rules of API.md section 1."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final
from unicodedata import category, normalize

from dms_tags.errors import InvalidObjectId, InvalidParameter, InvalidState, InvalidTagName, InvalidTraceId

OBJECT_ID_PATTERN: Final = r"[A-Za-z0-9._~-]{1,128}"
TAG_NAME_PATTERN: Final = r"[a-z](?:[a-z][a-z0-9]*)?(?::[a-z][a-z0-9]*)*"
"""The language of the DMS's own `[a-z](:?[a-z][a-z0-9]*)*`, in a spelling that cannot backtrack without end."""
STATE_PATTERN: Final = r"-?[0-9]{1,10}"
MAX_TRACE_ID: Final = 32
TRACE_ID_PATTERN: Final = r"[0-9a-f]{1,32}"

MAX_NAME: Final = 128
MAX_REASON: Final = 500
MIN_STATE: Final = -(2**31)
MAX_STATE: Final = 2**31 - 1

_object_id = re.compile(OBJECT_ID_PATTERN).fullmatch
_tag_name = re.compile(TAG_NAME_PATTERN).fullmatch
_state = re.compile(STATE_PATTERN).fullmatch
_trace_id = re.compile(TRACE_ID_PATTERN).fullmatch
_time = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,32}))?([Zz]|[+-]\d\d:\d\d)?", re.ASCII).fullmatch


def object_id(text: str) -> str:
    """`text`, if it is an object id; else `InvalidObjectId`."""
    if not _object_id(text) or text in (".", ".."):
        raise InvalidObjectId("an object id is 1 to 128 of A-Z a-z 0-9 . _ ~ - and neither '.' nor '..'")
    return text


def tag_name(text: str) -> str:
    """`text`, if it is a tag name; else `InvalidTagName`."""
    if len(text) > MAX_NAME or not _tag_name(text):
        raise InvalidTagName(
            f"a tag name matches {TAG_NAME_PATTERN} and has at most {MAX_NAME} characters, "
            "for instance 'ocr', 'tag1' or 'index:resistant'"
        )
    return text


def state(text: str) -> int:
    """The integer that `text` spells in ASCII digits, within 32 bits; else `InvalidState`."""
    if not _state(text) or not MIN_STATE <= int(text) <= MAX_STATE:
        raise InvalidState(f"a state is a whole number from {MIN_STATE} to {MAX_STATE}")
    return int(text)


def trace_id(text: str) -> str:
    """`text`, if it is a trace id; else `InvalidTraceId`."""
    if not _trace_id(text):
        raise InvalidTraceId("a trace id is 1 to 32 lower-case hexadecimal characters, for instance 463ac35c9f6413ad")
    return text


def beginning(prefixes: Iterable[str]) -> re.Pattern[str]:
    """What finds the names that begin with one of the prefixes; without any it finds none."""
    return re.compile(f"^(?:{'|'.join(map(re.escape, prefixes)) or '(?!)'})")


def composed(text: str) -> str:
    """A text as it is kept where it is a name: in Unicode's composed form (NFC), however its sender spells accents."""
    return normalize("NFC", text)


def folded(text: str) -> str:
    """What two texts share that differ only in letter case or in how accents are spelt (Unicode's canonical caseless match)."""
    return normalize("NFC", normalize("NFD", text).casefold())


def same_trace(trace_id: str, other: str) -> bool:
    """Whether two trace ids are equal but for zero padding on the left (tracing libraries pad 16 characters to 32)."""
    return trace_id.lstrip("0") == other.lstrip("0")


def trace_spellings(trace_id: str) -> list[str]:
    """Every spelling of a trace id: how it may have been padded with zeros on its left."""
    bare = trace_id.lstrip("0")
    return [bare.zfill(length) for length in range(max(1, len(bare)), MAX_TRACE_ID + 1)]


def time(text: str) -> datetime:
    """The time that an RFC 3339 text with an offset tells, in UTC; else `InvalidParameter`.

    What the service keeps has milliseconds: a time that is finer lies between two of them, and never on one.
    A text that has no offset often had one, whose `+` a client forgot to encode: the error says so.
    """
    match = _time(text)
    if match is None:
        raise InvalidParameter(
            f"{text!r} is no RFC 3339 time such as 2020-02-20T02:20:20.220Z; a '+' of an offset is sent as %2B in a query"
        )
    day, clock, fraction, zone = match.groups()
    if zone is None:
        raise InvalidParameter(f"the time {text!r} has no zone: end it with Z or an offset such as %2B01:00 (an encoded '+')")
    digits = (fraction or "").ljust(6, "0")
    leap = clock.endswith(":60")  # a leap second, after which the next minute begins
    try:
        moment = datetime.fromisoformat(
            f"{day}T{clock[:6]}{'59' if leap else clock[6:]}.{digits[:6]}{'+00:00' if zone in 'Zz' else zone}"
        )
        beyond = digits[6:].strip("0") and moment.microsecond % 1000 == 0
        return (moment + timedelta(seconds=leap, microseconds=bool(beyond))).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidParameter(f"{text!r} is no time that exists: {error}") from error


def next_millisecond(moment: datetime) -> datetime:
    """The first whole millisecond that is not before `moment`.  Raises `InvalidParameter` where there is none any more."""
    try:
        return moment + timedelta(microseconds=-moment.microsecond % 1000)
    except OverflowError as error:
        raise InvalidParameter("there is no later time that could be kept") from error


def spell_time(moment: datetime) -> str:
    """The wire's spelling of a time: RFC 3339 in UTC with milliseconds, `2020-02-20T02:20:20.220Z`."""
    return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"


def reason(text: str) -> str:
    """`text`, if it can be the reason of a change; else `InvalidParameter` (API.md section 1)."""
    if not 1 <= len(text) <= MAX_REASON or not text.strip() or any(category(sign) in ("Cc", "Cs") for sign in text):
        raise InvalidParameter(f"a reason is 1 to {MAX_REASON} characters, none of them a control character")
    return text
