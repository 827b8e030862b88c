"""JWTs of an issuer that runs on loopback, rotates its keys, and is impersonated."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from dms_tags.errors import CannotStart, StoreUnavailable, Unauthenticated
from dms_tags.identity import jwks
from dms_tags.identity.jwks import KeySet
from dms_tags.identity.jwt import LEEWAY, JwtVerifier
from dms_tags.identity.model import Permission
from dms_tags.model import now
from dms_tags.settings import Settings
from tests.support.identity import AUDIENCE, Clock, Issuer, at_once, issuer


@pytest.fixture
def idp() -> Iterator[Issuer]:
    with issuer() as serving:
        serving.add_key("ES256")
        yield serving


def settings_for(idp: Issuer, **changes: Any) -> Settings:
    given: dict[str, Any] = {"auth": "jwt", "jwt_issuer": idp.url, "jwt_audience": AUDIENCE, "jwt_jwks": f"{idp.url}/jwks"}
    return Settings(**(given | changes))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(idp: Issuer, clock: Clock) -> JwtVerifier:
    settings = settings_for(idp)
    return JwtVerifier(settings, KeySet(str(settings.jwt_jwks), clock=clock, background=at_once), now)


def forged(header: dict[str, Any], claims: dict[str, Any], key: bytes = b"") -> str:
    """A JWT with any header at all, signed with HMAC-SHA256 where there is a key."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    text = b".".join(parts)
    signature = hmac.new(key, text, hashlib.sha256).digest() if key else b""
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_identity(idp: Issuer, verifier: JwtVerifier, algorithm: str) -> None:
    """A JWT of the issuer stands for its name, tenant, permissions and prefixes."""
    idp.rotate(algorithm)

    identity = verifier.identify(idp.sign(tenant="acme", permissions="openid read audit", tags=["ocr:"]))

    assert ("acme", "alice", "jwt") == (identity.tenant, identity.actor.name, identity.actor.kind)
    assert {Permission.READ, Permission.AUDIT} == identity.permissions
    assert (("ocr:",), ("ocr:",)) == (identity.read_prefixes, identity.write_prefixes)


def test_no_permission_claim(idp: Issuer, verifier: JwtVerifier) -> None:
    """A JWT that says nothing of permissions has none; one with an empty list of prefixes covers no tag."""
    identity = verifier.identify(idp.sign(permissions=None, tags=[]))

    assert not identity.permissions
    assert not identity.covers(Permission.READ, "ocr")


def test_claims_are_settings(idp: Issuer) -> None:
    """The claims for name, tenant and permissions can be named, also by a path into nested ones."""
    settings = settings_for(
        idp, jwt_name_claim="email", jwt_tenant_claim="https://x.example/org", jwt_permissions_claim="realm.roles"
    )
    verifier = JwtVerifier(settings, KeySet(str(settings.jwt_jwks)), now)

    identity = verifier.identify(
        idp.sign(
            email="a@x.example", permissions=None, tenant=None, realm={"roles": ["admin"]}, **{"https://x.example/org": "acme"}
        )
    )

    assert ("acme", "a@x.example") == (identity.tenant, identity.actor.name)
    assert {Permission.ADMIN} == identity.permissions


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"exp": None},
        {"exp": int(time.time()) - LEEWAY - 5},
        {"exp": "soon"},
        {"exp": 1e400},
        {"nbf": int(time.time()) + LEEWAY + 3600},
        {"sub": None},
        {"sub": ""},
        {"sub": "a\nb"},
        {"sub": "x" * 500},
        {"sub": "system:lease"},
        {"tenant": None},
        {"tenant": "No Such"},
        {"tenant": ["default"]},
        {"tags": ["o,cr"]},
        {"tags": [""]},
    ],
)
def test_refused_claims(idp: Issuer, verifier: JwtVerifier, changes: dict[str, Any]) -> None:
    """A JWT with claims of another issuer or audience, out of its time, or naming nobody is refused."""
    with pytest.raises(Unauthenticated):
        verifier.identify(idp.sign(**changes))


