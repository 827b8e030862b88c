"""What the console's pages show, and to whom."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from dms_tags.api.console import charts, questions, spelling
from dms_tags.api.console.proof import MODULES, assets, bundle, hashes_of
from dms_tags.audit.log import merkle
from dms_tags.audit.trail.query import TrailQuery
from dms_tags.audit.trail.trail import Trail
from dms_tags.audit.verify.file import verify_file
from dms_tags.identity.model import Permission
from dms_tags.model import Action, Kind, Resource
from dms_tags.settings import Settings
from dms_tags.tags.definitions import Definition
from tests.api.console.test_sessions import OWN
from tests.support.app import Service, running
from tests.support.console import TRACE, furnish, token
from tests.support.trails import keyed

MARKUP = "<script>document.title='run'</script>&\"'<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a day behind it, in memory."""
    settings = keyed(Settings(mongo_uri="mongomock://", auth="tokens"), tmp_path_factory.mktemp("key"))
    with running(settings) as service:
        furnish(service, 300)
        service.services.checkpointer.checkpoint("default")
        yield service


def as_one(service: Service, *permissions: Permission, **more: Any) -> Any:
    """A browser in which somebody with these permissions has signed in."""
    client = service.app.test_client()
    name = "-".join(["one", *permissions, *map(str, more.values())]).translate({ord(letter): "x" for letter in "(),:' "})
    secret = _secrets.get((id(service), name)) or token(service, name, *permissions, **more)
    _secrets[id(service), name] = secret
    assert 303 == client.post("/console/sign-in", data={"token": secret}, headers=OWN).status_code
    return client


_secrets: dict[tuple[int, str], str] = {}


def positions(page: str) -> list[int]:
    return [int(text) for text in re.findall(r"proof\?position=(\d+)\"", page)]


def test_every_action_has_a_word() -> None:
    """Charts and links call what was recorded by name, never by number."""
    assert set(Action) == set(spelling.ACTIONS)


def test_policy(shown: Service) -> None:
    """Every page forbids whatever is not its own: scripts and styles in the page, other hosts, frames; and is kept by no cache."""
    client = as_one(shown, *Permission)
    for path in ("/console", "/console/trail", "/console/verify", "/console/nosuch", "/console/sign-in"):
        answer = client.get(path)
        policy = answer.headers["Content-Security-Policy"]

        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "no-store" == answer.headers["Cache-Control"]
        assert not re.search(r"<script(?![^>]* src=)(?![^>]*application/json)|<style| style=| on\w+=", answer.text), path
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', answer.text), path


def test_trail_is_the_audit_call(shown: Service) -> None:
    """The trail's page shows what the audit call answers with, under every filter, and pages of it follow each other without a gap."""
    client = as_one(shown, *Permission)
    services = shown.services
    for query in (
        "",
        "name=ocr",
        "action=310&action=210",
        "state=3&order=asc",
        "createdBy=a.lindner",
        "objectId=R-4101",
        "after=20&before=90",
    ):
        asked = dict(part.split("=") for part in query.split("&") if "action" not in part and part)
        order = asked.pop("order", "desc")
        filters = questions.filters(
            {
                **dict.fromkeys(name.name for name in questions.FILTERS),
                **_typed(asked),
                "action": [310, 210] if "action" in query else None,
            }
        )
        expected = [
            entry["position"]
            for page in TrailQuery(Trail(shown.database)).walk("default", filters, services.trail.head("default"), 0)
            for entry in page
        ]
        told: list[int] = []
        path = f"/console/trail?{query}"
        while path:
            page = client.get(path).text
            told += positions(page)
            following = re.search(r'rel="next" href="([^"]+)"', page)
            path = unescape(following[1]) if following else ""

        assert (expected if order == "asc" else expected[::-1]) == told, query
        assert expected


def _typed(asked: dict[str, str]) -> dict[str, Any]:
    return {name: int(text) if name in ("after", "before") else text for name, text in asked.items()}


def test_empty_fields_say_nothing(shown: Service) -> None:
    """A form that is sent without a script leads to the question's own link; times are taken as people write them."""
    client = as_one(shown, *Permission)
    led = client.get("/console/trail?objectId=&name=ocr&from=&order=desc&action=310")

    assert (303, "/console/trail?name=ocr&action=310") == (led.status_code, led.location)
    assert 200 == client.get("/console/trail?from=2026-01-01&to=2036-01-01 08:30").status_code
    assert "2026-01-01T08:30:00Z" == questions.whole_time("2026-01-01 08:30")


@pytest.mark.parametrize(
    "query", ["from=tomorrow", "action=x", "objectId=a/b", "cursor=zz", "traceId=XYZ", "order=up", "after=-1"]
)
def test_a_question_that_cannot_be_read(shown: Service, query: str) -> None:
    """A field that cannot be read is told on the page, which keeps what was typed."""
    answer = as_one(shown, *Permission).get(f"/console/trail?name=ocr&{query}")

    assert 400 == answer.status_code
    assert 'role="alert"' in answer.text
    assert 'name="name" value="ocr"' in answer.text


