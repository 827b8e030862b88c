"""How a process of the service tells the supervisor that the service cannot start, so that it is said once.

The writing end of a pipe comes with the environment variable `DMS_TAGS_SERVICE_REPORT`.
"""

from __future__ import annotations

import os
import time
from typing import Final, NoReturn

from dms_tags.errors import CannotStart

VARIABLE: Final = "DMS_TAGS_SERVICE_REPORT"
END_SECONDS: Final = 10.0
"""The supervisor ends this process well before."""


def report_cannot_start(error: CannotStart) -> NoReturn:
    """Tells the supervisor, and leaves it to it to end this process."""
    os.write(int(os.environ[VARIABLE]), f"{error}\n".encode())
    time.sleep(END_SECONDS)
    raise SystemExit(os.EX_CONFIG)
