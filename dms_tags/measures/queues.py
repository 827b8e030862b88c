"""How full the states of tags with an enforced definition are, and how old the oldest in each is.

`creationDate` is the time of a tag's last change, so the oldest tag of a state is the one that has waited the longest.
"""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Any, Final, NamedTuple

from dms_tags.model import Kind
from dms_tags.store.database import Database, store_errors
from dms_tags.tags.definitions import Definitions

MOST: Final = 100_000
"""Tags of one state that are counted; of more it is told that there are so many."""


class Queue(NamedTuple):
    """The tags of one name in one state."""

    tenant: str
    name: str
    state: int


class Queues:
    """The queues of the tenants.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database, definitions: Definitions) -> None:
        self._database = database
        self._definitions = definitions

    def of(self, tenant: str, limit: int) -> tuple[list[Queue], int]:
        """Up to `limit` queues of the tenant's enforced definitions, in order, and how many there are more."""
        enforced = (definition for definition in self._definitions.all(tenant) if definition.enforce)
        queues = (Queue(tenant, definition.name, state) for definition in enforced for state in sorted(definition.states))
        return list(islice(queues, limit)), sum(1 for _ in queues)

    def depth(self, queue: Queue) -> tuple[int, datetime | None]:
        """How many objects have the tag in the state, `MOST` at most, and since when the oldest has it."""
        query: dict[str, Any] = {
            "tenant": queue.tenant,
            "kind": str(Kind.OBJECT),
            "tags": {"$elemMatch": {"name": queue.name, "state": queue.state}},
        }
        with store_errors():
            depth = self._database.tags.count_documents(query, limit=MOST, hint="queue")
            # Read along the index, and not sorted: a sort would go by the oldest of all tags of an object
            oldest = list(self._database.tags.find(query, {"tags": 1}, hint="queue", limit=0 if self._database.mock else 1))
        rows = [row for document in oldest for row in document["tags"] if (row["name"], row["state"]) == queue[1:]]
        return depth, min((row["creationDate"] for row in rows), default=None)