def test_export_is_what_is_shown(shown: Service, tmp_path: Path) -> None:
    """The export has the question's filters, is recorded under the caller's name, and verifies."""
    client = as_one(shown, Permission.AUDIT)
    page = client.get("/console/trail?name=ocr&action=310").text
    link = unescape(re.findall(r'href="([^"]*/trail/export[^"]+proofs=true)"', page)[0])
    file = tmp_path / "export"
    file.write_bytes(client.get(link).data)
    identity = shown.services.checkpointer.identities.current()
    assert identity is not None
    report = verify_file(file, [identity.verifier("default")], None, lambda _done, _all: None)
    shown.services.trail.wait_for("default")
    recorded = shown.database.trail.find_one({"action": 10400}, sort=[("position", -1)])

    assert 0 == report.status
    assert {"action": [310], "name": "ocr"} == json.loads(file.read_bytes().splitlines()[-1])["manifest"]["filters"]
    assert recorded is not None
    assert ("one-audit", {"action": [310], "name": "ocr"}) == (recorded["createdBy"], recorded["state"]["filters"])


def test_live(shown: Service) -> None:
    """What matches is told as it is recorded, rows of the page; what does not match is not; the stream ends with the service."""
    client = as_one(shown, *Permission)
    head = shown.services.trail.head("default")
    for name, state in (("live", 1), ("other", 1), ("live", 2)):
        secret = _secrets[id(shown), "-".join(["one", *Permission])]
        done = client.post(
            f"/api/dms/objects/live-{state}/tags/{name}/state/{state}", headers={"Authorization": f"Bearer {secret}"}
        )
        assert 200 == done.status_code
    shown.services.trail.wait_for("default")
    answer = client.get(f"/console/trail/live?name=live&since={head}", headers={"Sec-Fetch-Dest": "empty"})
    stream = answer.iter_encoded()
    told: list[bytes] = []
    while len(told) < 2:
        told += [part for part in next(stream).splitlines() if part.startswith(b"data: ")]
    closing = shown.services.console.closing
    closing.set()  # as the server does when it stops
    rest = b"".join(stream)
    closing.clear()

    assert b"data: " not in rest
    rows = [json.loads(part.removeprefix(b"data: "))["row"] for part in told]
    assert ["live-1", "live-2"] == [re.findall(r"object/(live-\d)\"", row)[0] for row in rows]


