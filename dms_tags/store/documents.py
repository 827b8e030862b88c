"""The documents of `tags`: how a resource, its tags and the records of its changes are kept (DESIGN.md, "Data")."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from dms_tags.errors import InvalidBody
from dms_tags.model import Actor, Change, Lease, Properties, Resource, Tag, Verb

Document = dict[str, Any]


MAX_STATE_BYTES: Final = 31_000
"""What a state may take as JSON: an entry has two of them, the old one and the new, and is never longer than the 65,535
bytes that a bundle of the log has room for."""


def new_document(resource: Resource, at: datetime) -> Document:
    """The document of a resource that has no tag and no change yet."""
    document: Document = {
        "_id": resource.key,
        "tenant": resource.tenant,
        "kind": str(resource.kind),
        "id": resource.id,
        "tags": [],
        "seq": 0,
        "lastAt": at,
        "outbox": [],
        "trail": {"revision": 0, "tags": {}},
    }
    if resource.within is not None:
        document["within"] = resource.within
    if resource.attributes is not None:
        document["attributes"] = dict(resource.attributes)
    return document


def origin(at: datetime, actor: Actor) -> Document:
    """The member `known` of an object of which nothing was told: when its first tag was added, and by whom."""
    return {"at": at, "by": actor.name}


def told_of(document: Document) -> Properties | None:
    """What the DMS told of the object of a document; None: nothing."""
    known: Mapping[str, Any] = document.get("known", {})
    if "first" not in known:
        return None
    return Properties(known.get("type"), known.get("base"), known["by"], known["at"])


def record(change: Change, verb: Verb, change_id: str, trace_id: str, at: datetime) -> Document:
    """The outbox record of a change; the relay adds to it what was before (API.md section 2).

    Raises `InvalidBody` for a state that is too long for an entry of the trail.
    """
    written: Document = {
        "id": change_id,
        "action": int(change.action_of(verb)),
        "name": change.name,
        "traceid": trace_id,
        "at": at,
        "by": change.actor.name,
        "byKind": change.actor.kind,
    }
    if verb is Verb.DELETE:
        written["removes"] = True
    else:
        written["state"] = _of_fair_size(change.state)
    if change.reason is not None:
        written["reason"] = change.reason
    return written


def _of_fair_size(state: Any) -> Any:
    if isinstance(state, Mapping):  # the others are short
        size = len(json.dumps(state, ensure_ascii=False, separators=(",", ":")).encode())
        if size > MAX_STATE_BYTES:
            raise InvalidBody(
                f"this takes {size:,} bytes as JSON; an entry of the audit trail has room for {MAX_STATE_BYTES:,}: nothing was changed"
            )
    return state


def held(tenant: str, word: str) -> str:
    """The member `holds`: a word that one resource of a tenant has, by a unique index.  No tenant's name has a slash."""
    return f"{tenant}/{word}"


def row_of(change: Change, change_id: str, trace_id: str, at: datetime) -> Document:
    """A tag as it is kept in its resource's document."""
    return {
        "name": change.name,
        "state": change.state,
        "traceid": trace_id,
        "creationDate": at,
        "etag": change_id,
        "since": at,
    }


def tag_of(row: Document) -> Tag:
    """A tag from its row in a resource's document."""
    held = row.get("lease")
    lease = None if held is None else Lease(held["until"], held.get("back"), held.get("attempts", 1))
    return Tag(row["name"], row["state"], row["traceid"], row["creationDate"], row["etag"], row["since"], lease)
