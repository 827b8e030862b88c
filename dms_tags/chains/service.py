"""The use cases of chain tags: add, alter, read, list, delete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from dms_tags.audit.trail.timetravel import Past
from dms_tags.bounded import Bounded
from dms_tags.chains.chains import Chains
from dms_tags.chains.model import Access, Chain, ChainTag, Session, resource, state, within
from dms_tags.errors import Forbidden, InvalidParameter, StateMismatch, TagDeleted, TagNotFound
from dms_tags.model import Change, Changed, Kind, Resource, Tag, Terms, Verb
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document, tag_of
from dms_tags.store.registry import Registry
from dms_tags.tags import refusals
from dms_tags.tags.revise import revise
from dms_tags.tags.store import TagStore

TAG: Final = "tag"
"""The name of the one tag of a chain tag's resource."""

REMEMBERED: Final = 100_000


class ChainService:
    """Tags of chains.  Every method raises `Forbidden` for a chain that the session may not touch, and `StoreUnavailable`."""

    def __init__(self, database: Database, store: TagStore) -> None:
        self._database = database
        self._store = store
        self._past = Past(database)
        self._counters = database.collection("counters")
        self._made = Registry(database, "chain_tag_keys")
        self._attributes: Bounded[tuple[str, str], Mapping[str, Any]] = Bounded(REMEMBERED)
        self.chains = Chains(database, store)

    def add(self, session: Session, chain_id: int, value: str, model_class: str, terms: Terms) -> tuple[ChainTag, Changed]:
        """Makes an active tag; its id is higher than every one before."""
        chain = self.chain(session, chain_id, Access.WRITE)
        if terms.idempotency is None:
            tag_id = self._next_id(session.tenant)
        else:
            key = f"{session.tenant}/{session.user}/{terms.idempotency.key}"
            tag_id = self._made.settled(key) or self._made.settle(key, self._next_id(session.tenant))
        made = resource(session.tenant, tag_id, chain_id, model_class)
        changed = self._store.change(_change(made, Verb.ADD, terms, state(value, active=True)))
        return _tag(tag_id, chain, model_class, changed), changed

    def alter(
        self, session: Session, tag_id: int, value: str | None, active: bool | None, terms: Terms
    ) -> tuple[ChainTag, Changed]:
        """Changes what is given of a tag; with neither given the tag as it is, and nothing is recorded.

        Raises `TagNotFound`, `TagDeleted`, `TraceMismatch` or `RevisionMismatch`.
        """
        altered, kept, chain = self._own(session, tag_id, Access.WRITE)
        change = _change(altered, Verb.UPDATE, terms, None)
        if value is None and active is None:
            changed = self._unchanged(change)
        elif value is not None and active is not None:
            changed = self._replace(change, state(value, active=active))
        else:

            def revised(tag: Tag) -> dict[str, Any]:
                _require_there(tag)
                return state(
                    tag.state["value"] if value is None else value, active=tag.state["active"] if active is None else active
                )

            changed = revise(self._store, change, revised)
        return _tag(tag_id, chain, kept["model_class"], changed), changed

    def delete(self, session: Session, tag_id: int, terms: Terms) -> tuple[ChainTag, Changed]:
        """Deletes a tag softly: it stays readable, and cannot be changed any more.  Raises as `alter` does."""
        deleted, kept, chain = self._own(session, tag_id, Access.DELETE)

        def ended(tag: Tag) -> dict[str, Any]:
            _require_there(tag)
            return state(tag.state["value"], active=False, deleted=True)

        changed = revise(self._store, _change(deleted, Verb.UPDATE, terms, None), ended)
        return _tag(tag_id, chain, kept["model_class"], changed), changed

    def get(self, session: Session, tag_id: int) -> ChainTag:
        """One tag, also a deleted one.  Raises `TagNotFound`."""
        of, kept, chain = self._own(session, tag_id, Access.READ)
        return ChainTag(tag_id, chain, kept["model_class"], self._read(of))

    def get_at(self, session: Session, tag_id: int, at: datetime) -> ChainTag:
        """One tag as it stood at a time.  Raises `TagNotFound` for a time before it was added, and `Gone`."""
        of, kept, chain = self._own(session, tag_id, Access.READ)
        for tag in self._past.tags_at(of, at):
            return ChainTag(tag_id, chain, kept["model_class"], tag)
        raise TagNotFound(f"there was no tag {tag_id} at that time")

    def of_chain(self, tenant: str, chain: Chain, tag_ids: Iterable[int]) -> dict[int, ChainTag]:
        """Those of the tags that are the chain's, by id."""
        keys = [resource(tenant, tag_id).key for tag_id in tag_ids]
        return {tag.id: tag for tag in self._several({"_id": {"$in": keys}, "within": within(chain.id)}, chain, len(keys))}

    def valued(self, tenant: str, chain: Chain, value: str) -> ChainTag | None:
        """The tag of the chain that has the value and is not deleted; None: there is none.

        Raises `InvalidParameter` where there are several.
        """
        # Whole states, as they are written: the queue index then leads to them
        states = [state(value, active=active) for active in (True, False)]
        query = {
            "tenant": tenant,
            "kind": str(Kind.CHAIN_TAG),
            "tags": {"$elemMatch": {"name": TAG, "state": {"$in": states}}},
            "within": within(chain.id),
        }
        tags = self._several(query, chain, 2, hint="queue")
        if len(tags) > 1:
            raise InvalidParameter(
                f"value: several tags of the chain have it, {tags[0].id} and {tags[1].id} for instance; give tag_id"
            )
        return tags[0] if tags else None

    def _several(self, query: dict[str, Any], chain: Chain, limit: int, hint: str | None = None) -> list[ChainTag]:
        if not limit:
            return []
        with store_errors():
            documents = list(self._database.tags.find(query, {"attributes": 1, "tags": 1}, limit=limit, hint=hint))
        return [_listed(document, chain) for document in documents]

    def list(self, session: Session, chain_id: int, *, only_active: bool, limit: int, offset: int) -> list[ChainTag]:
        """Tags of a chain in order of id, deleted ones too unless `only_active`."""
        chain = self.chain(session, chain_id, Access.READ)
        # The chain's users are within it too, and have no order
        query: dict[str, Any] = {"tenant": session.tenant, "within": within(chain_id), "attributes.order": {"$gte": 1}}
        if only_active:
            query["tags.state.active"] = True
        with store_errors():
            documents = list(
                self._database.tags.find(
                    query, {"attributes": 1, "tags": 1}, sort=[("attributes.order", 1)], skip=offset, limit=limit
                )
            )
        return [_listed(document, chain) for document in documents]

    def chain(self, session: Session, chain_id: int, access: Access) -> Chain:
        """The chain.  Raises `Forbidden` where the session lacks the access, or there is no such chain."""
        chain = self.chains.find(session.tenant, chain_id) if session.may(access, chain_id) else None
        if chain is None:
            raise Forbidden("the user has insufficient permissions for this chain, or it does not exist")
        return chain

    def _own(self, session: Session, tag_id: int, access: Access) -> tuple[Resource, Mapping[str, Any], Chain]:
        """The resource of a tag that the session has the access to, what the tag was made with, and its chain."""
        of = resource(session.tenant, tag_id)
        kept = self._attributes.get((session.tenant, of.id))
        if kept is None:
            kept = self._store.attributes(of)
            if kept is None:
                if not session.may_somewhere(access):
                    raise Forbidden("the user has insufficient permissions for this tag, or it does not exist")
                raise TagNotFound(f"there is no tag {tag_id}")
            self._attributes.put((session.tenant, of.id), kept)
        return of, kept, self.chain(session, kept["chain"], access)

    def _replace(self, change: Change, wanted: dict[str, Any]) -> Changed:
        """Replaces the whole state, in one write and without reading it: of a tag that is not deleted."""
        conditions = replace(change.conditions, having=(("deleted", False),))
        try:
            return self._store.change(replace(change, state=wanted, conditions=conditions))
        except StateMismatch as error:
            raise TagDeleted(f"the tag {change.resource.id} is deleted") from error

    def _unchanged(self, change: Change) -> Changed:
        tag = self._read(change.resource)
        refusals.conditions(change, tag)
        return Changed(tag, tag.trace_id)

    def _read(self, of: Resource) -> Tag:
        return next(tag for tag in self._store.read(of) if tag.name == TAG)

    def _next_id(self, tenant: str) -> int:
        """An id that nothing had before, and that nothing gets after; one that a failed call took is never used."""
        counter = {"_id": f"{tenant}/chain-tag"}
        while True:
            with store_errors():
                counted = self._counters.find_one_and_update(
                    counter, {"$inc": {"value": 1}}, return_document=ReturnDocument.AFTER
                )
            if counted is not None:
                return int(counted["value"])
            with store_errors(), suppress(DuplicateKeyError):
                self._counters.insert_one({**counter, "value": 0})


def _listed(document: Document, chain: Chain) -> ChainTag:
    kept = document["attributes"]
    return ChainTag(kept["order"], chain, kept["model_class"], tag_of(document["tags"][0]))


def _require_there(tag: Tag) -> None:
    if tag.state["deleted"]:
        raise TagDeleted("the tag is deleted")


def _tag(tag_id: int, chain: Chain, model_class: str, changed: Changed) -> ChainTag:
    assert changed.tag is not None  # noqa: S101 - a chain tag is never removed
    return ChainTag(tag_id, chain, model_class, changed.tag)


def _change(of: Resource, verb: Verb, terms: Terms, wanted: Any) -> Change:
    return terms.change(of, TAG, verb, wanted, max_tags=1)
