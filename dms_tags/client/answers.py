"""The readings of the service's answers: documents of the API into the client's plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dms_tags.client.model import (
    Claimed,
    Definition,
    Entry,
    HistoryEntry,
    HistoryPage,
    ObjectTags,
    Outcome,
    SearchPage,
    Tag,
    TrailPage,
)
from dms_tags.client.wire import Reply, moment, problem_from


def tag_from(row: list[Any], etag: str | None) -> Tag:
    """A tag from its row `[name, state, creationDate, traceid]`."""
    name, state, changed, trace_id = row
    return Tag(name, state, moment(changed), trace_id, etag)


def bare(etag: str | None) -> str | None:
    """An ETag header's opaque part, without quotes and without the mark that a compressing proxy puts before it."""
    return None if etag is None else etag.removeprefix("W/").strip('"')


def tags_from(properties: Mapping[str, Any], etag: str | None = None) -> tuple[Tag, ...]:
    """The tags of an object's properties; `etag` is that of a single row whose answer has it in a header."""
    rows = properties["system:tags"]["value"]
    etags = properties.get("dms:etags", {}).get("value") or [etag] * len(rows)
    return tuple(tag_from(row, each) for row, each in zip(rows, etags, strict=True))


def object_from(properties: Mapping[str, Any]) -> ObjectTags:
    """An object of a search."""
    return ObjectTags(properties["system:objectId"]["value"], tags_from(properties))


def entry_from(flat: Mapping[str, Any]) -> Entry:
    """An entry of the trail from its flat form (API.md section 2); members of later schemas are passed over."""
    return Entry(
        position=flat["position"],
        resource=flat["resource"],
        object_id=flat["objectId"],
        within=flat["within"],
        revision=flat["revision"],
        action=flat["action"],
        action_name=flat["actionName"],
        name=flat["name"],
        state=flat["state"],
        previous_state=flat["previousState"],
        trace_id=flat["traceId"],
        previous_trace_id=flat["previousTraceId"],
        created_by=flat["createdBy"],
        actor_kind=flat["actorKind"],
        changed=moment(flat["creationDate"]),
        recorded_at=moment(flat["recordedAt"]),
        tenant=flat["tenant"],
        reason=flat.get("reason"),
        erased=tuple(flat.get("erased") or ()),
    )


def nothing(reply: Reply) -> None:
    """The answer says no more than that it is done."""


def present(tag: Tag | None) -> Tag:
    """The tag that has to be there.  Raises ValueError."""
    if tag is None:
        raise ValueError("no tag in the answer")
    return tag


def all_tags(reply: Reply) -> tuple[Tag, ...]:
    """The rows of one object."""
    (shown,) = reply.document()["objects"]
    return tags_from(shown["properties"], bare(reply.headers.get("etag")))


def one_tag(reply: Reply) -> Tag:
    """The row of a change, or of a read of one tag."""
    (tag,) = all_tags(reply)
    return tag


def claimed(reply: Reply, name: str) -> tuple[Claimed, ...]:
    """The objects that were taken by setting the tag called `name`."""
    return tuple(_claimed(each["properties"], name) for each in reply.document()["objects"])


def outcomes(reply: Reply) -> tuple[Outcome, ...]:
    """The results of a batch."""
    return tuple(map(_outcome, reply.document()["results"]))


def search_page(reply: Reply) -> SearchPage:
    """A page of what a statement finds."""
    page = reply.document()
    objects = tuple(object_from(each["properties"]) for each in page["objects"])
    return SearchPage(objects, page["totalNumItems"], page["hasMoreItems"], page.get("totalNumItemsIsLowerBound", False))


def history_page(reply: Reply) -> HistoryPage:
    """A page of an object's history."""
    page = reply.document()
    return HistoryPage(tuple(_history_entry(each["properties"]) for each in page["objects"]), page["hasMoreItems"])


def trail_page(reply: Reply) -> TrailPage:
    """A page of the trail."""
    page = reply.document()
    return TrailPage(tuple(map(entry_from, page["entries"])), page["next"], page["head"])


def definitions(reply: Reply) -> tuple[Definition, ...]:
    """All tag definitions."""
    return tuple(definition(each, each["name"]) for each in reply.document()["definitions"])


def definition(document: Mapping[str, Any], name: str) -> Definition:
    """The definition of tags called `name`."""
    transitions = document.get("transitions")
    initial = document.get("initial")
    return Definition(
        name=name,
        states={int(state): label for state, label in document["states"].items()},
        transitions=None if transitions is None else {int(state): tuple(steps) for state, steps in transitions.items()},
        initial=None if initial is None else tuple(initial),
        enforce=document.get("enforce", True),
        reason_required=tuple(document.get("reasonRequired", ())),
    )


def _claimed(properties: Mapping[str, Any], name: str) -> Claimed:
    taken = object_from(properties)
    return Claimed(taken.object_id, present(taken.tag(name)), taken.tags, properties.get("dms:attempts", {}).get("value", 1))


def _outcome(result: Mapping[str, Any]) -> Outcome:
    if "problem" in result:
        return Outcome(error=problem_from(result["problem"], result["status"]))
    row = result.get("tag")
    return Outcome(tag=tag_from(row, bare(result.get("etag"))) if row else None)


def _history_entry(properties: Mapping[str, Any]) -> HistoryEntry:
    values = {key: member["value"] for key, member in properties.items()}
    inside = values["detail"].partition("[")[2].rpartition("]")[0]
    return HistoryEntry(
        object_id=values["referredObjectId"],
        name=inside.partition(",")[0],
        action=values["action"],
        state=values["subaction"],
        previous_state=values["previousState"],
        changed=moment(values["system:creationDate"]),
        trace_id=values["system:traceId"],
        created_by=values["system:createdBy"],
        detail=values["detail"],
        revision=values["revision"],
        position=values["position"],
        reason=values.get("dms:reason"),
    )
