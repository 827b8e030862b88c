"""Reading definitions and values from MongoDB, page by page along an index.  Changes go through `TagStore` alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from dms_tags.metadata.model import TYPES, LabelDefinition, Value
from dms_tags.model import Kind, Resource, Tag
from dms_tags.names import composed
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document, tag_of

LABEL: Final = "label"
"""The name of the one tag of a definition's resource; its state is the definition."""

LOOKED_AT: Final = 2_000
"""Resources that one page of those that lack a label looks at, at most."""

_FIELDS: Final = {"kind": 1, "id": 1, "tags": 1}


class LabelReader:
    """Definitions and values of all tenants.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database) -> None:
        self._tags = database.tags

    def definitions(self, tenant: str, *, after: str = "", limit: int = 0) -> list[LabelDefinition]:
        """Definitions that are in force, in order of id, which to the millisecond is that of their making; `limit` 0: all."""
        return self._definitions(definition_range(tenant, after), limit)

    def definitions_of(self, tenant: str, tag_ids: Iterable[str]) -> dict[str, LabelDefinition]:
        """Those of the definitions that are in force, by id."""
        keys = [Resource(tenant, Kind.DEFINITION, tag_id).key for tag_id in tag_ids]
        return {definition.id: definition for definition in self._definitions({"_id": {"$in": keys}}, 0)} if keys else {}

    def values(
        self, tenant: str, tag_id: str, *, after: tuple[Kind, str] | None = None, limit: int, value: str | None = None
    ) -> list[Value]:
        """Values of a definition, in order of type and id of their resources; with `value` those that are exactly so.

        Version 0.1.0 kept values as they were sent, so `value` matches in either spelling of its accents.
        """
        wanted: Document = {"name": tag_id} if value is None else {"name": tag_id, "state": {"$in": [value, composed(value)]}}
        query: Document = {"tenant": tenant, "kind": {"$in": [str(kind) for kind in TYPES]}, "tags": {"$elemMatch": wanted}}
        if after is not None:
            query["_id"] = {"$gt": Resource(tenant, *after).key}
        with store_errors():
            documents = list(self._tags.find(query, _FIELDS, sort=[("_id", 1)], limit=limit))
        return [
            Value(Resource(tenant, Kind(document["kind"]), document["id"]), tag)
            for document in documents
            for tag in _tags(document)
            if tag.name == tag_id
        ]

    def lacking(self, tenant: str, tag_id: str, kind: Kind, *, after: str, limit: int) -> tuple[list[str], str | None]:
        """Ids of resources of a type that have no value of a definition, and what the next page begins after; see the service."""
        ids = {"$gt": Resource(tenant, kind, after).key, "$lt": f"{tenant}/{kind}0"}  # 0 is the character after the slash
        fields = {"id": 1, "tags": {"$elemMatch": {"name": tag_id}}}
        lacking: list[str] = []
        looked = 0
        with store_errors():
            for document in self._tags.find({"_id": ids}, fields, sort=[("_id", 1)], limit=LOOKED_AT, batch_size=LOOKED_AT):
                looked += 1
                if not document.get("tags"):
                    lacking.append(document["id"])
                if len(lacking) == limit or looked == LOOKED_AT:
                    return lacking, document["id"]
        return lacking, None

    def _definitions(self, query: Document, limit: int) -> list[LabelDefinition]:
        query["tags"] = {"$elemMatch": {"name": LABEL, "state.ending": {"$ne": True}}}
        with store_errors():
            documents = list(self._tags.find(query, _FIELDS, sort=[("_id", 1)], limit=limit))
        return [LabelDefinition.of(document["id"], tag) for document in documents for tag in _tags(document) if tag.name == LABEL]


def definition_range(tenant: str, after: str = "") -> Document:
    """A query for the resources of a tenant's definitions, whether in force or gone, whose ids come after `after`."""
    first = Resource(tenant, Kind.DEFINITION, "tag_").key
    return {"_id": {"$gt": Resource(tenant, Kind.DEFINITION, after).key if after else first, "$lt": first[:-1] + "`"}}


def _tags(document: dict[str, Any]) -> list[Tag]:
    return [tag_of(row) for row in document["tags"]]
