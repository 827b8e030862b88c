"""Secrets and signatures as Standard Webhooks spells them: `whsec_…`, `v1,<base64 of HMAC-SHA256>`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


def new_secret() -> bytes:
    """256 random bits."""
    return secrets.token_bytes(SECRET_BYTES)


def spell(secret: bytes) -> str:
    """A secret as it is handed out, once."""
    return PREFIX + base64.b64encode(secret).decode()


def headers(keys: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> list[tuple[str, str]]:
    """The headers of a delivery; `timestamp` in seconds since 1970.  Each key that is valid gives a signature."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = (f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}" for key in keys)
    return [
        ("webhook-id", message_id),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", " ".join(signatures)),
    ]
