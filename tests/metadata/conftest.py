from __future__ import annotations

from tests.contract.conftest import service

__all__ = ["service"]
