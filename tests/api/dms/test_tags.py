"""API.md section 1, call by call."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from werkzeug.test import TestResponse

from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.app import Service, running
from tests.support.identity import ADMIN

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TRACE = "1234567887654321"


def rows(response: TestResponse) -> list[list[Any]]:
    assert response.status_code == 200, response.text
    found: list[list[Any]] = response.json["objects"][0]["properties"]["system:tags"]["value"]  # type: ignore[index]
    return found


def post(service: Service, path: str, trace: str | None = None, **headers: str) -> TestResponse:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if trace is not None:
        given["X-B3-TraceId"] = trace
    return service.client.post(f"/api/dms/objects/{path}", headers=given)


def delete(service: Service, path: str, trace: str | None = None, **headers: str) -> TestResponse:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if trace is not None:
        given["X-B3-TraceId"] = trace
    return service.client.delete(f"/api/dms/objects/{path}", headers=given)


def get(service: Service, path: str) -> TestResponse:
    return service.client.get(f"/api/dms/objects/{path}")


def refused(response: TestResponse, status: int, slug: str) -> dict[str, Any]:
    assert (status, f"/problems/{slug}") == (response.status_code, (response.json or {}).get("type")), response.text
    assert response.mimetype == "application/problem+json"
    document: dict[str, Any] = response.json or {}
    assert {
        "title",
        "detail",
        "instance",
        "httpStatusCode",
        "serviceErrorCode",
        "time",
        "message",
        "service",
        "tenant",
    } <= document.keys()
    assert status == document["status"] == document["httpStatusCode"]
    assert TIME.fullmatch(document["time"])
    return document


def test_plain_update_of_the_seed(service: Service) -> None:
    """The seed's first example: state and time are new, and the trace id is a random one."""
    post(service, "o1/tags/tag1/state/1", TRACE)

    answer = post(service, "o1/tags/tag1/state/9999?overwrite=true")

    [[name, state, created, trace]] = rows(answer)
    assert ("tag1", 9999) == (name, state)
    assert TIME.fullmatch(created)
    assert re.fullmatch("[0-9a-f]{16}", trace)
    assert trace != TRACE
    assert {"objects"} == answer.json.keys()  # type: ignore[union-attr]
    assert ["system:tags"] == list(answer.json["objects"][0]["properties"])  # type: ignore[index]


def test_locked_update_of_the_seed(service: Service) -> None:
    """The seed's second example: under a matching trace id the tag is changed and keeps that trace id."""
    post(service, "o1/tags/tag1/state/1", TRACE)

    answer = post(service, "o1/tags/tag1/state/9999?overwrite=true&traceIdMustMatch=true", TRACE)

    [[name, state, _, trace]] = rows(answer)
    assert ("tag1", 9999, TRACE) == (name, state, trace)
    assert TRACE == answer.headers["X-B3-TraceId"]


def test_life_of_a_tag(service: Service) -> None:
    """A DMS client's whole way: add, read, update, lock, remove, and the history of all of it."""
    post(service, "o1/tags/analysis/state/1")
    post(service, "o1/tags/testtag/state/7")
    assert ["analysis", "testtag"] == [row[0] for row in rows(get(service, "o1/tags"))]
    post(service, "o1/tags/analysis/state/3?overwrite=true")
    post(service, "o1/tags/tracingprocess/state/1", "aaaa")
    post(service, "o1/tags/tracingprocess/state/2?overwrite=true&traceIdMustMatch=true", "aaaa")
    removed = delete(service, "o1/tags/tracingprocess?traceIdMustMatch=true", "aaaa")

    assert (200, b"") == (removed.status_code, removed.data)
    assert [["analysis", 3], ["testtag", 7]] == [row[:2] for row in rows(get(service, "o1/tags"))]
    history = get(service, "o1/history").json or {}
    shown = [entry["properties"] for entry in history["objects"]]
    assert [
        "OBJECT_TAG_DELETED: [tracingprocess, 2]",
        "OBJECT_TAG_UPDATED: [tracingprocess, 2]",
        "OBJECT_TAG_CREATED: [tracingprocess, 1]",
        "OBJECT_TAG_UPDATED: [analysis, 3]",
        "OBJECT_TAG_CREATED: [testtag, 7]",
        "OBJECT_TAG_CREATED: [analysis, 1]",
    ] == [entry["detail"]["value"] for entry in shown]
    assert [6, 5, 4, 3, 2, 1] == [entry["revision"]["value"] for entry in shown]
    assert [2, 1, None, 1, None, None] == [entry["previousState"]["value"] for entry in shown]
    assert [210, 310, 110, 310, 110, 110] == [entry["action"]["value"] for entry in shown]
    assert history["hasMoreItems"] is False


