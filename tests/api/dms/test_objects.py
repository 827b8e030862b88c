"""Objects as DMS clients treat them (API.md section 8)."""

from __future__ import annotations

import json
import re
from io import BytesIO
from typing import Any

import pytest

from dms_tags.settings import Settings
from tests.support.app import Service, running
from tests.support.objects import ROOT, body, patch, patch_many, problem, properties_of, stands, states

OWNER = "463ac35c9f6413ad"


def test_made_and_read(service: Service) -> None:
    """An object is made known with its tags and what is kept of it; other properties are named, and not kept."""
    sent = body(
        ("o1", [["ocr", 1], ["index:resistant", 0]]),
        **{"system:objectTypeId": {"value": "mail"}, "system:creationDate": {"value": "2020-02-20T03:20:20.22+01:00"}, "Name": 3},
    )

    made = properties_of(service.client.post(ROOT, json=sent))
    read = properties_of(service.client.get(f"{ROOT}/o1"))

    assert ["Name"] == made.pop("dms:ignored")
    assert made == read
    assert ("o1", "mail", "anonymous") == (read["system:objectId"], read["system:objectTypeId"], read["system:createdBy"])
    assert "2020-02-20T02:20:20.220Z" == read["system:creationDate"]
    assert [["ocr", 1], ["index:resistant", 0]] == [row[:2] for row in read["system:tags"]]
    assert 2 == len(set(read["dms:etags"]))


def test_old_spellings(service: Service) -> None:
    """Bare values and names without a prefix mean the same; both spellings of one are a 400."""
    made = service.client.post(
        ROOT,
        json={"objects": [{"properties": {"objectId": "o1", "objectTypeId": {"value": "mail"}, "system:tags": [["ocr", 1]]}}]},
    )
    both = {"objectTypeId": "mail", "system:objectTypeId": "mail"}

    assert ("o1", "mail") == tuple(properties_of(made)[f"system:{name}"] for name in ("objectId", "objectTypeId"))
    assert {"ocr": 1} == stands(service.client, "o1")
    assert (400, "invalid-body") == problem(service.client.post(ROOT, json={"objects": [{"properties": both}]}))


def test_properties_alone(service: Service) -> None:
    """The properties of one object may come alone where one of them is kept, by its whole name; else they are refused."""
    made = properties_of(service.client.post(ROOT, json={"system:objectId": "o1", "system:tags": [["ocr", 1]], "title": "x"}))
    refused = [{"objectId": "o1"}, {"title": "x"}, {"objects": [], "system:tags": []}, {"object": []}, {}]
    refused += [{"system:tags": [], "contentStreams": [{"cid": "c1"}]}]

    assert (["title"], "o1", [["ocr", 1]]) == (
        made["dms:ignored"],
        made["system:objectId"],
        [row[:2] for row in made["system:tags"]],
    )
    for document in refused:
        assert (400, "invalid-body") == problem(service.client.patch(f"{ROOT}/o1", json=document)), document
    assert {"ocr": 1} == stands(service.client, "o1")


def test_uploads_of_web_clients(service: Service) -> None:
    """The mark for a service worker has no effect: the same call without it is the same, under an idempotency key too."""
    key = {"Idempotency-Key": "k"}

    marked = service.client.post(f"{ROOT}?ngsw-bypass=1", json=body(("o1", [["ocr", 1]])), headers=key)
    plain = service.client.post(ROOT, json=body(("o1", [["ocr", 1]])), headers=key)

    assert properties_of(marked) == properties_of(plain)
    assert "true" == plain.headers["Idempotent-Replayed"]


def test_an_id_is_made(service: Service) -> None:
    """An object without an id gets one, under an idempotency key the same again."""
    answers = [
        service.client.post(
            ROOT, json=body((None, [["ocr", 1]]), **{"system:baseTypeId": "document"}), headers={"Idempotency-Key": "k"}
        )
        for _ in range(2)
    ]
    other = service.client.post(ROOT, json=body((None, [["ocr", 1]])))

    ids = [properties_of(answer)["system:objectId"] for answer in (*answers, other)]
    assert ids[0] == ids[1] != ids[2]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", ids[0])
    assert [None, "true"] == [answer.headers.get("Idempotent-Replayed") for answer in answers]
    assert 2 == len(service.entries())


