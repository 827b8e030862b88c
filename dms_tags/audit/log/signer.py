"""Signing: every few seconds, where a trail has grown, the next checkpoint of its log.

Nothing is signed that does not bear out every checkpoint known before: that of the database, and the one remembered
outside it.  A trail behind a checkpoint is one that was restored or cut, and is not signed over (API.md section 2).
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from time import monotonic
from typing import Final

from dms_tags.audit.log.checkpoint import Checkpoint
from dms_tags.audit.log.keys import Identities, LogIdentity, SigningKey, key_of, origin_of, publish
from dms_tags.audit.log.restores import Restores, is_behind
from dms_tags.audit.log.seen import Seen
from dms_tags.audit.log.store import Log
from dms_tags.audit.log.witness import Witness, WitnessFile, WitnessUrl
from dms_tags.audit.trail.orders import TURN, begin_order, turn_of
from dms_tags.errors import CannotStart, Unproven
from dms_tags.settings import Settings
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document

ATTEMPTS: Final = 5
COVER_SECONDS: Final = 10.0

log = logging.getLogger(__name__)


class NotSigned(Unproven):
    """No checkpoint can be signed; the text says why, and what to do."""


UNSIGNED: Final = (
    "nothing is signed: this database has no signing key; `dms-tags audit keygen` makes one, DMS_TAGS_SIGNING_KEY_FILE names it"
)


class Checkpointer:
    """Signs the logs of one database, if this service holds its key; any number of services may.

    `key` is None for a service that serves everything and signs nothing; it waits `patience` seconds for one that signs.
    """

    def __init__(
        self, database: Database, settings: Settings, key: SigningKey | None, *, patience: float = COVER_SECONDS
    ) -> None:
        self._database = database
        self.log = Log(database)
        self.identities = Identities(database)
        self._key = key
        self._settings = settings
        self._seen = Seen(None if key is None else key.file, settings.witness_file)
        self.witnesses: list[Witness] = []
        if settings.witness_file is not None:
            self.witnesses.append(WitnessFile(database, settings.witness_file))
        if settings.witness_url is not None:
            self.witnesses.append(WitnessUrl(database, settings.witness_url))
        self._said: dict[str, str] = {}
        self._settled: dict[str, str] = {}
        self._signed: set[str] = set()
        self._patience = patience
        self.restores = Restores(database, settings, self.log, key, self._seen)

    @classmethod
    def of(cls, database: Database, settings: Settings) -> Checkpointer:
        """The checkpointer of a service with these settings.  Raises `CannotStart` for a key that cannot be read."""
        return cls(database, settings, key_of(settings))

    @property
    def signs(self) -> bool:
        """Whether this service holds the key, and nothing stood in the way of a log when it last tried."""
        return self._key is not None and not self._said

    def run_once(self, stop: threading.Event) -> bool:
        """Signs every trail that has grown and hands checkpoints to the witnesses; false: nothing is left waiting.

        A duty of the keeper: what stands in the way of a log is logged once, not raised, and looked at again next time.
        """
        for tenant in self.log.tenants():
            if stop.is_set():
                break
            try:
                self.checkpoint(tenant, stop)
            except (Unproven, CannotStart) as error:
                self._say_once(tenant, str(error))
            else:
                self._said.pop(tenant, None)
            self._hand_over(tenant)
        return False

    def warning(self) -> str | None:
        """What an operator is to be told where nobody signs, and nobody is about to, with the command that mends it; else None."""
        return UNSIGNED if self._key is None and self.identities.current() is None else self.unsigned_since_restore()

    def newest(self, tenant: str) -> Document | None:
        """The newest checkpoint of the tenant's log, None where there is none."""
        identity = self.identities.current()
        return None if identity is None else self.log.newest(identity.log(tenant))

    def checkpoint(self, tenant: str, stop: threading.Event | None = None) -> Document | None:
        """Signs the trail as it stands, where it has grown; the newest checkpoint then, None where there is nothing to sign.

        Raises `NotSigned` where it may not be signed, `Unproven` where the trail has a gap, `StoreUnavailable`.
        """
        key, identity = self._authority()
        name = identity.log(tenant)
        for _ in range(ATTEMPTS):
            # in this order: what is remembered was in the database before, so it must be found there
            known = self._seen.newest(name)
            last = self.log.newest(name)
            size = self.log.trail.head(tenant)
            _refuse_behind(tenant, name, known, last, size)
            if last is not None and last["size"] == size:
                if self._settled.get(name) == last["_id"]:
                    return last
                self._bears_out(tenant, name, known, last, size)
                self._seen.add(Checkpoint(name, size, bytes(last["root"])))
                self._settled[name] = last["_id"]
                self._note_signed(tenant)
                return last
            if not size or not self.log.extend(tenant, size, lambda: stop is None or not stop.is_set()):
                return last
            self._bears_out(tenant, name, known, last, size)
            checkpoint = Checkpoint(name, size, self.log.tree(tenant).root(size))
            note = key.signer(name).sign(checkpoint.text)
            if self.log.add(checkpoint, note, 1 if last is None else last["number"] + 1):
                self._seen.add(checkpoint)
                self._note_signed(tenant)
                return self.log.of_size(name, size)
        raise NotSigned(f"other signers of {name} were faster {ATTEMPTS} times")

    def cover(self, tenant: str, position: int) -> Document | None:
        """A checkpoint that covers `position`: the smallest there is, else one signed now, else one that another service signs.

        None where nobody does.
        """
        identity = self.identities.current()
        if identity is None and self._key is None:
            return None
        name = "" if identity is None else identity.log(tenant)
        covering = self.log.covering(name, position) if identity is not None else None
        if covering is not None:
            return covering
        try:
            signed = self.checkpoint(tenant)
        except (Unproven, CannotStart) as error:
            self._say_once(tenant, str(error))
            return self._wait(name, position) if self._key is None else None
        return self.log.covering(signed["log"], position) if signed is not None else None

    def settled_identity(self) -> LogIdentity | None:
        """Who the logs of this database are; a database that nobody ever signed takes this service's key, where it has one."""
        with suppress(NotSigned):
            return self._authority()[1]
        return self.identities.current()

    def sign(self, name: str, text: str) -> str | None:
        """The signature line of the note `text` by the key of the logs, under `name`; None where this service has no such key."""
        try:
            key, _ = self._authority()
        except NotSigned:
            return None
        return key.signer(name).sign(text).rpartition("\n\n")[2].removesuffix("\n")

    def start_anew(self, origin: str) -> tuple[LogIdentity | None, LogIdentity]:
        """Begins a new line of checkpoints under `origin`, with the key at hand; the identity before, and the new one.

        For a database that was restored, or whose key was lost.  The trees are made anew from the trails.  The caller
        records the order.  Raises `NotSigned` where the order cannot be carried out.
        """
        key = self._required_key()
        before = self.identities.current()
        if before is None:
            return None, self.identities.adopt(key.public, origin)
        if origin in {before.origin, *(earlier.origin for earlier in before.earlier)}:
            raise NotSigned(f"the origin {origin} was used before: a new line of checkpoints needs a new one")
        for tenant in self.log.tenants():
            self._forget_tiles(tenant)
        if not self.identities.replace(before, key.public, origin):
            raise NotSigned("another order to start anew was faster")
        after = self.identities.current() or before
        publish(key, after)
        return before, after

    def _forget_tiles(self, tenant: str) -> None:
        """Drops the tiles of what the trail still holds.  An order to archive it never removes entries whose hashes are gone."""
        turn = turn_of(self._database, tenant)
        with store_errors():
            if turn.take() is None:
                raise NotSigned(
                    f"an order to archive the trail of {tenant} is at work, or died less than {TURN.seconds} s ago: "
                    "give this one again when it has ended"
                )
        try:
            self.log.forget_tiles(tenant, begin_order(self._database, tenant)["cut"])
        finally:
            with store_errors():
                turn.give_back()

    def holds_another_key(self) -> bool:
        """Whether this service holds a key, and not the one that the logs of this database were signed by."""
        identity = self.identities.current()
        return self._key is not None and identity is not None and identity.public != self._key.public

    def unsigned_since_restore(self) -> str | None:
        """What an operator is told where the log was not signed since a restore, as far as this service can tell; else None."""
        identity = self.identities.current()
        return None if identity is None else self.restores.told(identity)

    def _note_signed(self, tenant: str) -> None:
        if tenant not in self._signed:
            self.restores.note_signed(tenant)
            self._signed.add(tenant)

    def _required_key(self) -> SigningKey:
        if self._key is None:
            raise NotSigned(
                "this service holds no signing key (DMS_TAGS_SIGNING_KEY_FILE, which `dms-tags audit keygen` makes): "
                "it serves everything and signs nothing"
            )
        return self._key

    def _authority(self) -> tuple[SigningKey, LogIdentity]:
        """The key, and the identity that it belongs to.  Raises `NotSigned` where it is another database's."""
        key = self._required_key()
        identity = self.identities.current()
        if identity is None:
            identity = self.identities.adopt(key.public, origin_of(self._settings, key.public))
        if identity.public != key.public:
            raise NotSigned(
                f"the key in {key.file} is not the one that signs {identity.origin}: this service serves everything and signs nothing"
            )
        if self._settings.log_origin not in (None, identity.origin):
            raise NotSigned(
                f"DMS_TAGS_LOG_ORIGIN={self._settings.log_origin}, but the logs of this database are {identity.origin}: nothing is signed"
            )
        publish(key, identity)
        return key, identity

    def _bears_out(self, tenant: str, name: str, known: Checkpoint | None, last: Document | None, size: int) -> None:
        """Raises `NotSigned` unless the tree is the continuation of the checkpoints known."""
        tree = self.log.tree(tenant)
        for expected in (Checkpoint(name, last["size"], bytes(last["root"])) if last is not None else None, known):
            if expected is not None and expected.size <= size and tree.root(expected.size) != expected.root:
                raise NotSigned(
                    f"the log of {tenant} is not the continuation of the checkpoint of {name} at {expected.size}: "
                    "nothing is signed; `dms-tags audit verify --database` tells where it differs"
                )
        newest = self.log.leaf(tenant, size)
        if newest is not None and newest != tree.nodes([(0, size - 1)])[0]:
            raise NotSigned(
                f"the tree of {tenant} is not that of its trail at {size}: was the trail alone restored? Nothing is signed"
            )

    def _wait(self, name: str, position: int) -> Document | None:
        pause = threading.Event()
        give_up = monotonic() + self._patience
        while name and monotonic() < give_up:
            covering = self.log.covering(name, position)
            if covering is not None:
                return covering
            pause.wait(0.1)
        return None

    def _hand_over(self, tenant: str) -> None:
        identity = self.identities.current()
        if identity is not None:
            for witness in self.witnesses:
                witness.catch_up(identity.log(tenant))

    def _say_once(self, tenant: str, reason: str) -> None:
        if self._said.get(tenant) != reason:
            self._said[tenant] = reason
            log.error("no checkpoint for %s: %s", tenant, reason)


def _refuse_behind(tenant: str, name: str, known: Checkpoint | None, last: Document | None, size: int) -> None:
    remembered, signed = known.size if known is not None else 0, last["size"] if last is not None else 0
    if is_behind(known, last, size):
        raise NotSigned(
            f"the trail of {tenant} ({size} entries, checkpoints up to {signed}) is behind the checkpoint of {name} at "
            f"{max(remembered, signed)}: was the database restored from a backup? Nothing is signed until "
            "`dms-tags audit checkpoint --new-origin` starts anew"
        )
