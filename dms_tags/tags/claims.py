"""Claims: the next object of a statement, its tag set in the same write that proves it still is one (API.md section 3).

Every change of an object moves its `seq`, so a candidate that is written under the `seq` it was read with still is what
the statement asked for, and nobody else has it.

What an idempotency key takes is numbered from 0, and a unique index on key and number lets one request alone take each:
of two equal requests at the same moment the later one meets the number taken, and is answered as the first one was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from time import monotonic
from typing import Final

from pymongo.errors import DuplicateKeyError

from dms_tags.counters import count_claim, count_lease
from dms_tags.errors import Busy, IdempotencyKeyReused
from dms_tags.model import MAX_TAGS, Actor, Change, Conditions, Idempotency, Kind, Resource, Tag, Verb
from dms_tags.query.compiler import Plan, Scope, compile_statement
from dms_tags.query.filters import Filter
from dms_tags.query.moments import Clock
from dms_tags.query.statement import Statement
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document, tag_of
from dms_tags.store.waiting import awaited
from dms_tags.tags.finder import Finder
from dms_tags.tags.groups import Groups
from dms_tags.tags.leases import Leases
from dms_tags.tags.pools import Pools
from dms_tags.tags.service import RuleBook
from dms_tags.tags.writes import KEPT_REPLIES, Write, compose

MAX_LOST: Final = 40
"""Candidates that a claim may lose to others before it gives up (API.md section 3)."""

MAX_LIMIT: Final = 100
MAX_LEASE_SECONDS: Final = 86_400

LONGEST_SECONDS: Final = 20.0
"""A claim has been answered, or has died, after so many seconds (API.md section 1, row 503)."""

PATIENCE: Final = 4.0
"""Seconds for which the repetition of a claim waits for the first one to end."""


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


@dataclass(frozen=True, slots=True)
class Claimed:
    """An object that was claimed: all its tags, the claimed one among them, and how often in a row it was claimed.

    `replayed` says that it was claimed by an earlier, equal request.
    """

    object_id: str
    tag: Tag
    tags: tuple[Tag, ...]
    attempts: int
    replayed: bool = False


class Claims:
    """Claims of one process."""

    def __init__(
        self,
        database: Database,
        leases: Leases,
        definitions: RuleBook,
        clock: Callable[[], Clock],
        groups: Groups,
        own: Callable[[], datetime] | None = None,
    ) -> None:
        self._database = database
        self._leases = leases
        self._definitions = definitions
        self._clock = clock
        self._groups = groups
        self._own = own or database.clock.recorded
        self._pools = Pools(Finder(database))
        # mongomock has no such index: there one process is all there is, and claims under keys take turns in it
        self._turn: AbstractContextManager[object] = threading.Lock() if database.mock else nullcontext()

    def claim(self, claim: Claim) -> list[Claimed]:
        """Claims up to `limit` objects; none where a look that began after the call found none.

        Raises `InvalidQuery` for a statement that runs for too long, `UnknownState`, `IdempotencyKeyReused`, `StoreUnavailable`.
        """
        if claim.idempotency is None:
            return self._claim(claim)
        with self._turn:
            return self._replayed(claim, claim.idempotency) or self._claim(claim)

    def _claim(self, claim: Claim) -> list[Claimed]:
        """Claims up to `limit` objects that are nobody's yet."""
        forbidden, initial = self._rules(claim)
        scope = Scope(claim.tenant, _claimable(claim.name, forbidden, initial=initial))
        pool = self._pools.of((claim.statement, claim.name, scope.tenant, forbidden, initial))
        claimed: list[Claimed] = []
        since, lost, lost_in_a_row, took_back = monotonic(), 0, 0, False
        while len(claimed) < claim.limit and lost < MAX_LOST:
            candidate = pool.take(lambda: self._plan(claim, scope), since, lost_in_a_row)
            if candidate is None:
                if claimed or took_back:
                    break
                # What a dead worker held may be due by now.  Whoever takes it back, the look after that finds it
                self._leases.take_back(claim.tenant)
                since, took_back = monotonic(), True
                continue
            try:
                won = self._write(claim, candidate, forbidden, len(claimed))
            except DuplicateKeyError:
                # An equal request is at it: what it took is the answer to this one too
                return self._await(claim)
            if won is None:
                count_claim("lost")
                lost, lost_in_a_row = lost + 1, lost_in_a_row + 1
            else:
                count_claim("won")
                lost_in_a_row = 0
                claimed.append(won)
        if not claimed:
            count_claim("none")
        if claim.idempotency is not None and 0 < len(claimed) < claim.limit:
            self._mark_whole(claim, claim.idempotency, claimed)
        return claimed

    def _await(self, claim: Claim) -> list[Claimed]:
        """What the equal request that is a moment ahead has taken, once it has taken all it takes."""
        if claim.idempotency is None:
            raise TypeError("only what is claimed under a key can meet an equal claim")
        idempotency = claim.idempotency
        replayed = awaited(lambda: self._replayed(claim, idempotency) or None, PATIENCE)
        if replayed is not None:
            return replayed
        raise Busy("an equal request under this Idempotency-Key is not done yet; send it again")

    def _replayed(self, claim: Claim, idempotency: Idempotency) -> list[Claimed]:
        """What an earlier request with the same key claimed, as far as a majority has it; none where that is not all of it yet.

        Raises `IdempotencyKeyReused` where it was another request.
        """
        owner = _owner(claim, idempotency)
        query = {"tenant": claim.tenant, "claims": {"$elemMatch": {"id": {"$gte": f"{owner}/", "$lt": f"{owner}0"}}}}
        with store_errors():
            settled = self._database.majority(self._database.tags)
            documents = list(settled.find(query, {"id": 1, "tags": 1, "claims": 1}, limit=MAX_LIMIT))
        taken = [(document, kept) for document in documents for kept in document["claims"] if kept["id"].startswith(f"{owner}/")]
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

    def _mark_whole(self, claim: Claim, idempotency: Idempotency, claimed: list[Claimed]) -> None:
        """Notes that a key has taken all it takes, where that is less than it could: a repetition need not wait for more."""
        key = Resource(claim.tenant, Kind.OBJECT, claimed[0].object_id).key
        query = {"_id": key, "claims": {"$elemMatch": {"id": f"{_owner(claim, idempotency)}/{0:03d}"}}}
        with store_errors():
            self._database.tags.update_one(query, {"$set": {"claims.$.whole": True}})

    def _plan(self, claim: Claim, scope: Scope) -> Plan:
        return compile_statement(claim.statement, scope, self._clock())

    def _rules(self, claim: Claim) -> tuple[tuple[int, ...], bool]:
        """The states that may not be left for the claim's, and whether a tag may begin in it."""
        rules = self._definitions.rules(claim.tenant, claim.name)
        if rules is None:
            return (), True
        return rules.forbidden_from(claim.state), rules.is_initial(claim.state)

    def _write(self, claim: Claim, candidate: Document, forbidden: tuple[int, ...], number: int) -> Claimed | None:
        """The one write, of the `number`-th object of the claim.  None: the object was changed since it was read.

        Raises `DuplicateKeyError` where an equal request has the number already.
        """
        row = next((row for row in candidate["tags"] if row["name"] == claim.name), None)
        attempts = _attempts(candidate, row, claim.name) + 1
        change = Change(
            Resource(claim.tenant, Kind.OBJECT, candidate["id"]),
            claim.name,
            Verb.SET,
            claim.actor,
            claim.state,
            claim.trace_id,
            Conditions(etags=None if row is None else (row["etag"],), forbidden_from=forbidden),
        )
        write = compose(change, Verb.ADD if row is None else Verb.UPDATE, max(self._own(), candidate["lastAt"]))
        write.query["seq"] = candidate["seq"]
        if row is None:
            write.update["$unset"] = {f"attempts.{claim.name}": ""}
        if claim.lease_seconds is not None:
            lease = {"until": self._leases.until(claim.lease_seconds), "back": row and row["state"], "attempts": attempts}
            _add(write, "lease", lease)
        if claim.idempotency is not None:
            kept = _kept(write, claim.idempotency, attempts)
            kept["id"] = f"{_owner(claim, claim.idempotency)}/{number:03d}"
            write.update["$push"]["claims"] = {"$each": [kept], "$slice": -KEPT_REPLIES}
        if not self._groups.make(write):
            return None
        if claim.lease_seconds is not None:
            count_lease("granted")
        return _claimed(candidate, change, write, attempts)


