"""Definitions of labels: making, changing and ending them, so that no value is ever left without its definition.

A value and its definition are two documents, so a value could be written while its definition goes.  Whoever writes one
holds the definition: it has read it a moment ago, and reads it again if the write took longer than the hold lasts.
Whoever deletes one first marks it as ending, then waits until every hold has run out, and only then looks for values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic, sleep
from typing import Any, Final

from pymongo.errors import DuplicateKeyError

from dms_tags.bounded import Bounded
from dms_tags.errors import DefinitionNotFound, InUse, InvalidParameter, RevisionMismatch, TagNotFound
from dms_tags.metadata.label_keys import Keys
from dms_tags.metadata.model import Draft, LabelDefinition, new_tag_id
from dms_tags.metadata.store import LABEL, LabelReader
from dms_tags.model import Change, Changed, Conditions, Kind, Resource, Tag, Terms, Verb
from dms_tags.names import folded
from dms_tags.store.database import Database
from dms_tags.store.registry import Registry
from dms_tags.tags.revise import revise
from dms_tags.tags.store import TagStore

HOLD_SECONDS: Final = 0.25
"""For so long a process may write values without reading their definition again, counted from before the read."""

WAIT_SECONDS: Final = 0.5
"""From marking a definition until every hold has run out, whichever clocks run a little fast or slow."""

SWEEP: Final = 500
HELD: Final = 10_000
SHOWN: Final = 10
"""Values that a refusal names of those that are allowed."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The right to write values of a definition until a moment of this process's monotonic clock, and those that it allows.

    `allowed` are their spellings by what is the same in any letter case; none: it allows any value.
    """

    tenant: str
    tag_id: str
    until: float
    allowed: Mapping[str, str]

    def spelled(self, value: str) -> str:
        """The value as the definition spells it.  Raises `InvalidParameter` for one that it does not allow."""
        if not self.allowed:
            return value
        spelling = self.allowed.get(folded(value))
        if spelling is None:
            listed = ", ".join(list(self.allowed.values())[:SHOWN])
            more = "" if len(self.allowed) <= SHOWN else f" and {len(self.allowed) - SHOWN} more"
            raise InvalidParameter(f"value: {value[:60]!r} is none of the values that {self.tag_id} allows: {listed}{more}")
        return spelling


class LabelDefinitions:
    """The definitions of all tenants.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database, store: TagStore, spellings: Registry) -> None:
        self._store = store
        self._reader = LabelReader(database)
        self._spellings = spellings
        self._made = Registry(database, "definition_keys")
        self._keys = Keys(database)
        self._held: Bounded[tuple[str, str], Hold] = Bounded(HELD)

    def get(self, tenant: str, tag_id: str) -> LabelDefinition:
        """A definition in force.  Raises `DefinitionNotFound`."""
        tag = self._tag(tenant, tag_id)
        definition = None if tag is None else LabelDefinition.of(tag_id, tag)
        if definition is None or definition.ending:
            raise DefinitionNotFound(f"there is no definition {tag_id!r}")
        return definition

    def hold(self, tenant: str, tag_id: str) -> Hold:
        """The right to write values of a definition for a moment.  Raises `DefinitionNotFound`."""
        hold = self._held.get((tenant, tag_id))
        if hold is None or monotonic() >= hold.until:
            until = monotonic() + HOLD_SECONDS
            definition = self.get(tenant, tag_id)
            hold = Hold(tenant, tag_id, until, {folded(value): value for value in definition.allowed_values})
            self._held.put((tenant, tag_id), hold)
        return hold

    def confirm(self, hold: Hold) -> None:
        """Raises `DefinitionNotFound` where the definition went, or may go, before what was written under the hold was there."""
        if monotonic() >= hold.until:
            self.get(hold.tenant, hold.tag_id)

    def create(self, tenant: str, draft: Draft, terms: Terms) -> tuple[str, Changed]:
        """Makes a definition; its id, and what came of it.  Raises `InUse` where the tenant has one with that key."""
        tag_id = new_tag_id()
        if terms.idempotency is not None:
            tag_id = self._made.settle(f"{tenant}/{terms.actor.own(terms.idempotency.key)}", tag_id)
        self._keys.settle(tenant)
        change = self._change(tenant, tag_id, Verb.ADD, terms, draft.state())
        try:
            return tag_id, self._store.change(replace(change, holds=folded(draft.key)))
        except DuplicateKeyError as error:
            raise _taken(draft) from error

    def update(self, tenant: str, tag_id: str, draft: Draft, terms: Terms) -> Changed:
        """Replaces what a definition says.

        Raises `DefinitionNotFound`, `RevisionMismatch`, `TraceMismatch`, and `InUse` where another one has the key.
        """

        def replaced(tag: Tag) -> dict[str, Any]:
            if LabelDefinition.of(tag_id, tag).ending:
                raise DefinitionNotFound(f"the definition {tag_id!r} is being deleted")
            return draft.state(tag.state)

        self._keys.settle(tenant)
        try:
            return self._replace(tenant, tag_id, replaced, terms, folded(draft.key))
        except DuplicateKeyError as error:
            raise _taken(draft) from error
        finally:
            self._held.forget((tenant, tag_id))  # other processes know what it says now once their hold has run out

    def delete(self, tenant: str, tag_id: str, terms: Terms, *, force: bool) -> Changed:
        """Ends a definition, with `force` its values too; a deletion that was cut short is finished by the next one.

        Raises `DefinitionNotFound`, `RevisionMismatch`, `TraceMismatch`, and `InUse` while it has values.
        """
        if self._tag(tenant, tag_id) is None:
            return self._remove(tenant, tag_id, terms)
        if not force:
            self._require_unused(tenant, tag_id)
        marked = self._replace(tenant, tag_id, lambda tag: {**tag.state, "ending": True}, replace(terms, idempotency=None))
        assert marked.tag is not None  # noqa: S101 - an update leaves a tag
        self._held.forget((tenant, tag_id))
        sleep(WAIT_SECONDS)
        own = replace(terms, trace_id=marked.trace_id, conditions=Conditions(etags=(marked.tag.etag,)))
        try:
            if force:
                self._sweep(tenant, tag_id, replace(terms, trace_id=marked.trace_id))
            else:
                self._require_unused(tenant, tag_id)
        except InUse:
            standing = {member: part for member, part in marked.tag.state.items() if member != "ending"}
            with suppress(RevisionMismatch, TagNotFound):  # another deletion goes on with it
                self._store.change(self._change(tenant, tag_id, Verb.UPDATE, replace(own, idempotency=None), standing))
            raise
        try:
            removed = self._remove(tenant, tag_id, own)
        except RevisionMismatch as error:
            raise InUse(f"the definition {tag_id!r} is being deleted by another call too") from error
        self._spellings.forget(f"{tenant}/{tag_id}/")
        return removed

    def _replace(
        self, tenant: str, tag_id: str, state_of: Callable[[Tag], dict[str, Any]], terms: Terms, holds: str | None = None
    ) -> Changed:
        """Replaces the state that the definition has by one made of it.  Raises `DefinitionNotFound`."""
        change = self._change(tenant, tag_id, Verb.UPDATE, terms, None)
        try:
            return revise(self._store, replace(change, holds=holds), state_of)
        except TagNotFound as error:
            raise DefinitionNotFound(f"there is no definition {tag_id!r}") from error

    def _remove(self, tenant: str, tag_id: str, terms: Terms) -> Changed:
        try:
            return self._store.change(replace(self._change(tenant, tag_id, Verb.DELETE, terms, None), holds=""))
        except TagNotFound as error:
            raise DefinitionNotFound(f"there is no definition {tag_id!r}") from error

    def _require_unused(self, tenant: str, tag_id: str) -> None:
        if self._reader.values(tenant, tag_id, limit=1):
            raise InUse(f"the definition {tag_id!r} has values; force=true removes them too")

    def _sweep(self, tenant: str, tag_id: str, terms: Terms) -> None:
        """Removes all values, in the trace of the deletion."""
        while values := self._reader.values(tenant, tag_id, limit=SWEEP):
            for value in values:
                with suppress(TagNotFound):
                    removal = Change(
                        value.resource, tag_id, Verb.DELETE, terms.actor, trace_id=terms.trace_id, reason=terms.reason
                    )
                    self._store.change(removal)

    def _tag(self, tenant: str, tag_id: str) -> Tag | None:
        tags = self._store.read(Resource(tenant, Kind.DEFINITION, tag_id))
        return next((tag for tag in tags if tag.name == LABEL), None)

    @staticmethod
    def _change(tenant: str, tag_id: str, verb: Verb, terms: Terms, state: Any) -> Change:
        return terms.change(Resource(tenant, Kind.DEFINITION, tag_id), LABEL, verb, state, max_tags=None)


def _taken(draft: Draft) -> InUse:
    return InUse(f"there is a definition with the key {draft.key!r} already, letter case aside; nothing was changed")
