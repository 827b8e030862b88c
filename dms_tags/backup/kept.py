"""What a backup keeps of a database, collection by collection: one table, so that a new collection is one line.

Beside those listed here a backup treats three in its own ways: `audit_trail` goes into exports, `tags` are made from it by
replay, and of `log_tiles` and `log_checkpoints` what later backups add is kept (`dms_tags.backup.writer`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from dms_tags.store.documents import Document


@dataclass(frozen=True, slots=True)
class Kept:
    """A collection that every backup keeps whole.

    `belongs` is how one tenant's documents are told from others': by the member `tenant`; by an `_id` that begins with the
    tenant and a slash; by an `_id` that is the tenant; not at all, since all belong to the database.
    """

    name: str
    belongs: Literal["tenant", "_id/", "_id", "database"]

    def of(self, tenant: str | None) -> Document:
        """The query for a tenant's documents, None: of all tenants."""
        if tenant is None or self.belongs == "database":
            return {}
        if self.belongs == "_id/":
            return {"_id": {"$gte": f"{tenant}/", "$lt": f"{tenant}0"}}  # 0 is what follows the slash
        return {self.belongs: tenant}


KEPT: Final = (
    Kept("meta", "database"),  # the key of the hashes of tokens: without it none opens anything
    Kept("credentials", "tenant"),
    Kept("session_credentials", "tenant"),
    Kept("subscription_secrets", "tenant"),  # else receivers could not tell what comes from here
    Kept("subscription_cursors", "tenant"),
    Kept("actor_keys", "tenant"),  # else nobody could tell whose the commitments of the trail are
    Kept("log_identity", "database"),
    Kept("log_witnessed", "database"),
    Kept("trail_heads", "_id"),
    Kept("trail_baselines", "tenant"),
    Kept("correlation_types", "_id/"),
    Kept("value_spellings", "_id/"),
    Kept("typed_tenants", "_id"),
    Kept("counters", "_id/"),
    Kept("definition_keys", "_id/"),
    Kept("chain_tag_keys", "_id/"),
)

OWN_WAYS: Final = frozenset({"audit_trail", "tags", "log_tiles", "log_checkpoints"})

PASSED_OVER: Final = frozenset({"leases", "schema", "log_restored"})
"""What is true of one running database alone: whose turn it is, which schema it has, that it was restored."""
