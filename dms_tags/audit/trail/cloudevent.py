"""An entry of the trail as a CloudEvents 1.0 document: what the event feed and subscriptions tell of a change."""

from __future__ import annotations

from typing import Any

from dms_tags.audit.trail.entry import Entry, flat


def cloud_event(entry: Entry) -> dict[str, Any]:
    """The document; its id is the position, its data the flat entry."""
    shown = flat(entry)
    return {
        "specversion": "1.0",
        "id": str(shown["position"]),
        "source": f"/dms-tags/{shown['tenant']}",
        "type": shown["actionName"],
        "subject": shown["resource"],
        "time": shown["creationDate"],
        "datacontenttype": "application/json",
        "data": shown,
    }