def test_tags_at_any_time(shown: Service) -> None:
    """The slider's steps and a time show the tags as `?at=` does; each step is what the entry there left."""
    client = as_one(shown, *Permission)
    history = shown.services.trail.history(_object("R-4101"), 50, 0).entries[::-1]
    for step in (0, len(history) // 2, len(history) - 1):
        entry = history[step]
        page = client.get(f"/console/resources/object/R-4101?step={step}").text
        table = page.partition('id="standing"')[2].partition("</section>")[0]
        expected = shown.services.past.tags_at(_object("R-4101"), entry["creationDate"])

        assert [tag.name for tag in expected] == re.findall(r"<tr><td>([^<]+)</td>", table)
    before = client.get("/console/resources/object/R-4101?at=2020-01-01").text
    assert "<p>None.</p>" in before.partition('id="standing"')[2].partition("</section>")[0]
    assert 400 == client.get("/console/resources/object/R-4101?at=yesterday").status_code


def _object(object_id: str) -> Resource:
    return Resource("default", Kind.OBJECT, object_id)


def test_a_trace_over_the_apis(shown: Service) -> None:
    """A trace's page has what changed in it, on objects and on what the metadata API tags, and nothing else."""
    page = as_one(shown, Permission.AUDIT).get(f"/console/traces/{TRACE}").text

    assert {"object/R-4120", "object/R-4108", "site/site-12"} == set(re.findall(r'<h2 id="([^"]+)"', page))
    assert sorted(shown.database.trail.distinct("position", {"traceId": TRACE})) == sorted(positions(page))


def test_proof_leads_to_the_root(shown: Service) -> None:
    """The drawn hashes are the way from the entry to the root of the checkpoint; a position that is not there is told."""
    client = as_one(shown, Permission.AUDIT)
    page = client.get("/console/proof?position=77").text
    told = json.loads(page.partition('id="proof">')[2].partition("</script>")[0])["proof"]
    root = shown.services.checkpointer.log.tree("default").root(told["size"])

    assert f"<code>{root.hex()}</code>" in page
    assert len(told["proof"]) == page.count('class="sibling"')
    assert 404 == client.get("/console/proof?position=99999").status_code


def test_overview_counts(shown: Service) -> None:
    """The overview's hours and actions add up to what was recorded since they began; queues, leases and the log are as they stand."""
    page = as_one(shown, *Permission).get("/console").text
    since = shown.services.database.clock.now().replace(minute=0, second=0, microsecond=0)
    hours = [int(count) for count in re.findall(r"<tr><td>\d{4}-\d\d-\d\d \d\d:00</td><td class=\"number\">(\d+)</td>", page)]
    last_hour = shown.database.trail.count_documents({"recordedAt": {"$gte": since}})

    assert 24 == len(hours)
    assert last_hour == hours[-1]
    assert shown.database.trail.count_documents({"action": 10110}) == int(
        re.findall(r"administration: created</a></td><td class=\"number\">(\d+)", page)[0]
    )
    assert "3 leased" in page
    assert re.search(r"<td>2</td><td>running</td><td class=\"number\">3</td>", page)


def test_subscriptions(shown: Service) -> None:
    """Who administers sees how subscriptions stand; nobody else sees that there are any."""
    admin = as_one(shown, *Permission)
    secret = _secrets[id(shown), "-".join(["one", *Permission])]
    order = {"url": "https://siem.example/hook", "paused": True}
    done = admin.put("/api/dms/subscriptions/siem", json=order, headers={"Authorization": f"Bearer {secret}"})
    page = admin.get("/console").text

    assert 200 == done.status_code
    assert "https://siem.example/hook" in page
    assert "<strong>paused</strong>" in page
    assert "siem" not in as_one(shown, Permission.READ, Permission.AUDIT).get("/console").text


def test_prefixes(shown: Service) -> None:
    """Whoever may read some names alone is shown those: no other definition, tag, entry, lease or count."""
    client = as_one(shown, Permission.READ, read_prefixes=("export",))
    overview = client.get("/console").text
    page = client.get("/console/resources/object/R-4101").text

    assert ("export:archive" in overview, "ocr" in overview, "leased" in overview) == (True, False, False)
    assert not re.search(r"\bocr\b(?!-)|\bindex\b|approval|proof\?|/traces/", page)
    assert set(re.findall(r"<strong>([\w:]+)</strong>", page)) <= {"export", "export:archive"}
    assert "revision" not in page
    assert "Entries" not in overview


@pytest.mark.parametrize(
    ("permission", "path", "status"),
    [
        (Permission.READ, "/console", 200),
        (Permission.READ, "/console/trail", 403),
        (Permission.READ, "/console/trail/export", 403),
        (Permission.READ, "/console/trail/live?since=0", 403),
        (Permission.READ, "/console/proof?position=1", 403),
        (Permission.READ, f"/console/traces/{TRACE}", 403),
        (Permission.READ, "/console/resources/object/R-4101", 200),
        (Permission.READ, "/console/resources/token/auditor", 403),
        (Permission.READ, "/console/resources/site/site-12", 403),
        (Permission.AUDIT, "/console", 200),
        (Permission.AUDIT, "/console/resources/token/auditor", 200),
        (Permission.AUDIT, "/console/resources/object/R-4101", 200),
        (Permission.WRITE, "/console", 403),
        (Permission.WRITE, "/console/resources/object/R-4101", 403),
        (Permission.WRITE, "/console/verify", 200),
        (Permission.ADMIN, "/console/trail", 403),
    ],
)
def test_who_sees_what(shown: Service, permission: Permission, path: str, status: int) -> None:
    """Each page is for who has its permission, and says so to the others."""
    answer = as_one(shown, permission).get(path)

    assert status == answer.status_code
    assert "text/html" in answer.content_type


def test_links_lead_where_one_may_go(shown: Service) -> None:
    """A page leads to no page that its reader is refused, and to none that is not there."""
    for permissions in ((Permission.READ,), (Permission.AUDIT,), tuple(Permission)):
        client = as_one(shown, *permissions)
        links = set()
        for path in ("/console", "/console/resources/object/R-4108", "/console/objects", "/console/verify"):
            links |= set(re.findall(r'href="(/[^"#]*)', client.get(path).text))
        for link in sorted(map(unescape, links)):
            assert 200 == client.get(link).status_code, (permissions, link)


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("id=8f2c", "resources/object/8f2c"),
        ("id= 8f2c ", "resources/object/8f2c"),
        ("id=site/a%3Fb%23c", "resources/site/a%3Fb%23c"),
        (f"trace={TRACE}", f"traces/{TRACE}"),
    ],
)
def test_looking_up(shown: Service, query: str, target: str) -> None:
    """An object is looked up by its id, another resource by kind and id, a trace by its id."""
    assert f"/console/{target}" == as_one(shown, *Permission).get(f"/console/objects?{query}").location


