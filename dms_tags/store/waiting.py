"""Waiting for what another writer has begun, within bounds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Final, TypeVar

T = TypeVar("T")

PAUSE_SECONDS: Final = 0.01
"""Between two looks: about what a majority of MongoDB needs to have a write."""


def awaited(look: Callable[[], T | None], seconds: float) -> T | None:
    """What `look` gives, as soon as it gives something; None where it gives nothing for so many seconds."""
    pause = threading.Event()
    give_up = monotonic() + seconds
    while (seen := look()) is None and monotonic() < give_up:
        pause.wait(PAUSE_SECONDS)
    return seen
