"""Commitments: how a leaf of the log tells of a person's name, or of a reason, without holding it (API.md section 2).

A commitment is the HMAC-SHA-256 of the text under a key of 32 random bytes.  Whoever has key and text can check it; with the
key dropped nobody can, however few names there are to try, and two commitments to one name have nothing in common.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b64encode
from dataclasses import dataclass
from typing import Final

KEY_BYTES: Final = 32

_ID_LETTERS: Final = str.maketrans("+/", "-_")


@dataclass(frozen=True, slots=True)
class ActorKey:
    """The key of one actor, and the commitment to its name; `erasing`: an order to erase the actor is being carried out."""

    key: bytes
    commitment: str
    erasing: bool = False


def new_key() -> bytes:
    """A new random key."""
    return secrets.token_bytes(KEY_BYTES)


def commitment(key: bytes, text: str) -> str:
    """The commitment to a text, in base64."""
    return b64encode(hmac.digest(key, text.encode(), "sha256")).decode()


def actor_id(committed: str) -> str:
    """The id of the resource on which the erasure of an actor is recorded: the commitment, in the letters that an id may have."""
    return committed.translate(_ID_LETTERS).rstrip("=")
