"""What an object's document keeps besides its tags: what is known of the object, and what calls under keys were answered.

`known` is made with the document: when, and by whom.  Once the DMS tells of the object it has what was told, and `first` keeps what
it was made with.  Statements ask for its members (`query/filters.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from dms_tags.errors import IdempotencyKeyReused
from dms_tags.model import Actor, Properties, Terms, Verb
from dms_tags.objects.model import Asked, Standing
from dms_tags.store.documents import Document, origin, tag_of, told_of
from dms_tags.tags.writes import reply_keys


def known(told: Properties | None, before: Document | None, at: datetime, actor: Actor) -> Document:
    """The member `known` of an object that so much is told of; what is not told of its creation is the telling's own."""
    kept: Document = {} if before is None else before.get("known", {})
    first = kept.get("first", kept or origin(at, actor))
    if told is None:
        return dict(first)
    by = kept["by"] if "first" in kept else actor.name  # a creator who was erased is nobody else from then on
    new: Document = {"at": told.created_at or at, "by": told.created_by or by, "first": first}
    return new | {name: value for name, value in (("type", told.type), ("base", told.base)) if value is not None}


def keys(asked: Asked, terms: Terms) -> tuple[str, ...]:
    """What the call's idempotency key is kept as."""
    return reply_keys(terms.change(asked.resource, "", Verb.SET))


def reply(asked: Asked, terms: Terms, standing: Standing, changed: Mapping[str, Document | None], at: datetime) -> Document:
    """What a repetition of the call is answered with: the rows that it changed, by name, None: it took them away.

    Of tags that are one thing it is all of them.
    """
    if terms.idempotency is None:
        raise TypeError("only what is asked for under a key is kept")
    return {
        "key": keys(asked, terms)[0],
        "fingerprint": terms.idempotency.fingerprint,
        "traceid": standing.trace_id,
        "at": at,
        "rows": [row for row in changed.values() if row is not None],
        "gone": [name for name, row in changed.items() if row is None],
    }


def replayed(asked: Asked, terms: Terms, document: Document) -> Standing | None:
    """The object as the call was answered when it came before; tags that it did not change, and what is told, are as they are.

    None: it did not come before.  Raises `IdempotencyKeyReused` where the key came with another request.
    """
    if terms.idempotency is None:
        return None
    answer = next((kept for kept in document.get("replies", ()) if kept["key"] in keys(asked, terms)), None)
    if answer is None:
        return None
    if answer.get("fingerprint") != terms.idempotency.fingerprint or "rows" not in answer:
        raise IdempotencyKeyReused(
            f"the Idempotency-Key {terms.idempotency.key!r} came with another request before; use a new key for a new request"
        )
    rows = {row["name"]: row for row in document["tags"] if row["name"] not in answer["gone"]}
    rows |= {row["name"]: row for row in answer["rows"]}
    if asked.as_one:  # nothing that others set since was in the answer
        rows = {row["name"]: row for row in answer["rows"]}
    return Standing(asked.resource.id, tuple(map(tag_of, rows.values())), told_of(document), answer["traceid"], replayed=True)
