"""What is claimed under an idempotency key, and what a repetition of the claim is answered with (API.md section 3).

What a key takes is numbered from 0, and a unique index on key and number lets one request alone take each: of two equal
requests at the same moment the later one meets the number taken, and is answered as the first one was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from dms_tags.errors import IdempotencyKeyReused
from dms_tags.model import Actor, Idempotency, Kind, Properties, Resource, Tag
from dms_tags.query.statement import Statement
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document, tag_of, told_of
from dms_tags.tags.writes import Creation, Write

MAX_LIMIT: Final = 100

LONGEST_SECONDS: Final = 20.0
"""A claim has been answered, or has died, after so many seconds (API.md section 1, row 503)."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a caller wants: up to `limit` objects of the statement, the tag `name` set to `state` on each.

    `lease_seconds` makes it a lease, None: it is for good.  An idempotency key is kept with the objects that were claimed under
    it, the last 32 of each.
    """

    tenant: str
    statement: Statement
    name: str
    state: int
    actor: Actor
    trace_id: str | None = None
    limit: int = 1
    lease_seconds: int | None = None
    idempotency: Idempotency | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """An object that was claimed: all its tags, the claimed one among them, and how often in a row it was claimed.

    `told` is what the DMS told of the object, None: nothing.  `replayed` says that it was claimed by an earlier, equal request.
    """

    object_id: str
    tag: Tag
    tags: tuple[Tag, ...]
    attempts: int
    told: Properties | None = None
    replayed: bool = False


class ClaimKeys:
    """The keys of one database's claims.  `own` tells the time as changes are recorded with it."""

    def __init__(self, database: Database, own: Callable[[], datetime]) -> None:
        self._database = database
        self._own = own

    def replayed(self, claim: Claim, idempotency: Idempotency) -> list[Claimed]:
        """What an earlier request with the same key claimed, as far as a majority has it; none where that is not all of it yet.

        Raises `IdempotencyKeyReused` where it was another request.
        """
        whose = owner(claim, idempotency)
        query = _under(claim, idempotency)
        with store_errors():
            settled = self._database.majority(self._database.tags)
            documents = list(settled.find(query, {"id": 1, "tags": 1, "claims": 1, "known": 1}, limit=MAX_LIMIT))
        taken = [(document, kept) for document in documents for kept in document["claims"] if kept["id"].startswith(f"{whose}/")]
        if any(kept["fingerprint"] != idempotency.fingerprint for _, kept in taken):
            raise IdempotencyKeyReused(
                f"the Idempotency-Key {idempotency.key!r} came with another request before; use a new key for a new request"
            )
        if not taken:
            return []
        newest = max(kept["creationDate"] for _, kept in taken)
        whole = len(taken) >= claim.limit or any(kept.get("whole") for _, kept in taken)
        if not whole and self._own() - newest < timedelta(seconds=LONGEST_SECONDS):
            return []
        return [_replay(claim.name, document, kept) for document, kept in sorted(taken, key=lambda of: str(of[1]["id"]))]

    def taken(self, claim: Claim, idempotency: Idempotency) -> bool:
        """Whether an equal request has taken anything, be it that no majority has it yet."""
        with store_errors():
            return self._database.tags.find_one(_under(claim, idempotency), {"_id": 1}) is not None

    def mark_whole(self, claim: Claim, idempotency: Idempotency, claimed: list[Claimed]) -> None:
        """Notes that a key has taken all it takes, where that is less than it could: a repetition need not wait for more."""
        key = Resource(claim.tenant, Kind.OBJECT, claimed[0].object_id).key
        query = {"_id": key, "claims": {"$elemMatch": {"id": f"{owner(claim, idempotency)}/{0:03d}"}}}
        with store_errors():
            self._database.tags.update_one(query, {"$set": {"claims.$.whole": True}})


def _under(claim: Claim, idempotency: Idempotency) -> Document:
    """Finds the objects that were claimed under the key."""
    whose = owner(claim, idempotency)
    return {"tenant": claim.tenant, "claims": {"$elemMatch": {"id": {"$gte": f"{whose}/", "$lt": f"{whose}0"}}}}


def owner(claim: Claim, idempotency: Idempotency) -> str:
    """Whose key it is: the actor's, for one tag.  As a digest, since what it is made of may be long."""
    whose = "\n".join((claim.actor.kind, claim.actor.name, claim.name, idempotency.key))
    return sha256(whose.encode()).hexdigest()[:32]


def _replay(name: str, document: Document, kept: Document) -> Claimed:
    """An object as the claim that took it was answered; its other tags are as they are."""
    tags = {tag.name: tag for tag in map(tag_of, document["tags"])}
    since = tags[name].since if name in tags else kept["creationDate"]
    first = Tag(name, kept["state"], kept["traceid"], kept["creationDate"], kept["etag"], since)
    tags[name] = first
    return Claimed(document["id"], first, tuple(tags.values()), kept["attempts"], told_of(document), replayed=True)


def kept(write: Write | Creation, claim: Claim, idempotency: Idempotency, number: int, attempts: int) -> Document:
    """What a repetition of the claim is answered with, also when others have changed the tag since, of its `number`-th object."""
    return {
        "id": f"{owner(claim, idempotency)}/{number:03d}",
        "by": claim.actor.own(""),  # id and fingerprint are digests that a name could be tried against: they go with the actor
        "fingerprint": idempotency.fingerprint,
        "state": write.record["state"],
        "traceid": write.record["traceid"],
        "creationDate": write.record["at"],
        "etag": write.change_id,
        "attempts": attempts,
    }
