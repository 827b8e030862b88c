"""Pages for people: each is there, leads only to what is there, and tells what helps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin

import pytest

from dms_tags.api.operation.pages import SECTIONS, documents
from dms_tags.api.problem_types import PROBLEMS
from dms_tags.settings import Settings
from tests.support.app import Service, running


@pytest.fixture(scope="module")
def site() -> Iterator[Service]:
    with running(Settings(mongo_uri="mongomock://", auth="none")) as application:
        yield application


class Page(HTMLParser):
    """What a page points to, and what can be pointed to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - the parser's own signature
        given = dict(attributes)
        self.links += [value for name in ("href", "src") if (value := given.get(name)) is not None]
        if given.get("id"):
            self.anchors.add(str(given["id"]))


def test_every_link_leads_somewhere(site: Service) -> None:
    """From /docs on, each link of each page leads to a page of this service, and to a place that is in it."""
    pages: dict[str, Page | None] = {}
    to_visit, wanted = ["/docs"], set()
    while to_visit:
        path = to_visit.pop()
        if path in pages:
            continue
        answer = site.client.get(path)
        assert 200 == answer.status_code, path
        pages[path] = Page(answer.text) if answer.mimetype == "text/html" else None
        for link in pages[path].links if pages[path] else []:  # type: ignore[union-attr]
            target, anchor = urldefrag(urljoin(path, link))
            if "://" in target:
                continue  # elsewhere: nothing is loaded from there
            to_visit.append(target)
            wanted.add((path, target, anchor))

    assert len(documents()) + len(PROBLEMS) < len(pages)
    for path, target, anchor in wanted:
        page = pages[target]
        assert not anchor or page is None or anchor in page.anchors, f"{path} points to {target}#{anchor}"


def test_what_the_service_is_for_comes_first(site: Service) -> None:
    """Whoever opens /docs sees the calls of tags; every section is there, once."""
    shown = re.findall(r'<h2 id="([a-z]+)">', site.client.get("/docs").text)

    assert list(SECTIONS) == shown
    assert "tags" == shown[0]


def test_nothing_is_loaded_from_elsewhere(site: Service) -> None:
    """Whatever a page loads comes from the service itself."""
    loaded = re.findall(r'<(?:link|script|img)[^>]* (?:href|src)="([^"]+)"', site.client.get("/docs").text)

    assert ["/docs/assets/page.css", "/docs/assets/page.js"] == loaded


@pytest.mark.parametrize("slug", sorted(PROBLEMS))
def test_every_problem_is_explained(site: Service, slug: str) -> None:
    """Each type of problem has a page with its number, its cause, a sample of it and what to do."""
    page = site.client.get(f"/problems/{slug}").text

    assert str(PROBLEMS[slug].code) in page
    for heading in ("Cause", "What to do", "A sample answer"):
        assert f"<h2>{heading}</h2>" in page


def test_numbers_are_unique() -> None:
    """No two types of problem share a number."""
    assert len(PROBLEMS) == len({problem.code for problem in PROBLEMS.values()})


def test_a_read_tells_of_no_lost_lock(site: Service) -> None:
    """A call lists only the errors that it can give: reading a tag never answers 409 or 412, changing it does."""
    paths = (site.client.get("/openapi.json").json or {})["paths"]
    read = paths["/api/dms/objects/{objectId}/tags/{name}"]["get"]["responses"]
    change = paths["/api/dms/objects/{objectId}/tags/{name}/state/{state}"]["post"]["responses"]

    assert not {"409", "410", "412", "422"} & read.keys()
    assert {"409", "412", "422"} <= change.keys()


@pytest.mark.parametrize("path", ["/docs/nosuch.md", "/docs/../settings.py", "/docs/assets/page.html", "/problems/nosuch"])
def test_what_is_no_page(site: Service, path: str) -> None:
    """Nothing but the documents, the two assets and the problems is handed out."""
    assert 404 == site.client.get(path).status_code


def test_examples_say_who_calls(site: Service) -> None:
    """An example for curl has a token where a token opens the call, a session where only that does, else neither."""
    examples = {
        line.rpartition("8080")[2].rstrip("'"): line for line in re.findall("curl [^<]*", unescape(site.client.get("/docs").text))
    }

    assert "Bearer $TOKEN" in examples["/api/dms/objects/8f2c/tags"]
    assert "X-Spaaza-Session-Key: $SESSION_KEY" in examples["/auth/get-tag?id=1"]
    assert "-H" not in examples["/health/live"]
