"""Definitions of tags: the states that a name may have, and the steps between them (API.md section 3).

A definition is a resource of its own in the same engine, so that who changed it is in the trail.  It is enforced as one
more condition of each write, a set of states that may not be left for the new one; there is no check before the write.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from dms_tags.bounded import Bounded
from dms_tags.errors import (
    InvalidBody,
    NotFound,
    ReasonRequired,
    RevisionMismatch,
    TagNotFound,
    TransitionNotAllowed,
    UnknownState,
)
from dms_tags.model import Changed, Kind, Resource, Tag, Terms, Verb
from dms_tags.store.database import Database, store_errors
from dms_tags.tags.store import TagStore

TAG: Final = "definition"
"""The name of the one tag of a definition's resource; its state is the definition."""

FRESH_SECONDS: Final = 1.0
"""For so long a process believes what it has read; then somebody reads anew."""

STALE_SECONDS: Final = 1.5
"""For so long the others still believe it: with the read itself, less than the 2 s that are promised."""

REMEMBERED: Final = 1_000
"""Tenants whose definitions a process keeps in memory, at most: without authentication callers can invent them."""

MAX_STATES: Final = 1_000
"""States of one definition, at most."""


@dataclass(frozen=True, slots=True)
class Definition:
    """The states of tags of one name, with what each is called.

    `transitions` maps a state to those that may follow it, None: any may follow any; a state that is no key of it may not
    be left for another one.  `initial` are the states that a tag may begin in, None: any.  Where `enforce` is false the
    definition only names states.  `reason_required` are the states that nobody sets without saying why.
    """

    name: str
    states: Mapping[int, str]
    transitions: Mapping[int, frozenset[int]] | None = None
    initial: frozenset[int] | None = None
    enforce: bool = True
    reason_required: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        """Raises `InvalidBody` for steps from, to or into states that the definition does not name."""
        for member, used in (
            ("transitions", set(self.transitions or ()) | {to for many in (self.transitions or {}).values() for to in many}),
            ("initial", set(self.initial or ())),
            ("reasonRequired", set(self.reason_required)),
        ):
            unknown = sorted(used - set(self.states))
            if unknown:
                raise InvalidBody(f"{member}: states has no {unknown[0]}; every state is named in states", member)

    def forbidden_from(self, state: int) -> tuple[int, ...]:
        """The states that may not be left for `state`: never `state` itself, nor one that is not of the definition.

        Raises `UnknownState`.
        """
        self._require_known(state)
        if self.transitions is None:
            return ()
        return tuple(sorted(other for other in self.states if other != state and state not in self.transitions.get(other, ())))

    def is_initial(self, state: int) -> bool:
        """Whether a tag may begin in `state`."""
        return self.initial is None or state in self.initial

    def require_initial(self, state: int) -> None:
        """Raises `UnknownState` or `TransitionNotAllowed` unless a tag may begin in `state`."""
        self._require_known(state)
        if self.initial is not None and state not in self.initial:
            raise TransitionNotAllowed(f"a tag {self.name!r} begins in one of the states {_listed(self.initial)}, not in {state}")

    def require_reason(self, state: int, reason: str | None) -> None:
        """Raises `ReasonRequired` where `state` is one that nobody sets without a reason, and there is none."""
        if reason is None and state in self.reason_required:
            raise ReasonRequired(f"a tag {self.name!r} is set to {state} for a reason only: say it in the header X-Change-Reason")

    def _require_known(self, state: int) -> None:
        if state not in self.states:
            raise UnknownState(f"the definition of {self.name!r} has the states {_listed(self.states)}, not {state}")


def _listed(states: Any) -> str:
    return ", ".join(map(str, sorted(states)))


@dataclass(frozen=True, slots=True)
class _Known:
    """What a process has read of a tenant's definitions, and when it began to."""

    read: float
    definitions: Mapping[str, Definition]


