"""`dms-tags session create|list|revoke`: administration at the store, recorded in the trail like any other change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import click

from dms_tags.chains.chains import Chains
from dms_tags.chains.model import Access
from dms_tags.chains.sessions import ListedSession, SessionStore
from dms_tags.cli import screen
from dms_tags.cli.at_store import at_store, operator
from dms_tags.cli.chain import chain_id
from dms_tags.cli.shared import any_tenant_option, json_option, tenant_option
from dms_tags.errors import InvalidParameter, NotFound
from dms_tags.identity import names
from dms_tags.names import spell_time
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore

COLUMNS: Final = ("tenant", "session", "user", "status", "chains", "created", "expires", "lastUsed")
LIFETIME: Final = "30d"

_user = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}").fullmatch

command = click.Group("session")
json_option(command)


@command.command("create")
@click.option("--user", required=True, help="The user's id, sent as X-Spaaza-Session-User-Id; the actor in the trail.")
@click.option(
    "--chain",
    "grants",
    required=True,
    multiple=True,
    metavar="ID:read,write,delete",
    help="A chain, and what the session may do to its tags; may be given for several chains.",
)
@tenant_option("Whose chains.")
@click.option("--expires", default=LIFETIME, show_default=True, metavar="90d|12h|DATE", help="When it ends.")
def _create(user: str, grants: Sequence[str], tenant: str, expires: str) -> None:
    """Make a session; its key is printed once, as the last line on standard output."""
    if not _user(user):
        raise InvalidParameter("a user is 1 to 64 of A-Z a-z 0-9 . _ @ - and begins with a letter or a digit")
    granted = _grants(grants)
    with _session_store() as (database, store):
        until = names.expiry(expires, database.clock.now())
        chains = Chains(database, TagStore(database))
        for number in granted:
            if chains.find(tenant, number) is None:
                raise NotFound(f"{tenant} has no chain {number}; dms-tags chain add makes one")
        made = store.create(tenant, user, granted, until, operator())
    screen.say(f"session {made.id} of user {user} until {spell_time(until)}; its key is shown once:")
    screen.write(f"{made.text}\n")


@command.command("list")
@any_tenant_option
@json_option
def _list(tenant: str | None) -> None:
    """Show all sessions, the revoked ones too; never their keys."""
    with _session_store() as (database, store):
        sessions, at = list(store.every(tenant)), database.clock.now()
    screen.show([_row(session, at) for session in sessions], COLUMNS)


@command.command("revoke")
@click.option("--session", required=True, metavar="ID", help="Its id, as `session list` shows it.")
@tenant_option("Whose session.")
def _revoke(session: str, tenant: str) -> None:
    """End a session; it is refused everywhere within 10 seconds."""
    with _session_store() as (_, store):
        store.revoke(tenant, session, operator())
    screen.say(f"session {session} is revoked; every service refuses it within 10 seconds")


@contextmanager
def _session_store() -> Iterator[tuple[Database, SessionStore]]:
    with at_store() as (_, database):
        yield database, SessionStore(database, TagStore(database))


def _grants(texts: Sequence[str]) -> dict[int, frozenset[Access]]:
    granted: dict[int, frozenset[Access]] = {}
    for text in texts:
        number, _, words = text.partition(":")
        unknown = [word for word in words.split(",") if word not in set(Access)]
        if unknown:
            raise InvalidParameter(f"{text!r} is no grant such as 1:read,write,delete")
        chain = chain_id(number)
        granted[chain] = granted.get(chain, frozenset()) | frozenset(map(Access, words.split(",")))
    return granted


def _row(listed: ListedSession, at: datetime) -> dict[str, Any]:
    session = listed.session
    if session is None:
        status, chains, expires = "revoked", None, None
    else:
        status = "expired" if session.expires <= at else "active"
        chains = " ".join(f"{number}:{','.join(sorted(access))}" for number, access in sorted(session.chains.items()))
        expires = spell_time(session.expires)
    used = "never" if listed.last_used is None else spell_time(listed.last_used)
    values = (listed.tenant, listed.id, listed.user, status, chains, spell_time(listed.created), expires, used)
    return dict(zip(COLUMNS, values, strict=True))
