"""Whether this service is about to stop: it serves everything still, and wants no new callers.

Its processes learn it from a file that the supervisor makes; `DMS_TAGS_SERVICE_DRAINING` names it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

VARIABLE: Final = "DMS_TAGS_SERVICE_DRAINING"


def begin(file: Path) -> None:
    """Tells every process of the service."""
    file.touch()


def begun() -> bool:
    """Whether the service is about to stop."""
    file = os.environ.get(VARIABLE)
    return file is not None and os.path.exists(file)  # noqa: PTH110 - asked with every call of /health/ready and in a loop
