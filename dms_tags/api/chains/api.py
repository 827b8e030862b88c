"""The chain tags API as a whole: its prefix, the shape of its errors, and whose calls it takes (API.md section 5)."""

from __future__ import annotations

from typing import Final

from dms_tags.api.chains.errors import ERROR_SCHEMA, render
from dms_tags.api.chains.identity import identify
from dms_tags.api.endpoint import Api

NOTE: Final = "It takes a session of an administrator, sent as X-Spaaza-Session-User-Id and X-Spaaza-Session-Key."

api = Api(
    "chains", "/auth", render, ERROR_SCHEMA, security=("session_user", "session_key"), identify=identify, forms=True, note=NOTE
)
