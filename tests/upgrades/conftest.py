"""Databases that an older version made."""

from tests.support.databases import database_name

__all__ = ["database_name"]
