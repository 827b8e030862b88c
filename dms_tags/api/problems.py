"""What an error comes to on the wire: RFC 9457's members and the DMS's own, in one object (API.md section 1)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flask import Response, g, request
from werkzeug.exceptions import HTTPException

from dms_tags.api import headers
from dms_tags.api.gate.admission import request_id
from dms_tags.api.links import absolute
from dms_tags.api.problem_types import PROBLEMS, Problem
from dms_tags.errors import Gone, InvalidTraceId, LockLost, RateLimited, StoreUnavailable, TagsError, TransitionNotAllowed
from dms_tags.identity.model import Identity, Permission
from dms_tags.identity.names import DEFAULT_TENANT
from dms_tags.model import Tag, now
from dms_tags.names import spell_time

MEDIA_TYPE: Final = "application/problem+json"


_STATUS_SLUGS: Final = {
    400: "bad-request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    414: "too-large",
    415: "unsupported-media-type",
    429: "rate-limited",
    431: "too-large",
}


PROBLEM_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": [
        "type",
        "title",
        "status",
        "detail",
        "httpStatusCode",
        "serviceErrorCode",
        "time",
        "message",
        "service",
        "tenant",
        "requestId",
    ],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "httpStatusCode": {"type": "integer"},
        "serviceErrorCode": {"type": "integer"},
        "time": {"type": "string", "format": "date-time"},
        "message": {"type": "string"},
        "service": {"type": "string"},
        "tenant": {"type": "string"},
        "requestId": {"type": "string", "description": "the call's X-Request-Id, also in the service's log"},
        "current": {"type": "object", "description": "the tag as it stands, where a condition did not hold"},
        "first": {"type": "integer", "description": "the oldest position of the trail, where what was asked for is archived"},
    },
}


@dataclass(frozen=True, slots=True)
class Failure:
    """What any API renders in its own shape: the problem, a sentence, extra members and headers."""

    problem: Problem
    detail: str
    members: Mapping[str, Any]
    headers: Mapping[str, str]


def failure(error: Exception) -> Failure:
    """What an error comes to: a domain error, one of werkzeug's, or one that nobody expected.

    Kept as `flask.g.reason`, and the last kind as `flask.g.error`, for the log line of a call that was refused or failed.
    """
    told = _told(error)
    g.reason = told.detail
    return told


def _told(error: Exception) -> Failure:
    if isinstance(error, TagsError):
        return _of_domain(error)
    if isinstance(error, HTTPException) and error.code is not None and error.code in _STATUS_SLUGS:
        extra = {name: value for name, value in error.get_headers() if name == "Allow"}
        return Failure(PROBLEMS[_STATUS_SLUGS[error.code]], _detail_of(error), {}, extra)
    g.error = error
    return Failure(
        PROBLEMS["internal-error"], "the service failed; nothing can be said about the change, if the call made one", {}, {}
    )


def _detail_of(error: HTTPException) -> str:
    if error.code == 404:
        return f"there is nothing at {request.path}"
    if error.code == 405:
        return f"{request.path} does not take {request.method}"
    return error.description or PROBLEMS[_STATUS_SLUGS[error.code or 400]].explanation


def _of_domain(error: TagsError) -> Failure:
    members: dict[str, Any] = {}
    extra: dict[str, str] = {}
    detail = error.detail
    if isinstance(error, (LockLost, TransitionNotAllowed)):
        if not _may_read(error.name):
            detail = error.discreet
        elif isinstance(error, LockLost) and error.current is not None:
            members["current"] = current(error.current)
    elif isinstance(error, Gone):
        members["first"] = error.first
    elif isinstance(error, (StoreUnavailable, RateLimited)):
        extra["Retry-After"] = str(error.retry_after)
    return Failure(PROBLEMS[error.slug], detail, members, extra)


def _may_read(name: str | None) -> bool:
    """Whether the caller may be told the state of the tag that an error speaks of; None: it speaks of none."""
    identity: Identity | None = g.get("identity")
    if name is None or identity is None:
        return True
    return Permission.READ in identity.permissions and identity.covers(Permission.READ, name)


def current(tag: Tag) -> dict[str, Any]:
    """The tag as a lost lock tells it: without the trace id, which is what owns it."""
    return {"state": tag.state, "creationDate": spell_time(tag.changed), "etag": tag.etag}


def page_of(problem: Problem) -> str:
    """The address of the page that explains a problem."""
    try:
        return absolute(f"/problems/{problem.slug}")
    except HTTPException:  # a Host that is none
        return f"/problems/{problem.slug}"


def problem_document(error: Exception, tenant: str) -> tuple[dict[str, Any], Failure]:
    """RFC 9457's members and the DMS's own, in one object."""
    told = failure(error)
    document = {
        "type": f"/problems/{told.problem.slug}",
        "title": told.problem.title,
        "status": told.problem.status,
        "detail": told.detail,
        "instance": request.path,
        "httpStatusCode": told.problem.status,
        "serviceErrorCode": told.problem.code,
        "time": spell_time(now()),
        "message": told.detail,
        "service": "dms-tags",
        "tenant": tenant,
        "requestId": request_id(request),
        **told.members,
    }
    return document, told


def render_problem(error: Exception) -> Response:
    """An error as `application/problem+json`, with the request's own trace id."""
    document, told = problem_document(error, tenant_of_request())
    response = Response(json.dumps(document), told.problem.status, mimetype=MEDIA_TYPE)
    response.headers.update(told.headers)
    echo_trace(response)
    return response


def tenant_of_request() -> str:
    """The caller's tenant, as far as it is known; `default` before that."""
    identity: Identity | None = g.get("identity")
    return identity.tenant if identity is not None else DEFAULT_TENANT


def echo_trace(response: Response) -> None:
    """Puts the request's trace id, if it has a valid one, into an answer that has none of its own."""
    try:
        trace = headers.trace_id(request.headers)
    except InvalidTraceId:
        return
    if trace is not None:
        response.headers.setdefault(headers.TRACE_HEADER, trace)
