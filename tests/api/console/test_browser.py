"""The console in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from dms_tags.audit.trail.filters import Filters
from dms_tags.identity import directory
from dms_tags.identity.model import Permission
from dms_tags.model import Actor
from dms_tags.settings import Settings
from tests.proofs.verdicts import cases
from tests.support.app import Service, running
from tests.support.browser import CHROMIUM, MISSING, chromium, served
from tests.support.console import TRACE, furnish, revoke, token
from tests.support.trails import keyed

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)

MARKUP = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
EVERY = (
    "/console",
    "/console/trail",
    "/console/objects",
    "/console/resources/object/R-4108",
    f"/console/traces/{TRACE}",
    "/console/proof?position=77",
    "/console/verify",
)


class Site:
    """A served console, and who reads it."""

    def __init__(self, service: Service, url: str, folder: Path) -> None:
        self.service = service
        self.url = url
        self.folder = folder
        self.secret = token(service, "auditor", *Permission)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    settings = keyed(Settings(mongo_uri="mongomock://", auth="tokens"), folder)
    with running(settings) as service:
        furnish(service, 300)
        service.services.checkpointer.checkpoint("default")
        with served(service.app) as url:
            yield Site(service, url, folder)


class Faults:
    """What goes wrong in a browser that a person would not see: errors of scripts, refusals of the policy, requests that fail."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.told: list[str] = []
        self.hosts: set[str] = set()
        context.on("weberror", lambda error: self.told.append(str(error.error)))
        context.on("console", lambda message: self.told.append(message.text) if message.type in ("error", "warning") else None)
        context.on(
            "request", lambda request: self.hosts.add(re.sub(r"^(\w+:(?://[^/]+)?).*", r"\1", request.url, flags=re.DOTALL))
        )
        self.url = url


@pytest.fixture
def context(browser: Browser, site: Site) -> Iterator[BrowserContext]:
    """A browser of nobody; at the end nothing went wrong in it, and it asked no other host for anything."""
    made = browser.new_context(accept_downloads=True)
    made.set_default_timeout(15_000)
    faults = Faults(made, site.url)
    yield made
    made.close()
    assert [] == [fault for fault in faults.told if "status of 40" not in fault]
    assert faults.hosts <= {site.url, "file:", "blob:", "data:"}


@pytest.fixture
def page(context: BrowserContext, site: Site) -> Page:
    """A page of somebody who has signed in."""
    made = context.new_page()
    sign_in(made, site)
    return made


def sign_in(page: Page, site: Site, secret: str | None = None) -> None:
    page.goto(f"{site.url}/console")
    page.fill("#token", secret or site.secret)
    page.keyboard.press("Enter")
    page.wait_for_selector("nav")


