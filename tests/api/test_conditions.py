"""Conditions in headers: a call that writes honours each or refuses it, whatever calls there will be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dms_tags.api.endpoint import CONDITIONAL, Route
from dms_tags.app import APIS
from dms_tags.identity.model import Permission
from dms_tags.settings import Settings
from tests.support.app import Service, running
from tests.support.chains import prepare

WRITING = [
    route
    for api in APIS
    for route in api.routes
    if route.method != "GET" and route.permissions and route.permissions != {Permission.READ}
]
PARTS = {"objectId": "o1", "name": "ocr", "state": "1", "tagId": "tag_01E8Z4Q6J7B6A5P4E3D2C1B0A9", "correlationId": "site-1"}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running(Settings(mongo_uri="mongomock://", auth="none")) as application:
        yield application


@pytest.mark.parametrize("header", CONDITIONAL)
@pytest.mark.parametrize("route", WRITING, ids=lambda route: f"{route.method} {route.full_path}")
def test_honoured_or_refused(service: Service, route: Route, header: str) -> None:
    """A conditional header that a writing call does not declare is a 400 that names it; nothing is dropped in silence."""
    answer = service.client.open(
        route.full_path.format(**PARTS), method=route.method, headers={header: '"x"', **prepare(service)}, json={}
    )

    refused = answer.status_code == 400 and f"{header} is not honoured" in answer.text
    assert (header not in route.headers) == refused, answer.text