def test_object_without_tags(service: Service) -> None:
    """An object that has no tag, known or not, answers with an empty list of rows."""
    assert [] == rows(get(service, "nobody/tags"))


def test_etags_beside_rows(service: Service) -> None:
    """The rows of an object come with their ETags, in the order of the rows."""
    first = post(service, "o1/tags/one/state/1")
    second = post(service, "o1/tags/two/state/1")

    properties = (get(service, "o1/tags").json or {})["objects"][0]["properties"]

    assert [first.headers["ETag"], second.headers["ETag"]] == [f'"{etag}"' for etag in properties["dms:etags"]["value"]]


def test_get_of_one_tag(service: Service) -> None:
    """One tag comes with its trace id and its ETag, and with 304 where the ETag is known already."""
    added = post(service, "o1/tags/tag1/state/1", TRACE)

    answer = get(service, "o1/tags/tag1")
    known = service.client.get("/api/dms/objects/o1/tags/tag1", headers={"If-None-Match": answer.headers["ETag"]})

    assert rows(added) == rows(answer)
    assert (TRACE, added.headers["ETag"]) == (answer.headers["X-B3-TraceId"], answer.headers["ETag"])
    assert 304 == known.status_code


def test_add_of_a_tag_that_exists(service: Service) -> None:
    """An add never overwrites."""
    post(service, "o1/tags/tag1/state/1")

    refused(post(service, "o1/tags/tag1/state/2"), 409, "tag-exists")
    assert 1 == rows(get(service, "o1/tags/tag1"))[0][1]


@pytest.mark.parametrize("setup", [False, True])
def test_update_delete_and_get_of_a_missing_tag(service: Service, setup: bool) -> None:
    """What is not there cannot be updated, removed or read, whether the object is known or not."""
    if setup:
        post(service, "o1/tags/other/state/1")

    refused(post(service, "o1/tags/tag1/state/2?overwrite=true"), 404, "tag-not-found")
    refused(delete(service, "o1/tags/tag1"), 404, "tag-not-found")
    refused(get(service, "o1/tags/tag1"), 404, "tag-not-found")


def test_fifty_tags_at_most(service: Service) -> None:
    """An object carries fifty tags; one more is refused, and an update of one of them is not."""
    for number in range(50):
        rows(post(service, f"o1/tags/t:n{number}/state/1"))

    refused(post(service, "o1/tags/tag1/state/1"), 409, "too-many-tags")
    assert 2 == rows(post(service, "o1/tags/t:n49/state/2?overwrite=true"))[0][1]
    assert 50 == len(rows(get(service, "o1/tags")))


