"""The folder of backups: numbered sets, each whole or not there, each naming the one before it.

    000001/manifest.json          what is in the set: files with size and sum, positions, whose database; signed where a key is
           trail-<tenant>.ndjson  the entries that this set adds: an export like any other, with its own proof
           trail-<tenant>.bson    what the lines of that file do not tell of the documents in the database
           tags-<tenant>.bson     what replaying the trail does not give of the documents of `tags`
           <collection>.bson      the rest
    000002.part                   what a backup that was cut off left: the next one begins by removing it

A set has all of the rest, and of the trail what came since the set before.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from dms_tags.audit.trail.entry import canonical
from dms_tags.errors import CannotStart

FORM: Final = 1
"""Which form of backup this is; a later one has a higher number."""

MANIFEST: Final = "manifest.json"
_SET: Final = re.compile(r"[0-9]{6}", re.ASCII)
_LOCK: Final = ".lock"


@dataclass(frozen=True, slots=True)
class TrailOf:
    """What a set has of a tenant's trail: the positions after `after` up to `last`, which has the id `id`; none if they are equal.

    `cut` is the last position that was archived away; `checkpoints` how far each of the tenant's logs was kept, by number.
    """

    tenant: str
    after: int
    last: int
    id: str | None
    cut: int
    checkpoints: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Set:
    """A whole set, as its manifest tells of it.  `tenant` None: it is of all tenants; `files` their sizes and sums by name."""

    folder: Path
    number: int
    database: str
    tenant: str | None
    schema: int
    at: str
    previous: str | None
    trails: Mapping[str, TrailOf]
    files: Mapping[str, tuple[int, str]]
    manifest: Mapping[str, Any]
    sum: str

    @property
    def whose(self) -> str:
        """Whose data it is, in words."""
        return f"of {'all tenants' if self.tenant is None else f'the tenant {self.tenant}'}"


class Spoilt(Exception):
    """The folder is no backup that could be used; the text says where it is not, and how."""


def trail_file(tenant: str) -> str:
    """The name of the export of a tenant's entries."""
    return f"trail-{quote(tenant, safe='')}.ndjson"


def beside_file(tenant: str) -> str:
    """The name of what is kept beside that export."""
    return f"trail-{quote(tenant, safe='')}.bson"


def tags_file(tenant: str) -> str:
    """The name of what replay does not give of a tenant's tags."""
    return f"tags-{quote(tenant, safe='')}.bson"


def sets(folder: Path) -> list[Set]:
    """The whole sets of a folder, in order; each follows the one before.  Raises `Spoilt`, `OSError`."""
    read: list[Set] = []
    for path in sorted(path for path in folder.iterdir() if _SET.fullmatch(path.name)):
        kept = _read(path)
        expected = read[-1].number + 1 if read else 1
        if kept.number != expected or path.name != f"{expected:06d}":
            raise Spoilt(f"the set {expected:06d} is missing: {path.name} stands there")
        if kept.previous != (read[-1].sum if read else None):
            raise Spoilt(
                f"{path / MANIFEST} does not follow {read[-1].folder.name if read else 'nothing'}: one of them is another backup's"
            )
        if read and (kept.database, kept.tenant) != (read[0].database, read[0].tenant):
            raise Spoilt(f"{path.name} is {kept.whose}, of another database or tenant than {read[0].folder.name}")
        read.append(kept)
    return read


def _read(folder: Path) -> Set:
    try:
        text = (folder / MANIFEST).read_bytes()
        manifest = json.loads(text)
        if manifest["form"] > FORM:
            raise Spoilt(f"{folder / MANIFEST} has the form {manifest['form']}, this version knows up to {FORM}: use a newer one")
        return Set(
            folder,
            manifest["number"],
            manifest["database"],
            manifest["tenant"],
            manifest["schema"],
            manifest["at"],
            manifest["previous"],
            {trail["tenant"]: TrailOf(**trail) for trail in manifest["trails"]},
            {file["name"]: (file["bytes"], file["sha256"]) for file in manifest["files"]},
            manifest,
            sha256(text).hexdigest(),
        )
    except FileNotFoundError as error:
        raise Spoilt(f"{folder / MANIFEST} is missing") from error
    except (ValueError, KeyError, TypeError) as error:
        raise Spoilt(f"{folder / MANIFEST} was altered: it cannot be read ({error!r})") from error


def faults(kept: Set) -> Iterator[str]:
    """What is wrong with the files of a set: those that are missing, and those that are not as they were written."""
    for name, (size, digest) in kept.files.items():
        file = kept.folder / name
        try:
            if file.stat().st_size != size:
                yield f"{file} was altered: it has {file.stat().st_size} bytes, by its manifest {size}"
            elif sum_of(file) != digest:
                yield f"{file} was altered: its sha256 is not the one in the manifest"
        except FileNotFoundError:
            yield f"{file} is missing"


def signed_text(manifest: Mapping[str, Any]) -> str:
    """The text of the note that a manifest's signature belongs to."""
    return canonical({name: value for name, value in manifest.items() if name != "signature"}).decode() + "\n"


def signed_name(origin: str) -> str:
    """The name under which the manifests of a database's backups are signed: no tenant's log is called so."""
    return f"{origin}/backup/set"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keeps other backups out of the folder, which is made if it is not there.  Raises `CannotStart` while one is at work."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotStart(f"{folder} cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(lock, 20).decode(errors="replace").strip() or "unknown"
            raise CannotStart(
                f"process {holder} is writing a backup into {folder}: let it end, or give another folder"
            ) from error
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(lock)


@contextmanager
def begun(folder: Path, number: int) -> Iterator[Path]:
    """The folder of a new set, which counts from when the context ends without an error; else nothing is left of it.

    Raises `CannotStart` where it cannot be written.
    """
    part, whole = folder / f"{number:06d}.part", folder / f"{number:06d}"
    try:
        for left in folder.glob("*.part"):
            shutil.rmtree(left)
        part.mkdir(mode=0o700)
        yield part
        for path in (*part.iterdir(), part):
            _flush(path)
        part.rename(whole)
        _flush(folder)
    except OSError as error:
        with suppress(OSError):
            shutil.rmtree(part)
        what = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise CannotStart(f"the backup cannot be written to {folder}: {what}; nothing of it was left there") from error
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def sum_of(file: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        digest = sha256()
        while part := stream.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
