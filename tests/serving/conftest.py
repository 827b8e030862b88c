"""Whole services, which these tests kill as well: what one wrote last may come in when it is dead."""

from tests.support.databases import database_name

__all__ = ["database_name"]