class Definitions:
    """The definitions of all tenants."""

    def __init__(self, database: Database, store: TagStore) -> None:
        self._database = database
        self._store = store
        self._known: Bounded[str, _Known] = Bounded(REMEMBERED)
        self._reading = threading.Lock()

    def rules(self, tenant: str, name: str) -> Definition | None:
        """The enforced definition of tags called `name`, at most 2 s old; None where there is none."""
        definition = self._fresh(tenant).get(name)
        return definition if definition is not None and definition.enforce else None

    def all(self, tenant: str) -> list[Definition]:
        """The definitions of a tenant, as they are now, in order of name."""
        return [definition for _, definition in sorted(self._read(tenant).items())]

    def get(self, tenant: str, name: str) -> tuple[Definition, Tag]:
        """One definition, as it is now, and the tag that has its ETag and trace id.  Raises `NotFound`."""
        for tag in self._store.read(Resource(tenant, Kind.DEFINITION, name), TAG):
            return _definition(name, tag.state), tag
        raise _none(name)

    def put(self, tenant: str, definition: Definition, terms: Terms) -> Changed:
        """Sets a definition, in place of any other; recorded in the trail.

        What the terms demand is a condition of the very write.  Raises `RevisionMismatch`, `TraceMismatch`.
        """
        try:
            return self._change(tenant, definition.name, Verb.SET, terms, document(definition))
        except RevisionMismatch as error:
            raise _not_as_demanded(definition.name, terms) from error

    def delete(self, tenant: str, name: str, terms: Terms) -> Changed:
        """Removes a definition; recorded in the trail.  What the terms demand is a condition of the very write.

        Raises `NotFound`, `RevisionMismatch`.
        """
        try:
            return self._change(tenant, name, Verb.DELETE, terms, None)
        except TagNotFound as error:
            raise _none(name) from error
        except RevisionMismatch as error:
            raise _not_as_demanded(name, terms) from error

    def _change(self, tenant: str, name: str, verb: Verb, terms: Terms, state: Any) -> Changed:
        changed = self._store.change(terms.change(Resource(tenant, Kind.DEFINITION, name), TAG, verb, state))
        self._known.forget(tenant)
        return changed

    def _fresh(self, tenant: str) -> Mapping[str, Definition]:
        known = self._known.get(tenant)
        age = float("inf") if known is None else monotonic() - known.read
        if known is not None and age < STALE_SECONDS:
            # One caller reads ahead of need.  None waits for it: where MongoDB does not answer they would wait in turn
            if age < FRESH_SECONDS or not self._reading.acquire(blocking=False):
                return known.definitions
            try:
                return self._renew(tenant)
            finally:
                self._reading.release()
        return self._renew(tenant)

    def _renew(self, tenant: str) -> Mapping[str, Definition]:
        # The time before the read: what changes while it runs is known too late by no more than it takes
        known = _Known(monotonic(), self._read(tenant))
        self._known.put(tenant, known)
        return known.definitions

    def _read(self, tenant: str) -> Mapping[str, Definition]:
        query: dict[str, Any] = {"tenant": tenant, "kind": str(Kind.DEFINITION), "tags": {"$elemMatch": {"name": TAG}}}
        with store_errors():
            documents = list(self._database.tags.find(query, {"id": 1, "tags": 1}))
        return {
            document["id"]: _definition(document["id"], row["state"])
            for document in documents
            for row in document["tags"]
            if row["name"] == TAG
        }


def document(definition: Definition) -> dict[str, Any]:
    """A definition as it is kept in the trail and goes over the wire; members that were not given are left out."""
    shown: dict[str, Any] = {"states": {str(state): name for state, name in sorted(definition.states.items())}}
    if definition.transitions is not None:
        shown["transitions"] = {str(state): sorted(following) for state, following in sorted(definition.transitions.items())}
    if definition.initial is not None:
        shown["initial"] = sorted(definition.initial)
    if definition.reason_required:
        shown["reasonRequired"] = sorted(definition.reason_required)
    return {**shown, "enforce": definition.enforce}


def _none(name: str) -> NotFound:
    return NotFound(f"there is no definition of tags called {name!r}")


def _not_as_demanded(name: str, terms: Terms) -> RevisionMismatch:
    if terms.conditions.absent:
        return RevisionMismatch(f"there is a definition of {name!r} already; nothing was changed")
    return RevisionMismatch(f"the definition of {name!r} is not the one that If-Match names; nothing was changed")


def _definition(name: str, kept: Mapping[str, Any]) -> Definition:
    transitions, initial = kept.get("transitions"), kept.get("initial")
    return Definition(
        name,
        {int(state): called for state, called in kept["states"].items()},
        None if transitions is None else {int(state): frozenset(following) for state, following in transitions.items()},
        None if initial is None else frozenset(initial),
        kept["enforce"],
        frozenset(kept.get("reasonRequired", ())),
    )
