from __future__ import annotations

from collections.abc import Iterator

import pytest

from dms_tags.settings import Settings
from tests.contract.conftest import service
from tests.support.app import Service, running
from tests.support.stores import shared

__all__ = ["service", "shared"]


@pytest.fixture
def real(mongo_uri: str, database_name: str) -> Iterator[Service]:
    """The application on a real mongod: what is shown of races and of the database's clock is shown there."""
    with running(Settings(mongo_uri=mongo_uri, database=database_name, auth="none")) as found:
        yield found