def _owner(claim: Claim, idempotency: Idempotency) -> str:
    """Whose key it is: the actor's, for one tag.  As a digest, since what it is made of may be long."""
    whose = "\n".join((claim.actor.kind, claim.actor.name, claim.name, idempotency.key))
    return sha256(whose.encode()).hexdigest()[:32]


def _replay(name: str, document: Document, kept: Document) -> Claimed:
    """An object as the claim that took it was answered; its other tags are as they are."""
    tags = {tag.name: tag for tag in map(tag_of, document["tags"])}
    since = tags[name].since if name in tags else kept["creationDate"]
    first = Tag(name, kept["state"], kept["traceid"], kept["creationDate"], kept["etag"], since)
    tags[name] = first
    return Claimed(document["id"], first, tuple(tags.values()), kept["attempts"], replayed=True)


def _claimed(candidate: Document, change: Change, write: Write, attempts: int) -> Claimed:
    """What a claim got: under the `seq` that they were read with, the object's other rows are as they were read."""
    tags = {tag.name: tag for tag in map(tag_of, candidate["tags"])}
    before = tags.get(change.name)
    claimed = write.outcome(change, None if before is None else before.since).tag
    if claimed is None:
        raise TypeError("a claim removes no tag")
    tags[claimed.name] = claimed
    return Claimed(candidate["id"], claimed, tuple(tags.values()), attempts)


