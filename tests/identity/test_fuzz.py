"""Nobody gets in by accident: ten thousand broken credentials, and what the time of a refusal tells."""

from __future__ import annotations

import base64
import json
import logging
import random
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, Final

import pytest
from flask import Flask

from dms_tags.app import create_app
from dms_tags.errors import Unauthenticated
from dms_tags.identity import tokens
from dms_tags.identity.authenticator import Verifying
from dms_tags.identity.directory import TokenDirectory
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.model import now
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.identity import ADMIN, AUDIENCE, Issuer, issuer

FUZZED: Final = 10_000
PATH: Final = "/api/dms/objects/o1/tags/ocr/state/1"

SAMPLES: Final = 400
ROUNDS: Final = 5
NOISE: Final = 0.05


@pytest.fixture
def idp() -> Iterator[Issuer]:
    with issuer() as serving:
        serving.add_key("ES256")
        yield serving


def segment(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


class Breaker:
    """Makes credentials that must not hold, from ones that do."""

    def __init__(self, secret: str, jwt: str, seed: int) -> None:
        self._random = random.Random(seed)
        self._sound = [secret, jwt]
        self._makers: list[Callable[[], str]] = [
            self.noise,
            self.mutated_token,
            self.mutated_jwt,
            self.basic,
            self.header,
            self.claims,
            self.scheme,
        ]

    def __call__(self) -> str:
        return self._random.choice(self._makers)()

    def noise(self) -> str:
        return "".join(chr(self._random.randrange(256)) for _ in range(self._random.randrange(60)))

    def mutated(self, text: str) -> str:
        """`text` with a few characters changed, cut out, doubled or moved; never `text` itself."""
        changed = list(text)
        for _ in range(self._random.randrange(1, 4)):
            at = self._random.randrange(len(changed))
            kind = self._random.randrange(4)
            if kind == 0:
                changed[at] = chr(self._random.randrange(33, 256))
            elif kind == 1 and len(changed) > 2:
                del changed[at]
            elif kind == 2:
                changed.insert(at, self._random.choice("._=dmst0aZ\x00 "))
            else:
                changed = changed[at:] + changed[:at]
        mutated = "".join(changed)
        return mutated if mutated.strip(" ") != text else f"{text}x"

    def mutated_token(self) -> str:
        return f"Bearer {self.mutated(self._sound[0])}"

    def mutated_jwt(self) -> str:
        header, payload, signature = self._sound[1].split(".")
        # The last character of base64 may carry bits that are not read: a change there alone may be none
        return "Bearer " + ".".join(
            (self.mutated(header), payload, signature)
            if self._random.random() < 0.5
            else (header, self.mutated(payload), signature)
        )

    def basic(self) -> str:
        inner = self._random.choice(
            [self.noise(), f"ocr:{self.mutated(self._sound[0])}", f"other:{self._sound[0]}", self._sound[0], ":"]
        )
        return "Basic " + base64.b64encode(inner.encode()).decode()[: self._random.randrange(8, 400)]

    def header(self) -> str:
        header = {"alg": self.value(), "kid": self.value(), "crit": self.value(), "typ": self.value(), "b64": self.value()}
        kept = {name: value for name, value in header.items() if self._random.random() < 0.6}
        return f"Bearer {segment(kept)}.{self._sound[1].partition('.')[2]}"

    def claims(self) -> str:
        header, _, signature = self._sound[1].split(".")
        return f"Bearer {header}.{segment(self.value())}.{self._random.choice([signature, '', 'AA'])}"

    def scheme(self) -> str:
        sound = self._random.choice(self._sound)
        return self._random.choice(
            [
                sound,
                f"Token {sound}",
                f"Bearer:{sound}",
                f"Bearer\t{sound}",
                f"Basic {sound}",
                f"Bearer {sound} x",
                "Bearer " * 2000,
            ]
        )

    def value(self) -> Any:
        return self._random.choice(
            [
                None,
                True,
                0,
                -1,
                1e308,
                "",
                "none",
                "HS256",
                "ES256",
                "EdDSA",
                "key-1",
                "é" * 50,
                [],
                ["b64"],
                {},
                {"a": [1]},
                "x" * 500,
            ]
        )


def status_of(app: Flask, authorization: str) -> int:
    """What the application answers to a change with that header, taken past any client's own checks of headers."""
    told: list[int] = []
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": PATH,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "HTTP_AUTHORIZATION": authorization,
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
        "wsgi.errors": None,
    }

    def start_response(status: str, _headers: object, _error: object = None) -> Callable[[bytes], object]:
        told.append(int(status[:3]))
        return lambda _: None

    for _ in app.wsgi_app(environ, start_response):
        """The body is of no interest."""
    return told[0]


@pytest.mark.thorough
def test_fuzzed_credentials(memory: Database, token_store: TokenStore, idp: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    """Of ten thousand broken headers, tokens and JWTs each is a 401, none an error, and none changes anything."""
    settings = Settings(
        mongo_uri="mongomock://", auth="jwt", jwt_issuer=idp.url, jwt_audience=AUDIENCE, jwt_jwks=f"{idp.url}/jwks"
    )
    app = create_app(settings, database=memory)
    secret = token_store.create("default", "ocr", Grant(frozenset(Permission)), ADMIN)
    breaker = Breaker(secret, idp.sign(), seed=3)
    caplog.set_level(logging.ERROR, logger="dms_tags.api.gate.guard")  # ten thousand refusals are no news
    answers: dict[int, list[str]] = {}
    for _ in range(FUZZED):
        header = breaker()
        answers.setdefault(status_of(app, header), []).append(header)

    assert {401} == set(answers), {status: headers[:3] for status, headers in answers.items()}
    assert 0 == memory.tags.count_documents({"kind": {"$ne": "token"}})
    assert 200 == status_of(app, f"Bearer {secret}")
    assert 409 == status_of(app, f"Bearer {idp.sign()}")  # let in, and told that the tag is there by now


def test_time_tells_nothing(token_store: TokenStore) -> None:
    """A secret that is right but for its end is refused in the same time as one that is wrong from the start.

    Both are timed in turns; that the medians differ by less than noise in any of several rounds is enough, since what a
    busy machine adds differs from round to round, and what the comparison would tell does not.
    """
    right = tokens.parse(token_store.create("default", "ocr", Grant(frozenset(Permission)), ADMIN))
    assert right is not None
    authenticator = Verifying(TokenDirectory(token_store), now)
    last = "0" if right.secret[-1] != "0" else "1"
    near = f"Bearer {tokens.Presented(right.id, right.secret[:-1] + last).text}"
    far = f"Bearer {tokens.Presented(right.id, ''.join('0' if c != '0' else '1' for c in right.secret)).text}"

    def seconds(header: str) -> float:
        begun = time.perf_counter()
        with pytest.raises(Unauthenticated):
            authenticator.identify(header)
        return time.perf_counter() - begun

    differences = []
    for _ in range(ROUNDS):
        times = [(seconds(near), seconds(far)) for _ in range(SAMPLES)]
        near_median, far_median = (median(column) for column in zip(*times, strict=True))
        differences.append(abs(near_median / far_median - 1))

    assert min(differences) < NOISE
