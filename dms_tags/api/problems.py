"""Every problem that the service answers with: its type, status and number, in one place (API.md section 1).

The numbers and types are for programs to branch on and never change; the texts are for people and may.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flask import Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from dms_tags.api import headers
from dms_tags.errors import Gone, InvalidTraceId, LockLost, RateLimited, StoreUnavailable, TagsError
from dms_tags.identity.model import Identity
from dms_tags.identity.names import DEFAULT_TENANT
from dms_tags.model import Tag, now
from dms_tags.names import spell_time

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """A type of problem: the last part of its URI, its HTTP status, its number, and what it means to a person."""

    slug: str
    status: int
    code: int
    title: str
    explanation: str


PROBLEMS: Final[Mapping[str, Problem]] = {
    problem.slug: problem
    for problem in (
        Problem(
            "invalid-object-id",
            400,
            2001,
            "Object id is malformed",
            "Ids have 1 to 128 of A-Z a-z 0-9 . _ ~ - and are neither . nor .. .",
        ),
        Problem(
            "invalid-tag-name",
            400,
            2002,
            "Tag name is malformed",
            "Names are lower-case words that colons may join, such as ocr or index:resistant.",
        ),
        Problem("invalid-state", 400, 2003, "State is malformed", "A state is a whole number of 32 bits in ASCII digits."),
        Problem(
            "invalid-trace-id", 400, 2004, "Trace id is malformed", "X-B3-TraceId has 1 to 32 lower-case hexadecimal characters."
        ),
        Problem(
            "trace-id-required",
            400,
            2005,
            "Trace id is missing",
            "traceIdMustMatch=true compares the trace id of the header X-B3-TraceId: send it.",
        ),
        Problem(
            "invalid-parameter",
            400,
            2006,
            "Parameter is malformed",
            "A query parameter or header is unknown, given twice, or of the wrong form.",
        ),
        Problem("invalid-body", 400, 2007, "Body is malformed", "The body is not the JSON document that the call takes."),
        Problem(
            "invalid-query",
            400,
            2008,
            "Statement cannot be run",
            "The statement cannot be parsed, is out of bounds or runs for too long.",
        ),
        Problem("bad-request", 400, 2009, "Request is malformed", "The request is not what HTTP or this service understands."),
        Problem(
            "unauthenticated",
            401,
            2101,
            "No valid identity",
            "Send a valid token: Authorization: Bearer, or Basic with the token's name.",
        ),
        Problem("forbidden", 403, 2103, "Not permitted", "The identity is valid and lacks the permission for this call."),
        Problem("not-found", 404, 2204, "Not found", "There is nothing under this path."),
        Problem(
            "tag-not-found",
            404,
            2205,
            "Tag not found",
            "The object has no tag of this name. A POST without overwrite=true adds one.",
        ),
        Problem(
            "definition-not-found",
            404,
            2207,
            "Definition not found",
            "There is no definition of tags with this id, or it was deleted.",
        ),
        Problem(
            "method-not-allowed",
            405,
            2206,
            "Method not allowed",
            "The path exists, but not for this method; the header Allow names those it has.",
        ),
        Problem("conflict", 409, 2300, "Conflict", "The resource as it stands does not allow the change."),
        Problem("tag-exists", 409, 2301, "Tag exists", "The object has this tag already. overwrite=true updates it."),
        Problem("too-many-tags", 409, 2302, "Too many tags", "An object carries at most 50 tags. Remove one first."),
        Problem(
            "transition-not-allowed", 409, 2303, "Transition not allowed", "The definition of the tag does not know this step."
        ),
        Problem("not-leased", 409, 2304, "Tag is not leased", "Only a lease that has not run out can be extended or given back."),
        Problem(
            "tag-deleted", 409, 2306, "Tag was deleted", "A deleted chain tag stays readable and cannot be changed any more."
        ),
        Problem("in-use", 409, 2305, "In use", "It is still in use, or its name was used before."),
        Problem(
            "gone",
            410,
            2310,
            "Archived",
            "The trail no longer reaches back that far; the member first is the oldest position it holds.",
        ),
        Problem(
            "precondition-failed",
            412,
            2400,
            "A condition did not hold",
            "A condition of the request did not hold; nothing was changed.",
        ),
        Problem(
            "trace-mismatch",
            412,
            2412,
            "Trace id does not match",
            "The trace id of the request is not the tag's own; nothing was changed.",
        ),
        Problem(
            "revision-mismatch",
            412,
            2413,
            "Entity tag does not match",
            "The tag was changed since its ETag was read; nothing was changed.",
        ),
        Problem(
            "state-mismatch", 412, 2414, "State does not match", "The tag is not in the expected state; nothing was changed."
        ),
        Problem("too-large", 413, 2501, "Too large", "The request is larger than the service takes."),
        Problem(
            "unsupported-media-type",
            415,
            2502,
            "Unsupported media type",
            "The body is of a type that the call does not take; send application/json.",
        ),
        Problem("unprocessable", 422, 2600, "Not possible", "The request is well formed and still impossible."),
        Problem("unknown-state", 422, 2601, "Unknown state", "The enforced definition of the tag does not name this state."),
        Problem(
            "idempotency-key-reused",
            422,
            2602,
            "Idempotency key reused",
            "The key came with another request before. Use a new one.",
        ),
        Problem(
            "rate-limited",
            429,
            2701,
            "Too many requests",
            "The identity sends more than its share. Retry-After says when to go on.",
        ),
        Problem(
            "internal-error",
            500,
            2900,
            "Internal error",
            "The service failed; the log has the reason under the time of the answer.",
        ),
        Problem(
            "store-unavailable",
            503,
            2903,
            "Store unavailable",
            "MongoDB does not answer. A change was made wholly or not at all; try again after Retry-After.",
        ),
    )
}

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
    """What an error comes to: a domain error, one of werkzeug's, or one that nobody expected."""
    if isinstance(error, TagsError):
        return _of_domain(error)
    if isinstance(error, HTTPException) and error.code is not None and error.code in _STATUS_SLUGS:
        extra = {name: value for name, value in error.get_headers() if name == "Allow"}
        return Failure(PROBLEMS[_STATUS_SLUGS[error.code]], _detail_of(error), {}, extra)
    log.error("internal error", exc_info=error)
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
    if isinstance(error, LockLost) and error.current is not None:
        members["current"] = current(error.current)
    elif isinstance(error, Gone):
        members["first"] = error.first
    elif isinstance(error, (StoreUnavailable, RateLimited)):
        extra["Retry-After"] = str(error.retry_after)
    return Failure(PROBLEMS[error.slug], error.detail, members, extra)


