"""Multipart bodies, as clients of a DMS send objects: the part `data` is the JSON document, any other part is content."""

from __future__ import annotations

from typing import Final

from flask import Request
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from dms_tags.api import bodies
from dms_tags.errors import InvalidBody

DATA: Final = "data"
MAX_PARTS: Final = 200


def is_multipart(request: Request) -> bool:
    """Whether the body comes in parts that this service reads."""
    return request.mimetype in ("multipart/form-data", "multipart/mixed")


def data_and_content(request: Request) -> tuple[bytes, list[str]]:
    """The part `data`, and the names of all other parts.  Raises `InvalidBody` or `UnsupportedMediaType`."""
    bodies.require_plain(request)
    boundary = request.mimetype_params.get("boundary", "")
    if not boundary:
        raise InvalidBody("the body comes in parts, and its Content-Type names no boundary between them")
    data: list[bytes] = []
    content: list[str] = []
    try:
        decoder = MultipartDecoder(boundary.encode("latin-1"), max_parts=MAX_PARTS)
        decoder.receive_data(request.get_data())
        decoder.receive_data(None)
        reads = False
        while not isinstance(event := decoder.next_event(), (Epilogue, NeedData)):
            if isinstance(event, (Field, File)):
                reads = event.name == DATA
                if reads:
                    data.append(b"")
                else:
                    content.append(_name(event))
            elif isinstance(event, Data) and reads:
                data[-1] += event.data
    except ValueError as error:
        raise InvalidBody("the body is not what its Content-Type says: parts between its boundaries, each with a name") from error
    if len(data) != 1:
        raise InvalidBody(f"the body has {len(data)} parts named {DATA!r}; one is right, with the objects as JSON", DATA)
    return data[0], content


def _name(event: Event) -> str:
    return str(getattr(event, "name", None) or getattr(event, "filename", None) or "content")[:256]
