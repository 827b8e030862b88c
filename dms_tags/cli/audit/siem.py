"""Entries of the trail in the forms that security desks read: NDJSON, CEF, and syslog (RFC 5424), one a line.

Values come from other people: none can end a line, a field or a header, or begin one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from dms_tags.version import __version__

Entry = Mapping[str, Any]

SEVERITY: Final = 3
"""Of CEF's 0 to 10: low.  A change of a tag is no alarm."""

PRIORITY: Final = 13 * 8 + 6
"""Facility 13, log audit, and severity 6, informational (RFC 5424, section 6.2.1)."""

BOM: Final = "\ufeff"
"""What tells that the message is in UTF-8 (RFC 5424, section 6.4)."""

_no_text = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_no_header = re.compile(r"[^!-~]+")


def ndjson(entry: Entry) -> str:
    """The flat entry, as the trail has it."""
    return _json(entry)


def cef(entry: Entry) -> str:
    """ArcSight's Common Event Format, version 0; members that are null are left out."""
    header = ("dms-tags", "dms-tags", __version__, str(entry["action"]), entry["actionName"], str(SEVERITY))
    labelled = (
        ("tag", entry["name"]),
        ("resource", entry["resource"]),
        ("state", entry["state"]),
        ("previousState", entry["previousState"]),
        ("traceId", entry["traceId"]),
        ("tenant", entry["tenant"]),
    )
    fields = {
        "rt": _milliseconds(entry["recordedAt"]),
        "start": _milliseconds(entry["creationDate"]),
        "externalId": entry["position"],
        "suser": entry["createdBy"],
        "act": entry["actionName"],
        "reason": entry.get("reason"),
    }
    for number, (label, value) in enumerate(labelled, 1):
        if value is not None:
            fields |= {f"cs{number}Label": label, f"cs{number}": value}
    extension = " ".join(f"{name}={_cef_value(_text(value))}" for name, value in fields.items() if value is not None)
    return f"CEF:0|{'|'.join(map(_cef_header, header))}|{extension}"


def syslog(entry: Entry, host: str) -> str:
    """A syslog message; its text is the flat entry in JSON.  `host` is the service's name."""
    name, kind = (_no_header.sub("-", text) or "-" for text in (host, entry["actionName"]))
    origin = f'[origin software="dms-tags" swVersion="{__version__}"]'
    return f"<{PRIORITY}>1 {entry['recordedAt']} {name[:255]} dms-tags - {kind[:32]} {origin} {BOM}{_json(entry)}"


def form(name: str, host: str) -> Callable[[Entry], str]:
    """What writes an entry in the form `ndjson`, `cef` or `syslog`."""
    return {"ndjson": ndjson, "cef": cef, "syslog": lambda entry: syslog(entry, host)}[name]


def _cef_header(text: str) -> str:
    return _no_text.sub(_visible, text.replace("\\", "\\\\").replace("|", "\\|"))


def _cef_value(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("=", "\\=").replace("\r", "\\r").replace("\n", "\\n")
    return _no_text.sub(_visible, escaped)


def _visible(match: re.Match[str]) -> str:
    """A character that could end a line, or is none, spelt out; as a text, not as an escape of CEF."""
    return f"\\\\u{ord(match[0]):04x}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json(entry: Entry) -> str:
    return _no_text.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(entry, ensure_ascii=False))


def _milliseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)