def test_never_heard_of(service: Service) -> None:
    """What nothing ever was of is a 404 to every call that brings nothing."""
    path = f"{ROOT}/none"

    answers = [
        service.client.get(path),
        service.client.delete(path),
        service.client.post(f"{path}/versions"),
        service.client.patch(path, json={"objects": [{"properties": {"Name": {"value": "x"}}}]}),
    ]

    assert [(404, "object-not-found")] * 4 == list(map(problem, answers))


def test_patch_sets_and_adds(service: Service) -> None:
    """Rows are set, what is missing is added, other tags stay; one entry for each tag that changed, in order, in one trace."""
    patch(service.client, "o1", ["ocr", 1], ["mail", 1], ["other", 7])

    answer = patch(service.client, "o1", ["mail", 2], ["new", 5], ["other", 7], ["ocr", 3], X_B3_TraceId=OWNER)

    assert {"ocr": 3, "mail": 2, "other": 7, "new": 5} == states(answer)
    assert OWNER == answer.headers["X-B3-TraceId"]
    entries = service.entries()[3:]
    assert [("mail", 310, 2), ("new", 110, 5), ("ocr", 310, 3)] == [(e["name"], e["action"], e["state"]) for e in entries]
    assert [4, 5, 6] == [entry["revision"] for entry in entries]
    assert {OWNER} == {entry["traceId"] for entry in entries}
    assert 1 == len({entry["creationDate"] for entry in entries})


def test_what_stands_so_already_is_left_alone(service: Service) -> None:
    """A row that has its state changes nothing: neither its ETag nor its time, and no entry."""
    first = properties_of(patch(service.client, "o1", ["ocr", 1]))

    again = properties_of(patch(service.client, "o1", ["ocr", 1], X_B3_TraceId=OWNER))

    assert first == again
    assert 1 == len(service.entries())


def test_the_trace_must_be_every_touched_tags(service: Service) -> None:
    """traceIdMustMatch asks for every tag that the call touches, padding aside; each keeps its spelling."""
    patch(service.client, "o1", ["ocr", 1], X_B3_TraceId=OWNER)
    patch(service.client, "o1", ["other", 1], X_B3_TraceId="ab")
    query = "?traceIdMustMatch=true"

    assert (412, "trace-mismatch") == problem(
        patch(service.client, "o1", ["ocr", 2], ["other", 2], query=query, X_B3_TraceId=OWNER)
    )
    assert (412, "trace-mismatch") == problem(
        patch(service.client, "o1", ["ocr", 2], ["new", 2], query=query, X_B3_TraceId=OWNER)
    )
    assert (400, "trace-id-required") == problem(patch(service.client, "o1", ["ocr", 2], query=query))
    assert (412, "trace-mismatch") == problem(service.client.delete(f"{ROOT}/o1{query}", headers={"X-B3-TraceId": OWNER}))
    assert {"ocr": 1, "other": 1} == stands(service.client, "o1")

    padded = properties_of(patch(service.client, "o1", ["ocr", 2], query=query, X_B3_TraceId=OWNER.zfill(32)))
    assert [["ocr", 2, OWNER], ["other", 1, "ab"]] == [[*row[:2], row[3]] for row in padded["system:tags"]]


def test_every_listed_etag_must_hold(service: Service) -> None:
    """If-Match lists ETags of the object's tags; one that is gone refuses the whole, and says which tag it may have been."""
    etags = properties_of(patch(service.client, "o1", ["a", 1], ["b", 1]))["dms:etags"]
    both = ", ".join(f'"{etag}"' for etag in etags)
    assert {"a": 2, "b": 1, "c": 1} == states(patch(service.client, "o1", ["a", 2], ["c", 1], If_Match=both))

    refused = patch(service.client, "o1", ["b", 2], ["a", 3], If_Match=both)

    assert (412, "revision-mismatch") == problem(refused)
    assert {"a": 2, "b": 1, "c": 1} == stands(service.client, "o1")
    assert isinstance(refused.json, dict)
    assert 2 == refused.json["current"]["state"]
    assert {"a": 2, "b": 2, "c": 1} == states(patch(service.client, "o1", ["b", 2], If_Match=f'"{etags[1]}"'))
    assert (412, "revision-mismatch") == problem(patch(service.client, "o1", ["d", 2], If_Match="*"))
    assert {"a": 4} == {
        name: state for name, state in states(patch(service.client, "o1", ["a", 4], If_Match="*")).items() if name == "a"
    }


