"""Why a write did not match: the one reason that its caller is told, read from the resource as it stands.

A judgement never makes a change and never stands in for the write's own conditions: where it finds all of them
satisfied, another writer came and went, and the write is tried again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from dms_tags.errors import (
    IdempotencyKeyReused,
    RevisionMismatch,
    StateMismatch,
    TagExists,
    TagNotFound,
    TooManyTags,
    TraceMismatch,
    TransitionNotAllowed,
)
from dms_tags.model import Change, Changed, Tag, Verb
from dms_tags.names import same_trace
from dms_tags.tags.writes import reply_keys


def absent(change: Change) -> None:
    """Raises `TagNotFound`, or the condition that a missing tag cannot meet, unless the change may add the tag."""
    if change.verb is Verb.SET and change.conditions.trace_id is not None:
        raise TraceMismatch(f"{change.resource.name} has no tag {change.name!r} whose trace id could match; nothing was changed")
    if change.verb is Verb.SET and (change.conditions.present or change.conditions.etags is not None):
        raise RevisionMismatch(f"{change.resource.name} has no tag {change.name!r} that If-Match could name; nothing was changed")
    if change.verb is Verb.SET and change.conditions.state is not None:
        raise StateMismatch(f"{change.resource.name} has no tag {change.name!r} that could be in that state; nothing was changed")
    if change.verb is Verb.SET and not change.conditions.initial:
        raise TransitionNotAllowed(f"the definition of {change.name!r} does not let a tag begin in {change.state}")
    if change.verb in (Verb.UPDATE, Verb.DELETE):
        advice = "; POST without overwrite=true adds one" if change.verb is Verb.UPDATE else ""
        raise TagNotFound(f"{change.resource.name} has no tag {change.name!r}{advice}")


def reply(change: Change, kept: Iterable[Mapping[str, Any]], tag: Tag | None) -> Changed | None:
    """The answer that was given under the change's idempotency key; None: the key is new.

    Raises `IdempotencyKeyReused` where the key came with another request.
    """
    if change.idempotency is None:
        return None
    keys = reply_keys(change)
    answer = next((reply for reply in kept if reply["key"] in keys), None)
    if answer is None:
        return None
    if not _same_request(answer, change):
        raise IdempotencyKeyReused(
            f"the Idempotency-Key {change.idempotency.key!r} came with another request before; use a new key for a new request"
        )
    if "etag" not in answer:
        return Changed(None, answer["traceid"], replayed=True)
    since = answer["at"] if answer["added"] or tag is None else tag.since
    answered = Tag(change.name, answer["state"], answer["traceid"], answer["at"], answer["etag"], since)
    return Changed(answered, answer["traceid"], added=answer["added"], replayed=True)


def conditions(change: Change, tag: Tag | None) -> Change:
    """The change to try again, its trace condition in the tag's own spelling.

    Raises `TagNotFound` or, of the conditions that do not hold, the first: trace, revision, state, transition.
    """
    if tag is None:
        absent(change)
        return change
    wanted = change.conditions
    if wanted.absent:
        raise RevisionMismatch(
            f"{change.resource.name} has a tag {tag.name!r}: If-None-Match: * does not hold; nothing was changed", tag
        )
    if wanted.trace_id is not None:
        if not same_trace(wanted.trace_id, tag.trace_id):
            raise TraceMismatch(f"the trace id of the request is not the one of the tag {tag.name!r}; nothing was changed", tag)
        change = replace(change, conditions=replace(wanted, trace_id=tag.trace_id))
    if wanted.etags is not None and tag.etag not in wanted.etags:
        raise RevisionMismatch(
            f"the tag {tag.name!r} was changed since: If-Match does not name its ETag; nothing was changed", tag
        )
    if any(tag.state.get(member) != value for member, value in wanted.having):
        raise StateMismatch(f"the tag {tag.name!r} is in a state that does not allow it; nothing was changed", tag)
    if wanted.state is not None and tag.state != wanted.state:
        raise StateMismatch(
            f"the tag {tag.name!r} is in state {tag.state}, not {wanted.state}; nothing was changed",
            tag,
            f"the tag {tag.name!r} is not in state {wanted.state}; nothing was changed",
        )
    if change.verb in (Verb.UPDATE, Verb.SET) and tag.state in wanted.forbidden_from:
        raise TransitionNotAllowed(
            f"the definition of {tag.name!r} does not let it go from {tag.state} to {change.state}",
            tag.name,
            f"the definition of {tag.name!r} does not let it go to {change.state} from the state it is in",
        )
    return change


def verb(change: Change, tag: Tag | None, carried: int) -> Verb:
    """What the change now is, for a resource that carries `carried` tags.  Raises `TagExists` or `TooManyTags`."""
    if tag is not None:
        if change.verb is Verb.ADD:
            raise TagExists(f"{change.resource.name} has a tag {tag.name!r} already; overwrite=true updates it")
        return Verb.DELETE if change.verb is Verb.DELETE else Verb.UPDATE
    if change.max_tags is not None and carried >= change.max_tags:
        raise TooManyTags(f"{change.resource.name} carries {carried} tags, the most that one may; remove one first")
    return Verb.ADD


def _same_request(answer: Mapping[str, Any], change: Change) -> bool:
    """Whether a kept answer is that of an equal request; one that version 0.1.0 kept tells only what came of it."""
    assert change.idempotency is not None  # noqa: S101 - callers ask only for changes that have one
    if answer["key"] == change.idempotency.key:
        return answer.get("state") == (None if change.verb is Verb.DELETE else change.state)
    return bool(answer["fingerprint"] == change.idempotency.fingerprint)
