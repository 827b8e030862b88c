"""Every call of the client, once: its arguments, its request, the reading of its answer.

`DmsTags` and `AsyncDmsTags` both make their methods from these functions, so that signature and meaning cannot differ.
A change carries an idempotency key, a new one unless the caller gives one: repeated after a lost answer it is answered
as the first time and made once (the service keeps the last 32 keys of an object).  `reason` is why, for the audit trail.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

from dms_tags.client import answers
from dms_tags.client.model import BatchAction, BatchChange, Claimed, Definition, HistoryPage, Outcome, SearchPage, Tag, TrailPage
from dms_tags.client.wire import Call, Reply, wire_time

API: Final = "/api/dms"


def get(object_id: str, name: str) -> Call[Tag]:
    """One tag.  Raises `TagNotFound`."""
    return Call("GET", _tag_path(object_id, name), answers.one_tag)


def tags(object_id: str, *, at: datetime | None = None) -> Call[tuple[Tag, ...]]:
    """All tags of an object, in order of creation; with `at` as they stood at that time.  None at all is no error."""
    query = {} if at is None else {"at": wire_time(at)}
    return Call("GET", f"{API}/objects/{_segment(object_id)}/tags", answers.all_tags, query=query)


def add(
    object_id: str,
    name: str,
    state: int,
    *,
    trace_id: str | None = None,
    idempotency_key: str | None = None,
    reason: str | None = None,
) -> Call[Tag]:
    """Adds a tag, owned by `trace_id` (None: a random one).  Raises `TagExists` where the object has it already."""
    return Call(
        "POST",
        _state_path(object_id, name, state),
        answers.one_tag,
        headers=_headers(trace_id, None, idempotency_key or _new_key(), reason),
    )


def update(
    object_id: str,
    name: str,
    state: int,
    *,
    trace_id: str | None = None,
    trace_must_match: bool = False,
    if_match: str | None = None,
    expected_state: int | None = None,
    idempotency_key: str | None = None,
    reason: str | None = None,
) -> Call[Tag]:
    """Sets the state of an existing tag, if all conditions given hold in the same write; raises `LockLost` if one does not.

    With `trace_must_match` the tag has to be owned by `trace_id` and stays so; without, it is owned by `trace_id` from now on.
    `if_match` is the ETag (`Tag.etag`) that the tag must have.
    """
    query = {"overwrite": "true"}
    if trace_must_match:
        query["traceIdMustMatch"] = "true"
    if expected_state is not None:
        query["expectedState"] = str(expected_state)
    headers = _headers(trace_id, if_match, idempotency_key or _new_key(), reason)
    return Call("POST", _state_path(object_id, name, state), answers.one_tag, query=query, headers=headers)


def set_tag(
    object_id: str,
    name: str,
    state: int,
    *,
    trace_id: str | None = None,
    idempotency_key: str | None = None,
    reason: str | None = None,
) -> Call[Tag]:
    """Sets the state of a tag, adding it where it is missing."""
    whole = batch([BatchChange(object_id, name, state, trace_id=trace_id, idempotency_key=idempotency_key, reason=reason)])

    def parse(reply: Reply) -> Tag:
        (outcome,) = whole.parse(reply)
        if outcome.error is not None:
            raise outcome.error
        return answers.present(outcome.tag)

    return Call(whole.method, whole.path, parse, json=whole.json)


def delete(
    object_id: str,
    name: str,
    *,
    trace_id: str | None = None,
    trace_must_match: bool = False,
    if_match: str | None = None,
    idempotency_key: str | None = None,
    reason: str | None = None,
) -> Call[None]:
    """Removes a tag, under the same conditions as `update`.  Raises `TagNotFound` and `LockLost`."""
    query = {"traceIdMustMatch": "true"} if trace_must_match else {}
    headers = _headers(trace_id, if_match, idempotency_key or _new_key(), reason)
    return Call("DELETE", _tag_path(object_id, name), answers.nothing, query=query, headers=headers)


def batch(changes: Sequence[BatchChange], *, trace_id: str | None = None, reason: str | None = None) -> Call[tuple[Outcome, ...]]:
    """Makes up to 1,000 changes, each standing alone; the outcomes are in the order of the changes.

    Those of one object are made in the order given.  `trace_id` and `reason` hold for the changes that name none.
    """
    body = {"changes": [_change_member(change) for change in changes]}
    return Call("POST", f"{API}/objects/tags", answers.outcomes, headers=_headers(trace_id, reason=reason), json=body)


def search(statement: str, *, skip: int = 0, limit: int = 50) -> Call[SearchPage]:
    """What a statement finds (API.md section 3): `limit` objects, 1,000 at most, after the first `skip`, 10,000 at most."""

    return Call("POST", f"{API}/objects/search", answers.search_page, json=_statement(statement, skipCount=skip, maxItems=limit))


def take(
    name: str,
    state: int,
    query: str,
    *,
    limit: int = 1,
    lease_seconds: int | None = 60,
    trace_id: str | None = None,
    reason: str | None = None,
) -> Call[tuple[Claimed, ...]]:
    """Sets the tag to `state` on the first object, or up to `limit` of them (100 at most), that the statement finds.

    Two callers never get the same one.  None where nothing matches.  With a lease the tag goes back by itself to the state
    it had unless it is changed or extended within `lease_seconds`; with None it stays taken.
    """
    wanted = {"limit": str(limit)}
    if lease_seconds is not None:
        wanted["leaseSeconds"] = str(lease_seconds)

    path = f"{API}/objects/tags/{_segment(name)}/state/{state}"
    return Call(
        "POST",
        path,
        lambda reply: answers.claimed(reply, name),
        query=wanted,
        headers=_headers(trace_id, None, _new_key(), reason),
        json=_statement(query),
    )


def extend(object_id: str, name: str, trace_id: str, seconds: int, *, if_match: str | None = None) -> Call[Tag]:
    """Extends a lease to `seconds` from now; only its holder can.  Raises `LockLost` and `NotLeased`.

    `if_match` is the claimed tag's ETag, which alone tells two holders apart that share a trace id.
    """
    return Call(
        "POST",
        f"{_tag_path(object_id, name)}/lease",
        answers.one_tag,
        query={"seconds": str(seconds)},
        headers=_headers(trace_id, if_match=if_match),
    )


def give_back(object_id: str, name: str, trace_id: str, *, if_match: str | None = None, reason: str | None = None) -> Call[None]:
    """Ends a lease at once: the tag goes back to the state it had.  Raises `LockLost` and `NotLeased`.

    `if_match` is the claimed tag's ETag, which alone tells two holders apart that share a trace id.
    """
    headers = _headers(trace_id, if_match=if_match, reason=reason)
    return Call("DELETE", f"{_tag_path(object_id, name)}/lease", answers.nothing, headers=headers)


def history(object_id: str, *, size: int = 50, page: int = 0) -> Call[HistoryPage]:
    """An object's history, newest first: page `page` of `size` entries, 1,000 at most."""

    query = {"size": str(size), "page": str(page)}
    return Call("GET", f"{API}/objects/{_segment(object_id)}/history", answers.history_page, query=query)


