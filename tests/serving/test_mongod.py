"""A mongod of one's own: found, started, made a replica set, stopped and crashed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dms_tags.errors import CannotStart
from dms_tags.serving.mongod import Client, find_mongod


def test_the_shared_fixture_is_a_real_replica_set(mongo_client: Client, database_name: str) -> None:
    """The fixture's mongod takes writes that a majority acknowledges, in a database of the test's own."""
    collection = mongo_client[database_name]["tags"]

    collection.insert_one({"_id": 1})

    assert [{"_id": 1}] == list(collection.find())


def test_a_configured_mongod_that_is_not_there_is_named() -> None:
    """A path that leads nowhere is refused in one line that names it and the choices."""
    with pytest.raises(CannotStart, match=r"no mongod at /no/such/mongod: set DMS_TAGS_MONGO_URI"):
        find_mongod("/no/such/mongod")


def test_a_mongod_that_does_not_run_here_is_refused(tmp_path: Path) -> None:
    """A program that fails to start is refused with its own first line of complaint."""
    broken = tmp_path / "mongod"
    broken.write_text("#!/bin/sh\necho 'libssl.so.1.1: cannot open shared object file' >&2\nexit 127\n")
    broken.chmod(0o755)

    with pytest.raises(CannotStart, match=r"libssl\.so\.1\.1"):
        find_mongod(str(broken))
