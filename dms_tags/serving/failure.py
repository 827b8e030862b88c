"""How a process of the service tells the supervisor that the service cannot start, so that it is said once.

The writing end of a pipe comes with the environment variable `DMS_TAGS_SERVICE_REPORT`.
"""

from __future__ import annotations

import os
import time
from typing import Final, NoReturn

from dms_tags.errors import CannotStart

VARIABLE: Final = "DMS_TAGS_SERVICE_REPORT"
PAUSE_SECONDS: Final = 0.5
"""Time for the supervisor to read it before it would see the process end, and start it again."""


def report_cannot_start(error: CannotStart) -> NoReturn:
    """Tells the supervisor, and ends this process."""
    os.write(int(os.environ[VARIABLE]), f"{error}\n".encode())
    time.sleep(PAUSE_SECONDS)
    raise SystemExit
