from __future__ import annotations

from tests.contract.conftest import service
from tests.support.stores import shared

__all__ = ["service", "shared"]
