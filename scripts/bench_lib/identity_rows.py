"""Rows `identity`: what an API token and a JWT cost an update."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from jwt.algorithms import ECAlgorithm

from bench_lib import load
from bench_lib.report import Target
from bench_lib.run import Run, add_tags

DATABASE = "bench_identity"
NONE, TOKEN, JWT = "update: no identity", "update: API token", "update: JWT (ES256)"
ISSUER, AUDIENCE = "https://issuer.example", "dms-tags"


def measure(run: Run) -> None:
    """Each round makes the same updates without identity, with a token and with a JWT."""
    run.prepared(DATABASE)
    token = run.command(DATABASE, "token", "create", "--name", "bench", "--allow", "read,write")[-1]
    with run.service(DATABASE) as service:
        add_tags(service)
    keys = run.folder / "jwks.json"
    signed = _jwt(keys)
    issuer = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks": str(keys)}
    for _ in range(run.rounds):
        with run.service(DATABASE) as service:
            run.measure(NONE, service, load.UPDATE_TAG)
        with run.service(DATABASE, auth="tokens") as service:
            run.measure(TOKEN, service, as_bearer(load.UPDATE_TAG, token))
        with run.service(DATABASE, auth="jwt", **issuer) as service:
            run.measure(JWT, service, as_bearer(load.UPDATE_TAG, signed))
    run.report.targets += [
        Target("update with a token, by without", lambda report: report.ratio(TOKEN, NONE), least=0.97, unit=" x"),
        Target("update with a JWT, by without", lambda report: report.ratio(JWT, NONE), least=0.97, unit=" x"),
    ]


def as_bearer(request: load.Request, secret: str) -> load.Request:
    """The request with a bearer's `Authorization`."""
    return replace(request, headers={**request.headers, "Authorization": f"Bearer {secret}"})


def _jwt(keys: Path) -> str:
    """A JWT of an issuer of our own, whose key set is written to the file `keys`."""
    private = generate_private_key(SECP256R1())
    public = json.loads(ECAlgorithm.to_jwk(private.public_key()))
    keys.write_text(json.dumps({"keys": [{**public, "kid": "bench", "use": "sig", "alg": "ES256"}]}))
    moment = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "bench", "tenant": "default", "permissions": ["read", "write"]}
    return jwt.encode({**claims, "iat": moment, "exp": moment + 86_400}, private, algorithm="ES256", headers={"kid": "bench"})
