"""`dms-tags tag …`: the client at the command line; the service is the one of `DMS_TAGS_URL`.

A terminal gets tables; a pipe gets one line each, its cells separated by tabs; `--json` gives both JSON.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar

import click

from dms_tags.cli import remote, screen
from dms_tags.cli.batch import batch
from dms_tags.cli.claim import claim
from dms_tags.cli.rows import ENTRY_COLUMNS, TAG_COLUMNS, entry_row, tag_row
from dms_tags.cli.shared import MOMENT, NOTHING, Command, Ended, client_options, reason_option
from dms_tags.client import calls
from dms_tags.client.answers import history_page
from dms_tags.client.blocking import DmsTags
from dms_tags.client.errors import TagNotFound
from dms_tags.client.model import HistoryEntry, HistoryPage, Tag
from dms_tags.client.wire import Call, Reply, wire_time

PATIENCE_SECONDS: Final = 60.0
PAGE: Final = 1000
NEGATIVE_NUMBERS: Final = {"ignore_unknown_options": True}
"""A state may be -1, which is no option."""

FOUND_COLUMNS: Final = ("objectId", *TAG_COLUMNS)
HISTORY_COLUMNS: Final = (
    "creationDate",
    "action",
    "name",
    "previousState",
    "state",
    "traceId",
    "createdBy",
    "revision",
    "position",
    "reason",
)

F = TypeVar("F", bound=Command)

command = click.Group(
    "tag",
    epilog="Exit status: 0 done, 1 refused by the service, 2 not reached or not understood, 3 nothing there: no such tag, no tags, "
    "nothing to claim.",
)
client_options(command)
command.add_command(batch)
command.add_command(claim)


def _locks(function: F) -> F:
    owner = click.option("--trace-id", metavar="ID", help="The trace that owns the change.")
    lock = click.option("--trace-must-match", is_flag=True, help="Only where the tag is owned by --trace-id.")
    etag = click.option("--if-match", metavar="ETAG", help="Only where the tag has this ETag.")
    return owner(lock(etag(reason_option(function))))


def _require_trace(trace_id: str | None, must_match: bool) -> None:
    if must_match and trace_id is None:
        raise click.UsageError("--trace-must-match needs --trace-id, the id that the tag has.", click.get_current_context())


@command.command("get")
@click.argument("object_id", metavar="OBJECT")
@click.argument("name", required=False)
@click.option("--at", type=MOMENT, metavar="TIME", help="All tags as they stood at this time.")
@client_options
def _get(object_id: str, name: str | None, at: datetime | None) -> None:
    """Read one tag of an object, or all.

    Where there is no such tag, or the object has none, the exit status is 3.
    """
    with remote.calling() as client:
        tags = _tags(client, object_id, name, at)
    if not tags:
        called = "no tags" if name is None else f"no tag {name}"
        then = "" if at is None else f" at {wire_time(at)}"
        raise Ended(f"{object_id} has {called}{then}", NOTHING)
    screen.show(map(tag_row, tags), TAG_COLUMNS, tabs=True)


@command.command("set", context_settings=NEGATIVE_NUMBERS)
@click.argument("object_id", metavar="OBJECT")
@click.argument("name")
@click.argument("state", type=int)
@click.option("--new", is_flag=True, help="Only add: refused where the tag is there already.")
@click.option("--expected-state", type=int, metavar="N", help="Only where the tag is in this state.")
@_locks
@client_options
def _set(
    object_id: str,
    name: str,
    state: int,
    new: bool,
    expected_state: int | None,
    trace_id: str | None,
    trace_must_match: bool,
    if_match: str | None,
    reason: str | None,
) -> None:
    """Set a tag's state, adding the tag where it is missing; with a condition, only update it."""
    _require_trace(trace_id, trace_must_match)
    conditional = trace_must_match or if_match is not None or expected_state is not None
    if conditional and new:
        raise click.UsageError(
            "A condition is one on a tag that is there: it does not go with --new.", click.get_current_context()
        )
    with remote.calling() as client:
        if conditional:
            tag = client.update(
                object_id,
                name,
                state,
                expected_state=expected_state,
                trace_id=trace_id,
                trace_must_match=trace_must_match,
                if_match=if_match,
                reason=reason,
            )
        elif new:
            tag = client.add(object_id, name, state, trace_id=trace_id, reason=reason)
        else:
            tag = client.set(object_id, name, state, trace_id=trace_id, reason=reason)
    screen.show([tag_row(tag)], TAG_COLUMNS, tabs=True)


