"""`dms-tags tag get|set|rm|claim|watch`: the client at the command line; the service is the one of `DMS_TAGS_URL`.

Exit status: 0 done, 1 refused by the service, 2 not reached or not understood, 3 nothing to claim.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

from dms_tags.client.blocking import DmsTags
from dms_tags.client.calls import in_state
from dms_tags.client.errors import DmsTagsError, Problem
from dms_tags.client.model import Entry, Tag
from dms_tags.client.wire import moment, wire_time

REFUSED: Final = 1
FAILED: Final = 2
NOTHING: Final = 3
PLACE: Final = "{}"
PATIENCE_SECONDS: Final = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds what can be done with tags."""
    parser.add_argument("--tenant", help="the tenant, where the service needs to be told")
    parser.add_argument("--json", action="store_true", help="print JSON, one document a line")
    actions = parser.add_subparsers(required=True, metavar="get|set|rm|claim|watch")

    get = _action(actions, "get", _get, "read one tag of an object, or all")
    get.add_argument("object")
    get.add_argument("name", nargs="?")
    get.add_argument("--at", type=moment, metavar="TIME", help="all tags as they stood at this time")

    change = _action(
        actions, "set", _set, "set a tag's state, adding the tag where it is missing; with a condition, only update it"
    )
    change.add_argument("object")
    change.add_argument("name")
    change.add_argument("state", type=int)
    change.add_argument("--new", action="store_true", help="only add: refused where the tag is there already")
    change.add_argument("--expected-state", type=int, metavar="N", help="only where the tag is in this state")
    _add_locks(change)

    remove = _action(actions, "rm", _remove, "remove a tag")
    remove.add_argument("object")
    remove.add_argument("name")
    _add_locks(remove)

    claim = _action(actions, "claim", _claim, "take the next object of a queue; with a command, hold it while the command runs")
    claim.add_argument("name")
    claim.add_argument("state", type=int, help="the state that the claimed tag gets")
    which = claim.add_mutually_exclusive_group(required=True)
    which.add_argument("--from", type=int, dest="waiting", metavar="N", help="take one whose tag is in this state")
    which.add_argument("--query", metavar="STATEMENT", help="take the first that this statement finds")
    claim.add_argument(
        "--lease", type=int, default=60, metavar="SECONDS", help="how long it is held unless extended (default: 60)"
    )
    claim.add_argument(
        "--on-success", type=int, metavar="N", help="the state when the command ends with 0; else it is given back"
    )
    claim.add_argument(
        "--run",
        nargs=argparse.REMAINDER,
        metavar="COMMAND",
        help=f"the rest of the line is run; {PLACE} stands for the object's id",
    )

    watch = _action(actions, "watch", _watch, "print changes as they are recorded")
    watch.add_argument("--name", help="only tags of this name")
    watch.add_argument("--state", type=int, help="only changes to this state")
    watch.add_argument("--object", help="only tags of this object")
    watch.add_argument("--after", type=int, metavar="POSITION", help="begin after this position (default: now)")


def run(arguments: argparse.Namespace) -> int:
    """Does what was asked for and returns the exit status."""
    try:
        with DmsTags(tenant=arguments.tenant) as client:
            status: int = arguments.act(client, arguments)
            return status
    except Problem as problem:
        return _complain(problem.detail, REFUSED)
    except (DmsTagsError, ValueError, OSError) as error:
        return _complain(str(error), FAILED)


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    act: Callable[[DmsTags, argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=text)
    parser.set_defaults(act=act)
    return parser


def _add_locks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trace-id", metavar="ID", help="the trace that owns the change")
    parser.add_argument("--trace-must-match", action="store_true", help="only where the tag is owned by --trace-id")
    parser.add_argument("--if-match", metavar="ETAG", help="only where the tag has this ETag")


def _get(client: DmsTags, arguments: argparse.Namespace) -> int:
    if arguments.name is None or arguments.at is not None:
        found = client.tags(arguments.object, at=arguments.at)
        shown = [tag for tag in found if arguments.name in (None, tag.name)]
    else:
        shown = [client.get(arguments.object, arguments.name)]
    for tag in shown:
        _print_tag(tag, arguments)
    return 0


def _set(client: DmsTags, arguments: argparse.Namespace) -> int:
    where = arguments.object, arguments.name, arguments.state
    conditional = arguments.trace_must_match or arguments.if_match is not None or arguments.expected_state is not None
    if conditional and arguments.new:
        raise ValueError("a condition is one on a tag that is there: it does not go with --new")
    if conditional:
        tag = client.update(*where, expected_state=arguments.expected_state, **_locks(arguments))
    elif arguments.new:
        tag = client.add(*where, trace_id=arguments.trace_id)
    else:
        tag = client.set(*where, trace_id=arguments.trace_id)
    _print_tag(tag, arguments)
    return 0


def _remove(client: DmsTags, arguments: argparse.Namespace) -> int:
    client.delete(arguments.object, arguments.name, **_locks(arguments))
    return 0


def _claim(client: DmsTags, arguments: argparse.Namespace) -> int:
    query = arguments.query or in_state(arguments.name, arguments.waiting)
    if not arguments.run:
        taken = client.take(arguments.name, arguments.state, query, lease_seconds=arguments.lease)
        for claimed in taken:
            _print_row({"objectId": claimed.object_id, "attempts": claimed.attempts, **_tag_row(claimed.tag)}, arguments)
        return 0 if taken else NOTHING
    with client.claim(arguments.name, arguments.state, query, lease_seconds=arguments.lease) as work:
        if work is None:
            return NOTHING
        command = [part.replace(PLACE, work.object_id) for part in arguments.run]
        status = subprocess.run(command, check=False).returncode  # the caller's own command is what this is for
        if status == 0 and arguments.on_success is not None:
            work.finish(arguments.on_success)
        return status


def _watch(client: DmsTags, arguments: argparse.Namespace) -> int:
    events = client.events(
        name=arguments.name,
        state=arguments.state,
        object_id=arguments.object,
        after=arguments.after,
        patience=PATIENCE_SECONDS,
    )
    for event in events:
        _print_row(_entry_row(event.entry), arguments)
    return 0


def _locks(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"trace_id": arguments.trace_id, "trace_must_match": arguments.trace_must_match, "if_match": arguments.if_match}


def _print_tag(tag: Tag, arguments: argparse.Namespace) -> None:
    _print_row(_tag_row(tag), arguments)


def _print_row(row: dict[str, Any], arguments: argparse.Namespace) -> None:
    # flushed, so that a reader at the other end of a pipe is woken by each event
    print(
        json.dumps(row) if arguments.json else "\t".join("-" if value is None else str(value) for value in row.values()),
        flush=True,
    )


def _tag_row(tag: Tag) -> dict[str, Any]:
    return {
        "name": tag.name,
        "state": tag.state,
        "creationDate": wire_time(tag.changed),
        "traceId": tag.trace_id,
        "etag": tag.etag,
    }


def _entry_row(entry: Entry) -> dict[str, Any]:
    return {
        "position": entry.position,
        "actionName": entry.action_name,
        "objectId": entry.object_id,
        "name": entry.name,
        "previousState": entry.previous_state,
        "state": entry.state,
        "creationDate": wire_time(entry.changed),
        "traceId": entry.trace_id,
        "createdBy": entry.created_by,
    }


def _complain(text: str, status: int) -> int:
    print(f"dms-tags: {text}", file=sys.stderr)
    return status
