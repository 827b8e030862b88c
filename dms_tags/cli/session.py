"""`dms-tags session create|list|revoke`: administration at the store, recorded in the trail like any other change."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from dms_tags.chains.chains import Chains
from dms_tags.chains.model import Access
from dms_tags.chains.sessions import Listed, SessionStore
from dms_tags.cli.chain import at_store, chain_id, table
from dms_tags.cli.token import operator
from dms_tags.errors import InvalidParameter, NotFound
from dms_tags.identity import names
from dms_tags.identity.store import TokenStore
from dms_tags.model import now
from dms_tags.names import spell_time

COLUMNS = ("TENANT", "SESSION", "USER", "STATUS", "CHAINS", "CREATED", "EXPIRES", "LAST USED")
LIFETIME: Final = "30d"

_user = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}").fullmatch


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds what can be done with sessions."""
    actions = parser.add_subparsers(required=True, metavar="create|list|revoke")

    create = _action(actions, "create", _create, "make a session; its key is printed once, as the last line on standard output")
    create.add_argument("--user", required=True, help="the user's id, sent as X-Spaaza-Session-User-Id; the actor in the trail")
    create.add_argument(
        "--chain",
        required=True,
        action="append",
        metavar="ID:read,write,delete",
        help="a chain, and what the session may do to its tags; may be given for several chains",
    )
    create.add_argument("--tenant", default=names.DEFAULT_TENANT, help="(default: %(default)s)")
    create.add_argument("--expires", default=LIFETIME, metavar="90d|12h|DATE", help="when it ends (default: %(default)s)")

    every = _action(actions, "list", _list, "show all sessions, the revoked ones too; never their keys")
    every.add_argument("--tenant", help="only those of one tenant")

    revoke = _action(actions, "revoke", _revoke, "end a session; it is refused everywhere within 10 seconds")
    revoke.add_argument("--session", required=True, help="its id, as `session list` shows it")
    revoke.add_argument("--tenant", default=names.DEFAULT_TENANT, help="(default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Does what was asked for.  Raises `CannotStart` without a store, `TagsError` for what is refused."""
    status: int = arguments.act(arguments)
    return status


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, act: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=text)
    parser.set_defaults(act=act)
    return parser


def _create(arguments: argparse.Namespace) -> int:
    if not _user(arguments.user):
        raise InvalidParameter("a user is 1 to 64 of A-Z a-z 0-9 . _ @ - and begins with a letter or a digit")
    tenant, expires = names.tenant(arguments.tenant), names.expiry(arguments.expires, now())
    granted = _grants(arguments.chain)
    with _session_store() as (chains, store):
        for number in granted:
            if chains.find(tenant, number) is None:
                raise NotFound(f"{tenant} has no chain {number}; dms-tags chain add makes one")
        made = store.create(tenant, arguments.user, granted, expires, operator())
    print(f"session {made.id} of user {arguments.user} until {spell_time(expires)}; its key is shown once:", file=sys.stderr)
    print(made.text)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    with _session_store() as (_, store):
        found = store.every(arguments.tenant)
    table([COLUMNS, *(_row(listed, now()) for listed in found)])
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    with _session_store() as (_, store):
        store.revoke(names.tenant(arguments.tenant), arguments.session, operator())
    print(f"session {arguments.session} is revoked; every service refuses it within 10 seconds", file=sys.stderr)
    return 0


@contextmanager
def _session_store() -> Iterator[tuple[Chains, SessionStore]]:
    with at_store() as (database, tags):
        yield Chains(database, tags), SessionStore(database, tags, TokenStore(database, tags).key)


def _grants(texts: list[str]) -> dict[int, frozenset[Access]]:
    granted: dict[int, frozenset[Access]] = {}
    for text in texts:
        number, _, words = text.partition(":")
        unknown = [word for word in words.split(",") if word not in set(Access)]
        if unknown:
            raise InvalidParameter(f"{text!r} is no grant such as 1:read,write,delete")
        found = chain_id(number)
        granted[found] = granted.get(found, frozenset()) | frozenset(map(Access, words.split(",")))
    return granted


def _row(listed: Listed, at: datetime) -> tuple[str, ...]:
    session = listed.session
    if session is None:
        status, chains, expires = "revoked", "", ""
    else:
        status = "expired" if session.expires <= at else "active"
        chains = " ".join(f"{number}:{','.join(sorted(access))}" for number, access in sorted(session.chains.items()))
        expires = spell_time(session.expires)
    used = "never" if listed.last_used is None else spell_time(listed.last_used)
    return listed.tenant, listed.id, listed.user, status, chains, spell_time(listed.created), expires, used