def current(tag: Tag) -> dict[str, Any]:
    """The tag as a lost lock tells it: without the trace id, which is what owns it."""
    return {"state": tag.state, "creationDate": spell_time(tag.changed), "etag": tag.etag}


def page_of(problem: Problem) -> str:
    """The address of the page that explains a problem, under the origin at which clients reach the service."""
    try:
        origin = current_app.config["ORIGIN"] or request.host_url.rstrip("/")
    except HTTPException:  # a Host that is none
        origin = ""
    return f"{origin}/problems/{problem.slug}"


def problem_document(error: Exception, tenant: str) -> tuple[dict[str, Any], Failure]:
    """RFC 9457's members and the DMS's own, in one object."""
    found = failure(error)
    document = {
        "type": f"/problems/{found.problem.slug}",
        "title": found.problem.title,
        "status": found.problem.status,
        "detail": found.detail,
        "instance": request.path,
        "httpStatusCode": found.problem.status,
        "serviceErrorCode": found.problem.code,
        "time": spell_time(now()),
        "message": found.detail,
        "service": "dms-tags",
        "tenant": tenant,
        **found.members,
    }
    return document, found


def render_problem(error: Exception) -> Response:
    """An error as `application/problem+json`, with the request's own trace id."""
    document, found = problem_document(error, tenant_of_request())
    response = Response(json.dumps(document), found.problem.status, mimetype=MEDIA_TYPE)
    response.headers.update(found.headers)
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
