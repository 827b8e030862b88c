"""`dms-tags token create|list|revoke`: administration at the store, recorded in the trail like any other change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import click

from dms_tags.cli import screen
from dms_tags.cli.at_store import at_store, operator
from dms_tags.cli.shared import any_tenant_option, json_option, tenant_option
from dms_tags.identity import names
from dms_tags.identity.store import Grant, ListedToken, TokenStore
from dms_tags.names import spell_time
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore

COLUMNS: Final = ("tenant", "name", "id", "status", "allow", "tags", "created", "expires", "lastUsed")


command = click.Group("token")
json_option(command)


@command.command("create")
@click.option("--name", required=True, help="The actor that the trail will show; never used twice.")
@tenant_option("The tenant that it opens.")
@click.option("--allow", required=True, metavar="read,write,audit,admin", help="What it may do.")
@click.option("--tags", metavar="ocr:,index:", help="Limits read and write to tags whose names begin so.")
@click.option("--read-tags", metavar="PREFIXES", help="Limits read alone; wins over --tags.")
@click.option("--write-tags", metavar="PREFIXES", help="Limits write alone; wins over --tags.")
@click.option("--expires", metavar="90d|12h|DATE", help="When it ends (default: never).")
def _create(
    name: str,
    tenant: str,
    allow: str,
    tags: str | None,
    read_tags: str | None,
    write_tags: str | None,
    expires: str | None,
) -> None:
    """Make a token; it is printed once, as the last line on standard output."""
    both = _prefixes(tags)
    permissions, actor = names.permissions(allow), names.token_name(name)
    reads = both if read_tags is None else _prefixes(read_tags)
    writes = both if write_tags is None else _prefixes(write_tags)
    with _token_store() as (store, database):
        until = None if expires is None else names.expiry(expires, database.clock.now())
        grant = Grant(permissions, reads, writes, until)
        secret = store.create(tenant, actor, grant, operator())
    ending = "for good" if until is None else f"until {spell_time(until)}"
    screen.say(f"{actor} may {', '.join(sorted(permissions))} in {tenant} {ending}; this is shown once:")
    screen.write(f"{secret}\n")


@command.command("list")
@any_tenant_option
@json_option
def _list(tenant: str | None) -> None:
    """Show all tokens, the revoked ones too; never their secrets."""
    with _token_store() as (store, database):
        tokens, at = list(store.every(tenant)), database.clock.now()
    screen.show([_row(token, at) for token in tokens], COLUMNS)


@command.command("revoke")
@click.option("--name", required=True, help="The token's name.")
@tenant_option("Whose token.")
def _revoke(name: str, tenant: str) -> None:
    """End a token; it is refused everywhere within 10 seconds."""
    with _token_store() as (store, _):
        store.revoke(tenant, names.token_name(name), operator())
    screen.say(f"{name} is revoked; every service refuses it within 10 seconds")


@contextmanager
def _token_store() -> Iterator[tuple[TokenStore, Database]]:
    with at_store() as (_, database):
        yield TokenStore(database, TagStore(database)), database


def _prefixes(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else names.prefixes(part.strip() for part in text.split(",") if part.strip())


def _row(token: ListedToken, at: datetime) -> dict[str, Any]:
    grant = token.grant
    if grant is None:
        status, allow, tags, expires = "revoked", None, None, None
    else:
        status = "expired" if grant.expires is not None and grant.expires <= at else "active"
        allow, tags, expires = ",".join(sorted(grant.permissions)), _limits(grant), _or_never(grant.expires)
    values = (
        token.tenant,
        token.name,
        token.id,
        status,
        allow,
        tags,
        spell_time(token.created),
        expires,
        _or_never(token.last_used),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _or_never(moment: datetime | None) -> str:
    return "never" if moment is None else spell_time(moment)


def _limits(grant: Grant) -> str:
    """The prefixes, in one cell."""
    read, write = (
        "all" if prefixes is None else ",".join(prefixes) or "none" for prefixes in (grant.read_prefixes, grant.write_prefixes)
    )
    return read if read == write else f"read {read}; write {write}"
