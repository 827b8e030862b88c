"""The locks that all APIs share: what a request demands of its change (API.md section 1)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable
from typing import Any, Final

from dms_tags.api import headers
from dms_tags.api.endpoint import Call
from dms_tags.api.parameters import WITHOUT_EFFECT
from dms_tags.errors import InvalidParameter, TraceIdRequired
from dms_tags.model import Actor, Conditions, Idempotency, Terms

ADD_HEADERS: Final = (headers.TRACE_HEADER, headers.REASON_HEADER, "Idempotency-Key")
"""The request headers of what makes something new, as OpenAPI lists them."""

CHANGE_HEADERS: Final = (headers.TRACE_HEADER, headers.REASON_HEADER, "If-Match", "If-None-Match", "Idempotency-Key")
"""The request headers of a change of what may be there."""


def terms(call: Call, *facts: Any) -> Terms:
    """Who asks for a change, in which trace, under which conditions and why.

    `facts` is what else the request asks for, such as its body: an idempotency key stands for all of it.
    Raises `TraceIdRequired`, `InvalidTraceId` or `InvalidParameter`.
    """
    trace_id = call.trace_id
    must_match: bool = call.arguments.get("traceIdMustMatch", False)
    if must_match and trace_id is None:
        raise TraceIdRequired("traceIdMustMatch=true needs the header X-B3-TraceId (or b3) with the tag's trace id")
    conditions = Conditions(
        trace_id=trace_id if must_match else None,
        etags=call.entity_tags("If-Match"),
        present="If-Match" in call.request.headers,
        absent=_absent(call),
        state=call.arguments.get("expectedState"),
    )
    reason = call.reason
    key = idempotency(call, meaning(conditions), *facts, *why(reason))
    return Terms(call.identity.actor, trace_id, conditions, key, reason)


def of_new(terms: Terms) -> Terms:
    """`terms`, of a change that adds.  Raises `InvalidParameter` for a condition on what is there, which could never hold."""
    conditions = terms.conditions
    for given, spelled in (
        (conditions.trace_id is not None, "traceIdMustMatch"),
        (conditions.present, "If-Match"),
        (conditions.state is not None, "expectedState"),
    ):
        if given:
            raise InvalidParameter(f"{spelled} is a condition on a tag that is there: what adds one takes none")
    return terms


def _absent(call: Call) -> bool:
    if "If-None-Match" not in call.request.headers:
        return False
    if call.entity_tags("If-None-Match") is not None:
        raise InvalidParameter("If-None-Match of a change is *: only if the tag is not there")
    return True


def why(reason: str | None) -> tuple[Any, ...]:
    """The part of a fingerprint that a reason is; none where there is none, as before there were reasons."""
    return () if reason is None else ({"reason": reason},)


def meaning(conditions: Conditions) -> list[Any]:
    """What a request demands, in one spelling: the order of entity tags and the padding of a trace id say nothing."""
    trace_id = None if conditions.trace_id is None else conditions.trace_id.lstrip("0")
    etags = None if conditions.etags is None else sorted(set(conditions.etags))
    return [trace_id, etags, conditions.present, conditions.absent, conditions.state]


def idempotency(call: Call, *facts: Any, without: Container[str] = ()) -> Idempotency | None:
    """The request's idempotency key, with a fingerprint of what it asks for, whichever way that is spelt.

    `without` are parameters that `facts` tell better.  A trace id is part of it only as a condition: a tracing library gives a repeated request a new one.
    Raises `InvalidParameter`.
    """
    key = call.idempotency_key
    if key is None:
        return None
    arguments = {name: value for name, value in call.arguments.items() if name not in WITHOUT_EFFECT and name not in without}
    return Idempotency(key, fingerprint(call.identity.actor, (call.route.endpoint, call.parts, arguments, facts)))


def fingerprint(actor: Actor, asked: Any) -> str:
    """A digest of what an actor asks for: equal for equal meanings, not for equal spellings."""
    return hashlib.sha256(json.dumps([actor.kind, actor.name, asked], default=_plain, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    return sorted(value, key=repr) if isinstance(value, Iterable) else repr(value)
