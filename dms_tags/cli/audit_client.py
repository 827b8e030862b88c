"""The audit commands that are clients of a running service, and the one that needs nothing but a file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from dms_tags.audit.export import rows
from dms_tags.audit.export.manifest import manifest_beside
from dms_tags.audit.verify.download import Download, Wanted
from dms_tags.audit.verify.file import verify_file
from dms_tags.audit.verify.live import CannotLook, Remote, verify_live
from dms_tags.audit.verify.report import NOT_LOOKED, read_keys
from dms_tags.cli import output
from dms_tags.client.connection import Connection
from dms_tags.errors import CannotStart, Unproven

PAGE: Final = 1000
NAMES: Final = rows.head()
SECONDS: Final = 60.0

FILTERS: Final[Mapping[str, tuple[str, str]]] = {
    "object": ("objectId", "changes of this object"),
    "resource": ("resource", "changes of this resource, site/12"),
    "within": ("within", "changes of what belongs to this, chain/7"),
    "name": ("name", "changes of tags called so"),
    "action": ("action", "changes of this kind, 110, 210 or 310; may be repeated"),
    "state": ("state", "changes to this state"),
    "trace-id": ("traceId", "changes in this trace"),
    "by": ("createdBy", "changes by this actor"),
    "from": ("from", "recorded at this time or later"),
    "to": ("to", "recorded before this time"),
    "after": ("after", "positions above this one"),
    "before": ("before", "positions below this one"),
}
"""Option, name on the wire, meaning."""


def query(arguments: argparse.Namespace) -> int:
    """Prints entries, a page after the other."""
    left = arguments.limit or sys.maxsize
    cursor: str | None = None
    with _client(arguments.tenant) as client:
        while left:
            parameters = {**_filters(arguments), "order": arguments.order, "limit": min(left, PAGE)}
            if cursor is not None:
                parameters["cursor"] = cursor
            page = Remote(client).get(f"?{httpx.QueryParams(parameters)}").json()
            for entry in page["entries"]:
                sys.stdout.write(json.dumps(entry, ensure_ascii=False) + "\n")
            left, cursor = left - len(page["entries"]), page["next"]
            if cursor is None:
                break
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Writes an export to a file, from where an earlier attempt broke off."""
    wanted = Wanted(_filters(arguments), arguments.format, arguments.proofs)
    with _client(arguments.tenant) as client, output.bar("exporting") as progress:
        manifest = Download(client, wanted, arguments.out, progress).run()
    sys.stdout.write(f"{arguments.out}: {manifest['count']} entries, positions {manifest['first']} to {manifest['last']}\n")
    if manifest["checkpoint"] is None:
        sys.stderr.write("no checkpoint covers it, since the service cannot sign: it proves nothing yet\n")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Verifies a file offline, or a running service."""
    try:
        keys = [] if arguments.key is None else read_keys(arguments.key)
        kept = None if arguments.checkpoint is None else arguments.checkpoint.read_text(encoding="utf-8")
        if arguments.file is not None:
            return _verify_file(arguments.file, keys, kept)
        with _client(arguments.tenant) as client, output.bar("verifying") as progress:
            report = verify_live(client, keys, kept, progress)
        return output.tell(str(client.base_url), report)
    except (OSError, UnicodeDecodeError, Unproven) as error:
        raise CannotStart(f"cannot look: {error}") from error


def _verify_file(file: Path, keys: list[Any], kept: str | None) -> int:
    if not keys:
        raise CannotStart("cannot look: --key is the public key to verify with, from the service's log/key or audit-signing.pub")
    if file.stat().st_size == 0:
        sys.stdout.write(f"{file}: empty, nothing was looked at\n")
        return NOT_LOOKED
    if _begins_with_names(file) and not manifest_beside(file).exists():
        raise CannotStart(f"cannot look: {manifest_beside(file)}, the manifest of this table, is not there")
    with output.bar("verifying") as progress:
        report = verify_file(file, keys, kept, progress)
    return output.tell(str(file), report)


def _begins_with_names(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(NAMES)) == NAMES


def _filters(arguments: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(arguments, name) for name, _ in FILTERS.values()}
    return {name: value for name, value in given.items() if value is not None}


@contextmanager
def _client(tenant: str | None) -> Iterator[httpx.Client]:
    """A client of the service of the environment.  What keeps it from an answer is raised as `CannotStart`."""
    try:
        connection = Connection.to(None, None, tenant)
        with httpx.Client(base_url=connection.url, headers=connection.headers, timeout=SECONDS) as client:
            yield client
    except (ValueError, OSError) as error:
        raise CannotStart(f"cannot look: {error}") from error
    except CannotLook as error:
        raise CannotStart(str(error)) from error