@command.command("rm")
@click.argument("object_id", metavar="OBJECT")
@click.argument("name")
@_locks
@client_options
def _remove(
    object_id: str, name: str, trace_id: str | None, trace_must_match: bool, if_match: str | None, reason: str | None
) -> None:
    """Remove a tag."""
    _require_trace(trace_id, trace_must_match)
    with remote.calling() as client:
        client.delete(object_id, name, trace_id=trace_id, trace_must_match=trace_must_match, if_match=if_match, reason=reason)


@command.command("search")
@click.argument("statement")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="Objects at most.")
@click.option("--skip", type=click.IntRange(min=0), default=0, metavar="N", help="Objects to pass over first.")
@client_options
def _search(statement: str, limit: int, skip: int) -> None:
    """Find objects by a statement; a line for each of their tags.

    For instance: SELECT * FROM object WHERE system:tags[ocr].state = 1
    """
    rows: list[dict[str, Any]] = []
    count, more = 0, True
    with remote.calling() as client:
        while more and count < limit:
            page = client.search(statement, skip=skip + count, limit=min(limit - count, PAGE))
            for matching_object in page.objects:
                tag_rows = [tag_row(tag) for tag in matching_object.tags] or [{}]
                rows += [{"objectId": matching_object.object_id} | row for row in tag_rows]
            count, more = count + len(page.objects), page.more and bool(page.objects)
    screen.show(rows, FOUND_COLUMNS, tabs=True)
    if more:
        total = f"at least {page.total}" if page.at_least else page.total
        screen.say(f"objects {skip + 1} to {skip + count} of {total}; --skip {skip + count} goes on")


@command.command("history")
@click.argument("object_id", metavar="OBJECT")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="Entries at most.")
@client_options
def _history(object_id: str, limit: int) -> None:
    """Show what happened to an object's tags, newest first.  The exit status is 3 where nothing ever did."""
    entries: list[HistoryEntry] = []
    complete = more = True
    with remote.calling() as client:
        while more and len(entries) < limit:
            size = min(limit, PAGE)
            page, complete = client.send(_history_call(object_id, size, len(entries) // size))
            entries += page.entries
            more = page.more
    if not entries:
        raise Ended(f"{object_id} has no history", NOTHING)
    screen.show(map(_history_row, entries[:limit]), HISTORY_COLUMNS, tabs=True)
    if not complete:
        screen.say("its older entries were archived: they are in the files that `dms-tags audit archive` wrote")


@command.command("watch")
@click.option("--name", help="Only tags of this name.")
@click.option("--state", type=int, metavar="N", help="Only changes to this state.")
@click.option("--object", "object_id", metavar="ID", help="Only tags of this object.")
@click.option("--after", type=int, metavar="POSITION", help="Begin after this position of the trail (default: now).")
@client_options
def _watch(name: str | None, state: int | None, object_id: str | None, after: int | None) -> None:
    """Print changes as they are recorded, until Ctrl-C."""
    with remote.calling() as client:
        for event in client.events(name=name, state=state, object_id=object_id, after=after, patience=PATIENCE_SECONDS):
            screen.write_line(entry_row(event.entry), ENTRY_COLUMNS)


def _tags(client: DmsTags, object_id: str, name: str | None, at: datetime | None) -> list[Tag]:
    """The tags that were asked for, as far as they are there."""
    if name is None or at is not None:
        return [tag for tag in client.tags(object_id, at=at) if name in (None, tag.name)]
    try:
        return [client.get(object_id, name)]
    except TagNotFound:
        return []


def _history_call(object_id: str, size: int, page: int) -> Call[tuple[HistoryPage, bool]]:
    """The client's call, whose reading also tells whether the history is complete (API.md section 2)."""

    def parse(reply: Reply) -> tuple[HistoryPage, bool]:
        return history_page(reply), bool(reply.document().get("complete", True))

    call: Call[Any] = calls.history(object_id, size=size, page=page)
    return replace(call, parse=parse)


def _history_row(entry: HistoryEntry) -> dict[str, Any]:
    return {
        "creationDate": wire_time(entry.changed),
        "action": entry.detail.partition(":")[0],
        "name": entry.name,
        "previousState": entry.previous_state,
        "state": entry.state,
        "traceId": entry.trace_id,
        "createdBy": entry.created_by,
        "revision": entry.revision,
        "position": entry.position,
        "reason": entry.reason,
    }
