"""The use cases of labels on resources: set, remove, list, and what is missing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Final

from dms_tags.audit.trail.timetravel import Past
from dms_tags.errors import DefinitionNotFound, InvalidParameter, RevisionMismatch, TagNotFound
from dms_tags.metadata.definitions import LabelDefinitions
from dms_tags.metadata.model import MAX_VALUE, TYPES, LabelDefinition, Value, name_of
from dms_tags.metadata.store import LabelReader
from dms_tags.model import UNCONDITIONAL, Change, Changed, Conditions, Kind, Resource, Tag, Terms, Verb
from dms_tags.names import folded
from dms_tags.store.database import Database
from dms_tags.store.registry import Registry
from dms_tags.tags import refusals
from dms_tags.tags.store import TagStore

TYPE_NAMES: Final = tuple(str(kind) for kind in TYPES)


class MetadataService:
    """Labels on resources of the metadata API.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database, store: TagStore) -> None:
        self._store = store
        self._past = Past(database)
        self._types = Registry(database, "correlation_types")
        self._spellings = Registry(database, "value_spellings")
        self.reader = LabelReader(database)
        self.definitions = LabelDefinitions(database, store, self._spellings)

    def set(self, tenant: str, tag_id: str, correlation_id: str, kind: Kind, value: str, terms: Terms) -> Changed:
        """Sets a label on a resource, in place of any value it has; a value that the definition has in another letter
        case takes that spelling.  Accents are kept in Unicode's composed form.

        Raises `DefinitionNotFound`, `InvalidParameter` for a resource of another type and for a value that the definition does
        not allow, `TraceMismatch`, `RevisionMismatch`.
        """
        value = name_of(value, "value", MAX_VALUE)
        change = terms.change(Resource(tenant, kind, correlation_id), tag_id, Verb.SET, value, max_tags=None)
        try:
            hold = self.definitions.hold(tenant, tag_id)
            value = hold.spelled(value)
        except (DefinitionNotFound, InvalidParameter):
            kept = self._store.kept_answer(change)
            if kept is None:
                raise
            return kept  # it was allowed when the request came before
        change = replace(change, state=value)
        self._settle_type(change)
        spelling = self._settle_spelling(change)
        # What the definition lists is spelt as it is there, whatever was set before it did
        changed = self._store.change(replace(change, state=value if hold.allowed else spelling))
        if changed.replayed:
            return changed
        try:
            self.definitions.confirm(hold)
        except DefinitionNotFound:
            self._take_back(change, changed)
            raise
        return changed

    def remove(self, tenant: str, tag_id: str, correlation_id: str, terms: Terms) -> Changed:
        """Removes a label.  Raises `DefinitionNotFound`, `TagNotFound`, `TraceMismatch` or `RevisionMismatch`."""
        kind = self._types.settled(_type_key(tenant, correlation_id))
        if kind is None:
            self.definitions.hold(tenant, tag_id)
            raise TagNotFound(f"{correlation_id} has no value of {tag_id}")
        change = terms.change(Resource(tenant, Kind(kind), correlation_id), tag_id, Verb.DELETE, max_tags=None)
        try:
            self.definitions.hold(tenant, tag_id)
            return self._store.change(change)
        except DefinitionNotFound:
            kept = self._store.kept_answer(change)
            if kept is None:
                raise
            return kept  # it was there when the request came before
        except TagNotFound as error:
            raise TagNotFound(f"{correlation_id} has no value of {tag_id}") from error

    def labels(self, tenant: str, correlation_id: str, kind: Kind | None) -> list[tuple[LabelDefinition, Value]]:
        """A resource's labels with their definitions, in order of their setting.

        Raises `InvalidParameter` for a resource of another type than `kind`; None: of any.
        """
        settled = self._types.settled(_type_key(tenant, correlation_id))
        if settled is None:
            return []
        if kind is not None and settled != kind:
            raise _other_type(correlation_id, settled)
        resource = Resource(tenant, Kind(settled), correlation_id)
        tags = self._store.read(resource)
        known = self.reader.definitions_of(tenant, [tag.name for tag in tags])
        return [(known[tag.name], Value(resource, tag)) for tag in tags if tag.name in known]

    def labels_at(self, tenant: str, correlation_id: str, at: datetime) -> list[tuple[LabelDefinition, Value]]:
        """A resource's labels and their definitions as they stood at a time.  Raises `Gone`."""
        settled = self._types.settled(_type_key(tenant, correlation_id))
        if settled is None:
            return []
        resource = Resource(tenant, Kind(settled), correlation_id)
        return [
            (LabelDefinition.of(tag.name, definition), Value(resource, tag))
            for tag in self._past.tags_at(resource, at)
            for definition in self._past.tags_at(Resource(tenant, Kind.DEFINITION, tag.name), at)
        ]

    def missing(self, tenant: str, kind: Kind, labels: list[tuple[LabelDefinition, Value]]) -> list[str]:
        """The ids of definitions that resources of a type should have a value of, and that are not among the labels."""
        present = {definition.id for definition, _ in labels}
        return [
            definition.id
            for definition in self.reader.definitions(tenant)
            if kind in definition.mandatory_on and definition.id not in present
        ]

    def lacking(self, tenant: str, tag_id: str, kind: Kind, *, after: str = "", limit: int) -> tuple[list[str], str | None]:
        """Up to `limit` ids of resources of a type that have no value of a label which is mandatory there, in order of id.

        And what the next page begins `after`, None: that was all.  A page looks at so many resources and no more, so it may
        have fewer, or none, although others follow.
        Raises `DefinitionNotFound`, and `InvalidParameter` where it is not mandatory.
        """
        if kind not in self.definitions.get(tenant, tag_id).mandatory_on:
            raise InvalidParameter(f"correlation_type: {tag_id} is not mandatory on a {kind}, so none lacks it")
        return self.reader.lacking(tenant, tag_id, kind, after=after, limit=limit)

    def _settle_type(self, change: Change) -> None:
        resource = change.resource
        key = _type_key(resource.tenant, resource.id)
        settled = self._types.settled(key)
        if settled is None:
            self._judge(change)
            settled = self._types.settle(key, str(resource.kind))
        if settled != resource.kind:
            raise _other_type(resource.id, settled)

    def _settle_spelling(self, change: Change) -> str:
        value: str = change.state
        if value.lower() == value.upper():
            return value  # no letter of it has a case
        key = f"{change.resource.tenant}/{change.name}/{folded(value)}"
        spelling: str | None = self._spellings.settled(key)
        if spelling is None:
            self._judge(change)
            spelling = str(self._spellings.settle(key, value))
        return spelling

    def _judge(self, change: Change) -> None:
        """Raises what the change's conditions come to, before anything is settled for a change that cannot be made."""
        if change.conditions != UNCONDITIONAL:
            refusals.conditions(change, self._tag(change.resource, change.name))

    def _take_back(self, change: Change, changed: Changed) -> None:
        """Removes a value whose definition went while it was written, unless that was done already; and what it was answered."""
        self._store.unsay(change)
        if changed.tag is not None:
            terms = Terms(change.actor, changed.trace_id, Conditions(etags=(changed.tag.etag,)), reason=change.reason)
            with suppress(TagNotFound, RevisionMismatch):
                self._store.change(terms.change(change.resource, change.name, Verb.DELETE, max_tags=None))

    def _tag(self, resource: Resource, tag_id: str) -> Tag | None:
        return next(iter(self._store.read(resource, tag_id)), None)


def _type_key(tenant: str, correlation_id: str) -> str:
    return f"{tenant}/{correlation_id}"


def _other_type(correlation_id: str, settled: str) -> InvalidParameter:
    return InvalidParameter(f"correlation_type: {correlation_id} is a {settled}, the type it was first tagged with")
