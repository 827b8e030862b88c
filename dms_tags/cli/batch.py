"""`dms-tags tag batch`: many changes from a file, each standing alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO, Final
from uuid import uuid4

import click

from dms_tags.cli import remote, screen
from dms_tags.cli.rows import tag_row
from dms_tags.cli.shared import FAILED, REFUSED, Ended, client_options
from dms_tags.client import calls
from dms_tags.client.model import BatchAction, Outcome

AT_ONCE: Final = 1000
"""Changes that one request may carry (API.md section 3)."""

COLUMNS: Final = ("objectId", "name", "result", "state", "etag", "detail")


@click.command("batch")
@click.argument("file", type=click.File("rb"))
@client_options
def batch(file: BinaryIO) -> int:
    """Make the changes in FILE (-: standard input), and print what came of each, in their order.

    Each line is a JSON document: {"objectId": "8f2c", "name": "ocr", "state": 2}, with any of "action" (add, update, set,
    delete; else set), "traceId", "traceIdMustMatch", "ifMatch", "expectedState".  The exit status is 1 where one was refused.
    """
    changes = [_change(number, line) for number, line in enumerate(file, 1) if line.strip()]
    refused = False
    with remote.calling() as client:
        for some in _portions(changes):
            # as they stand in the file, so that the service refuses by name what it does not know
            outcomes = client.send(replace(calls.batch([]), json={"changes": some}))
            screen.show(map(_row, some, outcomes), COLUMNS, tabs=True)
            refused = refused or any(outcome.error is not None for outcome in outcomes)
    return REFUSED if refused else 0


def _portions(changes: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for begin in range(0, len(changes), AT_ONCE):
        yield changes[begin : begin + AT_ONCE]


def _change(number: int, line: bytes) -> dict[str, Any]:
    try:
        change = json.loads(line)
    except ValueError as error:
        raise Ended(f"line {number} is no JSON document: {error}", FAILED) from error
    if not isinstance(change, dict):
        raise Ended(f'line {number} is no change such as {{"objectId": "8f2c", "name": "ocr", "state": 2}}', FAILED)
    return {"action": BatchAction.SET.value, "idempotencyKey": uuid4().hex} | change


def _row(change: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    row = {name: change.get(name) for name in ("objectId", "name")}
    if outcome.error is not None:
        return row | {"result": outcome.error.type, "detail": outcome.error.detail}
    if outcome.tag is None:
        return row | {"result": "removed"}
    return row | {"result": "done"} | {name: tag_row(outcome.tag)[name] for name in ("state", "etag")}
