"""`dms-tags backup` and `dms-tags restore`: at the store, as the service reaches it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.verify.report import read_keys
from dms_tags.backup import folder as backups
from dms_tags.backup.check import Checked, verify
from dms_tags.backup.folder import Spoilt
from dms_tags.backup.restorer import Restored, Restorer
from dms_tags.backup.writer import Backup
from dms_tags.cli import output, screen
from dms_tags.cli.at_store import at_store
from dms_tags.cli.audit.store import start_anew
from dms_tags.cli.shared import any_tenant_option
from dms_tags.errors import CannotStart, TagsError, Unproven
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore

PATIENCE_MS: Final = 3_600_000
"""What one exchange of a restore may take: an index over many entries is made in one."""

FOLDER: Final = click.Path(path_type=Path, file_okay=False)


@click.group("backup", invoke_without_command=True)
@click.option("--to", "folder", type=FOLDER, metavar="DIR", help="A folder for the backups of this database alone.")
@any_tenant_option
@click.pass_context
def command(context: click.Context, folder: Path | None, tenant: str | None) -> None:
    """Back up the database while it serves, and verify backups.

    Each backup adds to DIR what came since the last one, and the rest whole.  DIR then holds what the database does, the hashes
    of tokens too: keep it as safe.  The signing key is not in it.
    """
    if context.invoked_subcommand is not None:
        if folder is not None or tenant is not None:
            raise click.UsageError("--to and --tenant belong to `dms-tags backup --to DIR` itself")
        return
    if folder is None:
        raise click.UsageError("where is the backup to go? Give --to DIR")
    with at_store() as (settings, database), output.bar("backing up") as progress:
        made = Backup(database, Checkpointer.of(database, settings), TagStore(database)).make(folder, tenant, progress)
    ends = ", ".join(f"{trail.tenant} up to {trail.last}" for trail in made.set.trails.values()) or "no tenant has anything"
    screen.write(f"{made.set.folder}: {screen.counted(made.entries, 'entry')} added; {ends}\n")
    if made.unknown:
        screen.say(f"not in it, since this version does not know them: the collections {', '.join(made.unknown)}")
    if "signature" not in made.set.manifest:
        screen.say("the backup is not signed: DMS_TAGS_SIGNING_KEY_FILE names no key of this database")


@command.command("verify")
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.option("--key", metavar="KEY", help="The log's public key, or a file with one a line (default: those in the backup).")
def verify_backup(folder: Path, key: str | None) -> int:
    """Look whether a backup is whole and genuine: 0 it is, 1 it is not, 2 it could not be told."""
    try:
        keys = [] if key is None else read_keys(key)
        with output.bar("verifying") as progress:
            checked = verify(folder, keys, progress)
    except (Unproven, OSError) as error:
        raise CannotStart(f"cannot look: {error}") from error
    return _tell(folder, checked)


def _tell(folder: Path, checked: Checked) -> int:
    for tenant, report in checked.trails.items():
        output.tell(f"trail of {tenant}", report)
    for fault in checked.faults:
        screen.write(f"{screen.visible(fault)}\n")
    for remark in checked.remarks:
        screen.write(f"note: {screen.visible(remark)}\n")
    outcome = {0: "holds", 1: "DOES NOT HOLD", 2: "not proven"}[checked.status]
    screen.write(f"{folder}: {outcome}; {screen.counted(checked.sets, 'set')}\n")
    return checked.status


@click.command("restore")
@click.option("--from", "folder", type=FOLDER, required=True, metavar="DIR", help="The folder of the backup.")
@click.option("--new-origin", metavar="ORIGIN", help="Begin a new line of checkpoints, which names the one before.")
def restore(folder: Path, new_origin: str | None) -> None:
    """Restore a backup into an empty database.

    It is the one that DMS_TAGS_MONGO_URI and DMS_TAGS_DATABASE name, and no service may run on it.

    The log goes on under the key that signed it, where DMS_TAGS_SIGNING_KEY_FILE names that; under another key it begins anew.
    """
    try:
        sets = backups.sets(folder) if folder.is_dir() else []
    except (Spoilt, OSError) as error:
        raise CannotStart(f"{error}; nothing was changed") from error
    if not sets:
        raise CannotStart(f"there is no backup in {folder}; nothing was changed")
    with at_store(prepared=False, socket_ms=PATIENCE_MS) as (settings, database):
        with output.bar("restoring") as progress:
            restored = Restorer(database).restore(sets, progress)
        _say_restored(restored)
        _go_on(settings, database, restored, new_origin)


def _say_restored(restored: Restored) -> None:
    if restored.anew:
        screen.say("an earlier restore was cut off: what it left was removed, and the restore began anew")
    for tenant, last in restored.tenants.items():
        screen.write(f"{tenant}: restored up to position {last}\n")
    for tenant, actors in restored.half_erased.items():
        for actor in actors:
            screen.say(
                f"{screen.visible(actor.name)} ({actor.kind}) of {tenant} was being erased at the moment of the backup, and changes of it were "
                "pending: once a service runs, give `dms-tags actor erase` again"
            )


def _go_on(settings: Settings, database: Database, restored: Restored, new_origin: str | None) -> None:
    """Signs what was restored: under the key that signed it, or under another one from a new origin on.  Tells what is left to do."""
    checkpointer = Checkpointer.of(database, settings)
    try:
        identity = checkpointer.identities.current()
        if identity is None:  # nothing was ever signed: the key, where there is one, is simply taken
            checkpointer = Checkpointer.of(database, replace(settings, log_origin=new_origin or settings.log_origin))
        elif new_origin is not None or checkpointer.holds_another_key():
            start_anew(settings, database, new_origin or checkpointer.restores.next_origin(identity))
            checkpointer = Checkpointer.of(database, replace(settings, log_origin=None))
        for tenant in restored.tenants:
            checkpointer.checkpoint(tenant)
    except (Unproven, CannotStart, TagsError) as error:
        screen.say(str(error))
    left = checkpointer.unsigned_since_restore()
    if left is not None:
        screen.say(left)
    else:
        screen.say("the log is signed up to here")
