"""Anything at all, sent to the calls of the two APIs by someone who may make them (schemathesis)."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from dms_tags.settings import Settings
from tests.api.test_openapi import CHECKS
from tests.support.app import running
from tests.support.chains import add, log_in, prepare
from tests.support.metadata import SITE, define, put

SAMPLE = settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    database=None,
)


@pytest.mark.thorough
@pytest.mark.parametrize("prefix", ["/tags", "/resources", "/auth"])
def test_answers_are_as_described(prefix: str) -> None:
    """No call makes a 5xx, and every answer has a status and a shape that the OpenAPI document tells of."""
    with running(Settings(mongo_uri="mongomock://", auth="none")) as service:
        headers = prepare(service) | log_in(service)
        add(service, headers)
        tag_id = define(service, mandatory_on=["site"])
        put(service, tag_id, SITE, "APAC")
        schema = schemathesis.openapi.from_wsgi("/openapi.json", service.app).include(path_regex=f"^{prefix}")

        for found in schema.get_all_operations():
            operation = found.ok()  # type: ignore[union-attr]  # an operation that is invalid fails here

            @SAMPLE
            @given(case=operation.as_strategy())
            def check(case: schemathesis.Case[Any]) -> None:
                if prefix == "/auth":
                    case.headers.update(headers)
                if "tagId" in (case.path_parameters or {}) and case.method != "DELETE":
                    case.path_parameters["tagId"] = tag_id
                case.call_and_validate(checks=CHECKS)

            check()
