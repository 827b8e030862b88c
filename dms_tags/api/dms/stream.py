"""The event feed as Server-Sent Events (WHATWG HTML, section 9.2) that carry CloudEvents 1.0 in JSON."""

from __future__ import annotations

import json
from typing import Final

from dms_tags.audit.trail.cloudevent import cloud_event
from dms_tags.audit.trail.entry import Entry
from dms_tags.audit.trail.tail import Ending

RECONNECT_MS: Final = 1_000

DETAILS: Final = {
    Ending.CUT_OFF: "events came faster than they were read: connect again and go on after the last id",
    Ending.REVOKED: "the identity that this stream was opened with is no longer valid",
    Ending.GONE: "the trail was archived beyond the position that this stream had reached",
    Ending.UNAVAILABLE: "MongoDB does not answer: connect again and go on after the last id",
    Ending.CLOSING: "the service stops: connect again and go on after the last id",
}


class EventStream:
    """The parts of a stream.  A block with an id and no data moves a client's last event id and dispatches nothing."""

    def opening(self, position: int) -> bytes:
        """The place it begins, so that a client that is lost before its first event misses none."""
        return f"retry: {RECONNECT_MS}\nid: {position}\n\n".encode()

    def entry(self, entry: Entry) -> bytes:
        """One change, with its position as id and the name of its action as event."""
        document = cloud_event(entry)
        return f"id: {document['id']}\nevent: {document['type']}\ndata: {json.dumps(document)}\n\n".encode()

    def reached(self, position: int) -> bytes:
        """The sign of life."""
        return f": nothing new for you\nid: {position}\n\n".encode()

    def ending(self, reason: Ending) -> bytes:
        """The last event; it has no id, so that the client's stays the one to go on from."""
        return f"event: {reason}\ndata: {json.dumps({'reason': reason, 'detail': DETAILS[reason]})}\n\n".encode()
