"""An authenticated caller and what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dms_tags.errors import Forbidden
from dms_tags.model import Actor


class Permission(StrEnum):
    """What a caller may be allowed within its tenant (API.md section 6)."""

    READ = "read"
    WRITE = "write"
    AUDIT = "audit"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated caller.

    `read_prefixes` and `write_prefixes` limit the permission to tag names that begin with one of them; None: all names.
    """

    tenant: str
    actor: Actor
    permissions: frozenset[Permission]
    read_prefixes: tuple[str, ...] | None = None
    write_prefixes: tuple[str, ...] | None = None

    def require(self, *any_of: Permission) -> None:
        """Raises `Forbidden` unless the caller has one of the permissions."""
        if not self.permissions.intersection(any_of):
            raise Forbidden(f"this needs the permission {' or '.join(any_of)}")

    def require_name(self, permission: Permission, name: str) -> None:
        """Raises `Forbidden` unless the caller has `permission` for tags called `name`."""
        self.require(permission)
        if not self.covers(permission, name):
            prefixes = self._prefixes(permission)
            names = f"names that begin with {' or '.join(map(repr, prefixes))}" if prefixes else "no names"
            raise Forbidden(f"the permission {permission} does not cover tags called {name!r}: it is limited to {names}")

    def covers(self, permission: Permission, name: str) -> bool:
        """Whether the permission's prefixes, if it has any, cover the name."""
        prefixes = self._prefixes(permission)
        return prefixes is None or name.startswith(prefixes)

    def _prefixes(self, permission: Permission) -> tuple[str, ...] | None:
        return {Permission.READ: self.read_prefixes, Permission.WRITE: self.write_prefixes}.get(permission)


EVERYTHING: Final = frozenset(Permission)
