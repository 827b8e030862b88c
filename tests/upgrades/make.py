"""Makes the database of an earlier version, by that version's code: `python -m tests.upgrades.make CODE FILE`.

`CODE` is a checkout of it (0.1.0: `git worktree add /tmp/code fd07cd9`), `FILE` where the database goes, one document of MongoDB's
Extended JSON a line under the name of its collection, what callers were answered before it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import httpx
from bson import json_util

from tests.support.mongo import replica_set
from tests.support.service import Service, service

RUN: Final = (sys.executable, "-c", "import sys; from dms_tags.cli import main; sys.exit(main(sys.argv[1:]))")
ARCHIVE: Final = """
import sys
from datetime import timedelta
from pathlib import Path
from dms_tags.audit.archive import Archiver
from dms_tags.audit.checkpointer import Checkpointer
from dms_tags.database import Database
from dms_tags.settings import Settings
from dms_tags.tags.model import Actor, now
from dms_tags.tags.store import TagStore
settings = Settings.from_environment()
database = Database.connect(settings)
archiver = Archiver(database, Checkpointer.of(database, settings), TagStore(database), clock=lambda: now() + timedelta(hours=2))
print(archiver.archive("default", now() + timedelta(hours=2), Path(sys.argv[1]), Actor("operator", "cli")))
"""
TAGS: Final = "/api/dms/objects/{}/tags"


class Earlier:
    """The earlier version at work on one database."""

    def __init__(self, code: Path, folder: Path, uri: str) -> None:
        self.folder = folder
        self.settings = {
            "PYTHONPATH": str(code),
            "PYTHONSAFEPATH": "1",  # else the code of the working folder would come first
            "DMS_TAGS_MONGO_URI": uri,
            "DMS_TAGS_DATABASE": "old",
            "DMS_TAGS_SIGNING_KEY_FILE": str(folder / "signing.key"),
            "DMS_TAGS_LOG_ORIGIN": "old.example/audit",
            "DMS_TAGS_AUTH": "tokens",
            "DMS_TAGS_WORKERS": "1",
        }

    def run(self, *line: str) -> str:
        """The last line of what a command prints."""
        return self._output(*RUN, *line)

    def archive(self, file: Path) -> None:
        """Archives, as if what was recorded just now were two hours old."""
        self._output(sys.executable, "-c", ARCHIVE, str(file))

    def _output(self, *command: str) -> str:
        done = subprocess.run(command, env=os.environ | self.settings, check=True, capture_output=True, text=True)
        return (done.stdout.splitlines() or [""])[-1]


def main() -> None:
    """Makes the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("code", type=Path)
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, replica_set(Path(name) / "mongod") as mongod:
        earlier = Earlier(given.code.absolute(), Path(name), mongod.uri)
        earlier.run("audit", "keygen")
        token = earlier.run("token", "create", "--name", "worker", "--allow", "read,write,audit,admin")
        answered = _load(earlier, token)
        database = mongod.primary().client()["old"]
        with given.file.open("w", encoding="utf-8") as out:
            out.write(json.dumps(answered | {"key": (Path(name) / "signing.key").read_text()}) + "\n")
            for collection in sorted(database.list_collection_names()):
                for document in database[collection].find() if collection != "leases" else ():
                    out.write(json_util.dumps([collection, document], json_options=json_util.CANONICAL_JSON_OPTIONS) + "\n")


def _load(earlier: Earlier, token: str) -> dict[str, Any]:
    """Uses the earlier version in every way that leaves something; what callers have in their hands afterwards."""
    earlier.run("chain", "add", "--id", "1", "--name", "FOO")
    session = earlier.run("session", "create", "--user", "7", "--chain", "1:read,write,delete", "--expires", "9000-01-01")
    archived = earlier.folder / "archived.ndjson"
    with service(earlier.folder / "service", earlier.settings, command=(*RUN, "serve")) as running:
        call = _Caller(running.url, token)
        many = [{"objectId": "busy", "name": "ocr", "state": number, "action": "set"} for number in range(260)]
        call("POST", "/api/dms/objects/tags", json={"changes": many})
        call("POST", TAGS.format("quiet") + "/ocr/state/5")
        call("GET", "/api/dms/audit?limit=1")
        assert 0 == running.stop()
    earlier.archive(archived)
    with service(earlier.folder / "service", earlier.settings, command=(*RUN, "serve")) as running:
        call = _Caller(running.url, token)
        answered = _changes(call, session)
        (keeper,) = running.children("keeper")
        os.kill(keeper, signal.SIGSTOP)  # so that the last change stays where no relay has moved it
        call("POST", TAGS.format("doc1") + "/late/state/4", headers={"X-B3-TraceId": "beef"})
        answered["tags"] = {name: call("GET", TAGS.format(name)).json() for name in ("doc1", "doc2", "doc3", "busy", "quiet")}
        _kill(running)
    return answered | {"token": token, "session": session}


def _changes(call: _Caller, session: str) -> dict[str, Any]:
    call("PUT", "/api/dms/tag-definitions/ocr", json={"states": {"1": "to do", "2": "at it", "3": "done"}, "enforce": True})
    for number in range(1, 4):
        call("POST", TAGS.format(f"doc{number}") + "/ocr/state/1", headers={"Idempotency-Key": f"key{number}"})
    call("POST", TAGS.format("doc2") + "/ocr/state/2?overwrite=true&traceIdMustMatch=false", headers={"X-B3-TraceId": "cafe"})
    call("POST", TAGS.format("doc2") + "/index/state/7")
    call("DELETE", TAGS.format("doc2") + "/index")
    at = call("GET", TAGS.format("doc2")).json()["objects"][0]["properties"]["system:tags"]["value"][0][2]
    query = "SELECT * FROM document WHERE system:tags[ocr].state=1"
    claimed = call(
        "POST",
        "/api/dms/objects/tags/ocr/state/2",
        params={"query": query, "leaseSeconds": "1"},
        headers={"Idempotency-Key": "claim1"},
    ).json()
    made = call("POST", "/tags", json={"key": "Region", "color": "#3F51B5", "mandatory_on": ["site"]}).json()
    call("PUT", f"/tags/{made['id']}/values/site1", json={"correlation_type": "site", "value": "Nord"})
    headers = {"X-Spaaza-Session-User-Id": "7", "X-Spaaza-Session-Key": session}
    gold = {"chain_id": 1, "value": "gold", "model_class": "user"}
    added = call("POST", "/auth/add-tag", json=gold, headers=headers | {"Idempotency-Key": "chain1"}).json()
    call("POST", "/auth/alter-tag", json={"id": added["results"]["tag"]["id"], "active": False}, headers=headers)
    return {
        "definition": made["id"],
        "claimed": claimed,
        "at": at,
        "history": call("GET", "/api/dms/objects/doc2/history").json(),
        "export": call("GET", "/api/dms/audit/export?format=ndjson&after=256&before=262").text,
    }


class _Caller:
    """Calls a service with a token; every call must be answered."""

    def __init__(self, url: str, token: str) -> None:
        self._client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False)

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self._client.request(method, path, **more)
        assert 200 <= answer.status_code < 300, answer.text
        return answer


def _kill(running: Service) -> None:
    for pid in [running.process.pid, *running.children("keeper"), *running.children("web"), *running.children("worker")]:
        os.kill(pid, signal.SIGKILL)
    running.process.wait()


if __name__ == "__main__":
    main()
