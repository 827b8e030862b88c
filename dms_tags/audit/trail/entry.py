"""An entry of the audit trail: the flat form that goes over the wire and into the log's leaves (API.md section 2).

The trail keeps an entry under exactly the names that it is given out with, so that it keeps for ever the members it
was written with; `schema` tells which set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from dms_tags.model import Action
from dms_tags.names import spell_time

Entry = dict[str, Any]
"""A trail entry as it is stored: the members of `SCHEMA_1` with times as `datetime`, and `_id`, the change's id."""

SCHEMA: Final = 1

MEMBERS: Final = (
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


def make(
    document: Mapping[str, Any],
    record: Mapping[str, Any],
    previous: Mapping[str, Any] | None,
    *,
    revision: int,
    position: int,
    recorded_at: datetime,
) -> Entry:
    """The entry of an outbox record.

    `document` is the resource's, `previous` what the trail holds of the tag (`state` and `traceid`), None on an add.
    """
    before = previous or {}
    return {
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
        "createdBy": record["by"],
        "actorKind": record["byKind"],
        "creationDate": record["at"],
        "recordedAt": recorded_at,
    }


def flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry as JSON shows it: without `_id`, times spelt out."""
    shown = {name: value for name, value in entry.items() if name != "_id"}
    shown["creationDate"] = spell_time(shown["creationDate"])
    shown["recordedAt"] = spell_time(shown["recordedAt"])
    return shown


def removes(entry: Mapping[str, Any]) -> bool:
    """Whether the entry records that the tag went: the codes of removals are 210 and 10210."""
    return entry["action"] in (Action.OBJECT_TAG_DELETED, Action.ADMIN_DELETED)


def canonical(flat_entry: Mapping[str, Any]) -> bytes:
    """RFC 8785 canonical JSON of a flat entry: what a leaf of the log is the hash of.

    The members' names are ASCII and the numbers are integers, for which Python's own encoder is canonical.
    """
    return json.dumps(flat_entry, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
