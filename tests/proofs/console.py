"""How soon the console's pages are painted, by a real browser that has nothing of them yet, with a long trail behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser

from dms_tags.audit.trail.entry import Entry
from dms_tags.model import now
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.browser import chromium
from tests.support.service import service
from tests.support.trails import BEGIN, entries, place_tags

OBJECTS: Final = 40
"""Few, so that each has a history as long as no object's should be."""

BATCH: Final = 1_000
PAGES: Final[Mapping[str, str]] = {
    "Overview": "/console",
    "Trail": "/console/trail",
    "Trail, of a name and an action": "/console/trail?name=index&action=210",
    "Trail, of a day": "/console/trail?from={day}&createdBy=anna",
    "Trail, oldest first": "/console/trail?order=asc",
    "Object": "/console/resources/object/7",
    "Object, in the middle": "/console/resources/object/7?at={day}",
    "Object, far back": "/console/resources/object/7?page={far}",
    "Trace": "/console/traces/000000000000000a",
}
PAINTED: Final = """() => new Promise((resolve) => new PerformanceObserver((list) => {
  for (const paint of list.getEntriesByName("first-contentful-paint")) resolve(paint.startTime);
}).observe({ type: "paint", buffered: true }))"""


def fill(database: Database, count: int) -> None:
    """Puts a trail of `count` entries of the last two days into an empty database, and the tags that it leaves."""
    begin = now() - timedelta(days=2)
    made = recent(count, begin - BEGIN)
    newest: dict[str, Entry] = {}
    while batch := list(islice(made, BATCH)):
        database.trail.insert_many(batch, ordered=False)
        newest |= {f"{entry['resource']} {entry['name']}": entry for entry in batch}
    place_tags(
        database, sorted((entry for entry in newest.values() if entry["action"] != 210), key=lambda entry: int(entry["position"]))
    )


def recent(count: int, later: timedelta) -> Iterator[Entry]:
    """The entries of a made-up trail, so much later."""
    for entry in entries(count, objects=OBJECTS, step=2 * 86_000 / count):
        yield entry | {name: entry[name] + later for name in ("creationDate", "recordedAt")}


def first_paints(folder: Path, settings: Settings, count: int, times: int) -> dict[str, list[float]]:
    """Seconds until each page of a running service was first painted with its content, each of so many times by a browser that knows nothing of it."""
    known = {"DMS_TAGS_MONGO_URI": settings.mongo_uri or "", "DMS_TAGS_DATABASE": settings.database, "DMS_TAGS_AUTH": "none"}
    filled = {"day": (now() - timedelta(days=1)).strftime("%Y-%m-%d"), "far": str(count // OBJECTS // 100)}
    with service(folder, known) as running, chromium() as browser:
        return {
            name: [_paint(browser, running.url + path.format(**filled)) for _ in range(times)] for name, path in PAGES.items()
        }


def _paint(browser: Browser, url: str) -> float:
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(url)
    assert answer is not None
    assert 200 == answer.status, page.inner_text("main")
    painted = page.evaluate(PAINTED)
    context.close()
    return float(painted) / 1000
