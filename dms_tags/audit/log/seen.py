"""What a signer remembers outside the database: the newest checkpoint that it knows of each log.

A database that was restored from a backup looks healthy from within.  What gives it away is a checkpoint that someone
outside has seen and that it no longer bears out, so the signer keeps the newest one beside its key.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from dms_tags.audit.log.checkpoint import Checkpoint
from dms_tags.audit.log.note import notes_in
from dms_tags.errors import CannotStart, Unproven
from dms_tags.files import replace_whole

TAIL: Final = 4_000_000
"""Bytes of a witness file that are read: it grows for ever, and the newest checkpoints stand at its end."""

log = logging.getLogger(__name__)


class Seen:
    """The newest known checkpoint of each log, in memory and in the file `<key file>.seen`.

    Several processes may share the file.  Where it cannot be written the memory ends with the process; that is logged.
    """

    def __init__(self, key_file: Path | None, witness_file: Path | None = None) -> None:
        self._file = None if key_file is None else key_file.with_name(f"{key_file.name}.seen")
        self._known: dict[str, Checkpoint] = {}
        self._lock = threading.Lock()
        self._writable = True
        if witness_file is not None:
            self._read_witness(witness_file)

    def newest(self, name: str) -> Checkpoint | None:
        """The newest checkpoint known of the log `name`.  Raises `CannotStart` where the file is spoilt."""
        with self._lock:
            self._merge(self._read())
            return self._known.get(name)

    def add(self, checkpoint: Checkpoint) -> None:
        """Remembers a checkpoint, if it is newer than the one known."""
        with self._lock:
            known = self._known.get(checkpoint.origin)
            if known is not None and known.size >= checkpoint.size:
                return
            self._merge([checkpoint])
            if self._file is None or not self._writable:
                return
            try:
                with _alone(self._file.parent):
                    self._merge(self._read())
                    self._write(self._file)
            except OSError as error:
                self._writable = False
                log.warning("%s cannot be written: a restored database may go unnoticed after a restart (%s)", self._file, error)

    def _merge(self, checkpoints: list[Checkpoint]) -> None:
        for checkpoint in checkpoints:
            known = self._known.get(checkpoint.origin)
            if known is None or known.size < checkpoint.size:
                self._known[checkpoint.origin] = checkpoint

    def _read(self) -> list[Checkpoint]:
        if self._file is None or not self._file.exists():
            return []
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            return [Checkpoint(name, known["size"], b64decode(known["root"])) for name, known in kept.items()]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CannotStart(f"{self._file}, the signer's memory, cannot be read: nothing is signed ({error})") from error

    def _write(self, file: Path) -> None:
        kept = {name: {"size": known.size, "root": b64encode(known.root).decode()} for name, known in self._known.items()}
        replace_whole(file, json.dumps(kept))

    def _read_witness(self, file: Path) -> None:
        """Takes up what was appended to the witness file last; that it was signed here is known, so no signature is checked."""
        with suppress(FileNotFoundError), file.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL))
            for note in notes_in(stream.read().decode(errors="replace")):
                with suppress(Unproven):
                    self._merge([Checkpoint.parse(note.rpartition("\n\n")[0] + "\n")])


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps the other processes that use `folder` out."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
