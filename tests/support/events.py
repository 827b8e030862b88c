"""A trail to listen to: entries put straight into it, and streams read block by block."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Self

from dms_tags.api.dms.stream import EventStream
from dms_tags.audit.trail.feed import Feed
from dms_tags.audit.trail.tail import Interest
from dms_tags.audit.trail.trail import Trail
from dms_tags.client.stream import Message, Parser
from dms_tags.model import ADMINISTRATIVE, now
from dms_tags.settings import Settings
from dms_tags.store.database import Database

ALL = Interest()


@dataclass(frozen=True)
class Standing:
    """A permit that holds as long as `revoked` is empty."""

    revoked: tuple[list[bool]] = ([],)

    def __hash__(self) -> int:
        return id(self.revoked[0])

    @property
    def holder(self) -> str:
        """The same for all."""
        return "somebody"

    def holds(self) -> bool:
        """Until somebody puts something into the list."""
        return not self.revoked[0]


class Recorded:
    """A database whose trail a test writes itself; unless it is given, one in memory."""

    def __init__(self, database: Database | None = None) -> None:
        self.database = database or Database.connect(Settings(mongo_uri="mongomock://"))
        self.database.prepare()
        self.trail = Trail(self.database)
        self.head = 0

    def record(
        self, count: int = 1, *, tenant: str = "default", resource: str = "object/doc", name: str = "ocr", state: Any = 1
    ) -> int:
        """Adds entries; returns the position of the last."""
        kind, _, resource_id = resource.partition("/")
        moment = now()
        entries = []
        for _ in range(count):
            self.head += 1
            entries.append(
                {
                    "_id": f"{self.head:032x}",
                    "schema": 1,
                    "tenant": tenant,
                    "position": self.head,
                    "resource": resource,
                    "objectId": resource_id,
                    "within": None,
                    "revision": self.head,
                    "action": 10310 if kind in ADMINISTRATIVE else 310,
                    "actionName": "ADMIN_UPDATED" if kind in ADMINISTRATIVE else "OBJECT_TAG_UPDATED",
                    "name": name,
                    "state": state,
                    "previousState": 0,
                    "traceId": "ff",
                    "previousTraceId": "ff",
                    "createdBy": "ann",
                    "actorKind": "token",
                    "creationDate": moment,
                    "recordedAt": moment,
                }
            )
        self.database.trail.insert_many(entries)
        return self.head

    def archive(self, position: int) -> None:
        """Cuts the trail after a position, as archiving does."""
        self.database.collection("trail_heads").update_one(
            {"_id": "default"}, {"$set": {"cut": position, "recordedAt": now()}}, upsert=True
        )
        self.database.trail.delete_many({"position": {"$lte": position}})

    def feed(self, **settings: Any) -> Feed:
        """A feed of it."""
        return Feed(self.trail, EventStream(), **settings)


class Stream:
    """One client's stream, block by block; close it."""

    def __init__(
        self,
        feed: Feed,
        after: int | None,
        interest: Interest = ALL,
        permit: Standing | None = None,
        tenant: str = "default",
    ) -> None:
        self._parts = feed.follow(tenant, interest, feed.start(tenant, after), permit or Standing())
        self._blocks = self._read()
        self.opened = next(self._blocks)

    def _read(self) -> Iterator[Message]:
        parser = Parser()
        for part in self._parts:
            yield from parser.receive(part)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Goes away."""
        with closing(self._parts):  # type: ignore[type-var]  # a generator, declared as the iterator that it is to others
            pass

    def block(self) -> Message:
        """The next block."""
        return next(self._blocks)

    def rest(self) -> list[Message]:
        """All blocks up to the end of the stream."""
        return list(self._blocks)

    def positions(self, count: int) -> list[int]:
        """The positions of the next `count` events; blocks without data are passed over."""
        found: list[int] = []
        while len(found) < count:
            block = self.block()
            if block.data:
                found.append(int(json.loads(block.data)["data"]["position"]))
        return found
