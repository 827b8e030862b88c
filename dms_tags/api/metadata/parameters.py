"""The parameters of the metadata API, of its paths and of its queries (API.md section 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from dms_tags import names
from dms_tags.api.endpoint import PathParameter
from dms_tags.api.metadata import schemas
from dms_tags.api.parameters import Parameter, boolean, integer, moment
from dms_tags.model import Kind


def _value_cursor(text: str) -> tuple[Kind, str]:
    kind, _, rest = text.partition("/")
    return schemas.correlation_type(kind), schemas.correlation_id(rest)


PATH: Final = {
    "tagId": PathParameter(schemas.tag_id, {"type": "string"}, schemas.EXAMPLE_TAG),
    "correlationId": PathParameter(
        schemas.correlation_id, {"type": "string", "pattern": f"^{names.OBJECT_ID_PATTERN}$"}, schemas.EXAMPLE_SITE
    ),
}
VALUE: Final = Parameter(
    "value", schemas.value, {"type": "string", "minLength": 1, "maxLength": 255}, "the exact value", required=True, example="APAC"
)
TYPE: Final = Parameter(
    "correlation_type",
    schemas.correlation_type,
    schemas.CORRELATION_TYPE,
    "the resource's type; with it the answer names in X-Missing-Tags the mandatory labels that it lacks",
)
LACKING_TYPE: Final = Parameter(
    "correlation_type", schemas.correlation_type, schemas.CORRELATION_TYPE, "the type of the resources", required=True
)
FORCE: Final = boolean("force", "remove the values too")
_NEXT: Final = "the page that begins after this; the answer's header Link (rel=next) has the address of the next page"


def page_of(what: str, most: int, cursor: Callable[[str], Any]) -> tuple[Parameter, Parameter]:
    """The parameters of a page of `most` at most, which is what it has by default."""
    return (
        integer("limit", 1, most, f"{what} on a page", most),
        Parameter("cursor", cursor, {"type": "string", "minLength": 1}, _NEXT),
    )


TAG_PAGE: Final = page_of("definitions", 100, schemas.tag_id)
VALUE_PAGE: Final = page_of("values", 1000, _value_cursor)
LACKING_PAGE: Final = page_of("resources", 1000, schemas.correlation_id)
AT: Final = moment("at", "the tags and their definitions as they stood at this time; without X-Missing-Tags")