def test_if_none_match_adds_only(service: Service) -> None:
    """`If-None-Match: *` sets only tags that are not there, and makes known only what was not."""
    patch(service.client, "o1", ["a", 1])
    absent = {"If-None-Match": "*"}

    assert (412, "revision-mismatch") == problem(patch(service.client, "o1", ["b", 1], ["a", 2], **absent))
    assert {"a": 1, "b": 1} == states(patch(service.client, "o1", ["b", 1], **absent))
    assert 200 == service.client.post(ROOT, json=body(("o1", [["c", 1]])), headers=absent).status_code
    assert (412, "revision-mismatch") == problem(service.client.post(ROOT, json=body(("o1", [["d", 1]])), headers=absent))


def test_metadata_update(service: Service) -> None:
    """POST of an object sets its rows; tags that are not named go, resistant ones stay."""
    patch(service.client, "o1", ["a", 1], ["b:resistant", 1], ["c", 1])

    answer = service.client.post(f"{ROOT}/o1", json=body(("o1", [["c", 2], ["d", 1]])))

    assert {"b:resistant": 1, "c": 2, "d": 1} == states(answer)
    assert [("a", 210), ("c", 310), ("d", 110)] == [(entry["name"], entry["action"]) for entry in service.entries()[3:]]


def test_a_new_version_drops_what_is_not_resistant(service: Service) -> None:
    """A content version keeps resistant tags as they are; their names end so, and do not merely contain it."""
    before = properties_of(patch(service.client, "o1", ["a", 1], ["b:resistant", 1], ["resistant", 1], ["c:resistant:x", 1]))

    answer = properties_of(service.client.post(f"{ROOT}/o1/versions", data=b"\x00whatever", content_type="image/png"))

    assert [before["system:tags"][1]] == answer["system:tags"]
    assert [before["dms:etags"][1]] == answer["dms:etags"]


def test_deleted_and_made_again(service: Service) -> None:
    """All tags go with an object, resistant ones too, and what was told; its history goes on when it is made again."""
    sent = body(("o1", [["a", 1], ["b:resistant", 2]]), objectTypeId="mail")
    service.client.post(ROOT, json=sent)

    deleted = service.client.delete(f"{ROOT}/o1")
    gone = properties_of(service.client.get(f"{ROOT}/o1"))
    again = service.client.post(ROOT, json=sent)

    assert (200, b"") == (deleted.status_code, deleted.data)
    assert {"system:objectId": "o1", "system:tags": [], "dms:etags": []} == gone
    assert {"a": 1, "b:resistant": 2} == states(again)
    assert [1, 2, 3, 4, 5, 6] == [entry["revision"] for entry in service.entries()]
    assert [110, 110, 210, 210, 110, 110] == [entry["action"] for entry in service.entries()]


def test_made_known_without_tags(service: Service) -> None:
    """An object may be known without a tag; what is told of it can be told anew."""
    assert {} == states(service.client.post(ROOT, json=body(("o1", []), objectTypeId="mail")))
    patched = service.client.patch(f"{ROOT}/o1", json={"objects": [{"properties": {"createdBy": {"value": "jane"}}}]})

    assert ("mail", "jane") == tuple(properties_of(patched)[f"system:{name}"] for name in ("objectTypeId", "createdBy"))
    assert [] == service.entries()
    assert {"ocr": 1} == states(patch(service.client, "o1", ["ocr", 1]))


def test_of_an_earlier_version(service: Service) -> None:
    """Of an object that an earlier version first tagged nothing is known until it is told, and then it is kept."""
    patch(service.client, "o1", ["a", 1])
    service.database.tags.update_one({"id": "o1"}, {"$unset": {"known": ""}})

    unknown = properties_of(patch(service.client, "o1", ["a", 2]))
    service.client.post(ROOT, json=body(("o1", []), objectTypeId="mail"))

    assert "system:createdBy" not in unknown
    assert "mail" == properties_of(service.client.get(f"{ROOT}/o1"))["system:objectTypeId"]