def audit(
    *,
    object_id: str | None = None,
    name: str | None = None,
    trace_id: str | None = None,
    created_by: str | None = None,
    resource: str | None = None,
    within: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: int | None = None,
    before: int | None = None,
    ascending: bool = False,
    limit: int = 100,
    cursor: str | None = None,
) -> Call[TrailPage]:
    """A page of the trail, newest first unless `ascending`; all filters given must hold.

    `since` is inclusive and `until` exclusive, both by the time of recording; `after` and `before` are positions, exclusive.
    For the next page give its `next` as `cursor`, with the same filters.
    """
    wanted = {
        "objectId": object_id,
        "name": name,
        "traceId": trace_id,
        "createdBy": created_by,
        "resource": resource,
        "within": within,
        "from": wire_time(since) if since else None,
        "to": wire_time(until) if until else None,
        "after": after,
        "before": before,
        "cursor": cursor,
        "order": "asc" if ascending else "desc",
        "limit": limit,
    }

    return Call(
        "GET", f"{API}/audit", answers.trail_page, query={key: str(value) for key, value in wanted.items() if value is not None}
    )


def definitions() -> Call[tuple[Definition, ...]]:
    """All tag definitions."""
    return Call("GET", f"{API}/tag-definitions", answers.definitions)


def definition(name: str) -> Call[Definition]:
    """One tag definition.  Raises `NotFound`."""
    return Call("GET", f"{API}/tag-definitions/{_segment(name)}", lambda reply: answers.definition(reply.document(), name))


