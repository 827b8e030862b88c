"""A change whose new state is made of the old one: read, then written under the ETag that was read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any, Final

from dms_tags.errors import RevisionMismatch, StoreUnavailable, TagNotFound, TagsError
from dms_tags.model import Change, Changed, Conditions, Tag
from dms_tags.tags.store import TagStore

PATIENCE: Final = 4.0
"""Seconds for which a change that keeps meeting other writers is tried again."""

_NEVER: Final = Conditions(etags=("",))


def revise(store: TagStore, change: Change, state_of: Callable[[Tag], Any]) -> Changed:
    """Makes an update whose state is `state_of` the tag as it is in that very write.

    `change` is the update, under the conditions of its caller; its `state` is not used.  What `state_of` refuses is
    refused, unless the call is the repetition of one that was answered.
    Raises `TagNotFound`, and what `TagStore.change` and `state_of` raise.
    """
    asked = change.conditions.etags
    give_up = monotonic() + PATIENCE
    while monotonic() < give_up:
        tag = next(iter(store.read(change.resource, change.name)), None)
        if tag is None:
            raise TagNotFound(f"{change.resource.name} has no tag {change.name!r}")
        try:
            state = state_of(tag)
        except TagsError:
            with suppress(RevisionMismatch):
                if change.idempotency is not None:
                    return store.change(replace(change, state=tag.state, conditions=_NEVER))
            raise
        etags = (tag.etag,) if asked is None or tag.etag in asked else asked
        try:
            return store.change(replace(change, state=state, conditions=replace(change.conditions, etags=etags)))
        except RevisionMismatch:
            if asked is not None or change.conditions.absent:
                raise
    raise StoreUnavailable(f"too many writers on {change.resource.name} at once; nothing was changed")