def test_a_tag_is_not_taken_over(service: Service) -> None:
    """To make an object known again with its tags as they are changes nothing; in another state a tag is refused."""
    service.client.post(ROOT, json=body(("o1", [["a", 1]])))

    assert {"a": 1, "b": 1} == states(service.client.post(ROOT, json=body(("o1", [["a", 1], ["b", 1]]))))
    assert (409, "tag-exists") == problem(service.client.post(ROOT, json=body(("o1", [["c", 1], ["a", 2]]))))
    assert {"a": 1, "b": 1} == stands(service.client, "o1")


def test_fifty_tags_after_the_write(service: Service) -> None:
    """What counts is what an object carries afterwards: 49 may go as 49 others come."""
    names = [f"t{chr(97 + number // 26)}{chr(97 + number % 26)}" for number in range(99)]
    patch(service.client, "o1", *[[name, 1] for name in names[:50]])

    refused = patch(service.client, "o1", [names[0], 2], [names[50], 1])
    answer = service.client.post(f"{ROOT}/o1", json=body((None, [[name, 1] for name in names[49:]])))

    assert (409, "too-many-tags") == problem(refused)
    assert "object/o1 would carry more than 50 tags" in (refused.json or {})["detail"]
    assert set(names[49:]) == states(answer).keys()
    assert 400 == patch(service.client, "o2", *[[name, 1] for name in names[:51]]).status_code


def test_definitions_hold_for_each_row(service: Service) -> None:
    """A row that its tag's definition does not allow refuses the whole; the state that a tag has is always allowed."""
    definition = {"states": {"1": "queued", "2": "running", "3": "done"}, "transitions": {"1": [2], "2": [3]}, "initial": [1]}
    patch(service.client, "o1", ["ocr", 9], ["free", 1])
    service.client.put("/api/dms/tag-definitions/ocr", json=definition)
    service.client.post(ROOT, json=body(("o2", [["ocr", 1]])))

    assert (409, "transition-not-allowed") == problem(patch(service.client, "o2", ["free", 2], ["ocr", 3]))
    assert (422, "unknown-state") == problem(patch(service.client, "o2", ["free", 2], ["ocr", 4]))
    assert (409, "transition-not-allowed") == problem(patch(service.client, "o3", ["free", 2], ["ocr", 2]))
    assert (409, "transition-not-allowed") == problem(service.client.post(ROOT, json=body(("o3", [["free", 2], ["ocr", 2]]))))
    assert {"ocr": 9, "free": 2} == states(patch(service.client, "o1", ["free", 2], ["ocr", 9]))
    assert {"ocr": 2, "free": 2} == states(patch(service.client, "o2", ["free", 2], ["ocr", 2]))
    assert 404 == service.client.get(f"{ROOT}/o3").status_code


def test_the_same_key_again(service: Service) -> None:
    """Under its key a call is answered as the first time, also after others wrote; another call under it is a 422."""
    asked: Any = {"Idempotency_Key": "k", "X_B3_TraceId": OWNER}
    first = patch(service.client, "o1", ["a", 1], ["b", 1], **asked)
    nothing = patch(service.client, "o1", ["a", 1], Idempotency_Key="nothing")
    patch(service.client, "o1", ["a", 5], ["c", 1])

    again = patch(service.client, "o1", ["a", 1], ["b", 1], **asked)
    nothing_again = patch(service.client, "o1", ["a", 1], Idempotency_Key="nothing")

    assert "true" == again.headers["Idempotent-Replayed"]
    assert properties_of(first)["system:tags"] == properties_of(again)["system:tags"][:2]
    assert OWNER == again.headers["X-B3-TraceId"]
    assert {"a": 5, "b": 1, "c": 1} == states(nothing_again) == stands(service.client, "o1")
    assert "true" == nothing_again.headers["Idempotent-Replayed"]
    assert (422, "idempotency-key-reused") == problem(patch(service.client, "o1", ["a", 2], Idempotency_Key="k"))
    assert (422, "idempotency-key-reused") == problem(
        service.client.post("/api/dms/objects/o1/tags/a/state/1?overwrite=true", headers={"Idempotency-Key": "k"})
    )
    assert nothing.status_code == 200
    assert 4 == len(service.entries())


