"""Pages for people: `/docs`, the documents below it, and `/problems/*` (API.md section 7).  They ask no other host for anything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any, Final

from flask import Response, redirect, render_template, url_for
from markdown_it import MarkdownIt
from markupsafe import Markup

from dms_tags.api.endpoint import PUBLIC, Api, Call, PathParameter
from dms_tags.api.links import here
from dms_tags.api.problem_types import PROBLEMS, Problem
from dms_tags.api.problems import MEDIA_TYPE, PROBLEM_SCHEMA, render_problem
from dms_tags.errors import NotFound

DOCUMENTS: Final = files("dms_tags") / "docs"
ASSETS: Final[Mapping[str, str]] = {"page.css": "text/css", "page.js": "text/javascript"}
SECTIONS: Final = (
    *("tags", "objects", "workflow", "definitions", "events", "subscriptions", "audit"),
    *("metadata", "chains", "operation", "console", "pages"),
)
"""The sections of calls as people read them: what the service is for comes first."""
METHODS: Final = ("get", "post", "put", "patch", "delete")

PAGE: Final[Mapping[str, Any]] = {"description": "A page", "content": {"text/html": {"schema": {"type": "string"}}}}
PICTURE: Final = "image/png"
MISSING: Final = {"description": "There is no such page", "content": {MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}}}
ASSET: Final[Mapping[str, Any]] = {
    "description": "What the pages look like, and how they are searched",
    "content": {media_type: {"schema": {"type": "string"}} for media_type in ASSETS.values()},
}
CREDENTIALS: Final[Mapping[str, str]] = {
    "bearer": "Authorization: Bearer $TOKEN",
    "console": "Cookie: dms-tags-console=$SESSION",
    "session_user": "X-Spaaza-Session-User-Id: $SESSION_USER",
    "session_key": "X-Spaaza-Session-Key: $SESSION_KEY",
}
"""How an example says who calls, by OpenAPI security scheme."""

SLUG: Final = {"slug": PathParameter(str, {"type": "string", "enum": sorted(PROBLEMS)}, "trace-mismatch")}
DOCUMENT: Final = {"document": PathParameter(str, {"type": "string"}, "DESIGN.md", spans=True)}
ASSET_NAME: Final = {"asset": PathParameter(str, {"type": "string", "enum": sorted(ASSETS)}, "page.css")}

api = Api("pages", "", render_problem, PROBLEM_SCHEMA, MEDIA_TYPE)


@api.route("GET", "/", permission=PUBLIC, responses={302: {"description": "See /docs"}})
def index(_: Call) -> Response:
    """Leads to the documentation."""
    return redirect(here("/docs"))  # type: ignore[return-value]


@api.route("GET", "/docs", permission=PUBLIC, responses={200: PAGE})
def docs(call: Call) -> Response:
    """This API for people."""
    document = call.services.openapi()
    groups: dict[str, list[tuple[str, str, Mapping[str, Any], str]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in METHODS:
                entry = (path, method, operation, example(document, path, method, operation))
                groups.setdefault(operation["tags"][0], []).append(entry)
    ordered = {section: groups[section] for section in sorted(groups, key=SECTIONS.index)}
    return _page("docs.html", info=document["info"], groups=ordered)


@api.route(
    "GET",
    "/docs/{document}",
    permission=PUBLIC,
    path_parameters=DOCUMENT,
    responses={200: {**PAGE, "content": {**PAGE["content"], PICTURE: {"schema": {"type": "string"}}}}, 404: MISSING},
)
def document(_: Call, document: str) -> Response:
    """One of the documents, or a picture in one."""
    if document in pictures():
        return Response((DOCUMENTS / document).read_bytes(), mimetype=PICTURE)
    if document not in documents():
        raise NotFound("there is no such document; /docs lists all")
    return _page("document.html", title=documents()[document], body=_rendered(document))


@api.route(
    "GET",
    "/docs/assets/{asset}",
    permission=PUBLIC,
    path_parameters=ASSET_NAME,
    responses={200: ASSET, 404: MISSING},
)
def asset(_: Call, asset: str) -> Response:
    """What the pages are made with."""
    if asset not in ASSETS:
        raise NotFound("the pages are made with " + " and ".join(sorted(ASSETS)))
    text = (files("dms_tags") / "api" / "operation" / "assets" / asset).read_text(encoding="utf-8")
    return Response(text, mimetype=ASSETS[asset])


@api.route("GET", "/problems", permission=PUBLIC, responses={200: PAGE})
def problems(_: Call) -> Response:
    """All problems, with their numbers."""
    return _page("problems.html", problems=PROBLEMS.values())


@api.route(
    "GET",
    "/problems/{slug}",
    permission=PUBLIC,
    path_parameters=SLUG,
    responses={200: PAGE, 404: MISSING},
)
def problem(_: Call, slug: str) -> Response:
    """One problem, explained."""
    if slug not in PROBLEMS:
        raise NotFound(f"there is no problem called {slug!r}; /problems lists all")
    return _page("problem.html", problem=PROBLEMS[slug], sample=_sample(PROBLEMS[slug]))


@cache
def documents() -> Mapping[str, str]:
    """The title of each document, by its path below `docs/`; the contract first, decisions last."""
    return dict(sorted(_titles(), key=lambda titled: ("/" in titled[0], titled[0] != "API.md", titled[0])))


@cache
def pictures() -> frozenset[str]:
    """The pictures that documents show, by their paths below `docs/`."""
    return frozenset(f"console/{file.name}" for file in (DOCUMENTS / "console").iterdir() if file.name.endswith(".png"))


def _titles(below: str = "") -> Iterator[tuple[str, str]]:
    for file in (DOCUMENTS / below).iterdir():
        path = f"{below}{file.name}"
        if file.is_dir():
            yield from _titles(f"{path}/")
        elif file.name.endswith(".md"):
            first = file.read_text(encoding="utf-8").partition("\n")[0]
            yield path, first.lstrip("# ").strip()


@cache
def _rendered(document: str) -> Markup:
    """A document as HTML; the documents are ours, and HTML within them is shown as text all the same."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse((DOCUMENTS / document).read_text(encoding="utf-8"))
    for heading, inline in pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", anchor(inline.content))
    return Markup(markdown.renderer.render(tokens, markdown.options, {}))  # noqa: S704 - our own documents, HTML in them escaped


