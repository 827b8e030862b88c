"""The key that signs checkpoints, and who the logs are: their origin and public key belong to the database.

The private key is a file (PEM, readable by its owner alone); the public half and the origin are kept in MongoDB.  A
service whose key is another one signs nothing.  Only the embedded store makes a key for itself (API.md section 2).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from pymongo.errors import DuplicateKeyError

from dms_tags.audit.log.note import Signer, Verifier, valid_name
from dms_tags.errors import CannotStart
from dms_tags.files import replace_whole
from dms_tags.settings import Settings
from dms_tags.store.database import Database, store_errors

EMBEDDED_KEY: Final = "audit-signing.key"
PUBLIC_LINE: Final = "audit-signing.pub"
DEFAULT_TENANT: Final = "default"
_ID: Final = "log"


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Who the logs of a database are; `earlier` are the identities that orders to start anew have ended."""

    origin: str
    public: bytes
    earlier: tuple[LogIdentity, ...] = ()

    def log(self, tenant: str) -> str:
        """The origin of a tenant's log."""
        return f"{self.origin}/{tenant}"

    def verifier(self, tenant: str) -> Verifier:
        """The key that checkpoints of a tenant's log are checked with; it is called as the log is."""
        return Verifier(self.log(tenant), self.public)

    def verifiers(self, tenant: str) -> list[Verifier]:
        """The keys of a tenant's log and of those that it had before."""
        return [self.verifier(tenant), *(before.verifier(tenant) for before in self.earlier)]


class Identities:
    """Who the logs of one database are, as it is kept there."""

    def __init__(self, database: Database) -> None:
        self._kept = database.collection("log_identity")
        self._read = database.majority(self._kept)

    def current(self) -> LogIdentity | None:
        """The identity, None before the first key was made known."""
        with store_errors():
            kept = self._read.find_one({"_id": _ID})
        return None if kept is None else identity_of(kept)

    def adopt(self, public: bytes, origin: str) -> LogIdentity:
        """Makes `public` the key of a database that has none; the identity that then holds, whoever was first."""
        try:
            with store_errors():
                self._kept.insert_one({"_id": _ID, "origin": origin, "public": public, "earlier": []})
        except DuplicateKeyError:
            standing = self.current()
            if standing is not None:
                return standing
        return LogIdentity(origin, public)

    def replace(self, old: LogIdentity, public: bytes, origin: str) -> bool:
        """Ends the identity `old` and starts a new one; False where another order was faster."""
        before = {"origin": old.origin, "public": old.public}
        with store_errors():
            done = self._kept.update_one(
                {"_id": _ID, "origin": old.origin},
                {"$set": {"origin": origin, "public": public}, "$push": {"earlier": {"$each": [before], "$position": 0}}},
            )
        return done.matched_count == 1


def identity_of(document: Mapping[str, Any]) -> LogIdentity:
    """The identity that a document of `log_identity` tells."""
    earlier = tuple(LogIdentity(before["origin"], bytes(before["public"])) for before in document["earlier"])
    return LogIdentity(document["origin"], bytes(document["public"]), earlier)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the file it was read from."""

    file: Path
    private: Ed25519PrivateKey

    @property
    def public(self) -> bytes:
        """The 32 bytes of the public half."""
        return self.private.public_key().public_bytes_raw()

    def signer(self, log: str) -> Signer:
        """This key, signing in the name of `log`."""
        return Signer(log, self.private)

    @classmethod
    def load(cls, file: Path) -> SigningKey:
        """The key in `file`.  Raises `CannotStart` where there is none."""
        try:
            private = load_pem_private_key(file.read_bytes(), None)
        except OSError as error:
            raise CannotStart(f"the signing key {file} cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise CannotStart(f"{file} holds no private key in PEM: `dms-tags audit keygen` makes one") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise CannotStart(f"the key in {file} is not an Ed25519 key: `dms-tags audit keygen` makes one")
        return cls(file, private)

    @classmethod
    def create(cls, file: Path) -> SigningKey:
        """A new key in `file`, readable by its owner alone.  Raises `CannotStart` where the file is there already."""
        private = Ed25519PrivateKey.generate()
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise CannotStart(f"{file} is there already; a signing key is never overwritten") from error
        except OSError as error:
            raise CannotStart(f"the signing key {file} cannot be written: {error.strerror}") from error
        with os.fdopen(handle, "wb") as stream:
            stream.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            stream.flush()
            os.fsync(stream.fileno())
        return cls(file, private)


def key_of(settings: Settings) -> SigningKey | None:
    """The key that the settings name, None where they name none.  Raises `CannotStart` for one that cannot be used."""
    return None if settings.signing_key_file is None else SigningKey.load(settings.signing_key_file)


def origin_of(settings: Settings, public: bytes) -> str:
    """The origin that logs are to have: the one set, else one made from the key.  Raises `CannotStart`."""
    origin = settings.log_origin or f"dms-tags/{sha256(public).hexdigest()[:16]}"
    if not valid_name(origin):
        raise CannotStart(f"DMS_TAGS_LOG_ORIGIN={origin}: must have no space and no '+', for instance example.com/audit")
    return origin


def embedded_key(settings: Settings) -> Path:
    """The key file of the embedded store, made if it is not there, with the public line of the default tenant beside it."""
    file = settings.data / EMBEDDED_KEY
    key = SigningKey.load(file) if file.exists() else SigningKey.create(file)
    if not (settings.data / PUBLIC_LINE).exists():
        publish(key, LogIdentity(origin_of(settings, key.public), key.public))
    return file


def publish(key: SigningKey, identity: LogIdentity) -> None:
    """Writes the public line beside the embedded store's key; a key that was brought along is left alone."""
    if key.file.name != EMBEDDED_KEY or key.public != identity.public:
        return
    line = f"{identity.verifier(DEFAULT_TENANT)}\n"
    public = key.file.with_name(PUBLIC_LINE)
    if not public.exists() or public.read_text(encoding="utf-8") != line:
        replace_whole(public, line)
