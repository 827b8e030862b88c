"""What tenants, token names, permissions, prefixes and times of expiry look like (API.md section 6)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from dms_tags import names
from dms_tags.errors import InvalidParameter
from dms_tags.identity.model import Permission

DEFAULT_TENANT: Final = "default"
TENANT_HEADER: Final = "X-ID-TENANT-NAME"
RESERVED: Final = "system:"
"""How the names of our own actors begin (`system:lease`); nobody else is called so."""

_tenant = re.compile(r"[A-Za-z0-9._-]{1,64}").fullmatch
_token_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}").fullmatch
_prefix = re.compile(r"[!-+\--~]{1,128}").fullmatch
_lifetime = re.compile(r"([1-9][0-9]{0,4})([dh])").fullmatch
_date = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch


def tenant(text: str) -> str:
    """`text`, if it is a tenant's name; else `InvalidParameter`.  Names are compared exactly: `Acme` is not `acme`.

    `.` and `..` are none: a log's origin is `<origin>/<tenant>`, and whoever reads that as a URL would take them for steps.
    """
    if not _tenant(text) or text in (".", ".."):
        raise InvalidParameter("a tenant is 1 to 64 of A-Z a-z 0-9 . _ - and neither '.' nor '..'")
    return text


def in_file_name(name: str) -> str:
    """A tenant's name as part of a file's name: no two are the same, also where the file system does not tell `Acme` from `acme`."""
    return name if name == name.lower() else f"{name}-{sha256(name.encode()).hexdigest()[:8]}"


def token_name(text: str) -> str:
    """`text`, if a token may be called so; else `InvalidParameter`.  No colon: Basic credentials end the name there."""
    if text.startswith(RESERVED):
        raise InvalidParameter(f"names that begin with {RESERVED} are the service's own")
    if not _token_name(text):
        raise InvalidParameter("a token's name is 1 to 64 of A-Z a-z 0-9 . _ @ - and begins with a letter or a digit")
    return text


def permissions(text: str) -> frozenset[Permission]:
    """The permissions that `text` lists with commas; `InvalidParameter` for none and for one that does not exist."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in set(Permission)]
    if unknown or not words:
        raise InvalidParameter(f"permissions are one or more of {','.join(Permission)}, not {', '.join(unknown) or 'none'}")
    return frozenset(map(Permission, words))


def prefixes(words: Iterable[str]) -> tuple[str, ...]:
    """The tag-name prefixes, if each is 1 to 128 visible ASCII characters without a comma; else `InvalidParameter`."""
    given = tuple(words)
    if not all(map(_prefix, given)):
        raise InvalidParameter("a prefix of tag names is 1 to 128 visible ASCII characters, for instance 'ocr:'")
    return given


def expiry(text: str, at: datetime) -> datetime:
    """When something made `at` ends: after `90d` or `12h`, as a day in UTC begins, or at an RFC 3339 time.

    Raises `InvalidParameter` for anything else and for a time that is over.
    """
    lifetime = _lifetime(text)
    try:
        if lifetime:
            count = int(lifetime[1])
            until = at + (timedelta(days=count) if lifetime[2] == "d" else timedelta(hours=count))
        elif _date(text):
            until = datetime.fromisoformat(text).replace(tzinfo=UTC)
        else:
            until = names.time(text)
    except (ValueError, OverflowError, InvalidParameter) as error:
        raise InvalidParameter(f"{text!r} is no time of expiry: 90d, 12h, 2030-01-31 or 2030-01-31T12:00:00Z") from error
    if until <= at:
        raise InvalidParameter(f"{text} is over already")
    return until