def _claimable(name: str, forbidden: tuple[int, ...], *, initial: bool) -> tuple[Filter, ...]:
    """What an object must match besides the statement: its tag not leased, nor in a state that it may not leave.

    An object that lacks the tag must have room for it, and the tag must be one that may begin so.
    """
    taken: list[Filter] = [{"lease": {"$ne": None}}]
    if forbidden:
        taken.append({"state": {"$in": list(forbidden)}})
    free = {"tags": {"$not": {"$elemMatch": {"name": name, "$or": taken}}}}
    has = {"tags.name": name}
    return free, {"$or": [has, {f"tags.{MAX_TAGS - 1}": {"$exists": False}}]} if initial else has


def _add(write: Write, member: str, value: Document) -> None:
    """One more member of the tag that the write sets."""
    if write.verb is Verb.ADD:
        write.update["$push"]["tags"][member] = value
    else:
        write.update["$set"][f"tags.$.{member}"] = value


def _kept(write: Write, idempotency: Idempotency, attempts: int) -> Document:
    """What a repetition of the claim is answered with, also when others have changed the tag since."""
    return {
        "fingerprint": idempotency.fingerprint,
        "state": write.record["state"],
        "traceid": write.record["traceid"],
        "creationDate": write.record["at"],
        "etag": write.change_id,
        "attempts": attempts,
    }


def _attempts(candidate: Document, row: Document | None, name: str) -> int:
    """How often in a row the tag was claimed and came back unfinished."""
    if row is None:
        kept: int = candidate.get("attempts", {}).get(name, 0)
        return kept
    lapses = row.get("lapses")
    return int(lapses["attempts"]) if lapses is not None and lapses["etag"] == row["etag"] else 0