def anchor(heading: str) -> str:
    """How links name a heading: lower case, words joined by hyphens, as code forges do."""
    return "".join(letter for letter in heading.lower().replace(" ", "-") if letter.isalnum() or letter in "-_")


def example(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> str:
    """The call as a line for curl, made of the examples that its parameters are declared with."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(parameter.get("example", parameter["name"])))
    query = "&".join(
        f"{parameter['name']}={parameter.get('example', _sample_of(document, parameter['schema']))}"
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query" and parameter["required"]
    )
    verb = "" if method == "get" else f" -X {method.upper()}"
    identity = "".join(f' -H "{CREDENTIALS[scheme]}"' for scheme in next(iter(operation.get("security", ())), ()))
    body = ""
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        sample = content.get("example", _sample_of(document, content.get("schema", {})))
        body = f" -H 'Content-Type: {media_type}' -d '{json.dumps(sample, ensure_ascii=False)}'"
        break
    target = f"http://127.0.0.1:8080{path}" + (f"?{query}" if query else "")
    return f"curl{verb}{identity}{body} '{target}'"


def _sample_of(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    """A value of the schema, of its examples where it has some."""
    if "$ref" in schema:
        return _sample_of(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "example" in schema:
        return schema["example"]
    if schema.get("type") == "object":
        return {name: _sample_of(document, member) for name, member in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [_sample_of(document, schema.get("items", {}))]
    if "enum" in schema:
        return schema["enum"][0]
    by_type: Mapping[str, Any] = {"integer": max(schema.get("minimum", 1), 0), "number": 1, "boolean": True}
    return by_type.get(schema.get("type", ""), "…")


def _sample(problem: Problem) -> str:
    """A problem document as the DMS calls answer with it."""
    document = {
        "type": f"/problems/{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.explanation,
        "instance": "/api/dms/objects/8f2c/tags/ocr/state/2",
        "httpStatusCode": problem.status,
        "serviceErrorCode": problem.code,
        "time": "2026-11-21T20:00:00.000Z",
        "message": problem.explanation,
        "service": "dms-tags",
        "tenant": "default",
        "requestId": "6f1d2c3b4a596877",
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _page(template: str, **content: Any) -> Response:
    return Response(
        render_template(template, documents=documents(), asset=lambda name: url_for("pages.asset", asset=name), **content)
    )
