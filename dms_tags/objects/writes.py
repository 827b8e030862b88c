"""The one write that makes all changes of one object (DESIGN.md, "The idea").

Its query names the `seq` that the object was read with, so that the whole of its tags can be set; what moves no `seq`, the end of a
lease and what the DMS tells, is a condition of its own.  Its update appends one record for each tag to the `outbox`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dms_tags.model import Terms, Verb, new_id
from dms_tags.objects import kept
from dms_tags.objects.judge import Judgement, Step
from dms_tags.objects.model import Asked, Standing
from dms_tags.store.documents import Document, new_document, record, row_of, tag_of, told_of
from dms_tags.tags.writes import KEPT_REPLIES, MAX_OUTBOX, Creation, Write

PROJECTION: Final = {"tags": 1, "seq": 1, "lastAt": 1, "known": 1}
"""What a write is made from."""

_OF_A_LEASE: Final = frozenset({"lease", "lapses"})


@dataclass(frozen=True, slots=True)
class Prepared:
    """A write of one object, not yet made, None: there is nothing to write; and how the object stands then.

    `changes` is how many tags it changes: one that changes none has no record that could tell later whether it was made.
    """

    write: Write | Creation | None
    standing: Standing
    changes: int


def prepare(
    asked: Asked,
    judgement: Judgement,
    terms: Terms,
    trace_id: str,
    document: Document | None,
    at: datetime,
    not_yet: Callable[[datetime], Document],
) -> Prepared:
    """The write of a judgement, of changes in the trace `trace_id`.

    `not_yet` makes the condition that the database's clock is before a time, for tags that change under a lease.
    """
    rows = {} if document is None else {row["name"]: row for row in document["tags"]}
    before = dict(rows)
    records = []
    changed: dict[str, Document | None] = {}
    for step in judgement.steps:
        records.append(_take(step, rows, trace_id, at))
        changed[step.change.name] = rows.get(step.change.name)
    known = kept.known(judgement.told, document, at, terms.actor)
    standing = Standing(
        asked.resource.id,
        tuple(map(tag_of, rows.values())),
        told_of({"known": known}),
        trace_id,
    )
    reply = None if terms.idempotency is None else kept.reply(asked, terms, standing, dict(rows) if asked.as_one else changed, at)
    new = {"tags": list(rows.values()), "known": known}
    if document is None:
        made = new_document(asked.resource, at) | new | {"seq": len(records), "outbox": records}
        return Prepared(Creation(made | ({} if reply is None else {"replies": [reply]})), standing, len(records))
    # Of an object that an earlier version first tagged nothing is known, and nothing is made up
    tells = known != document.get("known", None if judgement.told is not None else known)
    if not records and not tells and reply is None:
        return Prepared(None, standing, 0)
    update: Document = {"$set": {}, "$push": {}}
    query: Document = {"_id": asked.resource.key, "seq": document["seq"]}
    if records:
        query |= {f"outbox.{MAX_OUTBOX - len(records)}": {"$exists": False}, "lastAt": {"$lte": at}}
        query["$and"] = _leases(before, changed, not_yet)
        update["$set"] = {"lastAt": at, "tags": new["tags"]}
        update["$inc"] = {"seq": len(records)}
        update["$push"]["outbox"] = {"$each": records}
    if tells:
        query["known"] = document.get("known")  # it moves no `seq`
        update["$set"]["known"] = known
    if reply is not None:
        query["replies.key"] = {"$nin": list(kept.keys(asked, terms))}
        update["$push"]["replies"] = {"$each": [reply], "$slice": -KEPT_REPLIES}
    whole = {operator: members for operator, members in update.items() if members}
    query = {name: condition for name, condition in query.items() if condition != []}
    return Prepared(Write(Verb.SET, query, whole, records[0]["id"] if records else "", trace_id), standing, len(records))


def _take(step: Step, rows: dict[str, Document], trace_id: str, at: datetime) -> Document:
    """Takes a step in the rows; its record."""
    change, change_id = step.change, new_id()
    trace_id = change.conditions.trace_id or trace_id
    row = row_of(change, change_id, trace_id, at)
    if step.verb is Verb.DELETE:
        del rows[change.name]
    elif step.verb is Verb.ADD:
        rows[change.name] = row
    else:
        standing = {name: value for name, value in rows[change.name].items() if name not in _OF_A_LEASE}
        rows[change.name] = standing | row | {"since": standing["since"]}
    return record(change, step.verb, change_id, trace_id, at)


def _leases(
    before: dict[str, Document], changed: dict[str, Document | None], not_yet: Callable[[datetime], Document]
) -> list[Document]:
    """Every lease is as it was read, and those of tags that change run still."""
    untils = {name: row["lease"]["until"] for name, row in before.items() if row.get("lease") is not None}
    conditions: list[Document] = [
        {"tags": {"$elemMatch": {"name": name, "lease.until": until}}} for name, until in untils.items()
    ]
    ends = [until for name, until in untils.items() if name in changed]
    running = not_yet(min(ends)) if ends else {}
    return [*conditions, running] if running else conditions