def test_trace_mismatch(service: Service) -> None:
    """A locked change under another trace id is refused, and tells the current tag but not what owns it."""
    added = post(service, "o1/tags/tag1/state/1", TRACE)

    document = refused(post(service, "o1/tags/tag1/state/2?overwrite=true&traceIdMustMatch=true", "ff"), 412, "trace-mismatch")
    refused(delete(service, "o1/tags/tag1?traceIdMustMatch=true", "ff"), 412, "trace-mismatch")

    assert {"state", "creationDate", "etag"} == document["current"].keys()
    assert (1, added.headers["ETag"]) == (document["current"]["state"], f'"{document["current"]["etag"]}"')
    assert TRACE not in str(document)
    assert rows(added) == rows(get(service, "o1/tags/tag1"))


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        ("463ac35c9f6413ad", "0000000000000000463ac35c9f6413ad"),
        ("0000000000000000463ac35c9f6413ad", "463ac35c9f6413ad"),
        ("0", "000"),
    ],
)
def test_zero_padding_does_not_count(service: Service, stored: str, sent: str) -> None:
    """A trace id that a tracing library padded still owns its tag, whose spelling stays."""
    post(service, "o1/tags/tag1/state/1", stored)

    answer = post(service, "o1/tags/tag1/state/2?overwrite=true&traceIdMustMatch=true", sent)

    assert ["tag1", 2, stored] == [value for index, value in enumerate(rows(answer)[0]) if index != 2]
    assert stored == answer.headers["X-B3-TraceId"]


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        ("80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90", "80f198ee56343ba864fe8b2a57d3eff7"),
        ("463ac35c9f6413ad-e457b5a2e4d86bd1", "463ac35c9f6413ad"),
        ("0", None),
        ("1", None),
        ("d", None),
    ],
)
def test_single_b3_header(service: Service, header: str, trace: str | None) -> None:
    """A single b3 header gives the trace id, unless it only says whether to sample."""
    answer = service.client.post("/api/dms/objects/o1/tags/tag1/state/1", headers={"b3": header})

    assert trace == rows(answer)[0][3] if trace else re.fullmatch("[0-9a-f]{16}", rows(answer)[0][3])


def test_own_header_goes_before_b3(service: Service) -> None:
    """X-B3-TraceId is read first, with nothing else needed beside it."""
    answer = service.client.post("/api/dms/objects/o1/tags/tag1/state/1", headers={"b3": "aa-bb", "X-B3-TraceId": "cc"})

    assert "cc" == rows(answer)[0][3]


@pytest.mark.parametrize("trace", ["", "G", "ABC", "0" * 33, "12 34", "1234,1234", "١٢"])
def test_bad_trace_ids(service: Service, trace: str) -> None:
    """A trace id of another form is refused and changes nothing."""
    refused(
        service.client.post("/api/dms/objects/o1/tags/tag1/state/1", headers={"X-B3-TraceId": trace}), 400, "invalid-trace-id"
    )
    refused(service.client.post("/api/dms/objects/o1/tags/tag1/state/1", headers={"b3": f"x{trace}"}), 400, "invalid-trace-id")

    assert [] == rows(get(service, "o1/tags"))


def test_lock_without_a_trace_id(service: Service) -> None:
    """A lock that has nothing to match is refused, on update and removal."""
    post(service, "o1/tags/tag1/state/1", TRACE)

    refused(post(service, "o1/tags/tag1/state/2?overwrite=true&traceIdMustMatch=true"), 400, "trace-id-required")
    refused(delete(service, "o1/tags/tag1?traceIdMustMatch=true"), 400, "trace-id-required")


@pytest.mark.parametrize("query", ["traceIdMustMatch=true", "expectedState=1"])
def test_conditions_on_an_add(service: Service, query: str) -> None:
    """A condition on a tag that is yet to be added is refused rather than passed over."""
    refused(post(service, f"o1/tags/tag1/state/2?{query}", TRACE), 400, "invalid-parameter")
    refused(post(service, "o1/tags/tag1/state/2", If_Match='"x"'), 400, "invalid-parameter")


def test_if_match(service: Service) -> None:
    """An ETag names one revision: it lets one change through and no second."""
    etag = post(service, "o1/tags/tag1/state/1").headers["ETag"]

    changed = post(service, "o1/tags/tag1/state/2?overwrite=true", If_Match=etag)

    assert etag != changed.headers["ETag"]
    refused(post(service, "o1/tags/tag1/state/3?overwrite=true", If_Match=etag), 412, "revision-mismatch")
    refused(delete(service, "o1/tags/tag1", If_Match=etag), 412, "revision-mismatch")
    assert 200 == delete(service, "o1/tags/tag1", If_Match=changed.headers["ETag"]).status_code


