"""Where the last measures are kept, so that they are told while MongoDB is away, by every process of the service.

The keeper measures, and leaves what it found in a file beside the counts; without a supervisor they stay in memory.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from dms_tags.files import replace_whole
from dms_tags.measures.model import Measures

FILE: Final = "measures.json"


class Kept:
    """The measures that were taken last; in the file `path`, or in memory."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._last: Measures | None = None

    @classmethod
    def of_service(cls) -> Kept:
        """Those of the service that this process belongs to."""
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        return cls(None if folder is None else Path(folder, FILE))

    @property
    def shared(self) -> bool:
        """Whether another process takes the measures."""
        return self._path is not None

    def put(self, measures: Measures) -> None:
        """Keeps what was found."""
        self._last = measures
        if self._path is not None:
            replace_whole(self._path, json.dumps(measures.plain()))

    def put_no_answer(self) -> None:
        """Notes that MongoDB did not answer; what was known before stays."""
        last = self.last()
        if last is not None:
            self.put(last.without_answer())

    def last(self) -> Measures | None:
        """What was kept last; None where nothing was."""
        if self._path is None:
            return self._last
        try:
            return Measures.of_plain(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
