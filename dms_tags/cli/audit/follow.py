"""`dms-tags audit follow`: the event feed for agents of security desks, from where a file says that they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import httpx

from dms_tags.cli import remote, screen
from dms_tags.cli.audit import siem
from dms_tags.cli.shared import FAILED, Ended, client_options
from dms_tags.client.connection import Connection
from dms_tags.client.errors import Gone
from dms_tags.client.model import EventBatch
from dms_tags.files import replace_whole

PATIENCE_SECONDS: Final = 300.0
"""For so long a service that cannot be reached is waited for."""

ARCHIVED: Final = 4
"""Exit status: what comes next was archived."""


@click.command(
    "follow",
    epilog="Exit status: 1 refused, 2 not reached for five minutes, or the cursor cannot be read or written, "
    "4 what comes next was archived; 130 after Ctrl-C.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["ndjson", "cef", "syslog"]),
    default="ndjson",
    show_default=True,
    help="RFC 5424: syslog.",
)
@click.option(
    "--cursor",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="Where to go on from; kept here.",
)
@click.option("--name", help="Only tags of this name.")
@click.option("--state", type=int, metavar="N", help="Only changes to this state.")
@click.option("--object", "object_id", metavar="ID", help="Only tags of this object.")
@click.option(
    "--after", type=int, metavar="POSITION", help="Begin after this position, where FILE is not there yet (default: now)."
)
@client_options
def follow(form: str, cursor: Path, after: int | None, **filters: Any) -> None:
    """Print changes as they are recorded, each at least once, and go on where an earlier run was.

    FILE has the position up to which everything was printed; it is written after the output was flushed.  Where the output is
    lost behind that, set FILE back.
    """
    kept = _read(cursor)
    begin = after if kept is None else kept
    with remote.calling() as client:
        write = siem.form(form, httpx.URL(Connection.to(None, None, None).url).host)
        try:
            for batch in client.event_batches(after=begin, patience=PATIENCE_SECONDS, **filters):
                kept = _pass_on(batch, write, cursor, kept)
        except Gone as error:
            raise Ended(
                f"{error.detail}: what follows the position {begin if kept is None else kept} in {cursor} is only in files of "
                "`dms-tags audit archive`; read it there, then write the position before the first that is held into the file",
                ARCHIVED,
            ) from error


def _pass_on(batch: EventBatch, write: Callable[[siem.Entry], str], cursor: Path, kept: int | None) -> int | None:
    """Prints a batch, then keeps the position; the position that is kept."""
    if batch.events:
        screen.write("".join(f"{write(event.document['data'])}\n" for event in batch.events), flush=True)
    if batch.position is None or batch.position == kept:
        return kept
    try:
        replace_whole(cursor, f"{batch.position}\n")
    except OSError as error:
        raise Ended(f"{cursor} cannot be written: {error.strerror}", FAILED) from error
    return batch.position


def _read(cursor: Path) -> int | None:
    try:
        text = cursor.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Ended(f"{cursor} cannot be read: {error}", FAILED) from error
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise Ended(f"{cursor} has no position in it: a whole number is right, not {text[:40]!r}", FAILED)
    return int(text)
