"""The console: its API with every route declared."""

from __future__ import annotations

from dms_tags.api.console import objects, overview, proof, sign_in, trail
from dms_tags.api.console.api import api

__all__ = ["api", "objects", "overview", "proof", "sign_in", "trail"]
