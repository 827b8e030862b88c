"""The metadata API as a whole: its roots, and the shape of its errors (API.md section 4)."""

from __future__ import annotations

from dms_tags.api.endpoint import Api
from dms_tags.api.metadata.errors import ERROR_SCHEMA, render

api = Api("metadata", "", render, ERROR_SCHEMA, security=("bearer",), roots=("/tags", "/resources", "/metadata"))