def test_forms_of_if_match(service: Service) -> None:
    """Weak entity tags, lists, `*` and what compressing proxies make of an ETag are taken; anything else is refused."""
    etag = post(service, "o1/tags/tag1/state/1").headers["ETag"]
    for state, header in enumerate(
        ("W/{}", '"other", {}', '"a,b" ,W/{}', ', {},, "b",', '"{bare}-gzip"', 'W/"{bare}--gzip"', '"{bare};br"', "*"), start=2
    ):
        answer = post(service, f"o1/tags/tag1/state/{state}?overwrite=true", If_Match=header.format(etag, bare=etag.strip('"')))
        assert state == rows(answer)[0][1]
        etag = answer.headers["ETag"]

    for header in ("abc", '"a" "b"', "", ",", "w/" + etag):
        refused(post(service, "o1/tags/tag1/state/9?overwrite=true", If_Match=header), 400, "invalid-parameter")


def test_etag_of_a_removed_tag_does_not_recur(service: Service) -> None:
    """A tag that was removed and added again is not the one that an old ETag names."""
    etag = post(service, "o1/tags/tag1/state/1", TRACE).headers["ETag"]
    delete(service, "o1/tags/tag1")
    post(service, "o1/tags/tag1/state/1", TRACE)

    refused(post(service, "o1/tags/tag1/state/2?overwrite=true", If_Match=etag), 412, "revision-mismatch")


def test_expected_state(service: Service) -> None:
    """expectedState lets a change through only from that state."""
    post(service, "o1/tags/tag1/state/-5")

    assert 6 == rows(post(service, "o1/tags/tag1/state/6?overwrite=true&expectedState=-5"))[0][1]
    refused(post(service, "o1/tags/tag1/state/7?overwrite=true&expectedState=-5"), 412, "state-mismatch")


def test_first_condition_that_fails_is_named(service: Service) -> None:
    """Of several conditions that fail the answer names the trace, then the revision, then the state."""
    etag = post(service, "o1/tags/tag1/state/1", TRACE).headers["ETag"]
    path = "o1/tags/tag1/state/2?overwrite=true&traceIdMustMatch=true&expectedState=9"

    refused(post(service, path, "ff", If_Match='"x"'), 412, "trace-mismatch")
    refused(post(service, path, TRACE, If_Match='"x"'), 412, "revision-mismatch")
    refused(post(service, path, TRACE, If_Match=etag), 412, "state-mismatch")


@pytest.mark.parametrize("state", ["x", "1.0", "+1", "2147483648", "-2147483649", "99999999999", "\uff11", "--1", "0x1", "1%20"])
def test_bad_states(service: Service, state: str) -> None:
    """A state is a whole number of 32 bits in ASCII digits."""
    refused(post(service, f"o1/tags/tag1/state/{state}"), 400, "invalid-state")


@pytest.mark.parametrize("state", [-(2**31), 2**31 - 1, 0])
def test_border_states(service: Service, state: int) -> None:
    """The bounds of 32 bits belong to them."""
    assert state == rows(post(service, f"o1/tags/tag1/state/{state}"))[0][1]


@pytest.mark.parametrize(
    "name",
    [
        "t1",
        "a1b",
        "a:1",
        "a::b",
        "a:",
        "my-tag",
        "my_tag",
        "1tag",
        "Tag",
        "appClient:dlm",
        "a" * 129,
        "a%0A",
        "abcdefghijklmnopqrstuvwxyz-",
    ],
)
def test_bad_names(service: Service, name: str) -> None:
    """A name outside the grammar is refused at once."""
    refused(post(service, f"o1/tags/{name}/state/1"), 400, "invalid-tag-name")


@pytest.mark.parametrize("name", ["a", "tag1", "ab1c", "analysis", "index:resistant", "appclient:dlm:prepare", "b" * 128])
def test_good_names(service: Service, name: str) -> None:
    """Every name of the DMS's grammar is taken."""
    assert name == rows(post(service, f"o1/tags/{name}/state/1"))[0][0]