def test_audit_alone_reads_no_tags(shown: Service) -> None:
    """With audit alone the history is shown, and tags as they stand are not, as in the calls."""
    page = as_one(shown, Permission.AUDIT).get("/console/resources/object/R-4101").text

    assert "shown with the permission <code>read</code>" in page
    assert "proof?position=" in page


def test_markup_is_text() -> None:
    """Markup in names, states and values is text on every page."""
    with running(Settings(mongo_uri="mongomock://", auth="none")) as service:
        client = service.client
        definition = {"states": {"1": MARKUP, "2": "two"}, "transitions": {"1": [2]}}
        assert 200 == client.put("/api/dms/tag-definitions/ocr", json=definition).status_code
        label = client.post("/tags", json={"key": MARKUP[:90], "color": "#000000"}).get_json()["id"]
        value = {"correlation_type": "site", "value": MARKUP}
        assert 200 == client.put(f"/tags/{label}/values/1", json=value, headers={"X-B3-TraceId": "ab"}).status_code
        service.services.trail.wait_for("default")
        service.database.trail.update_many({}, {"$set": {"createdBy": MARKUP, "name": MARKUP, "within": MARKUP}})
        for path in (
            "/console",
            "/console/trail",
            "/console/resources/site/1",
            "/console/traces/ab",
            "/console/trail?createdBy=" + MARKUP.replace("&", "%26"),
            "/console/nosuch" + MARKUP.replace("/", ""),
        ):
            page = client.get(path).text
            assert not re.search(r"<img|<script>|onerror=alert\(1\)>", page), path
            assert path.startswith("/console/nosuch") or "&lt;img" in page, path


def test_verifier_file(shown: Service) -> None:
    """The verifier that is saved holds all that it needs, under a policy with the sums of its own script and style, and allows nothing else."""
    text = as_one(shown, Permission.AUDIT).get("/console/verifier.html").text
    policy = unescape(re.findall(r'Content-Security-Policy" content="([^"]+)"', text)[0])

    assert "default-src 'none'" in policy
    assert not re.search(r'(?:src|href)="|^(?:import|export) ', text.partition("<script")[2], re.MULTILINE)
    assert {file.removeprefix("verify/").removesuffix(".js") for file in assets() if file.startswith("verify/")} == set(MODULES)
    names = re.findall(r"^(?:async )?(?:function\*?|class|const|let) (\w+)", bundle(), re.MULTILINE)
    assert sorted(set(names)) == sorted(names)


def test_assets_are_the_listed_ones(shown: Service) -> None:
    """Nothing but the console's own files is handed out, each with its type, known again by its ETag."""
    client = shown.app.test_client()
    for name in assets():
        answer = client.get(f"/console/assets/{name}")
        assert 200 == answer.status_code
        assert 304 == client.get(f"/console/assets/{name}", headers={"If-None-Match": answer.headers["ETag"]}).status_code
    for name in ("../session.py", "%2e%2e/session.py", "nosuch.js", "verify"):
        assert 404 == client.get(f"/console/assets/{name}").status_code, name


def test_diagrams() -> None:
    """A diagram has each state once and each step once, whatever circles there are; one with too many states is not drawn."""
    steps = {1: frozenset({2}), 2: frozenset({1, 3}), 3: frozenset({3}), 4: frozenset({1})}
    drawn = charts.diagram(Definition("ocr", {number: str(number) for number in (1, 2, 3, 4)}, steps, frozenset({1})))
    assert drawn is not None

    assert [1, 2, 3, 4] == [box.state for box in drawn.boxes]
    assert 4 == len(drawn.steps)
    assert len({(box.x, box.y) for box in drawn.boxes}) == 4
    assert charts.diagram(Definition("ocr", dict.fromkeys(range(40), ""))) is None


def test_ladder_of_every_size() -> None:
    """For every leaf of trees of many sizes the drawn siblings stand on the side on which hashing leads to the root."""
    leaves = [merkle.leaf_hash(bytes([number])) for number in range(20)]
    for size in range(1, 20):
        root = merkle.root_of(leaves[:size])
        for index in range(size):
            proof = merkle.inclusion_proof(
                index, size, lambda nodes: [merkle.root_of(leaves[i << h : (i + 1) << h]) for h, i in nodes]
            )
            merkle.verify_inclusion(leaves[index], index, size, proof, root)
            digest = leaves[index]
            for rung in charts.ladder(*_told(index, size, proof, leaves[index])):
                sibling = bytes.fromhex(rung.sibling)
                digest = merkle.node_hash(sibling, digest) if rung.left else merkle.node_hash(digest, sibling)
            assert root == digest


def _told(index: int, size: int, proof: list[bytes], leaf: bytes) -> tuple[dict[str, Any], list[bytes]]:
    told = {
        "index": index,
        "size": size,
        "leafHash": b64encode(leaf).decode(),
        "proof": [b64encode(each).decode() for each in proof],
    }
    return told, hashes_of(told)