def test_every_page(page: Page, site: Site) -> None:
    """Each page comes, has one heading of the first degree, and names every field and picture for those who do not see them."""
    for path in EVERY:
        page.goto(site.url + path)

        expect(page.locator("h1")).to_have_count(1)
        assert [] == page.eval_on_selector_all(
            "input:not([type=hidden]), select, textarea",
            "fields => fields.filter(field => !field.labels.length).map(field => field.outerHTML)",
        )
        assert [] == page.eval_on_selector_all(
            "main svg:not([aria-hidden])",
            "all => all.filter(svg => !svg.closest('[aria-hidden]') && !svg.getAttribute('aria-label')).map(svg => svg.outerHTML)",
        )


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (360, "dark"), (1900, "dark")])
def test_screens(browser: Browser, site: Site, width: int, scheme: Any) -> None:
    """On narrow and on wide screens, light and dark, no page is wider than the screen, and text stands out from what is behind it."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    sign_in(page, site)
    for path in EVERY:
        page.goto(site.url + path)

        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert [] == page.evaluate(CONTRAST), path
    context.close()


CONTRAST = """() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = color.map((value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const color = channels(getComputedStyle(element).backgroundColor);
      if (color.length === 3 || color[3] > 0.5) return color;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const element of document.querySelectorAll("main *, header *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || element.closest("svg, script, option, noscript") || !element.offsetParent) continue;
    const [high, low] = [light(channels(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
    if ((high + 0.05) / (low + 0.05) < 4.5) bad.push(`${element.tagName} ${element.textContent.trim().slice(0, 30)} ${(high + 0.05) / (low + 0.05)}`);
  }
  return bad;
}"""


def test_keyboard_alone(context: BrowserContext, site: Site) -> None:
    """Without a mouse: signing in, going to the trail, asking a question, an entry's object, and its slider."""
    page = context.new_page()
    page.goto(f"{site.url}/console")
    page.wait_for_selector("#token:focus")
    page.keyboard.type(site.secret)
    page.keyboard.press("Enter")
    page.wait_for_selector("nav")
    _tab_to(page, "Trail")
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/trail")
    _tab_to(page, "objectId")
    page.keyboard.type("R-4101")
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/trail?objectId=R-4101")
    _tab_to(page, "object/R-4101")
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/resources/object/R-4101")
    _tab_to(page, "step")
    shown = page.inner_text("#standing")
    page.keyboard.press("Home")
    expect(page.locator("#standing h2")).to_contain_text("as they stood at")

    assert shown != page.inner_text("#standing")


def _tab_to(page: Page, what: str) -> None:
    """Goes on by the tabulator to what is called so; what has the focus is seen."""
    for _ in range(80):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "[document.activeElement.name || document.activeElement.textContent.trim(), getComputedStyle(document.activeElement).outlineStyle]"
        )
        if name == what:
            assert outline != "none"
            return
    raise AssertionError(f"the tabulator does not lead to {what}")


def test_without_scripts(browser: Browser, site: Site) -> None:
    """Where no script runs, questions, the slider and exports work by forms and links."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, site)
    page.goto(f"{site.url}/console/trail")
    page.fill("[name=name]", "ocr")
    page.click("text=Ask")

    assert page.url.endswith("/console/trail?name=ocr")
    assert {"ocr"} == set(page.locator("#rows tr td:nth-child(5)").all_inner_texts())
    page.goto(f"{site.url}/console/resources/object/R-4101")
    page.focus("#step")
    page.keyboard.press("Home")
    page.click("#slide button")
    assert "step=0" in page.url
    assert "as they stood at" in page.inner_text("#standing")
    context.close()


def test_revoked(browser: Browser, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a token is revoked a page that is live says so, and the next one leads to signing in and back again."""
    monkeypatch.setattr(directory, "STALE", 0.0)
    context = browser.new_context()
    page = context.new_page()
    secret = token(site.service, "short-lived", *Permission)
    sign_in(page, site, secret)
    page.goto(f"{site.url}/console/trail")
    page.check("#live")
    expect(page.locator("#live-status")).to_contain_text("waiting")
    revoke(site.service, "short-lived")
    # it is told so, or refused where it was just connecting: either way it says what to do
    expect(page.locator("#live-status")).to_contain_text("load the page again", timeout=15_000)
    page.goto(f"{site.url}/console/trail?name=ocr")
    page.fill("#token", site.secret)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.url}/console/trail?name=ocr")
    context.close()


def test_another_origin(browser: Browser, site: Site) -> None:
    """A page of another site can neither read the console, nor frame it, nor sign anybody in or out; a link of it works."""
    context = browser.new_context()
    page = context.new_page()
    sign_in(page, site)
    foreign = site.url.replace("127.0.0.1", "localhost")
    evil = context.new_page()
    evil.route("**/evil", lambda route: route.fulfill(status=200, content_type="text/html", body=EVIL.replace("URL", site.url)))
    evil.goto(f"{foreign}/evil")
    evil.wait_for_function("document.title === 'done'")

    assert "refused" == evil.inner_text("#read")
    assert "about:blank" == evil.frames[1].url or "dms-tags" not in evil.frames[1].content()
    evil.click("button")
    evil.wait_for_url(f"{site.url}/console/sign-out")
    assert "asked the browser for this" in evil.content()
    evil.goto(f"{foreign}/evil")
    evil.click("a")
    evil.wait_for_url(f"{site.url}/console/trail?name=ocr")
    expect(evil.locator("h1")).to_have_text("Trail")
    context.close()


EVIL = """<!doctype html><title>evil</title><p id="read"></p><iframe src="URL/console"></iframe>
<form method="post" action="URL/console/sign-out"><button>free money</button></form><a href="URL/console/trail?name=ocr">link</a>
<script>
fetch("URL/console/trail", { credentials: "include" }).then((answer) => answer.text(), () => "refused")
  .then((text) => { document.getElementById("read").textContent = text.slice(0, 99); document.title = "done"; });
</script>"""


def test_markup_runs_nowhere(browser: Browser) -> None:
    """Names and states full of markup are text, in pages and in rows that come live."""
    with running(Settings(mongo_uri="mongomock://", auth="none")) as service, served(service.app) as url:
        client = service.client
        label = client.post("/tags", json={"key": "label", "color": "#000000"}).get_json()["id"]

        def put(number: int) -> None:
            value = {"correlation_type": "site", "value": f"{number}{MARKUP}"}
            assert 200 == client.put(f"/tags/{label}/values/{number}", json=value, headers={"X-B3-TraceId": "ab"}).status_code

        put(1)
        context = browser.new_context()
        page = context.new_page()
        for path in ("/console/trail", "/console/resources/site/1", "/console/traces/ab"):
            page.goto(url + path)
            assert "run" != page.title()
            assert MARKUP in page.inner_text("main")
        page.goto(f"{url}/console/trail?createdBy={MARKUP}")
        assert MARKUP == page.input_value("[name=createdBy]")
        page.goto(f"{url}/console/trail")
        page.check("#live")
        expect(page.locator("#live-status")).to_contain_text("waiting")
        put(2)
        expect(page.locator("#rows tr").first).to_contain_text(MARKUP)

        assert "run" != page.title()
        assert 0 == page.locator("#rows img, #rows script").count()
        context.close()


def test_export_with_progress(page: Page, site: Site, tmp_path: Path) -> None:
    """An export is saved as it is shown, and the page tells how far it is."""
    page.goto(f"{site.url}/console/trail?name=ocr")
    page.click("text=Export exactly this")
    with page.expect_download() as download:
        page.click("text=NDJSON with proofs")
    download.value.save_as(tmp_path / "export.ndjson")
    expect(page.locator("#exporting [role=status]")).to_contain_text("saved as audit-default.ndjson")
    lines = (tmp_path / "export.ndjson").read_text().splitlines()

    assert {"ocr"} == {json.loads(line)["name"] for line in lines[:-1]}
    assert {"name": "ocr"} == json.loads(lines[-1])["manifest"]["filters"]
    assert 1 == page.locator("#exporting progress").evaluate("bar => bar.value")


def export(site: Site) -> bytes:
    exporter = site.service.services.exporter
    return b"".join(exporter.ndjson(exporter.begin("default", Filters(), Actor("auditor", "token"), form="ndjson")))


def test_verifier_works_from_a_file(page: Page, context: BrowserContext, site: Site, tmp_path: Path) -> None:
    """The verifier that was saved verifies from a disk, with no service: a good export holds, a changed one does not, at its position."""
    page.goto(f"{site.url}/console/verify")
    with page.expect_download() as download:
        page.click("text=Save this verifier")
    download.value.save_as(tmp_path / "verifier.html")
    good, bad = tmp_path / "good.ndjson", tmp_path / "bad.ndjson"
    text = export(site)
    good.write_bytes(text)
    bad.write_bytes(text.replace(b'"position":42,', b'"position":42, ', 1))
    alone = context.new_page()
    context.set_offline(True)
    alone.goto((tmp_path / "verifier.html").as_uri())
    for file, status, position in ((good, "0", ""), (bad, "1", "42")):
        alone.wait_for_selector("#verify[data-ready]")
        alone.set_input_files("#file", file)
        alone.click("#verify button")
        alone.wait_for_selector(f"#report[data-status='{status}']")
        assert position == alone.get_attribute("#report", "data-position")
    context.set_offline(False)


def test_a_browser_without_ed25519(page: Page, site: Site) -> None:
    """A browser that cannot check signatures says so, and verifies nothing."""
    page.add_init_script(
        "crypto.subtle.importKey = () => Promise.reject(new DOMException('no such algorithm', 'NotSupportedError'))"
    )
    page.goto(f"{site.url}/console/verify")

    expect(page.locator("#report")).to_contain_text("knows no Ed25519")
    expect(page.locator("#verify button")).to_be_disabled()


def test_on_paper(page: Page, site: Site) -> None:
    """A page that is printed has what it tells, and neither bar nor forms."""
    page.emulate_media(media="print")
    page.goto(f"{site.url}/console/trail?name=ocr")

    expect(page.locator("#rows tr").first).to_be_visible()
    expect(page.locator("header")).to_be_hidden()
    expect(page.locator("form.filters")).to_be_hidden()


def test_proof_is_checked(page: Page, site: Site) -> None:
    """The browser itself checks an entry's proof, and says so where it does not lead to the root."""
    page.goto(f"{site.url}/console/proof?position=77")
    expect(page.locator("#verdict.holds")).to_contain_text("has checked it")
    page.route("**/console/proof?position=78", lambda route: _forge(route, page))
    page.goto(f"{site.url}/console/proof?position=78")
    expect(page.locator("#verdict.fails")).to_contain_text("DOES NOT HOLD")


def _forge(route: Any, page: Page) -> None:
    answer = page.context.request.get(route.request.url)
    route.fulfill(response=answer, body=answer.text().replace('"actorKind": "token"', '"actorKind": "jwt"'))


def test_verdicts(page: Page, site: Site, tmp_path: Path) -> None:
    """Of forged files and honest ones the browser says what `audit verify` does: verdict, first bad position, and why."""
    page.goto(f"{site.url}/console/verify")
    page.wait_for_selector("#verify[data-ready]")
    differences = []
    for case in islice(cases(tmp_path, 42), 0, None, 3):
        page.set_input_files("#file", case.file)
        told = page.evaluate(VERIFY, [case.key, case.kept])
        difference = case.differs(told)
        differences += [] if difference is None else [difference]

    assert [] == differences


VERIFY = """async ([key, kept]) => {
  const { verifyFile } = await import("/console/assets/verify/verify.js");
  const { readKeys } = await import("/console/assets/verify/note.js");
  const [file] = document.getElementById("file").files;
  const source = { size: file.size, read: async (begin, end) => new Uint8Array(await file.slice(begin, end).arrayBuffer()) };
  const { status, verdict, worst, unknown, remarks, entries, first, last } = await verifyFile(source, readKeys(key), kept, () => {});
  return { status, verdict, worst, unknown, remarks, entries, first, last };
}"""