def test_many_all_or_nothing(service: Service) -> None:
    """Many objects are changed in one call: all of them, or where one refuses none."""
    patch(service.client, "o1", ["a", 1], X_B3_TraceId=OWNER)

    changed = patch_many(service.client, {"o1": [["a", 2]], "o2": [["a", 2], ["b", 1]]}, X_B3_TraceId=OWNER)
    refused = patch_many(
        service.client, {"o3": [["a", 1]], "o2": [["a", 3]], "o1": [["a", 3]]}, "?traceIdMustMatch=true", X_B3_TraceId="ab"
    )

    assert isinstance(changed.json, dict)
    assert ["o1", "o2"] == [each["properties"]["system:objectId"]["value"] for each in changed.json["objects"]]
    assert (412, "trace-mismatch") == problem(refused)
    assert ({"a": 2}, {"a": 2, "b": 1}) == (stands(service.client, "o1"), stands(service.client, "o2"))
    assert 404 == service.client.get(f"{ROOT}/o3").status_code
    assert 4 == len(service.entries())


def test_many_under_one_key(service: Service) -> None:
    """A key stands for all objects of its call."""
    objects = {f"o{number}": [["a", 1]] for number in range(5)}
    first = patch_many(service.client, objects, Idempotency_Key="k")
    patch(service.client, "o1", ["a", 2])

    again = patch_many(service.client, objects, Idempotency_Key="k")

    assert first.json == again.json
    assert "true" == again.headers["Idempotent-Replayed"]
    assert 6 == len(service.entries())


@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        ({"objects": []}, 400, "at least one"),
        ({"objects": [{}]}, 400, "properties"),
        ({"objects": [{"properties": {"system:tags": {"value": [["ocr"]]}}}]}, 400, "a row is"),
        ({"objects": [{"properties": {"system:tags": {"value": [["ocr", "1"]]}}}]}, 400, "whole number"),
        ({"objects": [{"properties": {"system:tags": {"value": [["ocr", True]]}}}]}, 400, "whole number"),
        ({"objects": [{"properties": {"system:tags": {"value": [["ocr", 2**31]]}}}]}, 400, "whole number"),
        ({"objects": [{"properties": {"system:tags": {"value": [["OCR", 1]]}}}]}, 400, "tag name"),
        ({"objects": [{"properties": {"system:tags": {"value": [["ocr", 1], ["ocr", 1]]}}}]}, 400, "given twice"),
        ({"objects": [{"properties": {"system:tags": {"values": []}}}]}, 400, "values"),
        ({"objects": [{"properties": {"system:creationDate": "2020-02-20T02:20:20"}}]}, 400, "%2B"),
        ({"objects": [{"properties": {"system:creationDate": "9999-12-31T23:59:59.9999Z"}}]}, 400, "no later time"),
        ({"objects": [{"properties": {"system:objectId": "a/b"}}]}, 400, "object id"),
        ({"objects": [{"properties": {}, "option": 1}]}, 400, "option"),
        ({"objects": [{"properties": {}}] * 101}, 400, "at most 100"),
        ({"objects": [{"properties": {"objectId": "o1"}}] * 2}, 400, "given twice"),
        ({"objects": [{"properties": {}, "contentStreams": [{"cid": "c1"}]}]}, 415, "no content"),
    ],
)
def test_bodies_that_are_none(shared: Service, sent: Any, status: int, told: str) -> None:
    """A body that is not as declared is refused, and says what would be right."""
    answer = shared.client.post(ROOT, json=sent)

    assert status == answer.status_code
    assert told in answer.text


def test_the_path_names_the_object(shared: Service) -> None:
    """A body for one object has one, and no other than the path's; one for many names each."""
    other = shared.client.patch(f"{ROOT}/o1", json=body(("o2", [["a", 1]])))
    two = shared.client.patch(f"{ROOT}/o1", json=body(("o1", [["a", 1]]), ("o2", [["a", 1]])))
    nameless = shared.client.patch(ROOT, json=body(("o1", [["a", 1]]), (None, [["a", 1]])))

    assert [(400, "invalid-body")] * 3 == [problem(answer) for answer in (other, two, nameless)]