def define(name: str, definition: Definition, *, reason: str | None = None) -> Call[None]:
    """Writes a tag definition, for administrators; it holds everywhere within 2 s."""
    body: dict[str, Any] = {
        "states": {str(state): label for state, label in definition.states.items()},
        "enforce": definition.enforce,
    }
    if definition.transitions is not None:
        body["transitions"] = {str(state): list(following) for state, following in definition.transitions.items()}
    if definition.initial is not None:
        body["initial"] = list(definition.initial)
    if definition.reason_required:
        body["reasonRequired"] = list(definition.reason_required)
    return Call("PUT", f"{API}/tag-definitions/{_segment(name)}", answers.nothing, headers=_headers(reason=reason), json=body)


def undefine(name: str, *, reason: str | None = None) -> Call[None]:
    """Removes a tag definition, for administrators.  Raises `NotFound`."""
    return Call("DELETE", f"{API}/tag-definitions/{_segment(name)}", answers.nothing, headers=_headers(reason=reason))


def in_state(name: str, state: int) -> str:
    """The statement that finds the objects whose tag is in a state: the queue of a worker."""
    return f"SELECT * FROM object WHERE system:tags[{name}].state = {state}"  # noqa: S608 - no SQL: the service parses it, and compiles it within the caller's tenant


def _segment(text: str) -> str:
    """A path segment; one of dots alone would be resolved away before it left."""
    if text in ("", ".", ".."):
        raise ValueError(f"{text!r} is neither an object id nor a tag name")
    return quote(text, safe=":")


def _tag_path(object_id: str, name: str) -> str:
    return f"{API}/objects/{_segment(object_id)}/tags/{_segment(name)}"


def _state_path(object_id: str, name: str, state: int) -> str:
    return f"{_tag_path(object_id, name)}/state/{state}"


def _headers(
    trace_id: str | None = None, if_match: str | None = None, key: str | None = None, reason: str | None = None
) -> dict[str, str]:
    headers = {}
    if trace_id is not None:
        headers["X-B3-TraceId"] = trace_id
    if if_match is not None:
        headers["If-Match"] = f'"{if_match}"'
    if key is not None:
        headers["Idempotency-Key"] = key
    if reason is not None:
        headers["X-Change-Reason"] = quote(reason, safe=" ")
    return headers


def _new_key() -> str:
    return uuid4().hex


def _statement(statement: str, **paging: int) -> dict[str, Any]:
    return {"query": {"statement": statement, **paging}}


def _change_member(change: BatchChange) -> dict[str, Any]:
    members = {
        "objectId": change.object_id,
        "name": change.name,
        "action": BatchAction(change.action).value,
        "state": change.state,
        "traceId": change.trace_id,
        "traceIdMustMatch": change.trace_must_match or None,
        "ifMatch": change.if_match,
        "expectedState": change.expected_state,
        "idempotencyKey": change.idempotency_key or _new_key(),
        "reason": change.reason,
    }
    return {key: value for key, value in members.items() if value is not None}
