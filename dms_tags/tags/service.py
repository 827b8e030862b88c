"""The use cases of tags, as clients and workflow engines know them: read, add, update, remove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from dms_tags.errors import ReasonRequired, StateMismatch, TagNotFound, TransitionNotAllowed, UnknownState
from dms_tags.model import Change, Changed, Kind, Resource, Tag, Verb
from dms_tags.tags.store import TagStore


class Rules(Protocol):
    """What an enforced definition demands of changes of its tag."""

    def forbidden_from(self, state: int) -> tuple[int, ...]:
        """The states that may not be left for `state`.  Raises `UnknownState`."""

    def is_initial(self, state: int) -> bool:
        """Whether a tag may begin in `state`."""

    def require_initial(self, state: int) -> None:
        """Raises `UnknownState` or `TransitionNotAllowed` unless a tag may begin in `state`."""

    def require_reason(self, state: int, reason: str | None) -> None:
        """Raises `ReasonRequired` where `state` is one that nobody sets without a reason, and there is none."""


class RuleBook(Protocol):
    """Where the rules of tags come from."""

    def rules(self, tenant: str, name: str) -> Rules | None:
        """The enforced definition of tags called `name`; None where there is none."""


class TagService:
    """Tags on resources, under the rules of their definitions."""

    def __init__(self, store: TagStore, definitions: RuleBook) -> None:
        self._store = store
        self._definitions = definitions

    def tags(self, resource: Resource) -> list[Tag]:
        """All tags of a resource, in order of creation."""
        return self._store.read(resource)

    def tag(self, resource: Resource, name: str) -> Tag:
        """One tag.  Raises `TagNotFound`."""
        for tag in self._store.read(resource, name):
            return tag
        raise TagNotFound(f"{resource.name} has no tag {name!r}")

    def attributes(self, resource: Resource) -> Mapping[str, Any] | None:
        """What was kept with a resource from its first tag on; None for one that never had a tag."""
        return self._store.attributes(resource)

    def change(self, change: Change) -> Changed:
        """Makes one change under the rules of the tag's definition; raises what `TagStore.change` does, and `UnknownState`."""
        try:
            ruled = self.ruled(change)
        except (UnknownState, TransitionNotAllowed, ReasonRequired) as refused:
            kept = self._store.kept_answer(change)
            if kept is not None:
                return kept  # what was answered before its definition changed is answered so again
            if isinstance(refused, UnknownState):
                return self._same_again(change, refused)
            raise
        return self._store.change(ruled)

    def ruled(self, change: Change) -> Change:
        """The change with what an enforced definition demands as one more condition of its write.

        Raises `UnknownState`, `ReasonRequired`, and for an add that may not begin so `TransitionNotAllowed`.
        """
        if change.resource.kind is not Kind.OBJECT or change.verb is Verb.DELETE:
            return change
        rules = self._definitions.rules(change.resource.tenant, change.name)
        if rules is None:
            return change
        if change.verb is Verb.ADD:
            rules.require_initial(change.state)
        else:
            forbidden = rules.forbidden_from(change.state)
            conditions = replace(change.conditions, forbidden_from=forbidden, initial=rules.is_initial(change.state))
            change = replace(change, conditions=conditions)
        rules.require_reason(change.state, change.reason)
        return change

    def _same_again(self, change: Change, unknown: UnknownState) -> Changed:
        """Sets a state that the definition does not know, which only a tag that is in it already may be set to."""
        if change.verb is Verb.ADD or change.conditions.state not in (None, change.state):
            raise unknown
        conditions = replace(change.conditions, state=change.state)
        try:
            return self._store.change(replace(change, verb=Verb.UPDATE, conditions=conditions))
        except (StateMismatch, TagNotFound):
            raise unknown from None
