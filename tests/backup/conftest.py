"""A second database beside that of the test, empty, and commands that go to the one or the other."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dms_tags.cli.main import main
from dms_tags.serving.mongod import Client
from dms_tags.settings import Settings
from tests.support.trails import keyed

Command = Callable[..., int]


@pytest.fixture
def signing(settings: Settings, tmp_path: Path) -> Settings:
    """The settings of the database that is backed up, with a signing key."""
    return replace(keyed(settings, tmp_path), auth="none")


@pytest.fixture
def elsewhere(signing: Settings, mongo_client: Client) -> Iterator[Settings]:
    """The same for another database, which is not there yet."""
    name = f"test_{uuid.uuid4().hex}"
    yield replace(signing, database=name)
    mongo_client.drop_database(name)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command as it is typed, in the environment of the settings; its exit status."""

    def run(settings: Settings, *line: str) -> int:
        for name, value in {
            "MONGO_URI": settings.mongo_uri,
            "DATABASE": settings.database,
            "SIGNING_KEY_FILE": settings.signing_key_file,
            "LOG_ORIGIN": settings.log_origin,
        }.items():
            if value is None:
                monkeypatch.delenv(f"DMS_TAGS_{name}", raising=False)
            else:
                monkeypatch.setenv(f"DMS_TAGS_{name}", str(value))
        return main(line)

    return run