def parts(*named: tuple[str, bytes, str], kind: str = "form-data") -> dict[str, Any]:
    """A multipart body, as clients of the DMS send it, for the test client."""
    joined = b"".join(
        b'--xx\r\nContent-Disposition: form-data; name="%s"; filename="f"\r\nContent-Type: %s\r\n\r\n%s\r\n'
        % (name.encode(), of.encode(), data)
        for name, data, of in named
    )
    return {"data": joined + b"--xx--\r\n", "content_type": f"multipart/{kind}; boundary=xx"}


DATA = ("data", json.dumps(body(("o1", [["ocr", 1]]))).encode("utf-8-sig"), "application/json")


@pytest.mark.parametrize("kind", ["form-data", "mixed"])
def test_multipart(service: Service, kind: str) -> None:
    """The part `data` is the body; a content part is refused, since no content is kept."""
    refused = service.client.post(ROOT, **parts(DATA, ("cid_1", b"\x89PNG", "image/png"), kind=kind))
    taken = service.client.post(ROOT, **parts(DATA, kind=kind))

    assert (415, "unsupported-media-type") == problem(refused)
    assert {"ocr": 1} == states(taken)


@pytest.mark.parametrize(
    "sent",
    [
        {"data": b"x", "content_type": "multipart/form-data; boundary=xx"},
        {"data": b"x", "content_type": "multipart/form-data"},
        parts(),
        parts(DATA, DATA),
        parts(("data", b"[]", "application/json")),
        {"data": b"--xx\r\n\r\n{}\r\n--xx--\r\n", "content_type": "multipart/mixed; boundary=xx"},
    ],
)
def test_multipart_that_is_none(shared: Service, sent: dict[str, Any]) -> None:
    """Parts that cannot be read, or have no `data`, are a 400."""
    assert (400, "invalid-body") == problem(shared.client.post(ROOT, **sent))


def test_form_data_as_werkzeug_sends_it(service: Service) -> None:
    """The part `data` may be a field without a file's name."""
    answer = service.client.post(ROOT, data={"data": (BytesIO(DATA[1]), "", "application/json")})

    assert {"ocr": 1} == states(answer)


def test_content_is_thrown_away_where_told() -> None:
    """With DMS_TAGS_CONTENT=discard content is read and named, and a new content makes a new version."""
    with running(Settings(mongo_uri="mongomock://", auth="none", content="discard")) as service:
        made = properties_of(service.client.post(ROOT, **parts(DATA, ("cid_1", b"\x89PNG", "image/png"))))
        streams = service.client.patch(f"{ROOT}/o1", json={"objects": [{"properties": {}, "contentStreams": [{"cid": "c"}]}]})
        patch(service.client, "o1", ["kept:resistant", 1])
        replaced = service.client.post(f"{ROOT}/o1/contents/file", data=b"\x89PNG", content_type="image/png")

        assert ["cid_1"] == made["dms:ignored"]
        assert ["contentStreams"] == properties_of(streams)["dms:ignored"]
        assert {"kept:resistant": 1} == states(replaced)
        assert ["content"] == properties_of(replaced)["dms:ignored"]


def test_content_is_refused(service: Service) -> None:
    """Without it the call for a new content is a 415, and the tags stay."""
    patch(service.client, "o1", ["a", 1])

    assert (415, "unsupported-media-type") == problem(service.client.post(f"{ROOT}/o1/contents/file", data=b"x"))
    assert {"a": 1} == stands(service.client, "o1")


@pytest.mark.parametrize("base", ["/dms-core", "/api-web/api/dms"])
def test_bases(service: Service, base: str) -> None:
    """The calls are served below every base."""
    assert {"ocr": 1} == states(service.client.post(f"{base}/objects", json=body(("o1", [["ocr", 1]]))))
    assert {"ocr": 2} == states(service.client.patch(f"{base}/objects/o1", json=body((None, [["ocr", 2]]))))
    assert {"ocr": 2} == states(service.client.get(f"{base}/objects/o1"))
    assert 200 == service.client.delete(f"{base}/objects/o1").status_code
