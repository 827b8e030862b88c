"""What the blocking client and the one for asyncio share: everything but the waiting."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

from dms_tags.client.attempts import Retries
from dms_tags.client.connection import Connection
from dms_tags.client.errors import DmsTagsError
from dms_tags.client.stream import Following
from dms_tags.client.wire import Call
from dms_tags.client.work import Held

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=Callable[..., Any])

log = logging.getLogger("dms_tags.client")


class Method(Generic[P, T]):
    """A call as a method of a client, with the call's own signature; how it is sent is the client's."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        self.build = build
        self.__doc__ = build.__doc__

    def named(self, method: M) -> M:
        """`method` with the call's name, signature and docstring."""
        update_wrapper(method, self.build)
        return method


class Client:
    """Where the service is, and when to try again."""

    def __init__(self, url: str | None, token: str | None, tenant: str | None, retries: Retries | None) -> None:
        self._connection = Connection.to(url, token, tenant)
        self._retries = retries or Retries()

    def _following(
        self, name: str | None, state: int | None, object_id: str | None, after: int | None, patience: float | None
    ) -> Following:
        return Following(name=name, state=state, object_id=object_id, after=after, patience=patience, retries=self._retries)


def tell_lost(work: Held, error: DmsTagsError) -> None:
    """Says that somebody else holds the work now."""
    log.warning("the lease of %s is lost: %s", work.object_id, error)


def tell_late(work: Held, error: DmsTagsError) -> None:
    """Says that an extension failed and is tried again."""
    log.info("the lease of %s could not be extended, again in %.0f s: %s", work.object_id, work.pause, error)


def tell_kept(work: Held, error: DmsTagsError) -> None:
    """Says that the work could not be given back: its lease runs out by itself."""
    log.info("the lease of %s could not be given back: %s", work.object_id, error)
