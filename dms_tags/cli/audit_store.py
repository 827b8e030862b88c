"""The audit commands that go to the store as the service does: the key, checkpoints, archiving, verification at the store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dms_tags import names
from dms_tags.audit.archive import Archiver
from dms_tags.audit.log.keys import DEFAULT_TENANT, EMBEDDED_KEY, Identities, LogIdentity, SigningKey, origin_of
from dms_tags.audit.log.signer import Checkpointer, NotSigned
from dms_tags.audit.trail.relay import Relay
from dms_tags.audit.verify.database import verify_database
from dms_tags.audit.verify.report import read_keys
from dms_tags.cli import output
from dms_tags.cli.token import operator
from dms_tags.errors import CannotStart, InvalidParameter, TagsError, Unproven
from dms_tags.model import Change, Kind, Resource, Verb
from dms_tags.serving.embedded import attached
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore


def keygen(arguments: argparse.Namespace) -> int:
    """Makes the signing key, and makes its public half known to the database, if that has none yet."""
    with _store() as (settings, database):
        file: Path | None = arguments.out or Settings.from_environment().signing_key_file
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
            sys.stderr.write(
                f"the logs of this database are signed by another key, as {before.origin}; with this one they begin anew: "
                "`dms-tags audit checkpoint --new-origin ORIGIN`\n"
            )
    sys.stderr.write(f"the private key is in {file}, readable by its owner alone; the public key is:\n")
    sys.stdout.write(f"{identity.verifier(DEFAULT_TENANT)}\n")
    return 0


def checkpoint(arguments: argparse.Namespace) -> int:
    """Signs the trail as it stands; with a new origin, begins a new line of checkpoints before."""
    with _store() as (settings, database):
        try:
            if arguments.new_origin is not None:
                _start_anew(settings, database, arguments.new_origin)
                settings = replace(settings, log_origin=None)
            checkpointer = Checkpointer.of(database, settings)
            _settle(database, checkpointer, arguments.tenant)
            document = checkpointer.checkpoint(arguments.tenant)
        except Unproven as error:
            raise CannotStart(str(error)) from error
    if document is None:
        raise CannotStart(f"the trail of {arguments.tenant} is empty: there is nothing to sign")
    sys.stdout.write(document["note"])
    return 0


def _start_anew(settings: Settings, database: Database, origin: str) -> None:
    origin_of(replace(settings, log_origin=origin), b"")
    checkpointer = Checkpointer.of(database, settings)
    before, after = checkpointer.start_anew(origin)
    if before is None:
        raise NotSigned(f"no checkpoint was ever signed here: {origin} is simply the origin now")
    _record(database, checkpointer.log.tenants(), after, before)
    sys.stderr.write(f"the logs are {after.origin} from now on; set DMS_TAGS_LOG_ORIGIN to it where it is set\n")


def _record(database: Database, tenants: list[str], identity: LogIdentity, before: LogIdentity | None) -> None:
    store = TagStore(database)
    for tenant in tenants:
        state = {"origin": identity.log(tenant), "key": str(identity.verifier(tenant))}
        if before is not None:
            state |= {"previousOrigin": before.log(tenant), "previousKey": str(before.verifier(tenant))}
        store.change(Change(Resource(tenant, Kind.TRAIL, tenant), "log", Verb.SET, operator(), state=state, max_tags=None))


def archive(arguments: argparse.Namespace) -> int:
    """Archives what is older than a date."""
    before = _date(arguments.before)
    with _store() as (settings, database), output.bar("verifying what was written") as progress:
        checkpointer = Checkpointer.of(database, settings)
        _settle(database, checkpointer, arguments.tenant)
        archiver = Archiver(database, checkpointer, TagStore(database))
        done = archiver.archive(arguments.tenant, before, arguments.out, operator(), progress)
        _settle(database, checkpointer, arguments.tenant)
    if done.last < done.first:
        sys.stdout.write(
            f"nothing to archive: no whole tile of 256 entries before {arguments.before}, and none of the last hour ever\n"
        )
    else:
        sys.stdout.write(f"{arguments.out}: positions {done.first} to {done.last}; the trail now begins at {done.last + 1}\n")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Verifies a trail at the store itself."""
    if arguments.file is not None:
        raise CannotStart("a file is verified alone: leave --database out")
    try:
        keys = [] if arguments.key is None else read_keys(arguments.key)
        kept = None if arguments.checkpoint is None else arguments.checkpoint.read_text(encoding="utf-8")
        tenant = arguments.tenant or DEFAULT_TENANT
        with _store() as (settings, database), output.bar("verifying") as progress:
            _settle(database, Checkpointer(database, settings, None), tenant)
            report = verify_database(database, tenant, keys, kept, progress)
    except (OSError, UnicodeDecodeError, Unproven, TagsError) as error:
        raise CannotStart(f"cannot look: {error}") from error
    return output.tell(f"trail of {tenant}", report)


def _settle(database: Database, checkpointer: Checkpointer, tenant: str) -> None:
    """Sees to it that what was acknowledged is in the trail, also where no service runs beside."""
    relay = Relay(database)
    while relay.run_once():
        pass
    relay.release()
    checkpointer.log.trail.wait_for(tenant)


def _date(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        pass
    try:
        return names.time(text)
    except InvalidParameter as error:
        raise CannotStart(f"--before: {error.detail}") from error


@contextmanager
def _store() -> Iterator[tuple[Settings, Database]]:
    """The settings and the database of the service, its own key found where the embedded store keeps it."""
    given = Settings.from_environment()
    own: dict[str, Any] = {}
    if given.mongo_uri is None and given.signing_key_file is None and (given.data / EMBEDDED_KEY).exists():
        own["signing_key_file"] = given.data / EMBEDDED_KEY
    with attached(given) as settings:
        database = Database.connect(settings)
        try:
            database.prepare()
            yield replace(settings, **own), database
        finally:
            database.close()
