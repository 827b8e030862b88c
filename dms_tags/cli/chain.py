"""`dms-tags chain add|change|list`: administration at the store, recorded in the trail like any other change."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dms_tags.chains.chains import Chains
from dms_tags.chains.model import MAX_ID, Chain
from dms_tags.cli.token import operator
from dms_tags.errors import InvalidParameter, NotFound
from dms_tags.identity import names
from dms_tags.serving.embedded import attached
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore

MAX_TEXT = 255
COLUMNS = ("ID", "NAME", "EMAIL", "PHONE")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds what can be done with chains."""
    actions = parser.add_subparsers(required=True, metavar="add|change|list")

    add = _action(actions, "add", _add, "make a chain")
    add.add_argument("--id", required=True, help="a whole number that the chain is known by")
    add.add_argument("--name", required=True)
    change = _action(actions, "change", _change, "change a chain's name or contacts; what is not given stays")
    change.add_argument("--id", required=True)
    change.add_argument("--name")
    for action in (add, change):
        action.add_argument("--email", help="shown with each of its tags")
        action.add_argument("--phone", help="shown with each of its tags")

    _action(actions, "list", _list, "show all chains of the tenant")


def run(arguments: argparse.Namespace) -> int:
    """Does what was asked for.  Raises `CannotStart` without a store, `TagsError` for what is refused."""
    status: int = arguments.act(arguments)
    return status


def table(rows: list[tuple[str, ...]]) -> None:
    """Prints rows with their columns below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def chain_id(text: str) -> int:
    """The id that `text` spells; else `InvalidParameter`."""
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= MAX_ID:
        raise InvalidParameter(f"a chain's id is a whole number from 1 to {MAX_ID}, not {text!r}")
    return int(text)


@contextmanager
def at_store() -> Iterator[tuple[Database, TagStore]]:
    """The service's own store, reached as the service reaches it."""
    with attached(Settings.from_environment()) as settings:
        database = Database.connect(settings)
        try:
            database.prepare()
            yield database, TagStore(database)
        finally:
            database.close()


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, act: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=text)
    parser.add_argument("--tenant", default=names.DEFAULT_TENANT, help="whose chains (default: %(default)s)")
    parser.set_defaults(act=act)
    return parser


def _add(arguments: argparse.Namespace) -> int:
    chain = Chain(chain_id(arguments.id), _text(arguments.name) or "", _text(arguments.email), _text(arguments.phone))
    tenant = names.tenant(arguments.tenant)
    with at_store() as (database, store):
        Chains(database, store).add(tenant, chain, operator())
    return 0


def _change(arguments: argparse.Namespace) -> int:
    tenant, number = names.tenant(arguments.tenant), chain_id(arguments.id)
    with at_store() as (database, store):
        chains = Chains(database, store)
        before = chains.find(tenant, number)
        if before is None:
            raise NotFound(f"{tenant} has no chain {number}")
        given = (_text(arguments.name), _text(arguments.email), _text(arguments.phone))
        name, email, phone = (
            old if new is None else new for new, old in zip(given, (before.name, before.email, before.phone), strict=True)
        )
        chains.change(tenant, Chain(number, name or before.name, email, phone), operator())
    return 0


def _list(arguments: argparse.Namespace) -> int:
    with at_store() as (database, store):
        found = Chains(database, store).every(names.tenant(arguments.tenant))
    table([COLUMNS, *((str(chain.id), chain.name, chain.email or "", chain.phone or "") for chain in found)])
    return 0


def _text(given: str | None) -> str | None:
    """`given`, if it is not given or may be shown; else `InvalidParameter`."""
    if given is not None and (not 1 <= len(given) <= MAX_TEXT or not given.isprintable()):
        raise InvalidParameter(f"names, addresses and numbers have 1 to {MAX_TEXT} printable characters")
    return given