@pytest.mark.parametrize("object_id", [".", "..", "a b", "a%00", "ü", "x" * 129, "a$b", "a,b"])
def test_bad_object_ids(service: Service, object_id: str) -> None:
    """An object id outside its alphabet is refused."""
    refused(post(service, f"{object_id}/tags/tag1/state/1"), 400, "invalid-object-id")


@pytest.mark.parametrize(
    "query",
    [
        "traceidMustMatch=true",
        "overwrite=1",
        "overwrite=",
        "overwrite=true&overwrite=true",
        "expectedstate=1",
        "overwrite=yes",
        "x",
    ],
)
def test_unknown_doubled_and_malformed_parameters(service: Service, query: str) -> None:
    """No parameter is passed over, since it may have been meant as a lock."""
    post(service, "o1/tags/tag1/state/1")

    refused(post(service, f"o1/tags/tag1/state/2?{query}"), 400, "invalid-parameter")
    assert 1 == rows(get(service, "o1/tags/tag1"))[0][1]


def test_flags_in_any_case(service: Service) -> None:
    """true and false are taken in any case, and waitForSearchConsistency without effect."""
    post(service, "o1/tags/tag1/state/1?overwrite=FALSE&waitForSearchConsistency=false")

    assert 2 == rows(post(service, "o1/tags/tag1/state/2?overwrite=True"))[0][1]


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"\x00\xff", b"not json"])
def test_bodies_are_ignored(service: Service, body: bytes) -> None:
    """What a client sends as body of a change has no effect on it."""
    answer = service.client.post("/api/dms/objects/o1/tags/tag1/state/1", data=body, content_type="application/json")

    assert 1 == rows(answer)[0][1]


def test_refusal_carries_the_trace_of_the_request(service: Service) -> None:
    """A refusal answers with the request's own trace id."""
    assert "abc" == post(service, "o1/tags/tag1/state/1?overwrite=true", "abc").headers["X-B3-TraceId"]


def test_paths_and_methods_that_are_not_there(service: Service) -> None:
    """Unknown paths are 404, and known ones with another method 405 with Allow, both as problems."""
    refused(service.client.get("/api/dms/nothing"), 404, "not-found")
    refused(service.client.get("/api/dms/objects//tags"), 404, "not-found")
    answer = service.client.put("/api/dms/objects/o1/tags")
    refused(answer, 405, "method-not-allowed")
    assert "GET" in answer.headers["Allow"]


def test_refused_changes_leave_no_entry(service: Service) -> None:
    """Only changes are in the trail."""
    post(service, "o1/tags/tag1/state/1", TRACE)
    for path in ("o1/tags/tag1/state/1", "o1/tags/nope/state/1?overwrite=true", "o1/tags/tag1/state/x"):
        post(service, path)
    post(service, "o1/tags/tag1/state/2?overwrite=true&traceIdMustMatch=true", "ff")

    assert 1 == len(service.entries())


def test_a_key_that_is_spelt_as_another_actors(database: Database, settings: Settings) -> None:
    """It is its sender's own: it is neither answered with what the other was told, nor as if the change was made."""
    with running(replace(settings, auth="tokens")) as service:
        tokens = TokenStore(database, service.services.store)
        ann, bob = (
            {"Authorization": f"Bearer {tokens.create('default', name, Grant(frozenset({Permission.WRITE})), ADMIN)}"}
            for name in ("ann", "bob")
        )
        theirs = service.client.post("/api/dms/objects/o1/tags/tagb/state/1", headers={**ann, "Idempotency-Key": "k1"})
        own = service.client.post("/api/dms/objects/o1/tags/taga/state/1", headers={**bob, "Idempotency-Key": "token/ann/k1"})

        assert [200, 200] == [theirs.status_code, own.status_code]
        assert "Idempotent-Replayed" not in own.headers
        assert [("tagb", "ann"), ("taga", "bob")] == [(each["name"], each["createdBy"]) for each in service.entries()[-2:]]


