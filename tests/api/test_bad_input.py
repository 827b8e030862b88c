"""Whatever a client sends: never a 500, and what was refused changed nothing."""

from __future__ import annotations

import string
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dms_tags.settings import Settings
from tests.support.app import Service, running

SAMPLE = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
name = st.one_of(text, st.from_regex(r"[a-z:]{1,6}", fullmatch=True), st.sampled_from(["tag1", "a" * 128, "a" * 129]))
state = st.one_of(text, st.integers().map(str), st.sampled_from(["0", "-0", "2147483647", "2147483648"]))
header = st.text(string.printable.replace("\r", "").replace("\n", "").replace("\x0b", "").replace("\x0c", ""), max_size=40)
headers = st.dictionaries(
    st.sampled_from(
        ["X-B3-TraceId", "b3", "If-Match", "If-None-Match", "Idempotency-Key", "X-ID-TENANT-NAME", "Authorization", "Accept"]
    ),
    header,
    max_size=4,
)
query = st.lists(
    st.tuples(
        st.sampled_from(
            ["overwrite", "traceIdMustMatch", "expectedState", "waitForSearchConsistency", "at", "size", "page", "traceid", ""]
        ),
        st.one_of(
            text, st.sampled_from(["true", "false", "TRUE", "1", "-1", "2020-02-20T02:20:20Z", "2020-02-20T02:20:20 01:00"])
        ),
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running(Settings(mongo_uri="mongomock://", auth="none")) as found:
        yield found


def everything(service: Service) -> list[Any]:
    return sorted(service.database.tags.find({}, {"seq": 1, "tags": 1}), key=lambda document: str(document["_id"]))


@SAMPLE
@given(st.sampled_from(["GET", "POST", "DELETE", "PUT", "PATCH"]), text, name, state, query, headers)
def test_nothing_makes_a_500(
    service: Service, method: str, object_id: str, tag: str, value: str, asked: list[tuple[str, str]], sent: dict[str, str]
) -> None:
    """Any name, state, id, header and parameter is answered below 500, and a refusal leaves everything as it was."""
    before = everything(service)
    for path in (
        f"/api/dms/objects/{quote(object_id)}/tags/{quote(tag)}/state/{quote(value)}",
        f"/api/dms/objects/{quote(object_id)}/tags/{quote(tag)}",
        f"/api/dms/objects/{quote(object_id)}/tags",
        f"/api/dms/objects/{quote(object_id)}/history",
    ):
        answer = service.client.open(path, method=method, query_string=asked, headers=sent)

        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert before == everything(service)
        before = everything(service)


@SAMPLE
@given(st.binary(max_size=60))
def test_any_path(service: Service, path: bytes) -> None:
    """Any path at all is answered below 500."""
    assert service.client.get("/" + quote(path)).status_code < 500


def test_names_do_not_backtrack(service: Service) -> None:
    """The name that hangs the DMS's own expression is refused at once: a hang would run into the limit of the test run."""
    answer = service.client.post(f"/api/dms/objects/o1/tags/{'abcdefghijklmnopqrstuvwxyz' * 4}-/state/1")

    assert 400 == answer.status_code
