"""The changes of a batch, read from its body one by one: what is wrong with one says nothing of the others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from dms_tags import names
from dms_tags.api import bodies, headers
from dms_tags.api.endpoint import Call
from dms_tags.errors import InvalidBody, InvalidParameter, InvalidState, TagsError, TraceIdRequired
from dms_tags.identity.model import Permission
from dms_tags.model import Change, Conditions, Idempotency, Kind, Resource, Verb
from dms_tags.tags.batch import MAX_CHANGES

MEMBERS: Final = frozenset(
    ("objectId", "name", "state", "action", "traceId", "traceIdMustMatch", "ifMatch", "expectedState", "idempotencyKey")
)
ACTIONS: Final = {verb.value: verb for verb in Verb}


def items_of(call: Call) -> list[Any]:
    """The changes of the body, not yet read.  Raises `InvalidBody`."""
    body = bodies.json_object(call.request)
    changes = body.get("changes")
    unknown = sorted(set(body) - {"changes"})
    if unknown:
        raise InvalidBody(f"{unknown[0]!r} is no member of a batch; it has changes alone, each with its own locks", unknown[0])
    if not isinstance(changes, list):
        raise InvalidBody('the body is a JSON object {"changes":[{"objectId":…,"name":…,"state":…,"action":"set"},…]}', "changes")
    if len(changes) > MAX_CHANGES:
        raise InvalidBody(f"changes: at most {MAX_CHANGES:,} in one request, these are {len(changes):,}", "changes")
    return changes


def read(call: Call, item: Any, trace_id: str | None) -> Change | TagsError:
    """The change that an item asks for, or what is wrong with it; `trace_id` is the request's, for an item without one."""
    try:
        return _read(call, item, trace_id)
    except TagsError as error:
        return error


def _read(call: Call, item: Any, trace_id: str | None) -> Change:
    if not isinstance(item, Mapping):
        raise InvalidBody("a change is a JSON object")
    unknown = sorted(set(item) - MEMBERS)
    if unknown:
        raise InvalidBody(f"{unknown[0]!r} is none of {', '.join(sorted(MEMBERS))}", unknown[0])
    object_id, name = names.object_id(_text(item, "objectId")), names.tag_name(_text(item, "name"))
    call.identity.require_name(Permission.WRITE, name)
    verb = ACTIONS.get(_text(item, "action"))
    if verb is None:
        raise InvalidBody(f"action: one of {', '.join(ACTIONS)}", "action")
    state = None if verb is Verb.DELETE else _state(item, "state")
    own_trace = item.get("traceId")
    if own_trace is not None:
        trace_id = names.trace_id(_text(item, "traceId"))
    conditions = _conditions(item, trace_id)
    if verb is Verb.ADD and (conditions != Conditions() or "ifMatch" in item):
        raise InvalidParameter("traceIdMustMatch, ifMatch and expectedState are conditions on a tag that is there: not for add")
    return Change(
        Resource(call.identity.tenant, Kind.OBJECT, object_id),
        name,
        verb,
        call.identity.actor,
        state,
        trace_id,
        conditions,
        _idempotency(call, item, (object_id, name, verb.value, state, conditions)),
    )


def _text(item: Mapping[str, Any], member: str) -> str:
    value = item.get(member)
    if not isinstance(value, str):
        raise InvalidBody(f"{member}: a text is needed", member)
    return value


def _state(item: Mapping[str, Any], member: str) -> int:
    value = item.get(member)
    if not isinstance(value, int) or isinstance(value, bool) or not names.MIN_STATE <= value <= names.MAX_STATE:
        raise InvalidState(f"{member}: a whole number from {names.MIN_STATE} to {names.MAX_STATE}")
    return value


def _conditions(item: Mapping[str, Any], trace_id: str | None) -> Conditions:
    must_match = item.get("traceIdMustMatch", False)
    if not isinstance(must_match, bool):
        raise InvalidBody("traceIdMustMatch: true or false", "traceIdMustMatch")
    if must_match and trace_id is None:
        raise TraceIdRequired("traceIdMustMatch needs a traceId, of the change or of the request")
    if_match = None
    if item.get("ifMatch") is not None:
        text = _text(item, "ifMatch")
        # The answer of a batch has ETags bare, the header has them in quotes: either is understood
        quoted = text if text.startswith(('"', "W/", "*")) else headers.entity_tag(text)
        if_match = headers.entity_tags(quoted, "ifMatch")
    expected = None if item.get("expectedState") is None else _state(item, "expectedState")
    return Conditions(trace_id if must_match else None, if_match, expected)


def _idempotency(call: Call, item: Mapping[str, Any], asked: object) -> Idempotency | None:
    if item.get("idempotencyKey") is None:
        return None
    key = headers.valid_key(_text(item, "idempotencyKey"))
    facts = json.dumps([call.identity.actor.name, asked], default=str)
    return Idempotency(key, hashlib.sha256(facts.encode()).hexdigest())
