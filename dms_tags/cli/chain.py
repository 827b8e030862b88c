"""`dms-tags chain add|change|list`: administration at the store, recorded in the trail like any other change."""

from __future__ import annotations

from typing import Final, TypeVar

import click

from dms_tags.chains.chains import Chains
from dms_tags.chains.model import MAX_ID, Chain
from dms_tags.cli import screen
from dms_tags.cli.at_store import at_store, operator
from dms_tags.cli.shared import Command, json_option, tenant_option
from dms_tags.errors import InvalidParameter, NotFound
from dms_tags.tags.store import TagStore

MAX_TEXT: Final = 255
COLUMNS: Final = ("id", "name", "email", "phone")

F = TypeVar("F", bound=Command)

command = click.Group("chain")
json_option(command)


def _contacts(function: F) -> F:
    email = click.option("--email", metavar="ADDRESS", help="Shown with each of its tags.")
    phone = click.option("--phone", metavar="NUMBER", help="Shown with each of its tags.")
    return email(phone(tenant_option("Whose chain.")(function)))


@command.command("add")
@click.option("--id", "number", required=True, metavar="N", help="A whole number that the chain is known by.")
@click.option("--name", required=True, help="What it is called.")
@_contacts
def _add(number: str, name: str, email: str | None, phone: str | None, tenant: str) -> None:
    """Make a chain."""
    chain = Chain(chain_id(number), _text(name) or "", _text(email), _text(phone))
    with at_store() as (_, database):
        Chains(database, TagStore(database)).add(tenant, chain, operator())


@command.command("change")
@click.option("--id", "number", required=True, metavar="N", help="The chain's number.")
@click.option("--name", help="What it is called from now on.")
@_contacts
def _change(number: str, name: str | None, email: str | None, phone: str | None, tenant: str) -> None:
    """Change a chain's name or contacts; what is not given stays."""
    chain_number = chain_id(number)
    with at_store() as (_, database):
        chains = Chains(database, TagStore(database))
        before = chains.find(tenant, chain_number)
        if before is None:
            raise NotFound(f"{tenant} has no chain {chain_number}")
        given = (_text(name), _text(email), _text(phone))
        new_name, new_email, new_phone = (
            old if new is None else new for new, old in zip(given, (before.name, before.email, before.phone), strict=True)
        )
        chains.change(tenant, Chain(chain_number, new_name or before.name, new_email, new_phone), operator())


@command.command("list")
@tenant_option("Whose chains.")
@json_option
def _list(tenant: str) -> None:
    """Show all chains of the tenant."""
    with at_store() as (_, database):
        chains = Chains(database, TagStore(database)).every(tenant)
    rows = [{"id": chain.id, "name": chain.name, "email": chain.email, "phone": chain.phone} for chain in chains]
    screen.show(rows, COLUMNS)


def chain_id(text: str) -> int:
    """The id that `text` spells; else `InvalidParameter`."""
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= MAX_ID:
        raise InvalidParameter(f"a chain's id is a whole number from 1 to {MAX_ID}, not {text!r}")
    return int(text)


def _text(given: str | None) -> str | None:
    """`given`, if it is not given or may be shown; else `InvalidParameter`."""
    if given is not None and (not 1 <= len(given) <= MAX_TEXT or not given.isprintable()):
        raise InvalidParameter(f"names, addresses and numbers have 1 to {MAX_TEXT} printable characters")
    return given
