"""What every request has to be, whichever route it is for: a host that can be one, a path that means what it says, an id."""

from __future__ import annotations

import re
import secrets
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from flask import Request, current_app, g
from werkzeug.exceptions import BadRequest, MethodNotAllowed, NotFound, RequestEntityTooLarge

REQUEST_ID_HEADER: Final = "X-Request-Id"

HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
"""What a `Host` may be (RFC 9110, section 7.2), as far as anyone calls a service by it."""

_request_id = re.compile(r"[\x21-\x7e]{1,64}").fullmatch


def request_id(call: Request) -> str:
    """The request's own id where it is 1 to 64 visible ASCII characters, else one made for it; kept as `flask.g.request_id`."""
    given = call.headers.get(REQUEST_ID_HEADER, "")
    known: str = g.get("request_id") or (given if _request_id(given) else secrets.token_hex(8))
    g.request_id = known
    return known


def require_plain(call: Request, body_limit: int) -> None:
    """Raises `BadRequest`, `NotFound` or `RequestEntityTooLarge` for what no route should ever see.

    A server decodes the path before routing, so that `tags/ocr%2Flease` would be the lease of `ocr`: here a slash that was
    encoded is refused where no part of the path takes one, and `//metrics` is not `/metrics`.
    """
    if not HOST.fullmatch(call.environ.get("HTTP_HOST", "")):
        raise BadRequest("the header Host is missing, or is no host: it is the name or address of the service, with its port")
    target: str = call.environ.get("RAW_URI", "")
    path = (target if target.startswith("/") else urlsplit(target).path).partition("?")[0]
    if "%2f" in path.lower() and not _spans(call):
        raise BadRequest("the path has an encoded slash (%2F): no part of this path may have a slash in it")
    if path.startswith("//"):
        raise NotFound
    if "%" in target or not target.isascii():
        try:
            unquote_to_bytes(target.encode("latin-1")).decode()
        except UnicodeError:
            raise BadRequest(
                "the path or the query is not in UTF-8: percent-encode the bytes of UTF-8, for instance %C3%A4"
            ) from None
    # Also where no view would ever read the body: a client that sends 100 MB is told before it has
    if (call.content_length or 0) > body_limit:
        raise RequestEntityTooLarge


def _spans(call: Request) -> bool:
    """Whether a part of the path may have slashes in it, as the names of tiles have, by whichever method it is called."""
    rule, wrong = call.url_rule, call.routing_exception
    adapter = current_app.create_url_adapter(call)
    if isinstance(wrong, MethodNotAllowed) and wrong.valid_methods and adapter is not None:
        rule, _ = adapter.match(method=next(iter(wrong.valid_methods)), return_rule=True)
    return rule is not None and "<path:" in rule.rule
