"""The locks that all APIs share: what a request demands of its change, and what the answer tells of it (API.md section 1)."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from flask import Response

from dms_tags.api import headers
from dms_tags.api.endpoint import Call
from dms_tags.errors import TraceIdRequired
from dms_tags.model import Changed, Conditions, Idempotency, Terms

CHANGE_HEADERS: Final = (headers.TRACE_HEADER, "If-Match", "Idempotency-Key")
"""The request headers of a change, as OpenAPI lists them."""


def terms(call: Call, *facts: Any, expected: int | None = None) -> Terms:
    """Who asks for a change, in which trace and under which conditions.

    `facts` is what else the request asks for, such as its body: an idempotency key stands for all of it.
    Raises `TraceIdRequired`, `InvalidTraceId` or `InvalidParameter`.
    """
    trace_id, if_match = call.trace_id, call.if_match
    must_match: bool = call.arguments["traceIdMustMatch"]
    if must_match and trace_id is None:
        raise TraceIdRequired("traceIdMustMatch=true needs the header X-B3-TraceId (or b3) with the tag's trace id")
    locked = trace_id if must_match else None
    return Terms(
        call.identity.actor,
        trace_id,
        Conditions(locked, if_match, expected),
        idempotency(call, locked, if_match, *facts),
        must_exist="If-Match" in call.request.headers,
    )


def idempotency(call: Call, *facts: Any) -> Idempotency | None:
    """The request's idempotency key, with a fingerprint of what it asks for.

    A trace id is part of it only as a condition: a tracing library gives a repeated request a new one.
    """
    key = call.idempotency_key
    if key is None:
        return None
    request = call.request
    asked = [call.identity.actor.name, request.method, request.path, sorted(call.arguments.items()), facts]
    return Idempotency(key, hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest())


def stamp(response: Response, changed: Changed) -> Response:
    """The answer to a change with the tag's trace id and ETag, marked where it is the kept answer to an earlier request."""
    if changed.tag is not None:
        response.headers["ETag"] = headers.entity_tag(changed.tag.etag)
    response.headers[headers.TRACE_HEADER] = changed.trace_id
    if changed.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response
