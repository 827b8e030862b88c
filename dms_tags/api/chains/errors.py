"""Errors in the chain tags API's own envelope, with its own codes (API.md section 5)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flask import Response

from dms_tags.api.problems import echo_trace, failure
from dms_tags.errors import NotBoolean, ParameterMissing

CHALLENGE: Final = 'Session realm="dms-tags"'


@dataclass(frozen=True, slots=True)
class Code:
    """An error's number and name, and its HTTP status where that is not the one it has elsewhere."""

    number: int
    name: str
    status: int | None = None


MISSING: Final = Code(52, "missing_necessary_parameters", 400)
NOT_BOOLEAN: Final = Code(316, "parameter_supplied_not_boolean", 400)
INVALID: Final = Code(9001, "parameter_invalid", 400)
CONDITION_FAILED: Final = Code(9412, "condition_failed")

CODES: Final[Mapping[str, Code]] = {
    "unauthenticated": Code(6, "no_valid_session"),
    "forbidden": Code(68, "permission_denied_or_non_existent"),
    "tag-not-found": Code(230, "entity_not_found", 400),
    "tag-deleted": Code(9002, "tag_deleted", 400),
    "trace-mismatch": CONDITION_FAILED,
    "revision-mismatch": CONDITION_FAILED,
    "state-mismatch": CONDITION_FAILED,
    "too-large": Code(9413, "too_large"),
    "unsupported-media-type": Code(9415, "unsupported_media_type"),
    "rate-limited": Code(9429, "rate_limited"),
    "store-unavailable": Code(9503, "store_unavailable"),
}
"""By problem.  What else is malformed is `INVALID`; anything else has 9000 and its HTTP status, and the problem's name."""

ERROR_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["result", "error"],
    "properties": {
        "result": {
            "type": "object",
            "required": ["code", "status"],
            "properties": {"code": {"type": "integer", "enum": [2]}, "status": {"type": "string", "enum": ["error"]}},
        },
        "error": {
            "type": "object",
            "required": ["code", "name", "description"],
            "properties": {
                "code": {"type": "integer"},
                "name": {"type": "string"},
                "description": {"type": "string"},
                "current": {"type": "object", "description": "the tag as it stands, where a condition did not hold"},
            },
        },
    },
    "example": {
        "result": {"code": 2, "status": "error"},
        "error": {"code": 230, "name": "entity_not_found", "description": "there is no tag 1"},
    },
}


def render(error: Exception) -> Response:
    """An error as the chain tags API's clients know it, with the request's own trace id."""
    told = failure(error)
    if isinstance(error, ParameterMissing):
        code = MISSING
    elif isinstance(error, NotBoolean):
        code = NOT_BOOLEAN
    elif told.problem.slug in CODES:
        code = CODES[told.problem.slug]
    elif told.problem.status == 400:
        code = INVALID
    else:
        code = Code(9000 + told.problem.status, told.problem.slug.replace("-", "_"))
    status = code.status or told.problem.status
    document = {
        "result": {"code": 2, "status": "error"},
        "error": {"code": code.number, "name": code.name, "description": told.detail, **told.members},
    }
    response = Response(json.dumps(document), status, mimetype="application/json")
    response.headers.update(told.headers)
    if status == 401:
        response.headers["WWW-Authenticate"] = CHALLENGE
    echo_trace(response)
    return response
