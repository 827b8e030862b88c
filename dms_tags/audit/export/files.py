"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from dms_tags.errors import CannotStart


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A stream into a new file that is called `path` once all was written and flushed; what fails leaves nothing behind.

    Raises `CannotStart` where the file is there already or cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with part.open("wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.link(part, path)  # unlike a rename, it never takes the place of a file that came meanwhile
        finally:
            with suppress(OSError):
                part.unlink()
    except OSError as error:
        raise CannotStart(f"{path} cannot be written: {error.strerror}; nothing was removed") from error
