"""Objects as DMS clients treat them: several tags of one object, or of many, in one change (API.md section 8)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from flask import Response

from dms_tags.api import bodies, headers, locks, members, multipart
from dms_tags.api.answers import empty_answer, json_answer
from dms_tags.api.dms import objects_schemas as shapes
from dms_tags.api.dms.api import api
from dms_tags.api.endpoint import Call
from dms_tags.api.locks import CHANGE_HEADERS
from dms_tags.api.parameters import SERVICE_WORKER, TRACE_ID_MUST_MATCH
from dms_tags.errors import Forbidden, InvalidBody, UnsupportedMediaType
from dms_tags.identity.model import Permission
from dms_tags.model import Kind, Properties, Resource, Tag
from dms_tags.objects.model import NOTHING_TOLD, Asked, Manner, Standing, never_heard_of

OBJECTS: Final = shapes.Objects()
CONTENT: Final = "contentStreams"
NO_CONTENT: Final = (
    "this service keeps tags, and no content: send the content to the DMS itself "
    "(or, to try a client out, set DMS_TAGS_CONTENT=discard)"
)

route = partial(api.route, section="objects")
change = partial(route, permission=Permission.WRITE, responses={200: shapes.STANDING})
MAKE_HEADERS: Final = (headers.TRACE_HEADER, headers.REASON_HEADER, "If-None-Match", "Idempotency-Key")
REMOVE_HEADERS: Final = (headers.TRACE_HEADER, headers.REASON_HEADER, "If-Match", "Idempotency-Key")


@dataclass(frozen=True, slots=True)
class _Given:
    """An object of a body: its id where it has one, what is told and set of it, and what is passed over."""

    object_id: str | None
    told: Properties
    rows: tuple[tuple[str, int], ...]
    ignored: tuple[str, ...]


@change("POST", "/objects", body=OBJECTS, parameters=(SERVICE_WORKER,), headers=MAKE_HEADERS)
def make_objects(call: Call) -> Response:
    """Make objects known, with their tags.

    The body is JSON, or the part `data` of a multipart body; of one object the properties alone will do. A tag that is there in
    another state is a 409; the same call again changes nothing. An object without an id gets one. All of it is done or nothing.
    """
    given = _given(call)
    key = call.idempotency_key
    ids = [each.object_id or _new_id(call, key, number) for number, each in enumerate(given)]
    return _changed(call, given, ids, Manner.MAKE)


@route("GET", "/objects/{objectId}", permission=Permission.READ, responses={200: shapes.STANDING})
def read_object(call: Call, object_id: str) -> Response:
    """What is known of an object, and its tags."""
    standing = call.services.objects.get(Resource(call.identity.tenant, Kind.OBJECT, object_id))
    _require_visible(call, standing)
    return _answer(call, [standing])


@change("PATCH", "/objects/{objectId}", body=OBJECTS, parameters=(TRACE_ID_MUST_MATCH,), headers=CHANGE_HEADERS)
def patch_object(call: Call, object_id: str) -> Response:
    """Set several tags of an object in one change, adding what is missing; other tags stay.

    All rows are set or none. If-Match may list ETags of the object's tags: all must hold, in the same write.
    """
    return _changed(call, _one(call, object_id), [object_id], Manner.SET)


@change("PATCH", "/objects", body=OBJECTS, parameters=(TRACE_ID_MUST_MATCH,), headers=CHANGE_HEADERS)
def patch_objects(call: Call) -> Response:
    """Set tags of up to 100 objects, of all or of none."""
    given = _given(call)
    for number, each in enumerate(given):
        if each.object_id is None:
            member = f"objects.{number}.properties.system:objectId"
            raise InvalidBody(f"{member}: it is required where many objects are changed", member)
    return _changed(call, given, [each.object_id or "" for each in given], Manner.SET)


@change("POST", "/objects/{objectId}", body=OBJECTS, parameters=(TRACE_ID_MUST_MATCH,), headers=REMOVE_HEADERS)
def update_object(call: Call, object_id: str) -> Response:
    """Update an object's metadata: the rows are set; tags that are not named go, unless their names end with `:resistant`."""
    _require_every_name(call)
    return _changed(call, _one(call, object_id), [object_id], Manner.REPLACE)


@change("POST", "/objects/{objectId}/versions", parameters=(TRACE_ID_MUST_MATCH,), headers=REMOVE_HEADERS)
def add_version(call: Call, object_id: str) -> Response:
    """Note a new content version: tags whose names do not end with `:resistant` go.

    The body is ignored.
    """
    _require_every_name(call)
    return _changed(call, [_Given(None, NOTHING_TOLD, (), ())], [object_id], Manner.REPLACE)


@change(
    "POST",
    "/objects/{objectId}/contents/file",
    parameters=(TRACE_ID_MUST_MATCH, SERVICE_WORKER),
    headers=REMOVE_HEADERS,
)
def replace_content(call: Call, object_id: str) -> Response:
    """Note a new content version as the DMS's own call does; the content is thrown away.

    Only where DMS_TAGS_CONTENT=discard, else 415.
    """
    if not _discards(call):
        raise UnsupportedMediaType(NO_CONTENT)
    _require_every_name(call)
    ignored = ("content",) if call.request.get_data() else ()
    return _changed(call, [_Given(None, NOTHING_TOLD, (), ignored)], [object_id], Manner.REPLACE)


