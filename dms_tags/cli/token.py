"""`dms-tags token create|list|revoke`: administration at the store, recorded in the trail like any other change."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from dms_tags.identity import names
from dms_tags.identity.store import Grant, Listed, TokenStore
from dms_tags.model import Actor, now
from dms_tags.names import spell_time
from dms_tags.serving.embedded import attached
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore

COLUMNS = ("TENANT", "NAME", "ID", "STATUS", "ALLOW", "TAGS", "CREATED", "EXPIRES", "LAST USED")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds what can be done with tokens."""
    actions = parser.add_subparsers(required=True, metavar="create|list|revoke")

    create = _action(actions, "create", _create, "make a token; it is printed once, as the last line on standard output")
    create.add_argument("--name", required=True, help="the actor that the trail will show; never used twice")
    create.add_argument("--tenant", default=names.DEFAULT_TENANT, help="the tenant that it opens (default: %(default)s)")
    create.add_argument("--allow", required=True, metavar="read,write,audit,admin", help="what it may do")
    create.add_argument("--tags", metavar="ocr:,index:", help="limits read and write to tags whose names begin so")
    create.add_argument("--read-tags", metavar="PREFIXES", help="limits read alone; wins over --tags")
    create.add_argument("--write-tags", metavar="PREFIXES", help="limits write alone; wins over --tags")
    create.add_argument("--expires", metavar="90d|12h|DATE", help="when it ends (default: never)")

    every = _action(actions, "list", _list, "show all tokens, the revoked ones too; never their secrets")
    every.add_argument("--tenant", help="only those of one tenant")

    revoke = _action(actions, "revoke", _revoke, "end a token; it is refused everywhere within 10 seconds")
    revoke.add_argument("--name", required=True)
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
    at = now()
    both = _prefixes(arguments.tags)
    grant = Grant(
        names.permissions(arguments.allow),
        both if arguments.read_tags is None else _prefixes(arguments.read_tags),
        both if arguments.write_tags is None else _prefixes(arguments.write_tags),
        None if arguments.expires is None else names.expiry(arguments.expires, at),
    )
    name, tenant = names.token_name(arguments.name), names.tenant(arguments.tenant)
    with _token_store() as store:
        secret = store.create(tenant, name, grant, operator())
    until = "for good" if grant.expires is None else f"until {spell_time(grant.expires)}"
    print(f"{name} may {', '.join(sorted(grant.permissions))} in {tenant} {until}; this is shown once:", file=sys.stderr)
    print(secret)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    with _token_store() as store:
        rows = [COLUMNS, *(_row(listed, now()) for listed in store.every(arguments.tenant))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    with _token_store() as store:
        store.revoke(names.tenant(arguments.tenant), names.token_name(arguments.name), operator())
    print(f"{arguments.name} is revoked; every service refuses it within 10 seconds", file=sys.stderr)
    return 0


def operator() -> Actor:
    """Who runs the command, for the trail: the account of the operating system."""
    try:
        account = getpass.getuser()
    except (OSError, KeyError):
        account = f"uid-{os.getuid()}"
    return Actor(account, "cli")


@contextmanager
def _token_store() -> Iterator[TokenStore]:
    with attached(Settings.from_environment()) as settings:
        database = Database.connect(settings)
        try:
            database.prepare()
            yield TokenStore(database, TagStore(database))
        finally:
            database.close()


def _prefixes(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else names.prefixes(part.strip() for part in text.split(",") if part.strip())


def _row(listed: Listed, at: datetime) -> tuple[str, ...]:
    grant = listed.grant
    if grant is None:
        status, allow, tags, expires = "revoked", "", "", ""
    else:
        status = "expired" if grant.expires is not None and grant.expires <= at else "active"
        allow, tags, expires = ",".join(sorted(grant.permissions)), _limits(grant), _or_never(grant.expires)
    return (
        listed.tenant,
        listed.name,
        listed.id,
        status,
        allow,
        tags,
        spell_time(listed.created),
        expires,
        _or_never(listed.last_used),
    )


def _or_never(moment: datetime | None) -> str:
    return "never" if moment is None else spell_time(moment)


def _limits(grant: Grant) -> str:
    """The prefixes, in one cell."""
    read, write = (
        "all" if prefixes is None else ",".join(prefixes) or "none" for prefixes in (grant.read_prefixes, grant.write_prefixes)
    )
    return read if read == write else f"read {read}; write {write}"
