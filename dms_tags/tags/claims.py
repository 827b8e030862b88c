"""Claims: the next object of a statement, its tag set in the same write that proves it still is one (API.md section 3).

Every change of an object moves its `seq`, so a candidate that is written under the `seq` it was read with still is what
the statement asked for, and nobody else has it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Final

from pymongo.errors import DuplicateKeyError

from dms_tags.counters import count_claim, count_lease
from dms_tags.errors import Busy, StoreUnavailable
from dms_tags.model import MAX_TAGS, Change, Conditions, Kind, Resource, Verb
from dms_tags.query.compiler import Plan, Scope, Typed, compile_statement
from dms_tags.query.filters import Filter
from dms_tags.query.moments import Clock
from dms_tags.query.pinned import untagged
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document, tag_of, told_of
from dms_tags.store.waiting import awaited
from dms_tags.tags.claim_keys import Claim, Claimed, ClaimKeys, kept
from dms_tags.tags.finder import Finder
from dms_tags.tags.leases import Leases
from dms_tags.tags.pools import Pools
from dms_tags.tags.service import RuleBook
from dms_tags.tags.store import TagStore
from dms_tags.tags.writes import KEPT_REPLIES, Write, compose, creation

MAX_LOST: Final = 40
"""Candidates that a claim may lose to others before it gives up (API.md section 3)."""

CONTENDED_SECONDS: Final = 4.0
"""For so long a claim goes on with objects that others change at the same moment, and that may still be its own."""

MEETINGS: Final = 20
"""So often a claim passes over objects that it has already, before it takes them for all that there are."""

MAX_LEASE_SECONDS: Final = 86_400


PATIENCE: Final = 4.0
"""Seconds for which the repetition of a claim waits for the first one to end."""


class Claims:
    """Claims of one process."""

    def __init__(
        self,
        database: Database,
        leases: Leases,
        definitions: RuleBook,
        clock: Callable[[], Clock],
        store: TagStore,
        typed: Typed,
        own: Callable[[], datetime] | None = None,
    ) -> None:
        self._database = database
        self._leases = leases
        self._definitions = definitions
        self._clock = clock
        self._groups = store.groups
        self._store = store
        self._typed = typed
        self._own = own or database.clock.recorded
        self._keys = ClaimKeys(database, self._own)
        self._pools = Pools(Finder(database))
        # mongomock has no such index: there one process is all there is, and claims under keys take turns in it
        self._turn: AbstractContextManager[object] = threading.Lock() if database.mock else nullcontext()

    def claim(self, claim: Claim) -> list[Claimed]:
        """Claims up to `limit` objects; none where a look that began after the call found none.

        Raises `InvalidQuery` for a statement that runs for too long, `UnknownState`, `ReasonRequired`, `IdempotencyKeyReused`, `StoreUnavailable`.
        """
        if claim.idempotency is None:
            return self._claim(claim)
        with self._turn:
            return self._keys.replayed(claim, claim.idempotency) or self._claim(claim)

    def _claim(self, claim: Claim) -> list[Claimed]:
        """Claims up to `limit` objects that are nobody's yet."""
        forbidden, initial = self._rules(claim)
        typed = self._typed(claim.tenant, claim.statement)
        taking = _Taking(forbidden, initial, monotonic(), typed)
        fresh = untagged(claim.statement) if initial and not typed else ()
        try:
            self._take_known(claim, taking)
            if fresh and len(taking.claimed) < claim.limit and not taking.over:
                self._take_fresh(claim, fresh, taking)
                # Others may have tagged one of them since the look: it is known now, and may still be claimed
                self._take_known(claim, taking)
        except DuplicateKeyError:
            # An equal request is at it: what it took is the answer to this one too
            taking.give_up_turn()
            return self._await(claim)
        except StoreUnavailable as error:
            if not taking.claimed:
                raise
            if error.uncertain:
                names = ", ".join(each.object_id for each in taking.claimed)
                raise StoreUnavailable(
                    f"{len(taking.claimed)} objects were claimed ({names}); whether one more was is not known: "
                    "under an Idempotency-Key the same request tells, else reading the tags does",
                    uncertain=True,
                ) from error
            # What is claimed is claimed: fewer than could be is an answer, nothing is none
        finally:
            taking.give_up_turn()
        claimed = taking.claimed
        if not claimed:
            if claim.idempotency is not None and self._keys.taken(claim, claim.idempotency):
                return self._await(claim)
            count_claim("none")
        if claim.idempotency is not None and 0 < len(claimed) < claim.limit:
            with suppress(StoreUnavailable):  # without the note a repetition only waits longer
                self._keys.mark_whole(claim, claim.idempotency, claimed)
        return claimed

    def _take_known(self, claim: Claim, taking: _Taking) -> None:
        """Takes objects that have or had a tag.  Raises `DuplicateKeyError` where an equal request took one."""
        scope = Scope(claim.tenant, _claimable(claim.name, taking.forbidden, initial=taking.initial), taking.typed)
        pool = self._pools.of((claim.statement, claim.name, scope.tenant, taking.forbidden, taking.initial, taking.typed))
        since, lost_in_a_row, took_back, met_again = monotonic(), 0, False, 0
        while len(taking.claimed) < claim.limit and not taking.over:
            candidate = pool.take(lambda: self._plan(claim, scope), since, lost_in_a_row)
            if candidate is None:
                if taking.claimed or took_back:
                    return
                # What a dead worker held may be due by now.  Whoever takes it back, the look after that finds it
                self._leases.take_back(claim.tenant)
                since, took_back = monotonic(), True
                continue
            if any(each.object_id == candidate["id"] for each in taking.claimed):
                # A claim may leave its object a match: it is taken once all the same
                met_again += 1
                if met_again > MEETINGS:
                    return
                continue
            won = self._write(claim, candidate, taking.forbidden, len(taking.claimed))
            count_claim("lost" if won is None else "won")
            if won is None:
                lost_in_a_row += 1
                if candidate["id"] in taking.lost:
                    # It may still be its own, and others of this process are after it too: they take turns from here on
                    taking.wait_for(self._store.turn(Resource(claim.tenant, Kind.OBJECT, candidate["id"])))
                taking.lost.add(candidate["id"])
                if claim.idempotency is not None and not taking.claimed and self._keys.taken(claim, claim.idempotency):
                    return  # to an equal request, whose answer is this one's too
            else:
                lost_in_a_row = 0
                taking.claimed.append(won)

    def _take_fresh(self, claim: Claim, fresh: Sequence[str], taking: _Taking) -> None:
        """Takes objects that the statement names and nobody ever tagged.

        Raises `DuplicateKeyError` where an equal request took one.
        """
        resources = [Resource(claim.tenant, Kind.OBJECT, object_id) for object_id in fresh]
        with store_errors():
            documents = self._database.tags.find({"_id": {"$in": [resource.key for resource in resources]}}, {"_id": 1})
            known = {document["_id"] for document in documents}
        for resource in resources:
            if resource.key in known or len(taking.claimed) >= claim.limit:
                continue
            try:
                taking.claimed.append(self._create(claim, resource, len(taking.claimed)))
            except DuplicateKeyError as error:
                if "_id" not in (error.details or {}).get("keyPattern", ("_id",)):
                    raise
                count_claim("lost")
            else:
                count_claim("won")

    def _await(self, claim: Claim) -> list[Claimed]:
        """What the equal request that is a moment ahead has taken, once it has taken all it takes."""
        if claim.idempotency is None:
            raise TypeError("only what is claimed under a key can meet an equal claim")
        idempotency = claim.idempotency
        replayed = awaited(lambda: self._keys.replayed(claim, idempotency) or None, PATIENCE)
        if replayed is not None:
            return replayed
        raise Busy("an equal request under this Idempotency-Key is not done yet; send it again")

    def _plan(self, claim: Claim, scope: Scope) -> Plan:
        return compile_statement(claim.statement, scope, self._clock())

    def _rules(self, claim: Claim) -> tuple[tuple[int, ...], bool]:
        """The states that may not be left for the claim's, and whether a tag may begin in it."""
        rules = self._definitions.rules(claim.tenant, claim.name)
        if rules is None:
            return (), True
        rules.require_reason(claim.state, claim.reason)
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
            # A claim for good leaves the tag to the trace that owns it; a lease makes the claimer its owner
            row["traceid"] if row is not None and claim.lease_seconds is None else claim.trace_id,
            Conditions(etags=None if row is None else (row["etag"],), forbidden_from=forbidden),
            reason=claim.reason,
        )
        write = compose(change, Verb.ADD if row is None else Verb.UPDATE, max(self._own(), candidate["lastAt"]))
        write.query["seq"] = candidate["seq"]
        if row is None:
            write.update["$unset"] = {f"attempts.{claim.name}": ""}
        if claim.lease_seconds is not None:
            lease = {"until": self._leases.until(claim.lease_seconds), "back": row and row["state"], "attempts": attempts}
            _add(write, "lease", lease)
        if claim.idempotency is not None:
            kept_answer = kept(write, claim, claim.idempotency, number, attempts)
            # The unique index tells documents apart, not the members of one
            write.query["claims.id"] = {"$ne": kept_answer["id"]}
            write.update["$push"]["claims"] = {"$each": [kept_answer], "$slice": -KEPT_REPLIES}
        if not self._groups.make(write):
            return None
        if claim.lease_seconds is not None:
            count_lease("granted")
        return _claimed(candidate, change, write, attempts)

    def _create(self, claim: Claim, resource: Resource, number: int) -> Claimed:
        """The making of an object's document, as the `number`-th object of the claim.

        Raises `DuplicateKeyError` where it has one by now, or an equal request has the number already.
        """
        change = Change(resource, claim.name, Verb.ADD, claim.actor, claim.state, claim.trace_id, reason=claim.reason)
        made = creation(change, self._own())
        if claim.lease_seconds is not None:
            made.document["tags"][0]["lease"] = {"until": self._leases.until(claim.lease_seconds), "back": None, "attempts": 1}
        if claim.idempotency is not None:
            made.document["claims"] = [kept(made, claim, claim.idempotency, number, 1)]
        self._groups.make(made)
        if claim.lease_seconds is not None:
            count_lease("granted")
        (tag,) = map(tag_of, made.document["tags"])
        return Claimed(resource.id, tag, (tag,), 1)


