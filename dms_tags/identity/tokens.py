"""API tokens: how they are spelt, and what the database keeps of them.

A token is `dmst_<id>_<secret>`: 64 random bits in hexadecimal by which it is found, and 256 random bits that prove it.
Whoever looks for leaked secrets knows it by its first letters.

The database keeps only a keyed hash of the secret, HMAC-SHA256.  A slow hash (argon2, bcrypt) is made for passwords:
it makes each of the few billion guesses dear that a password is worth.  A secret of 256 random bits cannot be guessed
at any price, so a slow hash would protect nothing, and would cost every call milliseconds that a fast one answers in
microseconds; worse, anyone could make the service compute it.  The key, which lies in the database too, makes the
hashes of one database worth nothing in another.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dms_tags.identity.model import Identity

MARK: Final = "dmst_"
SECRET_BYTES: Final = 32
DIGEST: Final = "sha256"

_spelling = re.compile(rf"([0-9a-f]{{16}})_([0-9a-f]{{{2 * SECRET_BYTES}}})").fullmatch


@dataclass(frozen=True, slots=True)
class Presented:
    """A token as a caller sends it; its `secret` is not for any log."""

    id: str
    secret: str
    mark: str = MARK

    def __repr__(self) -> str:
        return f"Presented(id={self.id!r})"

    @property
    def text(self) -> str:
        """The token as it is handed out, once."""
        return f"{self.mark}{self.id}_{self.secret}"


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is in force: what proves it, and whom it stands for.  `expires` None: never."""

    id: str
    digest: bytes
    identity: Identity
    expires: datetime | None


def mint(mark: str = MARK) -> Presented:
    """A new token, spelt with `mark` in front."""
    return Presented(secrets.token_hex(8), secrets.token_hex(SECRET_BYTES), mark)


def parse(text: str, mark: str = MARK) -> Presented | None:
    """The token that `text` spells; None: it spells none with `mark` in front."""
    match = _spelling(text.removeprefix(mark)) if text.startswith(mark) else None
    return Presented(match[1], match[2], mark) if match else None


def new_key() -> bytes:
    """A new key for the hashes of one database."""
    return secrets.token_bytes(SECRET_BYTES)


def digest(key: bytes, secret: str) -> bytes:
    """What is kept of a secret: its HMAC-SHA256 under the database's key."""
    return hmac.digest(key, secret.encode("ascii"), DIGEST)


def proves(presented: Presented, key: bytes, kept: bytes) -> bool:
    """Whether the secret is the one of which `kept` is the hash, in a time that does not depend on where they differ."""
    return hmac.compare_digest(digest(key, presented.secret), kept)