@route(
    "DELETE",
    "/objects/{objectId}",
    permission=Permission.WRITE,
    parameters=(TRACE_ID_MUST_MATCH,),
    responses={200: {"description": "All tags are removed; the body is empty."}},
    headers=REMOVE_HEADERS,
)
def delete_object(call: Call, object_id: str) -> Response:
    """Remove all tags of an object, and what was told of it; its history stays."""
    _require_every_name(call)
    response = _changed(call, [_Given(None, NOTHING_TOLD, (), ())], [object_id], Manner.CLEAR)
    empty = empty_answer()
    for name in (headers.TRACE_HEADER, "Idempotent-Replayed"):
        if name in response.headers:
            empty.headers[name] = response.headers[name]
    return empty


def _given(call: Call) -> list[_Given]:
    """The objects of the body, JSON or the part `data` of a multipart body.

    Raises `InvalidBody`, `UnsupportedMediaType`, or what is wrong with an id or the name of a tag; `Forbidden` for a tag that the
    caller may not set.
    """
    content: list[str] = []
    if multipart.is_multipart(call.request):
        data, content = multipart.data_and_content(call.request)
        document = bodies.parsed(data)
        if not isinstance(document, dict):
            raise InvalidBody("the part 'data' is a JSON object", multipart.DATA)
    else:
        document = bodies.json_object(call.request)
    document = shapes.whole(document)
    objects = members.load(OBJECTS, document)["objects"]
    if not objects:
        raise InvalidBody("objects: at least one is needed", "objects")
    given = []
    for number, one_object in enumerate(objects):
        sent = document["objects"][number]
        streams = [CONTENT] if one_object.get("content_streams") else []
        if (content or streams) and not _discards(call):
            raise UnsupportedMediaType(NO_CONTENT)
        passed_over = [name for name in sent["properties"] if shapes.own_name(name) is None]
        kept: dict[str, Any] = {name: value for name, value in one_object["properties"].items() if value is not None}
        object_id, rows = kept.pop("object_id", None), kept.pop("rows", ())
        for name, _ in rows:
            call.identity.require_name(Permission.WRITE, name)
        given.append(_Given(object_id, Properties(**kept), rows, (*passed_over, *streams, *content)))
    return given


def _one(call: Call, object_id: str) -> list[_Given]:
    """The one object of the body, which is the one of the path."""
    given = _given(call)
    if len(given) > 1:
        raise InvalidBody(
            f"objects: one object is changed by this path, here are {len(given)}; PATCH /objects takes many", "objects"
        )
    if given[0].object_id not in (None, object_id):
        member = "objects.0.properties.system:objectId"
        raise InvalidBody(f"{member}: the path is that of another object", member)
    return given


def _changed(call: Call, given: Sequence[_Given], ids: Sequence[str], manner: Manner) -> Response:
    """Makes the change, and answers with how the objects stand then."""
    twice = bodies.given_twice(ids)
    if twice is not None:
        raise InvalidBody(f"objects: {twice!r} is given twice; each object once is right", "objects")
    asked = [
        Asked(Resource(call.identity.tenant, Kind.OBJECT, object_id), manner, each.rows, each.told)
        for object_id, each in zip(ids, given, strict=True)
    ]
    meaning = [(each.object_id, each.rows, repr(each.told)) for each in given]
    standing = call.services.objects.change(asked, locks.terms(call, meaning))
    for one_object, each in zip(asked, standing, strict=True):
        if manner is Manner.SET and not one_object.rows:
            _require_visible(call, each)
    return _answer(call, standing, [each.ignored for each in given])


def _require_visible(call: Call, standing: Standing) -> None:
    """Raises `ObjectNotFound` where all that is known of the object is tags that the caller may not read: they must not be told of."""
    reads = Permission.READ in call.identity.permissions
    if (not reads or call.identity.read_prefixes is not None) and standing.told is None and not _visible(call, standing):
        raise never_heard_of(standing.object_id)


def _visible(call: Call, standing: Standing) -> list[Tag]:
    """The tags that the caller may read."""
    reads = Permission.READ in call.identity.permissions
    return [tag for tag in standing.tags if reads and call.identity.covers(Permission.READ, tag.name)]


def _answer(call: Call, standing: Sequence[Standing], ignored: Sequence[Iterable[str]] = ()) -> Response:
    """How objects stand, as far as the caller may read it."""
    reads = Permission.READ in call.identity.permissions
    objects = []
    for number, each in enumerate(standing):
        passed_over = ignored[number] if ignored else ()
        told = each.told if reads else None
        objects.append({"properties": shapes.properties(each.object_id, _visible(call, each), told, passed_over)})
    response = json_answer({"objects": objects})
    trace_id = next((each.trace_id for each in standing if each.trace_id is not None), None)
    if trace_id is not None:
        response.headers[headers.TRACE_HEADER] = trace_id
    if any(each.replayed for each in standing):
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _new_id(call: Call, key: str | None, number: int) -> str:
    """An id for an object that comes without one; under an idempotency key the same again."""
    if key is None:
        return str(uuid.uuid4())
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"dms-tags:{call.identity.tenant}/{call.identity.actor.own(key)}/{number}"))


def _discards(call: Call) -> bool:
    return call.services.settings.content == "discard"


def _require_every_name(call: Call) -> None:
    """What takes tags away that it does not name needs the permission for any: whether it meets others must not be told."""
    if call.identity.write_prefixes is not None:
        raise Forbidden("tags that are not named go with this call: it needs the permission to write tags of any name")
