"""All indexes of the database; each one costs every change, so each says which question it answers.

`dms_tags.store.database` makes them; the queries that need one name it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

_UNIQUE: Final[dict[str, Any]] = {"unique": True}

EXPIRING: Final = {"chain_tag_keys": timedelta(hours=24), "definition_keys": timedelta(hours=24)}
"""Collections whose documents go by themselves, and how long after the time in `at`: what an idempotency key has made."""

TAG_INDEXES: Final[tuple[tuple[str, list[tuple[str, int]], dict[str, Any]], ...]] = (
    ("queue", [("tenant", 1), ("kind", 1), ("tags.name", 1), ("tags.state", 1), ("tags.creationDate", 1)], {}),
    ("outbox", [("tenant", 1), ("outbox.0.at", 1)], {}),
    (
        "within",
        [("tenant", 1), ("within", 1), ("attributes.order", 1)],
        {"partialFilterExpression": {"within": {"$exists": True}}},
    ),
    (
        "labels",
        [("tenant", 1), ("tags.name", 1), ("_id", 1)],
        {"partialFilterExpression": {"kind": {"$in": ["account", "site", "user", "wan"]}}},
    ),
    # the users of a chain's tag, page by page
    (
        "tag_users",
        [("tenant", 1), ("kind", 1), ("tags.name", 1), ("_id", 1)],
        {"partialFilterExpression": {"kind": "chain-user"}},
    ),
    (
        "leases",
        [("tags.lease.until", 1)],
        {"partialFilterExpression": {"tags.lease.until": {"$exists": True}}},
    ),
    # objects by when they were made, and by their type: of those that a statement asks for without naming a tag or an id
    ("created", [("tenant", 1), ("known.at", 1), ("_id", 1)], {"partialFilterExpression": {"known.at": {"$exists": True}}}),
    ("type", [("tenant", 1), ("known.type", 1)], {"partialFilterExpression": {"known.type": {"$exists": True}}}),
    # a word that one resource of a tenant holds, as a definition of labels its key; what is without one costs nothing
    ("holds", [("holds", 1)], {"unique": True, "sparse": True}),
    # what each idempotency key of a claim took; unique, so that two equal requests cannot both take something
    (
        "claimed",
        [("tenant", 1), ("claims.id", 1)],
        {"unique": True, "partialFilterExpression": {"claims.id": {"$exists": True}}},
    ),
)

TRAIL_INDEXES: Final[tuple[tuple[str, list[tuple[str, int]], dict[str, Any]], ...]] = (
    # the two that keep the trail dense; they also answer "from position x on" and "all of one resource"
    ("position", [("tenant", 1), ("position", 1)], _UNIQUE),
    ("revision", [("tenant", 1), ("resource", 1), ("revision", 1)], _UNIQUE),
    # pairs that people ask for
    ("resource_name", [("tenant", 1), ("resource", 1), ("name", 1), ("position", 1)], {}),
    ("resource_trace", [("tenant", 1), ("resource", 1), ("traceId", 1), ("position", 1)], {}),
    # single filters; with a time each is a range of positions
    ("name", [("tenant", 1), ("name", 1), ("position", 1)], {}),
    ("action", [("tenant", 1), ("action", 1), ("position", 1)], {}),
    ("state", [("tenant", 1), ("state", 1), ("position", 1)], {}),
    ("trace", [("tenant", 1), ("traceId", 1), ("position", 1)], {}),
    ("actor", [("tenant", 1), ("createdBy", 1), ("position", 1)], {}),
    # most entries belong to nothing: null is smaller than any text, so `$gt ""` leaves them out, and unlike a `$type`
    # the planner sees that an equality implies it
    ("within", [("tenant", 1), ("within", 1), ("position", 1)], {"partialFilterExpression": {"within": {"$gt": ""}}}),
)

OUTLIVED: Final = (("trail_baselines", "resource"),)
"""Indexes of earlier versions that would be in the way, by collection."""

OTHER_INDEXES: Final[tuple[tuple[str, str, list[tuple[str, int]], dict[str, Any]], ...]] = (
    ("log_tiles", "tile", [("tenant", 1), ("level", 1), ("number", 1)], _UNIQUE),
    # one line of checkpoints: two signers cannot both be next; and never two roots for one size
    ("log_checkpoints", "line", [("log", 1), ("number", 1)], _UNIQUE),
    ("log_checkpoints", "size", [("log", 1), ("size", 1)], _UNIQUE),
    # not unique: orders to archive that were cut off leave some at the same cut, which count for nothing
    ("trail_baselines", "baseline", [("tenant", 1), ("resource", 1), ("cut", 1)], {}),
    ("credentials", "token_1", [("token", 1)], _UNIQUE),
    *((name, "at_1", [("at", 1)], {"expireAfterSeconds": int(lasting.total_seconds())}) for name, lasting in EXPIRING.items()),
)
"""Those of the other collections, by collection."""
