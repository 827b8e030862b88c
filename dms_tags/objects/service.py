"""The use cases of objects as DMS clients treat them (API.md section 8)."""

from __future__ import annotations

from collections.abc import Sequence

from dms_tags.model import Resource, Terms
from dms_tags.objects.model import Asked, Standing
from dms_tags.objects.store import ObjectStore
from dms_tags.objects.together import ManyObjects
from dms_tags.objects.types import ObjectTypes
from dms_tags.tags.service import TagService


class ObjectService:
    """Objects, under the rules of their tags' definitions.

    Every change raises what changes of single tags raise: `TagExists`, `TooManyTags`, `TraceMismatch`, `RevisionMismatch`,
    `TransitionNotAllowed`, `UnknownState`, `IdempotencyKeyReused`, `StoreUnavailable`; and `ObjectNotFound`.
    """

    def __init__(self, store: ObjectStore, many: ManyObjects, tags: TagService, types: ObjectTypes) -> None:
        self._store = store
        self._many = many
        self._tags = tags
        self._types = types

    def get(self, resource: Resource) -> Standing:
        """An object as it stands.  Raises `ObjectNotFound` where nothing ever was."""
        return self._store.read(resource)

    def change(self, asked: Sequence[Asked], terms: Terms) -> list[Standing]:
        """Makes all that is asked of up to 100 objects, each named once, or none of it; how they stand then."""
        typed = {each.resource.tenant for each in asked if each.told.type is not None}

        def before_write() -> None:
            for tenant in typed:
                self._types.tell(tenant)

        if len(asked) == 1:
            return [self._store.change(asked[0], terms, self._tags.ruled, before_write)]
        return self._many.change(asked, terms, self._tags.ruled, before_write)
