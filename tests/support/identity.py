"""What the identity tests share: a clock that is moved by hand, work that runs at once, an issuer of JWTs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from dms_tags.model import Actor
from tests.support.beside import answering

ADMIN: Final = Actor("root", "cli")
AUDIENCE: Final = "dms-tags"


class Clock:
    """Seconds that pass when told to."""

    def __init__(self, at: float = 1_000_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def at_once(job: Callable[[], None]) -> None:
    """Runs what would otherwise run beside the caller."""
    job()


class Issuer:
    """An OpenID Connect issuer: signs JWTs with keys that it publishes, and rotates them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.fetches = 0
        self.status = 200
        self.published: list[dict[str, Any]] = []
        self._private: dict[str, tuple[Any, str]] = {}
        self._serial = 0

    def add_key(self, algorithm: str = "ES256") -> str:
        """Makes and publishes a key; its id."""
        self._serial += 1
        key_id = f"key-{self._serial}"
        private: Any
        if algorithm == "RS256":
            private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            public = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
        elif algorithm == "ES256":
            private = ec.generate_private_key(ec.SECP256R1())
            public = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
        else:
            private = ed25519.Ed25519PrivateKey.generate()
            public = OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)
        self._private[key_id] = (private, algorithm)
        self.published.append({**public, "kid": key_id, "use": "sig", "alg": algorithm})
        return key_id

    def rotate(self, algorithm: str = "ES256") -> str:
        """Withdraws all keys and publishes a new one."""
        self.published.clear()
        return self.add_key(algorithm)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims that are accepted, with changes; a claim changed to None is left out."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "alice",
            "tenant": "default",
            "permissions": ["read", "write"],
            "iat": now,
            "exp": now + 600,
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def sign(self, key_id: str | None = None, **changes: Any) -> str:
        """A JWT with `claims(**changes)`, signed with the newest key or the named one."""
        key_id = key_id or f"key-{self._serial}"
        private, algorithm = self._private[key_id]
        return jwt.encode(self.claims(**changes), private, algorithm=algorithm, headers={"kid": key_id})


@contextmanager
def issuer() -> Iterator[Issuer]:
    """An issuer that serves its key set on a loopback port for as long as the context lasts."""
    serving: list[Issuer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            serving[0].fetches += 1
            body = json.dumps({"keys": serving[0].published}).encode()
            self.send_response(serving[0].status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving.append(Issuer(f"http://127.0.0.1:{server.server_port}"))
    with answering(server):
        yield serving[0]
