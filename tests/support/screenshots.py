"""`scripts/screenshots`: each page of the console with a made-up day before it, as the documents show it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, ViewportSize

from dms_tags.audit.trail.filters import Filters
from dms_tags.identity.model import Permission
from dms_tags.model import Actor
from dms_tags.settings import Settings
from tests.support.app import Service, running
from tests.support.browser import chromium, served
from tests.support.console import TRACE, furnish, token
from tests.support.mongo import replica_set
from tests.support.trails import keyed

FOLDER: Final = Path(__file__).parent.parent.parent / "dms_tags" / "docs" / "console"
WIDE: Final[ViewportSize] = {"width": 1120, "height": 780}
NARROW: Final[ViewportSize] = {"width": 390, "height": 844}
PAGES: Final = {
    "overview": "/console",
    "trail": "/console/trail",
    "object": "/console/resources/object/R-4108",
    "trace": f"/console/traces/{TRACE}",
    "proof": "/console/proof?position=1234",
    "verify": "/console/verify",
}
MOST_BYTES: Final = 120_000


def main() -> None:
    """Takes all pictures into the folder that is named, else into that of the documents."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, replica_set(Path(scratch, "mongod")) as mongod, chromium() as browser:
        settings = keyed(Settings(mongo_uri=mongod.uri, database="console", auth="tokens", bind="127.0.0.1:8080"), Path(scratch))
        with running(settings) as service, served(service.app) as url:
            furnish(service)
            service.services.checkpointer.checkpoint("default")
            secret = token(service, "auditor", Permission.READ, Permission.AUDIT)
            service.services.trail.wait_for("default")
            exported = Path(scratch, "audit-default.ndjson")
            exported.write_bytes(_export(service))
            take(browser, url, secret, exported, folder)


def _export(service: Service) -> bytes:
    exporter = service.services.exporter
    return b"".join(exporter.ndjson(exporter.begin("default", Filters(), Actor("auditor", "token"), form="ndjson")))


def take(browser: Browser, url: str, secret: str, exported: Path, folder: Path) -> None:
    """Takes the pictures: every page in light, some in dark and on a narrow screen."""
    light = browser.new_page(viewport=WIDE)
    light.goto(f"{url}/console")
    _shoot(light, folder / "sign-in.png")
    _sign_in(light, url, secret)
    for name, path in PAGES.items():
        light.goto(url + path)
        if name == "proof":
            light.wait_for_selector("#verdict.holds")
        if name == "verify":
            light.wait_for_selector("#verify[data-ready]")
            light.set_input_files("#file", exported)
            light.click("#verify button")
            light.wait_for_selector("#report h2")
        _shoot(light, folder / f"{name}.png")
    dark = browser.new_page(viewport=WIDE, color_scheme="dark")
    narrow = browser.new_page(viewport=NARROW)
    for page, suffix, names in ((dark, "dark", ("overview", "object")), (narrow, "narrow", ("overview", "trail"))):
        _sign_in(page, url, secret)
        for name in names:
            page.goto(url + PAGES[name])
            _shoot(page, folder / f"{name}-{suffix}.png")


def _sign_in(page: Page, url: str, secret: str) -> None:
    page.goto(f"{url}/console")
    page.fill("#token", secret)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/console")


def _shoot(page: Page, file: Path) -> None:
    page.screenshot(path=file)
    size = file.stat().st_size
    print(file.name, size)
    assert size < MOST_BYTES, f"{file.name} is too large for the documents"


if __name__ == "__main__":
    main()
