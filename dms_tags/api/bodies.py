"""Request bodies, JSON and form: what is no such body, or has no such member, is refused before anything is done."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl

from flask import Request

from dms_tags.errors import InvalidBody, InvalidParameter, UnsupportedMediaType

FORM: Final = "application/x-www-form-urlencoded"
MAX_FIELDS: Final = 100

_json_type = re.compile(r"application/(?:[\w.+-]+\+)?json").fullmatch
_surrogate = re.compile(r"\\u[dD][89a-fA-F]").search


def json_document(request: Request) -> Any:
    """The body as a JSON document; a byte order mark is passed over.

    Raises `UnsupportedMediaType` for a compressed one, `InvalidBody` for what is none in UTF-8, has a member twice, nests beyond
    reason or holds half a character.
    """
    require_plain(request)
    return parsed(request.get_data())


def require_plain(request: Request) -> None:
    """Raises `UnsupportedMediaType` for a compressed body."""
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding != "identity":
        raise UnsupportedMediaType(f"the body is sent with Content-Encoding: {coding[:40]}; send it as it is")


def parsed(sent: bytes) -> Any:
    """What was sent as a JSON document; raises as `json_document` does."""
    try:
        text = sent.decode("utf-8-sig")
        document = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)
        if _surrogate(text):
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise InvalidBody("the body is no JSON document in UTF-8") from error
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice = given_twice(name for name, _ in pairs)
        # A lock that is given a second time, as false, must not be dropped in silence
        raise InvalidBody(f"the member {twice!r} is given twice; once is right", twice)
    return members


def given_twice(names: Iterable[str]) -> str | None:
    """The first name that was given before, None: each comes once.  In one pass: a body has room for a hundred thousand names."""
    met: set[str] = set()
    for name in names:
        if name in met:
            return name
        met.add(name)
    return None


def json_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object.  Raises `UnsupportedMediaType` or `InvalidBody`."""
    if request.mimetype and not _json_type(request.mimetype):
        raise UnsupportedMediaType(f"the body is sent as {request.mimetype}; this call takes application/json")
    document = json_document(request)
    if not isinstance(document, dict):
        raise InvalidBody("the body is a JSON object")
    return document


def is_form(request: Request) -> bool:
    """Whether the body is a form; a request without a body is one without fields."""
    return request.mimetype == FORM or not (request.mimetype or request.get_data())


def form(request: Request) -> dict[str, str]:
    """The body as the fields of a form.  Raises `InvalidBody` or `InvalidParameter`."""
    try:
        pairs = parse_qsl(
            request.get_data().decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise InvalidBody(f"the body is no form of at most {MAX_FIELDS} fields in UTF-8") from error
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise InvalidParameter("a field of the form is given twice; once is right")
    return fields


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
