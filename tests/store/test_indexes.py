"""The indexes of a database: all of them are made before a service works on it, none beside its work."""

from __future__ import annotations

import pytest

from dms_tags.store.database import Database


@pytest.mark.parametrize("collection", ["chain_tag_keys", "definition_keys"])
def test_what_a_key_has_made_is_forgotten_after_a_day(database: Database, collection: str) -> None:
    """Collections of settled keys expire by an index that is there before the first key is."""
    indexes = database.collection(collection).index_information()

    assert 24 * 3600 == indexes["at_1"]["expireAfterSeconds"]


def test_two_tokens_never_share_an_id(database: Database) -> None:
    """The unique index of credentials is there before the first token is."""
    assert database.collection("credentials").index_information()["token_1"]["unique"]


def test_a_database_is_prepared_again_without_a_change(database: Database) -> None:
    """Every start prepares the database; one that is up to date stays as it is."""
    before = database.tags.index_information()

    database.prepare()

    assert before == database.tags.index_information()
