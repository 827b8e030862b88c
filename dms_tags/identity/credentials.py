"""What proves a caller, in MongoDB: one way for API tokens and for sessions of the chain tags API.

That a credential is in force is a tag of the engine: its resource (`token/<id>`, `session/<id>`) has one tag whose state
says what it allows; whose it is lies beside, since the trail keeps for ever what it is told.  (Tokens of earlier versions have
the resource `token/<name>`.)  Creating and revoking are changes like any other, one write each, recorded in the same trail (API.md
section 6).  What proves it lies beside, in a collection of its own: a keyed hash (`dms_tags.identity.tokens`), which no
trail and no query ever shows.  A document there without its tag opens nothing, and keeps the name from being used again.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from pymongo.errors import DuplicateKeyError

from dms_tags.errors import InUse, InvalidParameter, NotFound, StoreUnavailable, TagNotFound
from dms_tags.identity import tokens
from dms_tags.model import Actor, Change, Kind, Resource, Verb
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document
from dms_tags.tags.store import TagStore

log = logging.getLogger(__name__)

KEY: Final = "credentials-key"


class Credential(Protocol):
    """What is found by its id."""

    @property
    def id(self) -> str:
        """64 random bits in hexadecimal."""


T = TypeVar("T", bound=Credential)


class CredentialStore(Generic[T]):
    """The credentials of one kind in a database.  Every method raises `StoreUnavailable` where MongoDB does not answer.

    A subclass says where they lie, how they are spelt and, in `read`, what is made of one that is in force.
    """

    collection: ClassVar[str]
    kind: ClassVar[Kind]
    """Of the resource that is tagged while the credential is in force."""
    tag: ClassVar[str]
    mark: ClassVar[str]
    """What a secret of theirs begins with."""
    found_by: ClassVar[str]
    """The member of a document that has the id by which a caller names it."""
    resource_by: ClassVar[str]
    """The member that has the resource's id in documents of earlier versions; today's have it in `resource`."""
    person: ClassVar[str]
    """The member of a document that has the name of the actor."""

    def __init__(self, database: Database, tags: TagStore) -> None:
        self._database = database
        self._tags = tags
        self._documents = database.collection(self.collection)
        self._key: bytes | None = None
        self._malformed: frozenset[str] = frozenset()

    @abstractmethod
    def read(self, document: Document, state: Mapping[str, Any]) -> T:
        """The credential of a document and of the state of its tag.

        Raises `ValueError`, `KeyError`, `TypeError`, `AttributeError` or `InvalidParameter` where either is malformed: it then opens nothing.
        """

    def key(self) -> bytes:
        """The database's key for the hashes of secrets, made by whoever asks first.

        Read with majority: a key that a fail-over takes back would leave credentials that nothing can prove.
        """
        if self._key is None:
            meta = self._database.collection("meta")
            settled = self._database.majority(meta)
            with store_errors():
                kept = settled.find_one({"_id": KEY})
                if kept is None:
                    with suppress(DuplicateKeyError):
                        meta.insert_one({"_id": KEY, "value": tokens.new_key()})
                    kept = settled.find_one({"_id": KEY})
            if kept is None:
                raise StoreUnavailable("another service is just making the key for tokens")
            self._key = bytes(kept["value"])
        return self._key

    def in_force(self) -> list[T]:
        """All credentials that are not revoked; a malformed one is logged and opens nothing."""
        return [credential for _, credential in self._standing({}) if credential is not None]

    def knows(self, credential_id: str) -> bool:
        """Whether there is or was a credential with that id."""
        with store_errors():
            return self._documents.find_one({self.found_by: credential_id}, {"_id": 1}) is not None

    def used(self, credential_ids: Iterable[str]) -> None:
        """Notes that credentials were used just now."""
        at = self._database.clock.now()
        with store_errors():
            self._documents.update_many({self.found_by: {"$in": list(credential_ids)}}, {"$max": {"lastUsed": at}})

    def _mint(
        self, tenant: str, members: Mapping[str, Any], state_of: Callable[[str], Mapping[str, Any]], actor: Actor
    ) -> tokens.Presented:
        """Makes a credential; its secret is handed out now, or never.

        `members` are those of its document beside the ones that all have; `state_of` its id is the state of its tag.
        Raises `DuplicateKeyError` for an `_id` that is taken.
        """
        minted = tokens.mint(self.mark)
        document = {"tenant": tenant, **members, self.found_by: minted.id, "resource": minted.id}
        document |= {"digest": tokens.digest(self.key(), minted.secret), "created": self._database.clock.now()}
        with store_errors():
            self._documents.insert_one(document)
        # Only from here on is it in force: before, a crash leaves a name that is taken, and no way in
        self._tags.change(Change(self._resource(document), self.tag, Verb.ADD, actor, state_of(minted.id), max_tags=None))
        return minted

    def require_revoked(self, tenant: str, name: str, past: timedelta) -> None:
        """Raises `InUse` unless all credentials of an actor were revoked, and that longer ago than `past`."""
        at = self._database.clock.now()
        for document, credential in self._standing({"tenant": tenant, self.person: name}):
            if credential is not None:
                raise InUse(f"{tenant} has a {self.kind} of that name that is in force: revoke it first")
            with store_errors():
                resource = self._database.tags.find_one({"_id": self._resource(document).key}, {"lastAt": 1})
            if resource is not None and resource["lastAt"] + past > at:
                raise InUse(
                    f"the {self.kind} was revoked less than {past.seconds} seconds ago, and a service may still take it: "
                    "say it again in a moment"
                )

    def forget(self, tenant: str, name: str) -> int:
        """Removes what is kept of an actor's credentials, which are revoked; of how many."""
        with store_errors():
            return self._documents.delete_many({"tenant": tenant, self.person: name}).deleted_count

    def _end(self, tenant: str, name: str, where: Mapping[str, Any], actor: Actor) -> None:
        """Revokes the credential that is found by `where`.  Raises `NotFound` where there is none in force."""
        with store_errors():
            document = self._documents.find_one({"tenant": tenant, **where})
        none = NotFound(f"{tenant} has no {self.kind} {name} that is in force")
        if document is None:
            raise none
        try:
            self._tags.change(Change(self._resource(document), self.tag, Verb.DELETE, actor))
        except TagNotFound as error:
            raise none from error

    def _standing(self, query: Document, sort: str = "_id") -> list[tuple[Document, T | None]]:
        """The documents, each with what it opens; None: it is revoked, or malformed."""
        with store_errors():
            documents = list(self._documents.find(query, sort=[(sort, 1)]))
        whole = [document for document in documents if self._is_whole(document)]
        by_resource = {self._resource(document).key: document for document in whole}
        with store_errors():
            tagged = list(self._database.tags.find({"_id": {"$in": list(by_resource)}}, {"tags": 1}))
        states = {
            by_resource[resource["_id"]]["_id"]: row["state"]
            for resource in tagged
            for row in resource["tags"]
            if row["name"] == self.tag
        }
        malformed = {str(document["_id"]) for document in documents} - {str(document["_id"]) for document in whole}
        standing: list[tuple[Document, T | None]] = []
        for document in whole:
            credential = None
            if document["_id"] in states:
                try:
                    credential = self.read(document, states[document["_id"]])
                except (ValueError, KeyError, TypeError, AttributeError, InvalidParameter):
                    malformed.add(str(document["_id"]))
            standing.append((document, credential))
        for name in malformed - self._malformed:
            log.error("what is kept of the %s %r is malformed: it opens nothing", self.kind, name)
        self._malformed = frozenset(malformed)
        return standing

    def _is_whole(self, document: Document) -> bool:
        texts = (document.get("tenant"), document.get(self.found_by), document.get(self.resource_by))
        return all(isinstance(text, str) for text in texts) and isinstance(document.get("created"), datetime)

    def _resource(self, document: Document) -> Resource:
        return Resource(document["tenant"], self.kind, document.get("resource") or document[self.resource_by])


def digest_of(document: Document) -> bytes:
    """The hash that proves a credential.  Raises `ValueError` for what is none."""
    digest = bytes(document["digest"])
    if len(digest) != tokens.SECRET_BYTES:
        raise ValueError("digest")
    return digest
