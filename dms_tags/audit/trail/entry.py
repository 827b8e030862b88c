"""An entry of the audit trail: the flat form that goes over the wire and into the log's leaves (API.md section 2).

The trail keeps an entry under exactly the names that it is given out with, so that it keeps for ever the members it
was written with; `schema` tells which set.  Only `changeId` is kept as `_id`, which it is.

An entry of schema 2 has a leaf that tells of persons by commitments alone (`commitments.py`): the actor's name and the
reason stand beside it, and can be taken away with no harm to any proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from json import JSONEncoder
from typing import Any, Final

from dms_tags.audit.trail.commitments import ActorKey, commitment, new_key
from dms_tags.model import Action
from dms_tags.names import spell_time

Entry = dict[str, Any]
"""A trail entry as it is stored: its members with times as `datetime`, and `_id`, the change's id; with a reason its key."""

SCHEMA: Final = 2
"""The schema of new entries."""

MEMBERS_1: Final = (
    "schema",
    "tenant",
    "position",
    "resource",
    "objectId",
    "within",
    "revision",
    "action",
    "actionName",
    "name",
    "state",
    "previousState",
    "traceId",
    "previousTraceId",
    "createdBy",
    "actorKind",
    "creationDate",
    "recordedAt",
)
"""The members of an entry of schema 1."""

MEMBERS: Final = (*MEMBERS_1, "changeId", "reason", "reasonCommitment", "actorCommitment", "erased")
"""The members of an entry of schema 2."""

BESIDE: Final = frozenset({"createdBy", "reason", "erased"})
"""Members of schema 2 that stand beside the leaf: what the commitments in it are to, and what of that was erased."""

EXPORTED: Final = ("actorKey", "reasonKey")
"""Members that an export adds to an entry of schema 2, in base64: the keys that its commitments are checked with."""

_NO_LEAF: Final = BESIDE | {*EXPORTED, "proof"}
_spell: Final = JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def make(
    document: Mapping[str, Any],
    record: Mapping[str, Any],
    previous: Mapping[str, Any] | None,
    *,
    revision: int,
    position: int,
    recorded_at: datetime,
    actor: ActorKey,
) -> Entry:
    """The entry of an outbox record.

    `document` is the resource's, `previous` what the trail holds of the tag (`state` and `traceid`), None on an add.  The
    record of an `actor` who is being erased makes an entry without the name.
    """
    before = previous or {}
    reason = record.get("reason")
    made: Entry = {
        "_id": record["id"],
        "schema": SCHEMA,
        "tenant": document["tenant"],
        "position": position,
        "resource": f"{document['kind']}/{document['id']}",
        "objectId": document["id"],
        "within": document.get("within"),
        "revision": revision,
        "action": record["action"],
        "actionName": Action(record["action"]).name,
        "name": record["name"],
        "state": before.get("state") if record.get("removes") else record["state"],
        "previousState": before.get("state"),
        "traceId": record["traceid"],
        "previousTraceId": before.get("traceid"),
        "createdBy": None if actor.erasing else record["by"],
        "actorKind": record["byKind"],
        "creationDate": record["at"],
        "recordedAt": recorded_at,
        "reason": reason,
        "reasonCommitment": None,
        "actorCommitment": actor.commitment,
        "erased": ["createdBy"] if actor.erasing else None,
    }
    if reason is not None:
        made["reasonKey"] = new_key()
        made["reasonCommitment"] = commitment(made["reasonKey"], reason)
    return made


def flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry as JSON shows it: times spelt out, what the trail keeps for itself left out."""
    shown = dict(entry)
    change_id = shown.pop("_id", None)
    if shown["schema"] > 1:
        shown["changeId"] = change_id
        shown.pop("reasonKey", None)
    shown["creationDate"] = spell_time(shown["creationDate"])
    shown["recordedAt"] = spell_time(shown["recordedAt"])
    return shown


def leaf_of(flat_entry: Mapping[str, Any]) -> bytes:
    """The leaf of a flat entry: what the log has the hash of.  `flat_entry` may have what an export adds to it."""
    if flat_entry["schema"] == 1:
        return canonical({name: value for name, value in flat_entry.items() if name != "proof"})
    return canonical({name: value for name, value in flat_entry.items() if name not in _NO_LEAF})


def removes(entry: Mapping[str, Any]) -> bool:
    """Whether the entry records that the tag went: the codes of removals are 210 and 10210."""
    return entry["action"] in (Action.OBJECT_TAG_DELETED, Action.ADMIN_DELETED)


def canonical(document: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """RFC 8785 canonical JSON of an entry, or of another document.

    The members' names are ASCII and the numbers are integers, for which Python's own encoder is canonical.
    """
    return _spell(document).encode()
