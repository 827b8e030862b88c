"""Searching: one page of the objects of a statement, and how many there are (API.md section 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import sleep
from typing import Final

from dms_tags.model import Properties, Tag
from dms_tags.query.compiler import Scope, Typed, compile_statement
from dms_tags.query.moments import Clock
from dms_tags.query.parser import SHORT, parse
from dms_tags.query.statement import Statement
from dms_tags.store.database import Database
from dms_tags.store.documents import tag_of, told_of
from dms_tags.tags.finder import Finder
from dms_tags.tags.leases import Leases
from dms_tags.tags.share import Share

MAX_ITEMS: Final = 1_000
MAX_SKIP: Final = 10_000


@dataclass(frozen=True, slots=True)
class Match:
    """An object that matches: its tags, and what was told of it, None: nothing."""

    object_id: str
    tags: tuple[Tag, ...]
    told: Properties | None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a search.  `total` is how many objects match; where `bounded`, there are more than could be counted."""

    objects: tuple[Match, ...]
    more: bool
    total: int
    bounded: bool


class Search:
    """Searches of one process."""

    def __init__(self, database: Database, leases: Leases, clock: Callable[[], Clock], typed: Typed) -> None:
        self.finder = Finder(database)
        self._reading = Share(1, "long statements")
        self._leases = leases
        self._clock = clock
        self._typed = typed

    def read(self, text: str) -> Statement:
        """What a statement says.  Raises `InvalidQuery`, and for a long one `StoreUnavailable` where others are being read.

        To read a long one keeps the processor from every other call of the process, so they come one by one, and others
        get their turn in between.
        """
        if len(text) <= SHORT:
            return parse(text)
        with self._reading.place():
            statement = parse(text)
            sleep(0)  # the place is still taken while others have their turn
            return statement

    def page(self, tenant: str, statement: Statement, skip: int, limit: int) -> Page:
        """Up to `limit` objects after the first `skip`.  Raises `InvalidQuery` where it takes too long, `StoreUnavailable`.

        Leases that have run out are taken back first, so that nobody finds a state that no longer holds.
        """
        self._leases.take_back(tenant)
        plan = compile_statement(statement, Scope(tenant, typed=self._typed(tenant, statement)), self._clock())
        documents = self.finder.find(plan, limit + 1, skip)
        more = len(documents) > limit
        objects = tuple(
            Match(document["id"], tuple(map(tag_of, document["tags"])), told_of(document)) for document in documents[:limit]
        )
        if not more and (objects or not skip):
            return Page(objects, more, skip + len(objects), bounded=False)
        total, whole = self.finder.count(plan)
        return Page(objects, more, max(total, skip + len(documents) if documents else 0), bounded=not whole)
