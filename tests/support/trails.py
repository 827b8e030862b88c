"""Trails for tests: valid ones of any length, made without a relay, and what signs them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from dms_tags.audit.log.keys import SigningKey
from dms_tags.audit.trail.commitments import commitment
from dms_tags.audit.trail.entry import Entry, removes
from dms_tags.model import Action, new_id
from dms_tags.settings import Settings
from dms_tags.store.database import Database

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def entries(
    count: int,
    *,
    tenant: str = "default",
    objects: int = 7,
    seed: int = 1,
    step: float = 1.0,
    by: str | None = None,
    earlier: int | None = None,
) -> Iterator[Entry]:
    """A valid trail: `count` entries on `objects` objects, one every `step` seconds, all `by` one actor or by several.

    The first `earlier`, by default a third, are of schema 1; of the others every tenth has a reason.
    """
    of_schema_1 = count // 3 if earlier is None else earlier
    chance = random.Random(seed)
    standing: dict[str, dict[str, tuple[int, str]]] = {}
    revisions: dict[str, int] = {}
    for position in range(1, count + 1):
        resource = f"object/{chance.randrange(objects)}"
        tags = standing.setdefault(resource, {})
        name = chance.choice(["ocr", "index", "export"])
        before = tags.get(name)
        removes = before is not None and chance.random() < 0.2
        action = Action.OBJECT_TAG_DELETED if removes else Action.OBJECT_TAG_UPDATED if before else Action.OBJECT_TAG_CREATED
        state = before[0] if removes and before else chance.randrange(-3, 10)
        trace = f"{chance.randrange(20):016x}"
        author = chance.choice(["anna", "ocr-worker", "Jürgen \N{GRINNING FACE}"])
        revisions[resource] = revisions.get(resource, 0) + 1
        moment = BEGIN + timedelta(seconds=position * step)
        entry = {
            "_id": new_id(),
            "schema": 1,
            "tenant": tenant,
            "position": position,
            "resource": resource,
            "objectId": resource.partition("/")[2],
            "within": None,
            "revision": revisions[resource],
            "action": int(action),
            "actionName": action.name,
            "name": name,
            "state": state,
            "previousState": before and before[0],
            "traceId": trace,
            "previousTraceId": before and before[1],
            "createdBy": by or author,
            "actorKind": "token",
            "creationDate": moment,
            "recordedAt": moment,
        }
        if position > of_schema_1:
            committed = commitment(actor_key(tenant, by or author), by or author)
            entry |= {"schema": 2, "actorCommitment": committed, "reason": None, "reasonCommitment": None, "erased": None}
            if position % 10 == 0:
                key = sha256(str(position).encode()).digest()
                reason = f"because of {position}"
                entry |= {"reason": reason, "reasonKey": key, "reasonCommitment": commitment(key, reason)}
        yield entry
        if removes:
            del tags[name]
        else:
            tags[name] = (state, trace)


def fill(database: Database, count: int, **options: Any) -> list[Entry]:
    """Puts a valid trail of `count` entries into the database."""
    made = list(entries(count, **options))
    if database.mock and len(database.trail.index_information()) > 1:
        database.trail.drop_indexes()  # the store in memory would compare each entry with all others
        database.trail.insert_many(made)
        database.prepare()
    else:
        database.trail.insert_many(made)
    place_tags(database, made)
    return made


def actor_key(tenant: str, name: str) -> bytes:
    """The key of an actor of these trails."""
    return sha256(f"{tenant}/{name}".encode()).digest()


def place_keys(database: Database, trail: list[Entry]) -> None:
    """Puts the keys of a trail's actors into the database, as the relay that wrote it would have."""
    for tenant, name in {(entry["tenant"], entry["createdBy"]) for entry in trail}:
        key = {"tenant": tenant, "kind": "token", "name": name, "key": actor_key(tenant, name)}
        database.collection("actor_keys").update_one({"_id": f"{tenant}/token/{name}"}, {"$set": key}, upsert=True)


def place_tags(database: Database, trail: list[Entry]) -> None:
    """Puts the tags into the database that a trail leaves, as if the relay had moved every change, and its actors' keys."""
    place_keys(database, trail)
    documents: dict[str, dict[str, Any]] = {}
    for entry in trail:
        key = f"{entry['tenant']}/{entry['resource']}"
        kind, _, resource_id = entry["resource"].partition("/")
        fresh = {"_id": key, "tenant": entry["tenant"], "kind": kind, "id": resource_id, "tags": [], "outbox": [], "replies": []}
        document = documents.setdefault(key, fresh)
        document |= {"seq": entry["revision"], "lastAt": entry["creationDate"]}
        rows = {row["name"]: row for row in document["tags"]}
        if removes(entry):
            del rows[entry["name"]]
        else:
            rows.setdefault(entry["name"], {"name": entry["name"], "since": entry["creationDate"]}).update(
                state=entry["state"], traceid=entry["traceId"], creationDate=entry["creationDate"], etag=entry["_id"]
            )
        document["tags"] = list(rows.values())
        told = {row["name"]: {"state": row["state"], "traceid": row["traceid"]} for row in document["tags"]}
        document["trail"] = {"revision": entry["revision"], "tags": told}
    if documents:
        database.tags.insert_many(documents.values())


def keyed(settings: Settings, folder: Path, name: str = "signing.key") -> Settings:
    """The settings with a signing key of their own."""
    from dataclasses import replace

    file = folder / name
    if not file.exists():
        SigningKey.create(file)
    return replace(settings, signing_key_file=file, log_origin="log.example/audit")
