"""The headers that all three APIs share: trace ids, entity tags, idempotency keys (API.md section 1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from werkzeug.datastructures import Headers

from dms_tags import names
from dms_tags.errors import InvalidParameter, InvalidTraceId

TRACE_HEADER: Final = "X-B3-TraceId"
REASON_HEADER: Final = "X-Change-Reason"

_entity_tag = re.compile(r'[ \t]*(?:(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*)?(?:,|$)')
_compressed = re.compile(r"(?:--?|;)(?:gzip|br|zstd|deflate)$")
_bare_percent = re.compile(r"%(?![0-9A-Fa-f]{2})").search
_idempotency_key = re.compile(r"[\x21-\x7e]{1,64}").fullmatch


def trace_id(headers: Headers) -> str | None:
    """The request's trace id: of `X-B3-TraceId`, else of a single `b3` header, else None.

    A `b3` header that only says whether to sample (`0`, `1`, `d`) has none.  Raises `InvalidTraceId`.
    """
    text = headers.get(TRACE_HEADER)
    if text is not None:
        return names.trace_id(text)
    text = headers.get("b3")
    if text is None or text in ("0", "1", "d"):
        return None
    try:
        return names.trace_id(text.partition("-")[0])
    except InvalidTraceId as error:
        raise InvalidTraceId(f"the header b3 begins with a trace id, or is 0, 1 or d: {error.detail}") from error


def reason(headers: Headers) -> str | None:
    """Why the change is made, of `X-Change-Reason`; None where it does not say.  Raises `InvalidParameter`.

    It is UTF-8, percent-encoded; a text with a `%` that begins no two hexadecimal digits is taken as it stands.
    """
    text = headers.get(REASON_HEADER)
    if text is None:
        return None
    if not text.isascii():
        raise InvalidParameter(f"{REASON_HEADER} is ASCII: what is not is UTF-8, percent-encoded")
    try:
        return names.reason(text if _bare_percent(text) else unquote(text, errors="strict"))
    except UnicodeDecodeError as error:
        raise InvalidParameter(f"{REASON_HEADER} is percent-encoded, and not in UTF-8") from error
    except InvalidParameter as error:
        raise InvalidParameter(f"{REASON_HEADER}: {error.detail}") from error


def entity_tags(text: str, header: str) -> tuple[str, ...] | None:
    """The entity tags that `text` lists as the header does; None for `*`.  Raises `InvalidParameter`.

    A weak one counts as its strong sibling, and what a proxy that compresses wrote behind the tag is left out: proxies do
    so with the answer of which the client has the tag.  Empty members of a list are passed over (RFC 9110, section 5.6.1).
    """
    if text.strip() == "*":
        return None
    listed: list[str] = []
    at = 0
    while at < len(text):
        match = _entity_tag.match(text, at)
        if match is None:
            break
        if match[1] is not None:
            listed.append(_compressed.sub("", match[1]))
        at = match.end()
    if at < len(text) or not listed:
        raise InvalidParameter(f'{header} is a list of entity tags in double quotes, for instance "01a2", or *')
    return tuple(listed)


def bare_entity_tags(text: str) -> tuple[str, ...] | None:
    """The same of a text that may also be one entity tag without quotes, as the answer of a batch has it."""
    return entity_tags(text if text.startswith(('"', "W/", "*")) else entity_tag(text), "ifMatch")


def known(headers: Headers, etag: str | None) -> bool:
    """Whether `If-None-Match` says that the client has the answer with this entity tag already.  Raises `InvalidParameter`."""
    text = headers.get("If-None-Match")
    if text is None:
        return False
    listed = entity_tags(text, "If-None-Match")
    return etag is not None and (listed is None or etag in listed)


def refuse(headers: Headers, names: Iterable[str]) -> None:
    """Raises `InvalidParameter` for the first of the headers that is there: a condition is honoured or refused, never dropped."""
    for name in names:
        if name in headers:
            raise InvalidParameter(f"{name} is not honoured by this call: nothing was changed; send it without")


def idempotency_key(headers: Headers) -> str | None:
    """The request's `Idempotency-Key`, None where it has none.  Raises `InvalidParameter`."""
    text = headers.get("Idempotency-Key")
    return None if text is None else valid_key(text)


def valid_key(text: str) -> str:
    """`text`, if it is an idempotency key; else `InvalidParameter`."""
    if not _idempotency_key(text):
        raise InvalidParameter("an Idempotency-Key is 1 to 64 visible ASCII characters")
    return text


def entity_tag(etag: str) -> str:
    """An ETag as the header spells it."""
    return f'"{etag}"'
