"""The tokens as a process knows them: new ones at once, revoked ones soon, invented ones for free."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import pytest

from dms_tags.errors import StoreUnavailable
from dms_tags.identity import directory, tokens
from dms_tags.identity.directory import TokenDirectory
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.identity.tokens import Token
from tests.support.identity import ADMIN, Clock, at_once

GRANT = Grant(frozenset({Permission.READ}))


class Counting(TokenStore):
    """A store that counts what is asked of it, and fails when told to."""

    reads = 0
    lookups = 0
    down = False

    def in_force(self) -> list[Token]:
        self.reads += 1
        if self.down:
            raise StoreUnavailable("down")
        return super().in_force()

    def knows(self, token_id: str) -> bool:
        self.lookups += 1
        return super().knows(token_id)

    def used(self, credential_ids: Iterable[str]) -> None:
        if self.down:
            raise StoreUnavailable("down")
        super().used(credential_ids)


@pytest.fixture
def store(token_store: TokenStore) -> Counting:
    token_store.__class__ = Counting
    assert isinstance(token_store, Counting)
    return token_store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def found(store: Counting, clock: Clock) -> TokenDirectory:
    return TokenDirectory(store, clock=clock, background=at_once)


def make(store: TokenStore, name: str) -> str:
    """A new token's id."""
    presented = tokens.parse(store.create("default", name, GRANT, ADMIN))
    assert presented is not None
    return presented.id


def test_new_token_counts_at_once(store: Counting, found: TokenDirectory) -> None:
    """A token that was made a moment ago is found, though the list was just read."""
    first = make(store, "first")
    assert found.find(first) is not None
    second = make(store, "second")

    assert found.find(second) is not None


def test_many_calls_read_once(store: Counting, found: TokenDirectory) -> None:
    """Calls with a known token read nothing as long as the list is fresh."""
    token_id = make(store, "ocr")
    for _ in range(1000):
        found.find(token_id)

    assert (1, 0) == (store.reads, store.lookups)


def test_revoked_within_ten_seconds(store: Counting, found: TokenDirectory, clock: Clock) -> None:
    """A revoked token is found no more before ten seconds have passed, also where no call came meanwhile."""
    token_id = make(store, "ocr")
    assert found.find(token_id) is not None
    store.revoke("default", "ocr", ADMIN)
    clock.at += 9.9

    assert found.find(token_id) is None


def test_busy_service_sees_revocation_sooner(store: Counting, found: TokenDirectory, clock: Clock) -> None:
    """Where calls keep coming the list is read beside them, before any has to wait for it."""
    token_id = make(store, "ocr")
    found.find(token_id)
    store.revoke("default", "ocr", ADMIN)
    clock.at += directory.FRESH + 0.1
    found.find(token_id)

    assert found.find(token_id) is None


def test_invented_tokens_are_free(store: Counting, found: TokenDirectory) -> None:
    """However many invented tokens come, the database is asked a bounded number of times."""
    for _ in range(10_000):
        assert found.find(tokens.mint().id) is None

    assert store.reads == 1
    assert store.lookups <= directory.LOOKUPS


def test_same_stranger_is_looked_up_once(store: Counting, found: TokenDirectory) -> None:
    """A token that is not known is not looked up again and again."""
    stranger = tokens.mint().id
    for _ in range(100):
        found.find(stranger)

    assert store.lookups == 1


def test_down_and_stale(store: Counting, found: TokenDirectory, clock: Clock) -> None:
    """While MongoDB is down a known token counts for some seconds; then nobody is let in on old news."""
    token_id = make(store, "ocr")
    found.find(token_id)
    store.down = True
    clock.at += directory.FRESH + 0.1
    assert found.find(token_id) is not None
    clock.at += directory.STALE

    with pytest.raises(StoreUnavailable):
        found.find(token_id)


def test_down_is_not_asked_by_every_call(store: Counting, found: TokenDirectory, clock: Clock) -> None:
    """While the list cannot be read again, only some calls try to."""
    token_id = make(store, "ocr")
    found.find(token_id)
    store.down = True
    clock.at += directory.FRESH + 0.1
    for _ in range(100):
        found.find(token_id)

    assert store.reads == 2


def test_last_use(store: Counting, found: TokenDirectory, clock: Clock) -> None:
    """The last use is written at most once a minute, and again where writing it failed."""
    token_id = make(store, "ocr")
    store.down = True
    found.note_use(token_id)
    assert store.every()[0].last_used is None
    store.down = False
    found.note_use(token_id)
    first = store.every()[0].last_used
    assert first is not None
    found.note_use(token_id)
    assert first == store.every()[0].last_used
    clock.at += directory.USE_NOTED
    with contextlib.suppress(StoreUnavailable):
        found.note_use(token_id)

    assert first <= (store.every()[0].last_used or first)
