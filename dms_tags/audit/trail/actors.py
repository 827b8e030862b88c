"""The keys of actors: `actor_keys` has one for each tenant, actor kind and name, { _id, tenant, kind, name, key, erasing }.

The relay makes a key when it first meets an actor, and looks the keys of a batch up anew each time, after it has read the
outboxes.  So an order to erase an actor has to wait only for what was pending when it marked the key: whatever a relay wrote
that had not seen the mark is in the trail by then, and whatever comes later has no name (`dms_tags.audit.erasure`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final

from pymongo.errors import DuplicateKeyError

from dms_tags.audit.trail.commitments import ActorKey, commitment, new_key
from dms_tags.bounded import Bounded
from dms_tags.errors import StoreUnavailable
from dms_tags.model import Actor
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document
from dms_tags.store.waiting import awaited

REMEMBERED: Final = 10_000
"""Commitments that a process keeps worked out; they follow from key and name alone, so they are never stale."""

PATIENCE: Final = 4.0

OfTenant = tuple[str, Actor]
"""A tenant, and an actor in it."""


class ActorKeys:
    """The keys of one database.  Every method raises `StoreUnavailable` where MongoDB does not answer.

    They are read with majority: an entry must not rest on a key that a fail-over takes back.
    """

    def __init__(self, database: Database) -> None:
        self._keys = database.collection("actor_keys")
        self._settled = database.majority(self._keys)
        self._commitments: Bounded[tuple[bytes, str], str] = Bounded(REMEMBERED)

    def make(self, actors: Iterable[OfTenant]) -> Mapping[OfTenant, ActorKey]:
        """The keys of actors who had none: new ones, or those that another relay has made meanwhile."""
        wanted = {_id(*each): each for each in actors}
        for key_id, (tenant, actor) in wanted.items():
            document = {"_id": key_id, "tenant": tenant, "kind": actor.kind, "name": actor.name, "key": new_key()}
            with suppress(DuplicateKeyError), store_errors():
                self._keys.insert_one(document)
        standing = awaited(lambda: self._all(wanted), PATIENCE)
        if standing is None:
            raise StoreUnavailable("another relay is just making the key of an actor")
        return {wanted[key_id]: self._key(document) for key_id, document in standing.items()}

    def standing(self, actors: Iterable[OfTenant]) -> Mapping[OfTenant, ActorKey]:
        """The keys of those of the actors that have one, in one look; those too that are being erased."""
        wanted = {_id(*each): each for each in actors}
        return {wanted[key_id]: self._key(document) for key_id, document in self._read(wanted).items()}

    def of_tenant(self, tenant: str) -> Iterator[tuple[Actor, ActorKey]]:
        """All keys of a tenant; those too of actors that are being erased."""
        with store_errors():
            for document in self._settled.find({"tenant": tenant}):
                yield Actor(document["name"], document["kind"]), self._key(document)

    def named(self, tenant: str, name: str, kind: str | None = None) -> Mapping[Actor, ActorKey]:
        """The keys of the actors called `name`, of one kind or of all; those too that are being erased."""
        where: Document = {"tenant": tenant, "name": name} | ({} if kind is None else {"kind": kind})
        with store_errors():
            return {Actor(document["name"], document["kind"]): self._key(document) for document in self._settled.find(where)}

    def mark(self, tenant: str, actor: Actor) -> None:
        """From now on entries of the actor are made without its name."""
        with store_errors():
            self._keys.update_one({"_id": _id(tenant, actor)}, {"$set": {"erasing": True}})

    def drop(self, tenant: str, actor: Actor) -> None:
        """Drops key and name: what the actor's commitment was to can never be told again."""
        with store_errors():
            self._keys.delete_one({"_id": _id(tenant, actor), "erasing": True})

    def _all(self, wanted: Mapping[str, OfTenant]) -> dict[str, Document] | None:
        standing = self._read(wanted)
        return standing if len(standing) == len(wanted) else None

    def _read(self, wanted: Mapping[str, OfTenant]) -> dict[str, Document]:
        tenants = {tenant for tenant, _ in wanted.values()}
        with store_errors():
            documents = self._settled.find({"_id": {"$in": list(wanted)}, "tenant": {"$in": list(tenants)}})
            return {document["_id"]: document for document in documents}

    def _key(self, document: Document) -> ActorKey:
        key, name = bytes(document["key"]), document["name"]
        worked_out = self._commitments.get((key, name))
        if worked_out is None:
            worked_out = commitment(key, name)
            self._commitments.put((key, name), worked_out)
        return ActorKey(key, worked_out, document.get("erasing", False))


def _id(tenant: str, actor: Actor) -> str:
    return f"{tenant}/{actor.kind}/{actor.name}"
