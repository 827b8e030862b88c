"""The use cases of free metadata: keys and texts of a resource, read, set and removed together.

Each key is a tag of the resource `metadata/<id>`, and all that a call changes is one write (API.md section 4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dms_tags.audit.trail.timetravel import Past
from dms_tags.errors import NotFound, ObjectNotFound
from dms_tags.metadata.model import MAX_VALUE, name_of
from dms_tags.model import MAX_TAGS, Change, Kind, Resource, Tag, Terms
from dms_tags.names import beginning
from dms_tags.objects.model import Asked, Manner, Standing, whole_etag
from dms_tags.objects.store import ObjectStore
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document, tag_of
from dms_tags.tags.store import TagStore

KEY_PATTERN: Final = "[A-Za-z0-9_:-]{1,64}"
MAX_KEYS: Final = MAX_TAGS

is_key = re.compile(KEY_PATTERN).fullmatch


@dataclass(frozen=True, slots=True)
class Free:
    """The metadata of a resource: its keys are the names of the tags, their values the states."""

    id: str
    tags: tuple[Tag, ...]

    @property
    def etag(self) -> str | None:
        """The ETag of all of it; None where there is nothing."""
        return whole_etag(self.tags)


class FreeMetadata:
    """Free metadata of all tenants.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database, store: TagStore, objects: ObjectStore) -> None:
        self._database = database
        self._store = store
        self._objects = objects
        self._past = Past(database)

    def get(self, tenant: str, resource_id: str, at: datetime | None = None) -> Free:
        """A resource's metadata, with `at` as it stood then; none where nothing was set.  Raises `Gone`."""
        resource = Resource(tenant, Kind.METADATA, resource_id)
        tags = self._store.read(resource) if at is None else self._past.tags_at(resource, at)
        return Free(resource_id, tuple(tags))

    def page(self, tenant: str, *, after: str = "", limit: int, prefixes: Sequence[str] | None = None) -> list[Free]:
        """The metadata of up to `limit` resources, in order of their ids; with `prefixes` of those that have a key which begins so."""
        ids = {"$gt": Resource(tenant, Kind.METADATA, after).key, "$lt": f"{tenant}/{Kind.METADATA}0"}
        query: Document = {"_id": ids, "tags.0": {"$exists": True}}
        if prefixes is not None:
            query["tags.name"] = beginning(prefixes)
        with store_errors():
            documents = list(self._database.tags.find(query, {"id": 1, "tags": 1}, sort=[("_id", 1)], limit=limit))
        return [Free(document["id"], tuple(map(tag_of, document["tags"]))) for document in documents]

    def replace(self, tenant: str, resource_id: str, metadata: Mapping[str, str], terms: Terms) -> Standing:
        """Sets the whole metadata of a resource in one write: keys that are not given go, and what is as given is left alone.

        Raises `InvalidParameter`, `TraceMismatch`, `RevisionMismatch`.
        """
        rows = tuple((key, name_of(value, f"metadata.{key}", MAX_VALUE)) for key, value in metadata.items())
        return self._objects.change(_asked(tenant, resource_id, Manner.WHOLE, rows), terms, _free)

    def remove(self, tenant: str, resource_id: str, terms: Terms) -> Standing:
        """Removes the whole metadata of a resource in one write.  Raises `NotFound`, `TraceMismatch`, `RevisionMismatch`."""
        try:
            return self._objects.change(_asked(tenant, resource_id, Manner.CLEAR), terms, _free)
        except ObjectNotFound as error:
            raise absent(resource_id) from error


def _asked(tenant: str, resource_id: str, manner: Manner, rows: tuple[tuple[str, str], ...] = ()) -> Asked:
    return Asked(Resource(tenant, Kind.METADATA, resource_id), manner, rows, as_one=True)


def _free(change: Change) -> Change:
    """No definition rules what a key may say."""
    return change


def absent(resource_id: str) -> NotFound:
    """The error of who asks for metadata that is not there."""
    return NotFound(f"there is no metadata of {resource_id}")
