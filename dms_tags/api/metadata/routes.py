"""Every call of the metadata API; importing the modules is what declares their calls."""

from __future__ import annotations

from dms_tags.api.metadata import free, labels
from dms_tags.api.metadata.api import api

__all__ = ["api", "free", "labels"]