class TestIdempotencyKey:
    """A key makes a change happen once, however often it is sent."""

    def test_replay(self, service: Service) -> None:
        """The same request again answers as the first time, changes nothing and says so."""
        first = post(service, "o1/tags/tag1/state/1", Idempotency_Key="k1")
        post(service, "o1/tags/tag1/state/5?overwrite=true")
        again = post(service, "o1/tags/tag1/state/1", "dead", Idempotency_Key="k1")

        assert (rows(first), first.headers["ETag"]) == (rows(again), again.headers["ETag"])
        assert ("true", None) == (again.headers["Idempotent-Replayed"], first.headers.get("Idempotent-Replayed"))
        assert 2 == len(service.entries())

    def test_replay_of_a_removal(self, service: Service) -> None:
        """A removal is replayed too, when the tag is long gone or back."""
        post(service, "o1/tags/tag1/state/1")
        delete(service, "o1/tags/tag1", Idempotency_Key="k1")
        post(service, "o1/tags/tag1/state/2")
        again = delete(service, "o1/tags/tag1", Idempotency_Key="k1")

        assert (200, b"", "true") == (again.status_code, again.data, again.headers["Idempotent-Replayed"])
        assert 2 == rows(get(service, "o1/tags/tag1"))[0][1]

    def test_locked_update(self, service: Service) -> None:
        """A locked update whose answer was lost is found again by its key, not refused as stale."""
        etag = post(service, "o1/tags/tag1/state/1").headers["ETag"]
        first = post(service, "o1/tags/tag1/state/2?overwrite=true", If_Match=etag, Idempotency_Key="k1")
        again = post(service, "o1/tags/tag1/state/2?overwrite=true", If_Match=etag, Idempotency_Key="k1")

        assert (first.headers["ETag"], "true") == (again.headers["ETag"], again.headers["Idempotent-Replayed"])

    def test_other_request(self, service: Service) -> None:
        """A key that comes with another request is refused."""
        post(service, "o1/tags/tag1/state/1", Idempotency_Key="k1")

        refused(post(service, "o1/tags/tag1/state/2", Idempotency_Key="k1"), 422, "idempotency-key-reused")
        refused(post(service, "o1/tags/tagb/state/1", Idempotency_Key="k1"), 422, "idempotency-key-reused")
        assert 200 == post(service, "o2/tags/tag1/state/1", Idempotency_Key="k1").status_code

    @pytest.mark.parametrize("key", ["", "a b", "x" * 65, "ü"])
    def test_bad_keys(self, service: Service, key: str) -> None:
        """A key is 1 to 64 visible ASCII characters."""
        refused(post(service, "o1/tags/tag1/state/1", Idempotency_Key=key), 400, "invalid-parameter")

    def test_last_32_are_kept(self, service: Service) -> None:
        """An object remembers its last 32 keys."""
        post(service, "o1/tags/tag1/state/0", Idempotency_Key="k0")
        for number in range(1, 33):
            post(service, f"o1/tags/tag1/state/{number}?overwrite=true", Idempotency_Key=f"k{number}")

        assert "true" == post(service, "o1/tags/tag1/state/1?overwrite=true", Idempotency_Key="k1").headers["Idempotent-Replayed"]
        refused(post(service, "o1/tags/tag1/state/0", Idempotency_Key="k0"), 409, "tag-exists")


@pytest.mark.parametrize("base", ["/api/dms", "/dms-core", "/api-web/api/dms"])
def test_every_base_leads_to_the_same(shared: Service, base: str) -> None:
    """The DMS's own clients call below several paths: they see and change the same tags, and get the same errors."""
    name = f"base:{base.strip('/').replace('/', '').replace('-', '')}"
    shared.client.post(f"{base}/objects/based/tags/{name}/state/1")

    for other in ("/api/dms", "/dms-core", "/api-web/api/dms"):
        assert 200 == shared.client.get(f"{other}/objects/based/tags/{name}").status_code
        assert "application/problem+json" == shared.client.get(f"{other}/nosuch").mimetype
    assert 404 == shared.client.get(f"{base}x/objects/based/tags/{name}").status_code
    assert 400 == shared.client.get(f"{base}/objects/based/tags/{name}%2Flease").status_code
