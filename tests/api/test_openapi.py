"""The OpenAPI document, and the service held to it by schemathesis."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from schemathesis.core.result import Ok

from dms_tags.api.endpoint import PUBLIC, Route
from dms_tags.app import APIS
from dms_tags.settings import Settings
from tests.support.app import Service, running


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running(Settings(mongo_uri="mongomock://", auth="none")) as found:
        yield found


CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.response_schema_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_headers_conformance,
]
SAMPLE = settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    database=None,
)


@pytest.mark.thorough
def test_answers_are_as_described(service: Service) -> None:
    """No call that the document tells of makes a 5xx, and every answer has a status and a shape that it tells."""
    # the events, and the trail as it is live, are streams without end
    schema = (
        schemathesis.openapi.from_wsgi("/openapi.json", service.app)
        .exclude(path=["/api/dms/tags/events", "/console/trail/live"])
        .exclude(path_regex="^/(tags|resources|auth)")
    )  # see test_fuzz.py, which knows what they act on
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) > 10

    for operation in operations:

        @SAMPLE
        @given(case=operation.as_strategy())
        def check(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(checks=CHECKS)

        check()


def test_document_is_valid(service: Service) -> None:
    """The document is OpenAPI 3.0, by the specification's own schema."""
    validate(service.client.get("/openapi.json").json or {})


def test_names_in_the_document(service: Service) -> None:
    """Tag names are described by the expression that cannot backtrack without end."""
    paths = (service.client.get("/openapi.json").json or {})["paths"]
    parameters = paths["/api/dms/objects/{objectId}/tags/{name}/state/{state}"]["post"]["parameters"]

    assert [r"^[a-z](?:[a-z][a-z0-9]*)?(?::[a-z][a-z0-9]*)*$"] == [
        parameter["schema"]["pattern"] for parameter in parameters if parameter["name"] == "name"
    ]


PUBLIC_ROUTES = [route for api in APIS for route in api.routes if route.permissions == PUBLIC]


@pytest.mark.parametrize("route", PUBLIC_ROUTES, ids=[f"{route.method} {route.full_path}" for route in PUBLIC_ROUTES])
def test_what_is_wrong_with_a_public_call_is_told(service: Service, route: Route) -> None:
    """A query that is not in UTF-8, a host that is not this one, a body in gzip: each refusal is among the answers told."""
    path = re.sub(r"{(\w+)}", lambda part: str(route.path_parameters[part[1]].example), route.full_path)
    answers = (service.client.get("/openapi.json").json or {})["paths"][route.full_path][route.method.lower()]["responses"]
    refused: list[dict[str, Any]] = [
        {"environ_overrides": {"RAW_URI": f"{path}?next=%E4"}},
        {"headers": {"Host": "elsewhere.example"}},
        {"data": b"x", "headers": {"Content-Encoding": "gzip"}},
    ]
    for call in refused:
        answer = service.client.open(path, method=route.method, **call)
        assert str(answer.status_code) in answers
        assert answer.mimetype in answers[str(answer.status_code)].get("content", {answer.mimetype: {}})


HEADERS = {
    "ETag",
    "X-B3-TraceId",
    "Idempotent-Replayed",
    "Link",
    "X-Missing-Tags",
    "Retry-After",
    "X-Request-Id",
    "X-Trail-First",
}


def test_headers_and_statuses_of_answers_are_told(service: Service) -> None:
    """The document tells every header that answers carry, 405, and 304 where there is an ETag."""
    document = service.client.get("/openapi.json").json or {}
    answers = [answer for path in document["paths"].values() for call in path.values() for answer in call["responses"].items()]

    assert HEADERS <= {name for _, answer in answers for name in answer.get("headers", ())}
    assert {"304", "405"} <= {status for status, _ in answers}
    assert all("ETag" in answer["headers"] for status, answer in answers if status == "304")
