"""dms-tags: tags on DMS objects, locked by trace id, every change in a provable audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dms_tags.version import __version__

if TYPE_CHECKING:
    from dms_tags.app import create_app

__all__ = ["__version__", "create_app"]


def __getattr__(name: str) -> Any:
    # The client library lives beside the service: importing it must import neither Flask nor PyMongo
    if name == "create_app":
        from dms_tags.app import create_app

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
