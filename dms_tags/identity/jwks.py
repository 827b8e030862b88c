"""The public keys of a JWT issuer (RFC 7517), read from a URL or a file, and read again as they rotate."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

from dms_tags.errors import CannotStart, StoreUnavailable
from dms_tags.identity.background import Allowance, Background, in_thread
from dms_tags.tracing import outgoing

log = logging.getLogger(__name__)

ALGORITHMS: Final = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
"""What a JWT may be signed with, and the kind of key that it takes; never `none`, never a shared secret."""

LEAST_RSA_BITS: Final = 2048
LARGEST: Final = 1_000_000
FETCH_SECONDS: Final = 5.0
FRESH: Final = 300.0
FETCHES: Final = 5
FETCH_EVERY: Final = 10.0


class KeysUnusable(Exception):
    """The key set cannot be had, or holds no key that could be used; the text says why."""


class KeySet:
    """The issuer's keys by id.

    They are read again beside a call once they are `FRESH` seconds old, so that a withdrawn key ends, and at once for a
    key id that is not among them, so that a new one begins; how often is bounded, since anyone can invent key ids.
    """

    def __init__(self, source: str, *, clock: Callable[[], float] = monotonic, background: Background = in_thread) -> None:
        self._source = source
        self._clock = clock
        self._background = background
        self._keys: dict[str | None, PyJWK] = {}
        self._at = float("-inf")
        self._failed_at = float("-inf")
        self._allowance = Allowance(FETCHES, FETCH_EVERY, clock)
        self._reading = threading.Lock()
        self._load = _from_url if "://" in source else _from_file

    def check(self) -> None:
        """Raises `CannotStart` for a source that can never work.  One that does not answer now may do so later."""
        if self._load is _from_file:
            try:
                self._read()
            except KeysUnusable as error:
                raise CannotStart(f"DMS_TAGS_JWT_JWKS={self._source}: {error}") from error
            return
        parts = urlsplit(self._source)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CannotStart(f"DMS_TAGS_JWT_JWKS={self._source}: must be an https:// URL or the path of a file")
        if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            log.warning("the keys that JWTs are checked with come over http: whoever stands between could put in their own")

    def find(self, key_id: str | None) -> PyJWK | None:
        """The key of that id; without one, the only key there is.  Raises `StoreUnavailable` where none could ever be read."""
        age = self._clock() - self._at
        if age > FRESH and self._keys and self._allowance.take():
            self._background(self._try_reading)
        key = self._keys.get(key_id)
        if key is None and self._keys_may_have_changed():
            key = self._keys.get(key_id)
        if not self._keys:
            raise StoreUnavailable("the keys of the issuer of JWTs cannot be had", retry_after=5)
        if key is None and key_id is None and len(self._keys) == 1:
            key = next(iter(self._keys.values()))
        return key

    def _keys_may_have_changed(self) -> bool:
        """Reads the keys for one that is not among them.  False: there was no attempt to."""
        asked = self._clock()
        with self._reading:
            if max(self._at, self._failed_at) > asked:
                return True
            if not self._allowance.take():
                return False
            self._try_reading()
            return True

    def _try_reading(self) -> None:
        try:
            self._read()
        except KeysUnusable as error:
            self._failed_at = self._clock()
            log.warning(
                "the keys of the issuer of JWTs cannot be read", extra={"fields": {"source": self._source, "reason": str(error)}}
            )

    def _read(self) -> None:
        at = self._clock()
        self._keys = _usable(self._load(self._source))
        self._at = at


def _from_url(source: str) -> bytes:
    import httpx  # costs every process a tenth of its start, which only this source needs

    try:
        # No redirects: the address that was set up is the one that is trusted
        with httpx.stream("GET", source, timeout=FETCH_SECONDS, headers=outgoing({"Accept": "application/json"})) as response:
            if response.status_code != httpx.codes.OK:
                raise KeysUnusable(f"the answer was {response.status_code}")
            body = b""
            for part in response.iter_bytes():
                body += part
                if len(body) > LARGEST:
                    raise KeysUnusable(f"larger than {LARGEST} bytes")
            return body
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise KeysUnusable(f"{type(error).__name__}: {error}") from error


def _from_file(source: str) -> bytes:
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise KeysUnusable(f"cannot be read: {error.strerror}") from error


def _usable(text: bytes) -> dict[str | None, PyJWK]:
    """The keys of a key set that signatures may be checked with; the others are passed over (RFC 7517 section 5)."""
    try:
        listed = json.loads(text)["keys"]
        entries = [entry for entry in listed if isinstance(entry, Mapping)]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise KeysUnusable("is no key set: a JSON object with the member keys") from error
    keys: dict[str | None, PyJWK] = {}
    for entry in entries:
        key = _key(entry)
        if key is not None:
            keys[key.key_id] = key
    if not keys:
        raise KeysUnusable(f"holds no key for {', '.join(ALGORITHMS)}")
    return keys


def _key(entry: Mapping[str, Any]) -> PyJWK | None:
    if entry.get("use", "sig") != "sig":
        return None
    try:
        key = PyJWK(dict(entry))
    except (PyJWTError, ValueError, TypeError):
        return None
    if ALGORITHMS.get(key.algorithm_name) != key.key_type or not isinstance(key.key_id, str | None):
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < LEAST_RSA_BITS:
        return None
    return key
