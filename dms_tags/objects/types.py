"""Whether the objects of a tenant have types: then `FROM <type>` asks for one (API.md section 3)."""

from __future__ import annotations

from dms_tags.query.statement import Statement
from dms_tags.store.database import Database
from dms_tags.store.registry import Registry


class ObjectTypes:
    """The tenants of whose objects a type was ever told; settled for good, so that every process reads a statement alike."""

    def __init__(self, database: Database) -> None:
        self._tenants = Registry(database, "typed_tenants")

    def asked_by(self, tenant: str, statement: Statement) -> bool:
        """Whether the type that the statement names is one to ask for."""
        return statement.asked_type is not None and self._tenants.settled(tenant) is not None

    def tell(self, tenant: str) -> None:
        """Notes, when nothing is against it any more and before it is written, that an object of the tenant has a type."""
        self._tenants.settle(tenant, word=True)
