"""Holds answers against the service's own OpenAPI document."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from openapi_schema_validator import OAS30Validator, oas30_format_checker
from werkzeug.test import TestResponse

from dms_tags.api import openapi
from dms_tags.app import APIS


def valid(schema: Any, document: Any) -> None:
    """Fails unless the document fits the schema, formats included."""
    OAS30Validator(schema, format_checker=oas30_format_checker).validate(document)


@cache
def _document() -> Any:
    return openapi.document(APIS)


def documented(response: TestResponse) -> TestResponse:
    """The answer, if the OpenAPI document foretells its status and its body; else an `AssertionError`."""
    document = _document()
    request = response.request
    templates = [path for path in document["paths"] if re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), request.path)]
    path = min(templates, key=lambda template: template.count("{"))  # a path that is spelt out is not one with variable parts
    answers = document["paths"][path][request.method.lower()]["responses"]

    assert str(response.status_code) in answers, f"{request.method} {path} answered {response.status_code}: {response.text}"
    content = answers[str(response.status_code)].get("content", {})
    if content:
        assert response.mimetype in content
        valid({**content[response.mimetype]["schema"], "components": document["components"]}, response.json)
    return response
