"""Every call of the chain tags API; importing the modules is what declares their calls."""

from __future__ import annotations

from dms_tags.api.chains import tags, users
from dms_tags.api.chains.api import api

__all__ = ["api", "tags", "users"]
