"""Entries as an export has them: with the keys by which their names and reasons are held against the log."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from dms_tags.audit.trail.actors import ActorKeys
from dms_tags.audit.trail.entry import Entry, flat
from dms_tags.audit.trail.trail import Trail
from dms_tags.model import Actor
from dms_tags.store.database import store_errors


class Opener:
    """Gives entries of one tenant with `actorKey` and `reasonKey`, null where there is nothing to open."""

    def __init__(self, tenant: str, trail: Trail, actors: ActorKeys) -> None:
        self._tenant = tenant
        self._trail = trail
        self._actors = actors
        self._keys: dict[tuple[str, str], str | None] = {}

    def learn(self, entries: Sequence[Entry]) -> None:
        """Reads the keys of those who made the entries.  Raises `StoreUnavailable`."""
        made_by = {_actor(entry) for entry in entries if entry.get("schema") != 1}
        actors = [Actor(name, kind) for name, kind in made_by if isinstance(name, str) and isinstance(kind, str)]
        keys = self._actors.standing((self._tenant, actor) for actor in actors) if actors else {}
        # None: the actor is being erased
        self._keys = {
            (actor.name, actor.kind): None if key.erasing else b64encode(key.key).decode() for (_, actor), key in keys.items()
        }
        if len(keys) < len(actors):
            # An actor may have been erased since the entries were read: they say so by now
            missing = {(actor.name, actor.kind) for actor in actors} - self._keys.keys()
            in_doubt = {entry["_id"]: entry for entry in entries if _actor(entry) in missing}
            with store_errors():
                for entry in self._trail.entries.find({"_id": {"$in": list(in_doubt)}}):
                    in_doubt[entry["_id"]].update(entry)

    def open(self, entry: Entry) -> dict[str, Any]:
        """The flat entry, with the keys where it is of schema 2.  Whose actor is being erased is shown as it will be then.

        Raises `KeyError`, `TypeError` or `AttributeError` where it is no entry.
        """
        shown = flat(entry)
        if shown["schema"] == 1:
            return shown
        actor = _actor(entry)
        key = shown["actorKey"] = self._keys.get(actor)
        if key is None and actor in self._keys:
            shown["createdBy"], shown["erased"] = None, sorted({*(shown["erased"] or ()), "createdBy"})
        reason_key = entry.get("reasonKey")
        shown["reasonKey"] = None if reason_key is None else b64encode(reason_key).decode()
        return shown


def _actor(entry: Mapping[str, Any]) -> tuple[Any, Any]:
    return entry.get("createdBy"), entry.get("actorKind")
