"""`dms-tags actor erase|erase-reason`: a person's name, or a reason, is dropped; every proof holds as before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import click

from dms_tags.audit.erasure import KINDS, Eraser
from dms_tags.audit.trail.relay import Relay
from dms_tags.audit.trail.trail import Trail
from dms_tags.chains.sessions import SessionStore
from dms_tags.cli import screen
from dms_tags.cli.at_store import at_store, operator
from dms_tags.cli.shared import NOTHING, Ended, tenant_option
from dms_tags.identity.store import TokenStore
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore

REFUSED_EVERYWHERE: Final = timedelta(seconds=10)
"""For so long a service may still take what was revoked."""

command = click.Group("actor")


@command.command("erase")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), help="Only the actor of this kind (default: of every kind).")
@tenant_option("In whose trail.")
def _erase(name: str, kind: str | None, tenant: str) -> None:
    """Drop an actor's name and key: entries then say that it was erased, and nobody can tell any more whose they were.

    What proves the actor, a token or sessions, must be revoked before, and is forgotten too: a token may be called so again.
    Files that were exported or archived before keep what they have, and so do entries of schema 1.
    """
    with at_store() as (_, database):
        store = TagStore(database)
        stores = [
            credentials
            for credentials, of in ((TokenStore(database, store), "token"), (SessionStore(database, store), "session"))
            if kind in (None, of)
        ]
        for credentials in stores:
            credentials.require_revoked(tenant, name, REFUSED_EVERYWHERE)
        with _eraser(database) as eraser:
            done = eraser.erase(tenant, name, kind, operator())
        forgotten = sum(credentials.forget(tenant, name) for credentials in stores)
    if not done.actors and not forgotten and not done.keep and not done.beside:
        raise Ended(f"nothing in {tenant} is known of an actor of that name", NOTHING)
    screen.say(f"erased from {screen.counted(done.entries, 'entry')} of {tenant}; every proof holds as before")
    if done.keep:
        screen.say(f"it stays in {screen.counted(done.keep, 'entry')} of schema 1, where the name is in what was signed")


@command.command("erase-reason")
@click.argument("position", type=click.IntRange(min=1))
@tenant_option("In whose trail.")
def _erase_reason(position: int, tenant: str) -> None:
    """Drop the reason that the entry at POSITION was given, and its key; every proof of the entry holds as before."""
    with at_store() as (_, database), _eraser(database) as eraser:
        eraser.erase_reason(tenant, position, operator())
    screen.say(f"the reason at position {position} of {tenant} is erased")


@contextmanager
def _eraser(database: Database) -> Iterator[Eraser]:
    """What erases, with a relay beside it where no service has one."""
    relay, trail = Relay(database), Trail(database)

    try:
        yield Eraser(database, TagStore(database), lambda tenant: trail.wait_for(tenant, move=relay.run_once))
    finally:
        relay.release()
