"""Every call of the DMS API; importing the modules is what declares their calls."""

from __future__ import annotations

from dms_tags.api.dms import audit, batch, definitions, events, objects, statements, subscriptions, tags, workflow
from dms_tags.api.dms.api import api

__all__ = ["api", "audit", "batch", "definitions", "events", "objects", "statements", "subscriptions", "tags", "workflow"]
