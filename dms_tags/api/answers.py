"""Answers that every API gives alike: JSON, nothing, and the marks of a change (API.md section 1)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response

from dms_tags.api import headers
from dms_tags.model import Changed


def json_answer(
    document: Mapping[str, Any] | Sequence[Any], status: int = 200, *, media_type: str = "application/json"
) -> Response:
    """A document as JSON in UTF-8."""
    return Response(json.dumps(document, ensure_ascii=False), status, mimetype=media_type)


def empty_answer(status: int = 200) -> Response:
    """An answer without a body, which claims no type of one."""
    response = Response(status=status)
    del response.headers["Content-Type"]
    return response


def stamp(response: Response, changed: Changed) -> Response:
    """The answer to a change with the tag's trace id and ETag, marked where it is the kept answer to an earlier request."""
    if changed.tag is not None:
        response.headers["ETag"] = headers.entity_tag(changed.tag.etag)
    response.headers[headers.TRACE_HEADER] = changed.trace_id
    if changed.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response
