"""`dms-tags definition list|get|set|rm`: what the states of a tag name are called, and which steps are allowed between them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, BinaryIO, Final

import click

from dms_tags.cli import remote, screen
from dms_tags.cli.shared import FAILED, NOTHING, Ended, client_options, reason_option
from dms_tags.client import calls
from dms_tags.client.blocking import DmsTags
from dms_tags.client.errors import NotFound
from dms_tags.client.model import Definition
from dms_tags.client.wire import Call, Reply

COLUMNS: Final = ("name", "states", "enforce")
STATE_COLUMNS: Final = ("state", "label", "next", "initial")

command = click.Group(
    "definition", epilog="Exit status: 0 done, 1 refused, 2 not reached or not understood, 3 no such definition."
)
client_options(command)


@command.command("list")
@client_options
def _list() -> None:
    """Show the definitions of all tag names that have one."""
    with remote.calling() as client:
        documents = _as_documents(client, calls.definitions(), lambda answer: answer["definitions"])
    if screen.wants_json():
        screen.show(documents, COLUMNS)
    else:
        rows = [document | {"states": _labels(document), "enforce": document.get("enforce", True)} for document in documents]
        screen.show(rows, COLUMNS, tabs=True)


@command.command("get")
@click.argument("name")
@client_options
def _get(name: str) -> None:
    """Show a definition: its states, and where each may lead.  With --json what `set` takes."""
    try:
        with remote.calling() as client:
            document = _as_documents(client, calls.definition(name), lambda answer: answer)
    except Ended as ended:
        if isinstance(ended.__cause__, NotFound):
            raise Ended(ended.message, NOTHING) from ended
        raise
    if screen.wants_json():
        screen.write_json(document)
    else:
        screen.show(_state_rows(document), STATE_COLUMNS, tabs=True)


@command.command("set")
@click.argument("name")
@click.argument("file", type=click.File("rb"))
@reason_option
@client_options
def _set(name: str, file: BinaryIO, reason: str | None) -> None:
    """Write a definition from FILE (-: standard input), for administrators; it holds everywhere within 2 s.

    FILE has a JSON document: {"states": {"1": "queued", "2": "running"}, "transitions": {"1": [2]}, "initial": [1],
    "enforce": true, "reasonRequired": [2]}.  Only "states" is needed; without "enforce" it is in force.
    """
    try:
        document = json.loads(file.read())
    except ValueError as error:
        raise Ended(f"{file.name} is no JSON document: {error}", FAILED) from error
    if isinstance(document, dict) and document.get("name") == name:
        document = {member: value for member, value in document.items() if member != "name"}
    with remote.calling() as client:
        # as it stands in the file, so that the service refuses by name what it does not know
        client.send(replace(calls.define(name, Definition(name, {}), reason=reason), json=document))


@command.command("rm")
@click.argument("name")
@reason_option
@client_options
def _remove(name: str, reason: str | None) -> None:
    """Remove a definition, for administrators; tags keep their states."""
    with remote.calling() as client:
        client.undefine(name, reason=reason)


def _as_documents(client: DmsTags, call: Call[Any], read: Callable[[Any], Any]) -> Any:
    """The answer to a call as the service gave it, with every member it has."""

    def parse(reply: Reply) -> Any:
        return read(reply.document())

    return client.send(replace(call, parse=parse))


def _labels(document: Mapping[str, Any]) -> str:
    return " ".join(f"{state}={label}" for state, label in document["states"].items())


def _state_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    steps, initial = document.get("transitions"), document.get("initial")
    return [
        {
            "state": state,
            "label": label,
            "next": "any" if steps is None else " ".join(map(str, steps.get(state, ()))) or "none",
            "initial": initial is None or int(state) in initial,
        }
        for state, label in document["states"].items()
    ]
