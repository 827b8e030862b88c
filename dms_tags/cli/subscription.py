"""`dms-tags subscription set|list|show|delete|pause|resume|secret`: where changes are sent, for administrators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

import click

from dms_tags.cli import remote, screen
from dms_tags.cli.shared import NOTHING, Ended, client_options
from dms_tags.client.blocking import DmsTags
from dms_tags.client.calls import API
from dms_tags.client.errors import NotFound
from dms_tags.client.wire import Call, Reply

COLUMNS: Final = ("name", "url", "after", "lag", "state", "error")
ORDER: Final = ("url", "names", "states", "actions", "proofs", "paused")
"""The members of an answer that are what was asked for: a PUT of them changes nothing."""

Document = dict[str, Any]

command = click.Group(
    "subscription", epilog="Exit status: 0 done, 1 refused, 2 not reached or not understood, 3 no such subscription."
)
client_options(command)


@command.command("set")
@click.argument("name")
@click.argument("url")
@click.option("--name", "names", multiple=True, metavar="TAG", help="Only tags of this name; may be repeated.")
@click.option("--state", "states", type=int, multiple=True, metavar="N", help="Only changes to this state; may be repeated.")
@click.option("--action", "actions", type=int, multiple=True, metavar="N", help="Only 110, 210 or 310; may be repeated.")
@click.option("--proofs", is_flag=True, help="Each event with its inclusion proof, as soon as a checkpoint covers it.")
@click.option("--after", type=int, metavar="POSITION", help="Go on after this position; else a new one begins now.")
@click.option("--paused", is_flag=True, help="Send nothing yet.")
@client_options
def _set(name: str, url: str, **given: Any) -> None:
    """Make a subscription, or set what it is: changes are sent to URL.  A new one's secret is the last line printed."""
    body = {"url": url} | {
        member: value for member, value in given.items() if value is not None and value is not False and value != ()
    }
    with _calling() as client:
        made = client.send(_call("PUT", _path(name), body))
    if screen.wants_json():
        screen.write_json(made)
    elif "secret" in made:
        screen.say("its secret, which nobody can read again:")
        screen.write(f"{made['secret']}\n")


@command.command("list")
@client_options
def _list() -> None:
    """Show all subscriptions, and how far each is."""
    with _calling() as client:
        listed = client.send(_call("GET", f"{API}/subscriptions"))["subscriptions"]
    screen.show(listed if screen.wants_json() else map(_row, listed), COLUMNS, tabs=True)


@command.command("show")
@click.argument("name")
@client_options
def _show(name: str) -> None:
    """Show one subscription: what is sent where, how far it is, why it is not further."""
    with _calling() as client:
        shown = client.send(_call("GET", _path(name)))
    if screen.wants_json():
        screen.write_json(shown)
    else:
        flat = {member: value for member, value in shown.items() if member != "state"} | shown["state"]
        rows = [{"member": member, "value": value} for member, value in flat.items()]
        screen.show(rows, ("member", "value"), tabs=True, heading=False)


@command.command("delete")
@click.argument("name")
@client_options
def _delete(name: str) -> None:
    """Remove a subscription, with its secret and its place in the trail."""
    with _calling() as client:
        client.send(Call("DELETE", _path(name), lambda _: None))


@command.command("pause")
@click.argument("name")
@client_options
def _pause(name: str) -> None:
    """Send nothing more; the place is kept."""
    _set_paused(name, paused=True)


@command.command("resume")
@click.argument("name")
@click.option("--after", type=int, metavar="POSITION", help="Go on after this position, in place of where it was.")
@client_options
def _resume(name: str, after: int | None) -> None:
    """Go on where it was, at once."""
    _set_paused(name, paused=False, **({} if after is None else {"after": after}))


@command.command("secret")
@click.argument("name")
@client_options
def _secret(name: str) -> None:
    """Print a new secret; the one before signs beside it for an hour."""
    with _calling() as client:
        renewed = client.send(_call("POST", f"{_path(name)}/secret"))
    if screen.wants_json():
        screen.write_json(renewed)
    else:
        screen.say("the new secret, which nobody can read again:")
        screen.write(f"{renewed['secret']}\n")


def _set_paused(name: str, *, paused: bool, **more: Any) -> None:
    with _calling() as client:
        shown = client.send(_call("GET", _path(name)))
        body = {member: shown[member] for member in ORDER if member in shown} | {"paused": paused, **more}
        client.send(_call("PUT", _path(name), body, {"If-Match": f'"{shown["etag"]}"'}))


@contextmanager
def _calling() -> Iterator[DmsTags]:
    try:
        with remote.calling() as client:
            yield client
    except Ended as ended:
        if isinstance(ended.__cause__, NotFound):
            raise Ended(ended.message, NOTHING) from ended
        raise


def _call(
    method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
) -> Call[Document]:
    def parse(reply: Reply) -> Document:
        document: Document = reply.document()
        return document

    return Call(method, path, parse, headers=headers or {}, json=body)


def _path(name: str) -> str:
    return f"{API}/subscriptions/{quote(name, safe='')}"


def _row(shown: Mapping[str, Any]) -> Document:
    state = shown["state"]
    standing = "paused" if shown["paused"] else "failing" if state["failures"] else "running"
    return {**shown, "lag": state["lag"], "state": standing, "error": state["pausedReason"] or state["error"]}
