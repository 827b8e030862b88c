"""Tokens: what they look like, how they are kept, what becomes of their names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dms_tags.errors import InUse, InvalidParameter, NotFound
from dms_tags.identity import names, tokens
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.store.database import Database
from tests.support.identity import ADMIN

READER = Grant(frozenset({Permission.READ}), ("ocr:",), None, datetime(2100, 1, 1, tzinfo=UTC))
AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
SPELT = f"dmst_{'1a' * 8}_{'2b' * 32}"


def test_spelling() -> None:
    """A token is read back from what is handed out, and its secret shows in no repr."""
    minted = tokens.mint()

    assert minted == tokens.parse(minted.text)
    assert tokens.parse(SPELT) is not None
    assert minted.secret not in repr(minted)


@pytest.mark.parametrize(
    "text",
    ["", "dmst_", "dmst_1_2", f"{SPELT}0", SPELT.upper(), f"{SPELT}\n"],
    ids=["none", "kind", "short", "long", "upper", "line"],
)
def test_not_a_token(text: str) -> None:
    """What does not have the exact form of a token is none."""
    assert tokens.parse(text) is None


def test_only_a_hash_is_kept(memory: Database, token_store: TokenStore) -> None:
    """Nothing in the database contains the secret of a token."""
    secret = tokens.parse(token_store.create("default", "ocr", READER, ADMIN)).secret  # type: ignore[union-attr]

    for collection in ("credentials", "tags", "meta", "audit_trail"):
        assert secret not in str(list(memory.collection(collection).find({})))


def test_created_and_listed(token_store: TokenStore) -> None:
    """A token that was created is in force with all that it was given, and is listed so."""
    token_store.create("default", "ocr", READER, ADMIN)

    (token,) = token_store.in_force()
    (listed,) = token_store.every("default")

    assert ("default", "ocr", "token") == (token.identity.tenant, token.identity.actor.name, token.identity.actor.kind)
    assert (READER.permissions, ("ocr:",), None) == (
        token.identity.permissions,
        token.identity.read_prefixes,
        token.identity.write_prefixes,
    )
    assert READER.expires == token.expires
    assert READER == listed.grant
    assert listed.last_used is None


def test_creating_is_a_change_without_the_secret(memory: Database, token_store: TokenStore) -> None:
    """Creating a token is a change of its resource, by the administrator, that says what it allows."""
    text = token_store.create("default", "ocr", READER, ADMIN)

    document = memory.tags.find_one({"kind": "token"})

    assert document is not None
    (record,) = document["outbox"]
    assert (10110, "root", "cli") == (record["action"], record["by"], record["byKind"])
    assert ["read"] == record["state"]["allow"]
    assert "2100-01-01T00:00:00.000Z" == record["state"]["expires"]
    assert text.rpartition("_")[2] not in str(document)


def test_revoked(memory: Database, token_store: TokenStore) -> None:
    """A revoked token is in force no more, stays listed, is recorded, and cannot be revoked again."""
    token_store.create("default", "ocr", READER, ADMIN)
    token_store.revoke("default", "ocr", ADMIN)

    document = memory.tags.find_one({"kind": "token"})

    assert [] == token_store.in_force()
    assert [None] == [listed.grant for listed in token_store.every()]
    assert document is not None
    assert [10110, 10210] == [record["action"] for record in document["outbox"]]
    with pytest.raises(NotFound):
        token_store.revoke("default", "ocr", ADMIN)


def test_names_are_used_once(token_store: TokenStore) -> None:
    """A token's name is never used twice in a tenant, also not after it was revoked; another tenant may have it too."""
    token_store.create("default", "ocr", READER, ADMIN)
    with pytest.raises(InUse):
        token_store.create("default", "ocr", READER, ADMIN)
    token_store.revoke("default", "ocr", ADMIN)
    with pytest.raises(InUse):
        token_store.create("default", "ocr", READER, ADMIN)

    token_store.create("other", "ocr", READER, ADMIN)

    assert ["other"] == [token.identity.tenant for token in token_store.in_force()]


@pytest.mark.parametrize("name", ["", "system:lease", "a:b", "a b", "ü", "-a", "a" * 65, "a\n"])
def test_refused_names(name: str) -> None:
    """Names that Basic could not carry, that are ours, or that no log should show are refused."""
    with pytest.raises(InvalidParameter):
        names.token_name(name)


@pytest.mark.parametrize("text", ["", ".", "..", "a b", "a" * 65, "ä", "a\n", "a/b", "a+b", "a:b", "a\\b", "%2e"])
def test_refused_tenants(text: str) -> None:
    """A tenant is 1 to 64 of A-Z a-z 0-9 . _ - and no step of a path."""
    with pytest.raises(InvalidParameter):
        names.tenant(text)


@pytest.mark.parametrize("text", ["A", "Acme", "acme", "a_b", "kgs.de", "...", "-", "_", ".a", "9", "Z" * 64])
def test_tenants(text: str) -> None:
    """A tenant is called as a DMS calls it."""
    assert text == names.tenant(text)


def test_tenants_in_file_names() -> None:
    """No two tenants' files are called the same, also where a file system does not tell letters of both cases apart."""
    told = [names.in_file_name(tenant).lower() for tenant in ("acme", "Acme", "ACME", "a.c", "A.c")]

    assert 5 == len(set(told))
    assert ("acme", "a.c") == (told[0], told[3])


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("90d", AT + timedelta(days=90)),
        ("12h", AT + timedelta(hours=12)),
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ("2026-01-01T14:00:00+01:00", AT + timedelta(hours=1)),
    ],
)
def test_expiry(text: str, until: datetime) -> None:
    """A time of expiry is a number of days or hours, a day in UTC or an exact time."""
    assert until == names.expiry(text, AT)


@pytest.mark.parametrize(
    "text", ["", "0d", "90", "-1d", "99999999d", "2026-13-01", "2026-01-01", "tomorrow", "1w", "99999d99999d"]
)
def test_refused_expiry(text: str) -> None:
    """What is no time, or is over, is no time of expiry."""
    with pytest.raises(InvalidParameter):
        names.expiry(text, AT)


@pytest.mark.parametrize("text", ["", "read,", "read,admin"])
def test_permissions(text: str) -> None:
    """Permissions are listed with commas; none at all is a mistake."""
    if text:
        assert Permission.READ in names.permissions(text)
    else:
        with pytest.raises(InvalidParameter):
            names.permissions(text)


def test_unknown_permission() -> None:
    """A permission that does not exist is named."""
    with pytest.raises(InvalidParameter, match="wirte"):
        names.permissions("read,wirte")
