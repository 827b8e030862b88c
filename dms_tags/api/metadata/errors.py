"""Errors in the metadata API's own shape: `type`, `code`, `message`, `doc_url` (API.md section 4)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from flask import Response

from dms_tags.api.problems import Failure, echo_trace, failure, page_of
from dms_tags.errors import ParameterMissing

TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    412: "precondition_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
}
"""Of the statuses that are not an `invalid_request_error`."""

CODES: Final[Mapping[str, str]] = {
    "invalid-object-id": "parameter_invalid",
    "invalid-trace-id": "parameter_invalid",
    "invalid-parameter": "parameter_invalid",
    "bad-request": "parameter_invalid",
    "trace-id-required": "parameter_missing",
    "invalid-body": "body_invalid",
    "definition-not-found": "tag_not_found",
    "tag-not-found": "tag_value_not_found",
}
"""Of the problems that are not called as the DMS API calls them."""

ERROR_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["type", "code", "message", "doc_url"],
    "properties": {
        "type": {
            "type": "string",
            "description": "A broad category of error",
            "enum": sorted({"invalid_request_error", *TYPES.values()}),
            "example": "invalid_request_error",
        },
        "code": {"type": "string", "description": "The specific error", "example": "parameter_missing"},
        "message": {
            "type": "string",
            "description": "What went wrong, for a person",
            "example": "the parameter 'key' is required for this request",
        },
        "doc_url": {"type": "string", "format": "uri", "description": "A page that explains the error"},
        "current": {"type": "object", "description": "the value as it stands, where a condition did not hold"},
    },
}


def render(error: Exception) -> Response:
    """An error as the metadata API's clients know it, with the request's own trace id."""
    told = failure(error)
    status = told.problem.status
    document = {
        "type": TYPES.get(status, "invalid_request_error"),
        "code": _code(error, told),
        "message": told.detail,
        "doc_url": page_of(told.problem),
        **told.members,
    }
    response = Response(json.dumps(document), status, mimetype="application/json")
    response.headers.update(told.headers)
    echo_trace(response)
    return response


def _code(error: Exception, told: Failure) -> str:
    if isinstance(error, ParameterMissing):
        return "parameter_missing"
    return CODES.get(told.problem.slug, told.problem.slug.replace("-", "_"))
