"""The audit commands that go to the store as the service does: the key, checkpoints, seals, archiving, verification at the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import click

from dms_tags.audit.archive import Archiver
from dms_tags.audit.log.keys import DEFAULT_TENANT, Identities, LogIdentity, SigningKey, origin_of
from dms_tags.audit.log.note import Verifier
from dms_tags.audit.log.signer import Checkpointer, NotSigned
from dms_tags.audit.sealer import Sealer
from dms_tags.audit.trail.relay import Relay
from dms_tags.audit.verify.database import verify_database
from dms_tags.cli import output, screen
from dms_tags.cli.at_store import at_store, operator
from dms_tags.cli.shared import MOMENT, tenant_option
from dms_tags.errors import CannotStart, TagsError, Unproven
from dms_tags.identity import names
from dms_tags.model import Change, Kind, Resource, Verb
from dms_tags.names import spell_time
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore


@click.command("keygen")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Where (default: DMS_TAGS_SIGNING_KEY_FILE).")
def keygen(out: Path | None) -> None:
    """Make the key that signs this database's checkpoints; its public half is told to a database that has none yet."""
    with at_store() as (settings, database):
        file = out or Settings.from_environment().signing_key_file
        if file is None:
            raise CannotStart("where is the key to be? Give --out FILE, or set DMS_TAGS_SIGNING_KEY_FILE")
        identities = Identities(database)
        before = identities.current()
        key = SigningKey.create(file)
        if before is None:
            identity = identities.adopt(key.public, origin_of(settings, key.public))
            _record(database, [DEFAULT_TENANT], identity, None)
        else:
            identity = LogIdentity(before.origin, key.public)
            screen.say(
                f"the logs of this database are signed by another key, as {before.origin}; with this one they begin anew: "
                "`dms-tags audit checkpoint --new-origin ORIGIN`"
            )
    screen.say(f"the private key is in {file}, readable by its owner alone; the public key is:")
    screen.write(f"{identity.verifier(DEFAULT_TENANT)}\n")


@click.command("checkpoint")
@tenant_option("Whose trail.")
@click.option("--new-origin", metavar="ORIGIN", help="Begin a new line of checkpoints first, after a restore or with a new key.")
def checkpoint(tenant: str, new_origin: str | None) -> None:
    """Sign the trail as it stands, and print the checkpoint."""
    with at_store() as (settings, database):
        try:
            if new_origin is not None:
                start_anew(settings, database, new_origin)
                settings = replace(settings, log_origin=None)
            checkpointer = Checkpointer.of(database, settings)
            _settle(database, checkpointer, tenant)
            document = checkpointer.checkpoint(tenant)
        except Unproven as error:
            raise CannotStart(str(error)) from error
    if document is None:
        raise CannotStart(f"the trail of {tenant} is empty: there is nothing to sign")
    screen.write(document["note"])


def start_anew(settings: Settings, database: Database, origin: str) -> None:
    origin_of(replace(settings, log_origin=origin), b"")
    checkpointer = Checkpointer.of(database, settings)
    before, after = checkpointer.start_anew(origin)
    if before is None:
        raise NotSigned(f"no checkpoint was ever signed here: {origin} is simply the origin now")
    _record(database, checkpointer.log.tenants(), after, before)
    screen.say(f"the logs are {after.origin} from now on; set DMS_TAGS_LOG_ORIGIN to it where it is set")


def _record(database: Database, tenants: list[str], identity: LogIdentity, before: LogIdentity | None) -> None:
    store = TagStore(database)
    for tenant in tenants:
        state = {"origin": identity.log(tenant), "key": str(identity.verifier(tenant))}
        if before is not None:
            state |= {"previousOrigin": before.log(tenant), "previousKey": str(before.verifier(tenant))}
        store.change(Change(Resource(tenant, Kind.TRAIL, tenant), "log", Verb.SET, operator(), state=state, max_tags=None))


@click.command("seal")
@tenant_option("Whose trail.")
def seal(tenant: str) -> None:
    """Record the last revision of every resource, under one root, in the trail itself."""
    with at_store() as (settings, database):
        checkpointer = Checkpointer.of(database, settings)
        _settle(database, checkpointer, tenant)
        sealed = Sealer(database, TagStore(database)).seal(tenant, operator())
        _settle(database, checkpointer, tenant)
        unsigned = "" if sealed is None else _unsigned(checkpointer, tenant)
    if sealed is None:
        screen.write("nothing was changed since the last seal: nothing was sealed\n")
        return
    screen.write(f"sealed: {sealed.size} resources up to position {sealed.up_to}, root {sealed.state['root']}\n")
    if unsigned:
        screen.say(f"the log proves this seal once a checkpoint covers it; none could be signed here: {unsigned}")


@click.command("archive")
@click.option("--before", type=MOMENT, required=True, help="Entries recorded before: 2026-01-31, or a time with an offset.")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="A new file.")
@tenant_option("Whose trail.")
def archive(before: datetime, out: Path, tenant: str) -> None:
    """Write the oldest entries to a file that proves them, then remove them."""
    with at_store() as (settings, database), output.bar("verifying what was written") as progress:
        checkpointer = Checkpointer.of(database, settings)
        _settle(database, checkpointer, tenant)
        archiver = Archiver(database, checkpointer, TagStore(database))
        done = archiver.archive(tenant, before, out, operator(), progress)
        _settle(database, checkpointer, tenant)
        unsigned = "" if done.last < done.first else _unsigned(checkpointer, tenant)
    if done.last < done.first:
        screen.write(
            f"nothing to archive: no whole tile of 256 entries before {spell_time(before)}, and none of the last hour ever\n"
        )
    else:
        screen.write(f"{out}: positions {done.first} to {done.last}; the trail now begins at {done.last + 1}\n")
    if unsigned:
        screen.say(
            f"`audit verify --database` can tell of this once a checkpoint covers the order; none could be signed here: {unsigned}"
        )


def _unsigned(checkpointer: Checkpointer, tenant: str) -> str:
    """Signs what was just recorded; why not, where that cannot be done here."""
    try:
        checkpointer.checkpoint(tenant)
    except TagsError as error:
        return error.detail
    except (Unproven, CannotStart) as error:
        return str(error)
    return ""


def verify_at_store(tenant: str | None, keys: Sequence[Verifier], kept: str | None) -> int:
    """Verifies a trail at the store itself; the exit status.  Raises `CannotStart` where it cannot look."""
    owner = names.tenant(tenant or DEFAULT_TENANT)
    try:
        with at_store() as (settings, database), output.bar("verifying") as progress:
            _settle(database, Checkpointer(database, settings, None), owner)
            report = verify_database(database, owner, keys, kept, progress)
            since_restore = Checkpointer.of(database, settings).unsigned_since_restore()
    except TagsError as error:
        raise CannotStart(f"cannot look: {error}") from error
    if since_restore is not None:
        report.remarks.append(since_restore)
    return output.tell(f"trail of {owner}", report)


def _settle(database: Database, checkpointer: Checkpointer, tenant: str) -> None:
    """Sees to it that what was acknowledged is in the trail, also where no service runs beside."""
    relay = Relay(database)
    while relay.run_once():
        pass
    relay.release()
    checkpointer.log.trail.wait_for(tenant)