def test_leeway(idp: Issuer, verifier: JwtVerifier) -> None:
    """Clocks may differ by 30 seconds."""
    at = int(time.time())

    assert verifier.identify(idp.sign(exp=at - LEEWAY + 10, nbf=at + LEEWAY - 10))


def test_rotation(idp: Issuer, verifier: JwtVerifier, clock: Clock) -> None:
    """A new key counts at once, a withdrawn one ends."""
    old = idp.sign(jti="1")
    verifier.identify(old)
    withdrawn = "key-1"
    idp.rotate("RS256")
    assert verifier.identify(idp.sign())
    clock.at += jwks.FRESH + 1

    with pytest.raises(Unauthenticated):
        verifier.identify(idp.sign(withdrawn, jti="2"))


def test_withdrawn_key_ends_without_a_new_one(idp: Issuer, verifier: JwtVerifier, clock: Clock) -> None:
    """A key that was withdrawn ends though nobody ever came with a new one."""
    idp.add_key("EdDSA")
    verifier.identify(idp.sign("key-1"))
    del idp.published[0]
    clock.at += jwks.FRESH + 1
    verifier.identify(idp.sign("key-2"))

    with pytest.raises(Unauthenticated):
        verifier.identify(idp.sign("key-1", jti="2"))


def test_invented_key_ids_are_free(idp: Issuer, verifier: JwtVerifier) -> None:
    """However many key ids are invented, the issuer is asked a bounded number of times."""
    verifier.identify(idp.sign())
    for number in range(200):
        with pytest.raises(Unauthenticated):
            verifier.identify(forged({"alg": "ES256", "kid": f"invented-{number}"}, idp.claims()))

    assert idp.fetches <= jwks.FETCHES


def test_algorithm_none(idp: Issuer, verifier: JwtVerifier) -> None:
    """A JWT that says it is not signed is refused, however `none` is spelt."""
    for spelling in ("none", "None", "NONE", "nOnE", ""):
        with pytest.raises(Unauthenticated):
            verifier.identify(forged({"alg": spelling, "kid": "key-1"}, idp.claims()))


def test_public_key_as_a_secret(idp: Issuer, verifier: JwtVerifier) -> None:
    """A JWT signed with HMAC under the issuer's public key is refused, whichever algorithm it claims."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    idp.published.append({**RSAAlgorithm.to_jwk(key, as_dict=True), "kid": "public"})
    secrets = (
        key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(idp.published[-1]).encode(),
    )
    for secret in secrets:
        for algorithm in ("HS256", "RS256"):
            with pytest.raises(Unauthenticated):
                verifier.identify(forged({"alg": algorithm, "kid": "public"}, idp.claims(), secret))


def test_published_secret_is_no_key(idp: Issuer, verifier: JwtVerifier) -> None:
    """A shared secret in the key set, and a key for encryption, are no keys to check signatures with."""
    idp.published.append({"kty": "oct", "kid": "shared", "k": base64.urlsafe_b64encode(b"s" * 32).decode()})
    idp.published[0]["use"] = "enc"
    encryption = idp.sign("key-1")
    idp.add_key("EdDSA")

    for text in (forged({"alg": "HS256", "kid": "shared"}, idp.claims(), b"s" * 32), encryption):
        with pytest.raises(Unauthenticated):
            verifier.identify(text)


def test_short_rsa_key_is_no_key(idp: Issuer, verifier: JwtVerifier) -> None:
    """An RSA key of 1024 bits is passed over."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - it is the weak key that must be refused
    idp.published.append({**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "short"})
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        text = jwt.encode(idp.claims(), key, algorithm="RS256", headers={"kid": "short"})

    with pytest.raises(Unauthenticated):
        verifier.identify(text)


