"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A stream into a new file that is called `path` once all was written and flushed; what fails leaves nothing behind.

    Raises `OSError` where it cannot be written, `FileExistsError` where a file of that name came meanwhile.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.link(part, path)  # unlike a rename, it never takes the place of another file
    finally:
        with suppress(OSError):
            part.unlink()


def replace_whole(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Writes `text` in place of what `path` holds, if it is there; a crash leaves the one or the other.

    `mode` are the permissions of a new file, less the umask.  Raises `OSError`.
    """
    part = path.with_name(f"{path.name}.new")
    part.touch(mode=mode)
    with part.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
