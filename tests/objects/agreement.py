"""Whether the service and the naive objects agree: on each answer, each object, the trail, and what was at any time."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from werkzeug.test import TestResponse

from dms_tags.model import Kind, Resource
from tests.objects.naive import Call, Naive, sequences, standing
from tests.support.app import Service
from tests.support.objects import ROOT, body, properties_of

DONE: Final = {110: "added", 310: "updated", 210: "removed"}


def agree(service: Service, calls: Sequence[Call]) -> None:
    """Makes the calls, on objects that nobody has used before, and compares after each of them and at the end."""
    prefix = uuid.uuid4().hex
    naive = Naive()
    past: dict[tuple[str, datetime], list[tuple[str, int, str]]] = {}
    for call in calls:
        etags = {name: _etags(service, f"{prefix}.{name}") for name in call.objects}
        answer = send(service, prefix, call, etags)

        assert (call, naive.make(call)) == (call, answer.status_code), answer.text
        for name in naive.objects:
            read = properties_of(service.client.get(f"{ROOT}/{prefix}.{name}"))
            assert standing(naive, name) == [(row[0], row[1], row[3]) for row in read["system:tags"]], call
            document = service.database.tags.find_one({"id": f"{prefix}.{name}"}, {"lastAt": 1})
            assert document is not None
            past[name, document["lastAt"]] = standing(naive, name)

    for name in naive.objects:
        _replay(service, f"{prefix}.{name}", naive, name)
    for (name, at), tags in past.items():
        then = service.services.past.tags_at(Resource("default", Kind.OBJECT, f"{prefix}.{name}"), at)
        assert tags == [(tag.name, tag.state, tag.trace_id) for tag in then], (name, at)


def agree_at_random(service: Service, *, examples: int, most: int) -> None:
    """Compares so many sequences of up to `most` calls."""

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(sequences(most))
    def compare(calls: Sequence[Call]) -> None:
        agree(service, calls)

    compare()


def send(service: Service, prefix: str, call: Call, etags: dict[str, dict[str, str]]) -> TestResponse:
    """The answer to a call."""
    headers = {"X-B3-TraceId": call.trace}
    if call.listed is not None:
        held = {tag: etag for tags in etags.values() for tag, etag in tags.items()}
        headers["If-Match"] = ", ".join(f'"{held.get(tag, "nobodys")}"' for tag in call.listed)
    query = {"traceIdMustMatch": "true"} if call.locked else {}
    document = body(*((f"{prefix}.{name}", call.rows) for name in call.objects))
    path = f"{ROOT}/{prefix}.{call.objects[0]}"
    many = ROOT if len(call.objects) > 1 else path
    request: dict[str, Any] = {"headers": headers, "query_string": query}
    if call.verb in ("add", "update", "remove"):
        ((tag, state),) = call.rows
        overwrite = {"overwrite": "true"} if call.verb == "update" else {}
        verb, suffix = ("DELETE", "") if call.verb == "remove" else ("POST", f"/state/{state}")
        return service.client.open(f"{path}/tags/{tag}{suffix}", method=verb, headers=headers, query_string=overwrite)
    if call.verb == "make":
        return service.client.post(ROOT, json=document, **request)
    if call.verb == "patch":
        return service.client.patch(many, json=document, **request)
    if call.verb == "replace":
        return service.client.post(path, json=document, **request)
    if call.verb == "version":
        return service.client.post(f"{path}/versions", **request)
    return service.client.delete(path, **request)


def _etags(service: Service, object_id: str) -> dict[str, str]:
    answer = service.client.get(f"{ROOT}/{object_id}")
    if answer.status_code == 404:
        return {}
    properties = properties_of(answer)
    return {row[0]: etag for row, etag in zip(properties["system:tags"], properties["dms:etags"], strict=True)}


def _replay(service: Service, object_id: str, naive: Naive, name: str) -> None:
    """The object's trail has what happened, in order, and leads to its tags."""
    resource = Resource("default", Kind.OBJECT, object_id)
    service.services.trail.wait_for("default", resource)
    entries = list(service.database.trail.find({"tenant": "default", "resource": resource.name}, sort=[("revision", 1)]))
    assert naive.trail.get(name, []) == [(DONE[entry["action"]], entry["name"]) for entry in entries]
    assert list(range(1, len(entries) + 1)) == [entry["revision"] for entry in entries]
    tags: dict[str, tuple[int, str]] = {}
    for entry in entries:
        before = tags.get(entry["name"])
        assert (entry["previousState"], entry["previousTraceId"]) == (before or (None, None))
        if entry["action"] == 210:
            del tags[entry["name"]]
        else:
            tags[entry["name"]] = (entry["state"], entry["traceId"])
    assert standing(naive, name) == [(tag, state, trace) for tag, (state, trace) in tags.items()]