@dataclass(slots=True)
class _Taking:
    """How far a claim is: what it has, and which objects others took from under its hands."""

    forbidden: tuple[int, ...]
    initial: bool
    began: float
    typed: bool
    claimed: list[Claimed] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    turn: threading.Lock | None = None

    def wait_for(self, turn: threading.Lock) -> None:
        """Takes a turn, if it has none yet and it comes in time."""
        if self.turn is None and turn.acquire(timeout=max(0.0, self.began + CONTENDED_SECONDS - monotonic())):
            self.turn = turn

    def give_up_turn(self) -> None:
        """Lets the next one have it."""
        if self.turn is not None:
            self.turn.release()
            self.turn = None

    @property
    def over(self) -> bool:
        """Whether it has lost as many objects as it may, or too much time over them."""
        return len(self.lost) >= MAX_LOST or (bool(self.lost) and self.began + CONTENDED_SECONDS < monotonic())


def _claimed(candidate: Document, change: Change, write: Write, attempts: int) -> Claimed:
    """What a claim got: under the `seq` that they were read with, the object's other rows are as they were read."""
    tags = {tag.name: tag for tag in map(tag_of, candidate["tags"])}
    before = tags.get(change.name)
    claimed = write.outcome(change, None if before is None else before.since).tag
    if claimed is None:
        raise TypeError("a claim removes no tag")
    tags[claimed.name] = claimed
    return Claimed(candidate["id"], claimed, tuple(tags.values()), attempts, told_of(candidate))


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


def _attempts(candidate: Document, row: Document | None, name: str) -> int:
    """How often in a row the tag was claimed and came back unfinished."""
    if row is None:
        kept: int = candidate.get("attempts", {}).get(name, 0)
        return kept
    lapses = row.get("lapses")
    return int(lapses["attempts"]) if lapses is not None and lapses["etag"] == row["etag"] else 0