def test_another_key_under_the_same_id(idp: Issuer, verifier: JwtVerifier) -> None:
    """A JWT that names the issuer's key and is signed with another is refused, also when it brings its own key."""
    with issuer() as other:
        other.add_key("ES256")
        text = other.sign(iss=idp.url)
        brought = forged({"alg": "ES256", "kid": "key-1", "jwk": other.published[0], "jku": f"{other.url}/jwks"}, idp.claims())

        for token in (text, brought):
            with pytest.raises(Unauthenticated):
                verifier.identify(token)

        assert other.fetches == 0


def test_one_key_without_an_id(idp: Issuer, verifier: JwtVerifier) -> None:
    """Where the issuer has a single key a JWT need not name it."""
    idp.published[0].pop("kid")
    private = idp._private["key-1"][0]  # noqa: SLF001 - the issuer of the tests

    assert verifier.identify(jwt.encode(idp.claims(), private, algorithm="ES256"))


def test_verified_once(idp: Issuer) -> None:
    """A JWT is verified once a minute and not again meanwhile; it is refused once it has expired all the same."""
    at = Clock(time.time())
    settings = settings_for(idp)
    verifier = JwtVerifier(settings, KeySet(str(settings.jwt_jwks)), lambda: datetime.fromtimestamp(at(), UTC))
    text = idp.sign(exp=int(at.at) - LEEWAY + 8)
    first = verifier.identify(text)
    assert first is verifier.identify(text)
    at.at += 10

    with pytest.raises(Unauthenticated):
        verifier.identify(text)


def test_issuer_down(idp: Issuer, verifier: JwtVerifier) -> None:
    """Where the issuer's keys could never be read the service says that it cannot tell, not that the JWT is wrong."""
    idp.status = 500

    with pytest.raises(StoreUnavailable):
        verifier.identify(idp.sign())


def test_issuer_down_later(idp: Issuer, verifier: JwtVerifier, clock: Clock) -> None:
    """Keys that were read go on to count while the issuer is down."""
    verifier.identify(idp.sign(jti="1"))
    idp.status = 500
    clock.at += jwks.FRESH + 1

    assert verifier.identify(idp.sign(jti="2"))


def test_keys_from_a_file(idp: Issuer, tmp_path: Path) -> None:
    """The key set may be a file."""
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": idp.published}))
    verifier = JwtVerifier.from_settings(settings_for(idp, jwt_jwks=str(tmp_path / "jwks.json")), now)

    assert verifier.identify(idp.sign())
    assert idp.fetches == 0


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"keys":1}', '{"keys":[]}', '{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}', '{"keys":[3]}']
)
def test_unusable_file_stops_the_start(idp: Issuer, tmp_path: Path, content: str) -> None:
    """A file without a usable key stops the start, by the setting's name."""
    (tmp_path / "jwks.json").write_text(content)

    with pytest.raises(CannotStart, match="DMS_TAGS_JWT_JWKS"):
        JwtVerifier.from_settings(settings_for(idp, jwt_jwks=str(tmp_path / "jwks.json")), now)


@pytest.mark.parametrize("changes", [{"jwt_issuer": None}, {"jwt_audience": None}, {"jwt_jwks": None}, {"jwt_jwks": "ftp://x/y"}])
def test_misconfiguration_stops_the_start(idp: Issuer, changes: dict[str, Any]) -> None:
    """A JWT set-up with a part missing or of the wrong kind stops the start."""
    with pytest.raises(CannotStart, match="DMS_TAGS_JWT_"):
        JwtVerifier.from_settings(settings_for(idp, **changes), now)


def test_missing_file_stops_the_start(idp: Issuer, tmp_path: Path) -> None:
    """A file that is not there stops the start."""
    with pytest.raises(CannotStart, match="cannot be read"):
        JwtVerifier.from_settings(settings_for(idp, jwt_jwks=str(tmp_path / "none.json")), now)
