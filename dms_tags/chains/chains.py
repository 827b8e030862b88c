"""The chains of all tenants: administration at the store, recorded in the trail like any other change."""

from __future__ import annotations

from time import monotonic
from typing import Any, Final

from dms_tags.bounded import Bounded
from dms_tags.chains.model import Chain
from dms_tags.errors import InUse, NotFound, TagExists, TagNotFound
from dms_tags.model import Actor, Change, Kind, Resource, Tag, Verb
from dms_tags.store.database import Database, store_errors
from dms_tags.tags.store import TagStore

CHAIN: Final = "chain"
"""The name of the one tag of a chain's resource; its state is what the chain's tags show of it."""

FRESH_SECONDS: Final = 2.0
"""For so long a process believes what it has read of a chain's name and contacts."""

REMEMBERED: Final = 1_000


class Chains:
    """Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database, store: TagStore) -> None:
        self._database = database
        self._store = store
        self._known: Bounded[tuple[str, int], tuple[float, Chain]] = Bounded(REMEMBERED)

    def find(self, tenant: str, chain_id: int) -> Chain | None:
        """A chain as it was at most two seconds ago; None: there is none."""
        known = self._known.get((tenant, chain_id))
        if known is not None and monotonic() < known[0]:
            return known[1]
        until = monotonic() + FRESH_SECONDS
        tag = next(iter(self._store.read(_resource(tenant, chain_id))), None)
        if tag is None:
            return None
        chain = _chain(chain_id, tag)
        self._known.put((tenant, chain_id), (until, chain))
        return chain

    def every(self, tenant: str) -> list[Chain]:
        """The tenant's chains, in order of id."""
        with store_errors():
            documents = list(self._database.tags.find({"tenant": tenant, "kind": str(Kind.CHAIN), "tags.name": CHAIN}, {"id": 1}))
        chains = [self.find(tenant, int(document["id"])) for document in documents]
        return sorted((chain for chain in chains if chain is not None), key=lambda chain: chain.id)

    def add(self, tenant: str, chain: Chain, actor: Actor) -> None:
        """Makes a chain.  Raises `InUse` where there is one of that id."""
        try:
            self._change(tenant, chain, Verb.ADD, actor)
        except TagExists as error:
            raise InUse(f"{tenant} has a chain {chain.id} already; dms-tags chain change changes it") from error

    def change(self, tenant: str, chain: Chain, actor: Actor) -> None:
        """Changes a chain's name and contacts.  Raises `NotFound`."""
        try:
            self._change(tenant, chain, Verb.UPDATE, actor)
        except TagNotFound as error:
            raise NotFound(f"{tenant} has no chain {chain.id}") from error

    def _change(self, tenant: str, chain: Chain, verb: Verb, actor: Actor) -> None:
        shown = {"name": chain.name, "email_address": chain.email, "phone_number": chain.phone}
        self._store.change(Change(_resource(tenant, chain.id), CHAIN, verb, actor, shown))
        self._known.forget((tenant, chain.id))


def _resource(tenant: str, chain_id: int) -> Resource:
    return Resource(tenant, Kind.CHAIN, str(chain_id))


def _chain(chain_id: int, tag: Tag) -> Chain:
    kept: dict[str, Any] = tag.state
    return Chain(chain_id, kept["name"], kept["email_address"], kept["phone_number"])
