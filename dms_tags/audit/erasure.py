"""Erasing a person, or a reason: name, text and keys are dropped, the log keeps the commitments (API.md section 2).

Every proof holds as before, since none is over what goes.  Each step can be cut off and the order given again:

    1. the order is recorded, on the resource `actor/<the commitment>`
    2. the actor's key is marked: entries are made without the name from now on, and everything pending enters the trail
       (`dms_tags.audit.trail.actors`)
    3. the name goes from the entries, from what is kept to answer repeated requests, and from objects as their creator's
    4. the key goes, and with it the last place that has the name

The third goes for those too who have no entry: whom the DMS told as an object's creator, and who told of objects alone.

Entries of schema 1 have the name in their leaves, and keep it; so do files that were exported or archived before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from dms_tags.audit.trail.actors import ActorKeys
from dms_tags.audit.trail.commitments import actor_id
from dms_tags.audit.trail.trail import Trail
from dms_tags.errors import Gone, NotFound, TagExists
from dms_tags.model import Action, Actor, Change, Kind, Resource, Verb
from dms_tags.store.database import Database, store_errors
from dms_tags.store.indexes import EXPIRING
from dms_tags.store.registry import Registry
from dms_tags.tags.store import TagStore

TAG: Final = "erasure"
KINDS: Final = ("token", "jwt", "session", "cli", "none")
"""The kinds of actors that persons are."""

BATCH: Final = 1_000
RESOURCES: Final = 20_000
"""Documents that are looked through at once for kept answers, which no index finds by their actor."""


REPEATED_WITHIN: Final = timedelta(days=1)
"""For so long a claim is repeated at most, although its answer is kept until 32 others have come."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What an order did: to how many actors of the name, in how many entries; `keep` are those that hold the name for ever.

    `beside` is how often the name went from a resource's document, as its creator's or with the answers that were kept for it.
    """

    actors: int
    entries: int
    keep: int
    beside: int = 0


class Eraser:
    """Erases in one database.  Every method raises `StoreUnavailable` where MongoDB does not answer.

    `settle` sees to it that what is pending of a tenant when it is called is in the trail when it returns.
    `step` is called with the name of each step before it is made, and may raise: the seam at which tests cut an order off.
    """

    def __init__(
        self,
        database: Database,
        store: TagStore,
        settle: Callable[[str], None],
        *,
        step: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._database = database
        self._store = store
        self._settle = settle
        self._step = step
        self._trail = Trail(database)
        self._keys = ActorKeys(database)

    def erase(self, tenant: str, name: str, kind: str | None, by: Actor) -> Erased:
        """Erases the actors of a tenant that are called `name`, of one kind or of every kind."""
        self._settle(tenant)  # an actor whose first entry is on its way has a key once it is there
        entries = 0
        actors = self._keys.named(tenant, name, kind)
        for actor, key in actors.items():
            self._step("record")
            self._record(tenant, actor_id(key.commitment), actor.kind, by)
            self._step("mark")
            self._keys.mark(tenant, actor)
            self._settle(tenant)
            self._step("entries")
            entries += self._from_entries(tenant, actor)
        self._step("answers")
        beside = self._from_answers(tenant, name, KINDS if kind is None else (kind,))
        for actor in actors:
            self._step("key")
            self._keys.drop(tenant, actor)
        return Erased(len(actors), entries, self._earlier(tenant, name, kind), beside)

    def finish(self, tenant: str, ordered: Container[str]) -> list[Actor]:
        """Carries out what was ordered of actors, `ordered` their ids, in a database that nobody serves, as a restored one.

        Those of whom changes are pending keep a marked key, so that these enter the trail without the name; the order is to be
        given again for them.  They are returned.
        """
        pending = []
        for actor, key in self._keys.of_tenant(tenant):
            if actor_id(key.commitment) not in ordered:
                continue
            self._keys.mark(tenant, actor)
            self._from_entries(tenant, actor)
            self._from_answers(tenant, actor.name, (actor.kind,))
            if self._trail.awaits(tenant, actor):
                pending.append(actor)
            else:
                self._keys.drop(tenant, actor)
        return pending

    def erase_reason(self, tenant: str, position: int, by: Actor) -> None:
        """Erases the reason of one entry.  Raises `NotFound` where it has none, `Gone` where it was archived."""
        self._settle(tenant)
        cut = self._trail.cut(tenant)
        if position <= cut:
            raise Gone(f"the entries up to {cut} were archived, and the archive keeps what it has", cut + 1)
        entry = next(iter(self._trail.run(tenant, position - 1, position)), None)
        if entry is None or entry.get("reasonCommitment") is None:
            raise NotFound(f"the entry at position {position} has no reason that could be erased")
        state = {"position": position, "erased": ["reason"]}
        of = Resource(tenant, Kind.TRAIL, tenant)
        if entry["reason"] is not None and [state] != [tag.state for tag in self._store.read(of, TAG)]:
            self._store.change(Change(of, TAG, Verb.SET, by, state=state, action=Action.ACTOR_ERASED, max_tags=None))
        self._settle(tenant)  # whoever reads the entry without its reason finds the order in the trail
        self._step("reason")
        # What a repeated request is compared with was made of the reason too; of several tags set together there is one answer
        its_own = [{"name": entry["name"], "traceid": entry["traceId"]}, {"rows": {"$exists": True}}]
        with store_errors():
            self._database.tags.update_one(
                {"_id": f"{tenant}/{entry['resource']}"},
                {"$pull": {"replies": {"at": entry["creationDate"], "$or": its_own}, "claims": {"etag": entry["_id"]}}},
            )
        self._from_entry(entry["_id"], "reason", {"reason": None}, "reasonKey")

    def _from_entry(self, entry_id: str, member: str, without: Mapping[str, Any], *keys: str) -> None:
        """Takes a member from an entry, and says so beside what others take from it at the same moment."""
        while True:
            with store_errors():
                entry = self._trail.entries.find_one({"_id": entry_id}, {"erased": 1})
                if entry is None:
                    return  # archived meanwhile
                erased = sorted({*(entry["erased"] or ()), member})
                update = {"$set": {**without, "erased": erased}, **({"$unset": dict.fromkeys(keys, "")} if keys else {})}
                # Bound to what was read: else of two orders at once one would unsay what the other has taken
                if self._database.trail.update_one({"_id": entry_id, "erased": entry["erased"]}, update).matched_count:
                    return

    def _record(self, tenant: str, actor_id: str, kind: str, by: Actor) -> None:
        of, state = Resource(tenant, Kind.ACTOR, actor_id), {"actorKind": kind}
        with suppress(TagExists):  # the order was given before, and cut off
            self._store.change(Change(of, TAG, Verb.ADD, by, state=state, action=Action.ACTOR_ERASED, max_tags=None))

    def _from_entries(self, tenant: str, actor: Actor) -> int:
        """Takes the name from the actor's entries; to how many it was done."""
        done = position = 0
        while True:
            where = {"tenant": tenant, "createdBy": actor.name, "position": {"$gt": position}}
            with store_errors():
                wanted = {"resource": 1, "erased": 1, "position": 1, "schema": 1, "actorKind": 1}
                batch = list(
                    self._trail.entries.find(where, wanted, sort=[("position", 1)], limit=BATCH, hint="actor", batch_size=BATCH)
                )
                if not batch:
                    return done
                of_actor = [entry for entry in batch if entry["schema"] > 1 and entry["actorKind"] == actor.kind]
                ids = [entry["_id"] for entry in of_actor]
                keys = sorted({f"{tenant}/{entry['resource']}" for entry in of_actor})
                self._database.tags.update_many({"_id": {"$in": keys}}, {"$pull": {"claims": {"etag": {"$in": ids}}}})
                taken = 0
                for before in (None, ["reason"]):
                    some = [entry["_id"] for entry in of_actor if entry["erased"] == before]
                    nameless = {"$set": {"createdBy": None, "erased": ["createdBy", *(before or ())]}}
                    # Bound to what was read: else of two orders at once one would unsay what the other has taken
                    taken += self._database.trail.update_many({"_id": {"$in": some}, "erased": before}, nameless).modified_count
                done += taken
                if taken == len(of_actor):
                    position = batch[-1]["position"]  # else another order was at one of them meanwhile: they are looked at again

    def _from_answers(self, tenant: str, name: str, kinds: Sequence[str]) -> int:
        """Drops what is kept under the actors' idempotency keys, and the name where it is that of an object's creator; how often."""
        own = [Actor(name, kind).own("") for kind in kinds]
        theirs = {"$regex": f"^(?:{'|'.join(map(re.escape, own))})"}
        # Earlier versions did not keep whose a claim was; of those in the trail its entry tells
        long_ago = {"$lt": self._database.now() - REPEATED_WITHIN}
        whose = {"$or": [{"by": {"$in": own}}, {"by": {"$exists": False}, "creationDate": long_ago}]}
        tags = self._database.tags
        done = 0
        for documents in self._ranges(tenant):
            with store_errors():
                kept = tags.update_many({"_id": documents, "replies.key": theirs}, {"$pull": {"replies": {"key": theirs}}})
                done += kept.modified_count
                taken = tags.update_many({"_id": documents, "claims": {"$elemMatch": whose}}, {"$pull": {"claims": whose}})
                done += taken.modified_count
                for creator in ("known.by", "known.first.by"):
                    done += tags.update_many({"_id": documents, creator: name}, {"$set": {creator: None}}).modified_count
        for collection in EXPIRING:
            made = Registry(self._database, collection)
            for each in own:
                made.forget(f"{tenant}/{each}")
            if "session" in kinds and name not in KINDS:
                made.forget(f"{tenant}/{name}/")
        return done

    def _ranges(self, tenant: str) -> Iterator[Mapping[str, Any]]:
        """All documents of a tenant, in ranges of their ids: no look through them takes longer than a call may."""
        after = f"{tenant}/"
        while True:
            query = {"_id": {"$gt": after, "$lt": f"{tenant}0"}}  # 0 follows on the slash
            with store_errors():
                ends = list(self._database.tags.find(query, {"_id": 1}, sort=[("_id", 1)], skip=RESOURCES - 1, limit=1))
            if not ends:
                yield {"$gt": after, "$lt": f"{tenant}0"}
                return
            yield {"$gt": after, "$lte": ends[0]["_id"]}
            after = ends[0]["_id"]

    def _earlier(self, tenant: str, name: str, kind: str | None) -> int:
        where = {"tenant": tenant, "createdBy": name, "schema": 1} | ({} if kind is None else {"actorKind": kind})
        with store_errors():
            kept: int = self._database.trail.count_documents(where, hint="actor")
        return kept
