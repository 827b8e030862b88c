"""The use cases of tags on a chain's users: set, remove, and list from either side.

A user is a resource within its chain, and a tag on it is set or not (API.md section 5).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dms_tags.audit.trail.timetravel import Past
from dms_tags.chains.model import MAX_USER_TAGS, Access, Chain, ChainTag, ChainUser, Session, UserTag, mark, marked, resource
from dms_tags.chains.service import ChainService
from dms_tags.errors import TagDeleted, TagExists, TagNotFound
from dms_tags.model import Changed, Kind, Resource, Tag, Terms, Verb
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import tag_of
from dms_tags.tags.store import TagStore

SET: Final = 1
"""The state of a tag on a user: it is set or not."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tag of a user's chain is meant: by its id, or by its value."""

    tag_id: int | None
    value: str | None = None


class ChainUsers:
    """Tags of users.  Every method raises `Forbidden` for a chain that the session may not touch, and `StoreUnavailable`."""

    def __init__(self, database: Database, store: TagStore, tags: ChainService) -> None:
        self._database = database
        self._store = store
        self._tags = tags
        self._past = Past(database)

    def add(self, session: Session, user: ChainUser, wanted: Wanted, terms: Terms) -> tuple[ChainTag, Changed]:
        """Sets a tag on a user.  Raises `TagNotFound` for one that the chain has not, `TagDeleted`, `TagExists`, `TooManyTags`."""
        tag = self._wanted(session, user, wanted, Access.WRITE, terms)
        change = terms.change(user.resource(session.tenant), mark(tag.id), Verb.ADD, SET, max_tags=MAX_USER_TAGS)
        if tag.state["deleted"]:
            kept = self._store.kept_answer(change)
            if kept is None:
                raise TagDeleted(f"the tag {tag.id} is deleted")
            return tag, kept
        try:
            return tag, self._store.change(change)
        except TagExists as error:
            raise TagExists(f"the user has the tag {tag.id} already") from error

    def remove(self, session: Session, user: ChainUser, wanted: Wanted, terms: Terms) -> tuple[ChainTag, Changed]:
        """Takes a tag from a user, a deleted one too.  Raises `TagNotFound`, `TraceMismatch`, `RevisionMismatch`."""
        tag = self._wanted(session, user, wanted, Access.DELETE, terms)
        change = terms.change(user.resource(session.tenant), mark(tag.id), Verb.DELETE, max_tags=None)
        try:
            return tag, self._store.change(change)
        except TagNotFound as error:
            raise TagNotFound(f"the user does not have the tag {tag.id}") from error

    def tags(self, session: Session, user: ChainUser, *, only_active: bool, at: datetime | None = None) -> list[UserTag]:
        """A user's tags in the order in which they were set; with `at` as they, and the tags themselves, stood then.

        Raises `Gone` for a time that was archived.
        """
        chain = self._tags.chain(session, user.chain, Access.READ)
        of = user.resource(session.tenant)
        marks = self._store.read(of) if at is None else self._past.tags_at(of, at)
        ids = [marked(each.name) for each in marks]
        known = self._tags.of_chain(session.tenant, chain, ids)
        if at is not None:
            known = {tag_id: then for tag_id, tag in known.items() for then in self._then(session.tenant, tag, at)}
        pairs = [UserTag(known[tag_id], each) for tag_id, each in zip(ids, marks, strict=True) if tag_id in known]
        return [pair for pair in pairs if pair.tag.state["active"] or not only_active]

    def users(
        self, session: Session, tag_id: int, *, after: str = "", limit: int
    ) -> tuple[list[tuple[ChainUser, Tag]], str | None]:
        """Up to `limit` users that have a tag, in order of their ids, and what the next page begins `after`; None: that was all.

        Raises `TagNotFound`.
        """
        of_tag = self._tags.get(session, tag_id)
        first = Resource(session.tenant, Kind.CHAIN_USER, after or f"{of_tag.chain.id}.").key
        query = {"tenant": session.tenant, "kind": str(Kind.CHAIN_USER), "tags.name": mark(tag_id), "_id": {"$gt": first}}
        with store_errors():
            documents = list(
                self._database.tags.find(query, {"id": 1, "tags": 1}, sort=[("_id", 1)], limit=limit + 1, hint="tag_users")
            )
        page = [(ChainUser.of(document["id"]), _mark(document["tags"], tag_id)) for document in documents[:limit]]
        return page, page[-1][0].id if len(documents) > limit else None

    def _wanted(self, session: Session, user: ChainUser, wanted: Wanted, access: Access, terms: Terms) -> ChainTag:
        chain = self._tags.chain(session, user.chain, access)
        if wanted.tag_id is None:
            # A repeat means the tag that had the value then: it may have another now, or be deleted
            answered = self._store.answered(terms.change(user.resource(session.tenant), "", Verb.SET))
            wanted = wanted if answered is None else Wanted(marked(answered))
        tag = self._find(session.tenant, chain, wanted)
        if tag is None:
            raise TagNotFound(f"the chain {chain.id} has no such tag")
        return tag

    def _find(self, tenant: str, chain: Chain, wanted: Wanted) -> ChainTag | None:
        if wanted.tag_id is not None:
            return self._tags.of_chain(tenant, chain, [wanted.tag_id]).get(wanted.tag_id)
        return self._tags.valued(tenant, chain, wanted.value or "")

    def _then(self, tenant: str, tag: ChainTag, at: datetime) -> Iterable[ChainTag]:
        return (ChainTag(tag.id, tag.chain, tag.model_class, then) for then in self._past.tags_at(resource(tenant, tag.id), at))


def _mark(rows: list[dict[str, object]], tag_id: int) -> Tag:
    return next(tag_of(row) for row in rows if row["name"] == mark(tag_id))
