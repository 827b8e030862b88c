"""Log lines: one JSON object each for machines, or plain text for a terminal; never a credential in either.

What a caller attaches with `extra={"fields": {...}}` becomes members of the object.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final

from dms_tags.settings import Settings

_CREDENTIALS: Final = re.compile(r"(?i)(\bmongodb(?:\+srv)?://)[^@/\s]*@|(\b(?:bearer|basic)\s+)[\w.~+/=-]+")
"""What an error's text may carry: the password in MongoDB's address, the value of an `Authorization` header."""

CHATTY: Final = ("httpx", "httpcore")
"""Libraries that tell of each request they make."""


def configure(settings: Settings) -> None:
    """Sends what this process logs to standard error, in the form that `settings` ask for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else ConsoleLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for library in CHATTY:
        logging.getLogger(library).setLevel(logging.WARNING)


class JsonLines(logging.Formatter):
    """`{"time", "level", "logger", "message", …fields, "error"?}` on one line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return without_credentials(json.dumps(line, ensure_ascii=False, default=str))


class ConsoleLines(logging.Formatter):
    """Time, level and message, the fields behind it."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        fields = "".join(f" {name}={value}" for name, value in getattr(record, "fields", {}).items())
        error = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return without_credentials(f"{time} {record.levelname.lower():7} {record.getMessage()}{fields}{error}")


def without_credentials(text: str) -> str:
    """`text` with `***` in place of passwords and tokens."""
    return _CREDENTIALS.sub(lambda match: f"{match[1]}***@" if match[1] else f"{match[2]}***", text)
