"""`dms-tags serve`: what its operator sees of it, from the first start to the crash of any of its processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest
from pymongo import MongoClient

from dms_tags.serving.mongod import Mongod, eventually, find_mongod, free_port, initiate
from tests.support.mongo import REPLICA_SET, SMALL, replica_set
from tests.support.service import Service, service

TAGS = "/api/dms/objects/doc1/tags"
CANNOT_START = 2


def put(running: Service, name: str) -> int:
    return httpx.post(f"{running.url}{TAGS}/{name}/state/1", timeout=20, trust_env=False).status_code


def names(running: Service) -> list[str]:
    answer = httpx.get(running.url + TAGS, timeout=20, trust_env=False).json()
    return [row[0] for row in answer["objects"][0]["properties"]["system:tags"]["value"]]


def revisions(running: Service) -> int:
    """How many changes of the object the trail tells of."""
    history = httpx.get(f"{running.url}/api/dms/objects/doc1/history", timeout=20, trust_env=False).json()
    return len(next(value for value in history.values() if isinstance(value, list)))


def lines(running: Service) -> list[str]:
    return running.err.read_text().splitlines()


def warnings(running: Service) -> list[str]:
    """What it says that is more than that it starts and stops, and of more than one call."""
    return [line for line in lines(running) if not {json.loads(line)["level"], json.loads(line)["message"]} & {"info", "failed"}]


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def gone(pid: int) -> bool:
    return not Path("/proc", str(pid), "cmdline").exists() or not Path("/proc", str(pid), "cmdline").read_bytes()


def test_it_needs_nothing_and_keeps_everything(tmp_path: Path) -> None:
    """Without any MongoDB it brings its own, and what was acknowledged is there after a stop and after a crash."""
    with service(tmp_path) as running:
        assert 200 == put(running, "first")
        assert 1 == revisions(running)
        assert {"status": "ok"} == httpx.get(f"{running.url}/health/ready", timeout=20, trust_env=False).json()
        assert all(running.memory(pid) < 100_000 for pid in running.children("web"))
        assert 0 == running.stop()

    with service(tmp_path) as running:
        assert ["first"] == names(running)
        assert 200 == put(running, "second")
        processes = [pid for module in ("web", "keeper", "mongod") for pid in running.children(module)]
        running.process.kill()
        running.process.wait()
        assert eventually(lambda: all(map(gone, processes)), 30)

    with service(tmp_path) as running:
        assert ["first", "second"] == names(running)
        assert 2 == revisions(running)


def test_each_process_that_dies_is_replaced(tmp_path: Path) -> None:
    """A killed web process, keeper or mongod is started again, on the same port, and the service goes on."""
    with service(tmp_path, DMS_TAGS_WORKERS="1") as running:
        for module in ("web", "keeper", "mongod"):
            before = running.children(module)
            assert before
            for pid in before:
                end(pid)
            assert eventually(lambda: bool(running.children(module)) and running.ready(), 30)  # noqa: B023 - called here

        assert eventually(lambda: put(running, "after") in {200, 409}, 30)
        assert 1 == revisions(running)


def test_a_second_service_on_the_same_data_is_told_so(tmp_path: Path) -> None:
    """Two services on one data folder: the second ends with one line, the first is not touched.  Ctrl-C ends it cleanly."""
    with service(tmp_path) as running:
        with service(tmp_path / "second", ready=False, DMS_TAGS_DATA=str(tmp_path / "data")) as second:
            assert CANNOT_START == second.process.wait(30)
            (line,) = lines(second)

        assert f"dms-tags: process {running.process.pid} already runs the MongoDB in " in line
        assert running.ready()
        assert 0 == running.stop(signal.SIGINT)


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    """Where something else listens, one line says where, and how to choose another port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with service(tmp_path, ready=False, DMS_TAGS_BIND=address) as running:
            assert CANNOT_START == running.process.wait(30)
            (line,) = lines(running)

    assert line.startswith(f"dms-tags: {address} is in use: ")
    assert "DMS_TAGS_BIND" in line


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("DMS_TAGS_MONGOD", "/no/such/mongod", "no mongod at /no/such/mongod: set DMS_TAGS_MONGO_URI"),
        ("DMS_TAGS_MONGO_URI", "mongodb://", "DMS_TAGS_MONGO_URI: "),
        ("DMS_TAGS_DATA", "/dev/null/data", "DMS_TAGS_DATA=/dev/null/data cannot be written: "),
        ("DMS_TAGS_BIND", "0.0.0.0:0", "DMS_TAGS_AUTH=none would let anyone"),
        ("DMS_TAGS_SIGNING_KEY_FILE", "/no/such/key", "the signing key /no/such/key cannot be read: "),
        ("DMS_TAGS_SIGNING_KEY_FILE", "/dev/null", "/dev/null holds no private key in PEM: "),
        (
            "DMS_TAGS_WITNESS_FILE",
            "/no/such/folder/notes",
            "DMS_TAGS_WITNESS_FILE=/no/such/folder/notes: there is no such folder",
        ),
        ("DMS_TAGS_ORIGIN", "https://tags.example/dms", "DMS_TAGS_ORIGIN=https://tags.example/dms: must be scheme and host"),
        ("DMS_TAGS_CORS_ORIGINS", "*", "DMS_TAGS_CORS_ORIGINS=*: must be scheme and host"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(tmp_path: Path, setting: str, value: str, says: str) -> None:
    """A setting that cannot be served ends the start with one line that names it, and never with memory instead."""
    with service(tmp_path, {"DMS_TAGS_AUTH": "none", setting: value}, ready=False) as running:
        assert CANNOT_START == running.process.wait(30)
        (line,) = lines(running)
        assert "listens" not in running.out.read_text()

    assert line.startswith(f"dms-tags: {says}")


def test_jwts_without_their_issuer_are_no_settings(tmp_path: Path) -> None:
    """JWTs are verified with what the settings name, or the service does not start."""
    with service(tmp_path, ready=False, DMS_TAGS_AUTH="jwt", DMS_TAGS_MONGO_URI="mongomock://") as running:
        assert CANNOT_START == running.process.wait(30)
        assert "listens" not in running.out.read_text()

    assert "DMS_TAGS_JWT_" in lines(running)[0]


def test_a_mongod_outside_a_replica_set_is_refused(tmp_path: Path) -> None:
    """One that runs alone takes no majority's confirmation: the line says what to do."""
    port, folder = free_port(), tmp_path / "alone"
    folder.mkdir()
    command = [str(find_mongod(None)), "--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1"]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen([*command, *SMALL[:2]], stdout=log, stderr=log) as alone:
        try:
            uri = f"mongodb://127.0.0.1:{port}/"
            with MongoClient[dict[str, object]](uri) as client:
                client.admin.command("ping")
            with service(tmp_path / "service", ready=False, DMS_TAGS_MONGO_URI=uri) as running:
                assert CANNOT_START == running.process.wait(30)
                (line,) = lines(running)
                assert "listens" not in running.out.read_text()
        finally:
            alone.terminate()

    assert "outside any replica set" in line
    assert "--replSet" in line


def test_a_wrong_password_is_no_outage(tmp_path: Path) -> None:
    """MongoDB's refusal is said as such, before anything listens: no waiting would mend it."""
    with service(tmp_path / "own") as own:
        put(own, "first")
        port = (tmp_path / "own" / "data" / "mongod.port").read_text()
        uri = f"mongodb://dms-tags:wrong@127.0.0.1:{port}/?directConnection=true&authSource=admin"
        for address in (uri, uri.replace("dms-tags:wrong@", "").partition("&")[0]):
            with service(tmp_path / str(len(address)), ready=False, DMS_TAGS_MONGO_URI=address) as running:
                assert CANNOT_START == running.process.wait(30)
                (line,) = lines(running)
                assert "listens" not in running.out.read_text()
            assert line.startswith("dms-tags: MongoDB refuses the name or password in DMS_TAGS_MONGO_URI")


def test_what_it_says_is_json_from_the_first_line_to_the_last(tmp_path: Path) -> None:
    """Each line of the log is an object; the first tells version and address, the last that it has stopped."""
    with service(tmp_path, DMS_TAGS_MONGO_URI="mongomock://", DMS_TAGS_ACCESS_LOG="true") as running:
        httpx.get(running.url + TAGS, headers={"X-Request-Id": "seven", "X-B3-TraceId": "ff"}, timeout=20, trust_env=False)
        assert 0 == running.stop()

    told = [json.loads(line) for line in lines(running)]
    listens = next(line for line in told if line["message"] == "listens")
    assert {"version", "address", "auth"} <= listens.keys()
    request = next(line for line in told if line.get("request_id") == "seven")
    assert ("ff", "anonymous", "default", 200) == tuple(request[name] for name in ("trace_id", "actor", "tenant", "status"))
    assert "stopped" == told[-1]["message"]


def test_a_newer_database_is_refused(tmp_path: Path, mongo_uri: str, database_name: str) -> None:
    """A database of a newer schema is not touched: one line says so."""
    with MongoClient[dict[str, object]](mongo_uri) as client:
        client[database_name]["schema"].insert_one({"_id": "version", "version": 1_000_000})

    with service(tmp_path, ready=False, DMS_TAGS_MONGO_URI=mongo_uri, DMS_TAGS_DATABASE=database_name) as running:
        assert CANNOT_START == running.process.wait(30)
        (line,) = lines(running)

    assert "schema version 1000000" in line


def test_it_starts_without_mongodb_and_goes_on_when_it_comes(tmp_path: Path) -> None:
    """While MongoDB is down it runs, says so in one line and is not ready; when MongoDB comes it goes on by itself."""
    node = Mongod(find_mongod(), tmp_path / "node0", port=free_port(), replica_set=REPLICA_SET, arguments=SMALL)
    uri = f"mongodb://{node.address}/?replicaSet={REPLICA_SET}"
    with service(tmp_path / "service", ready=False, DMS_TAGS_MONGO_URI=uri, DMS_TAGS_WORKERS="1") as running:
        assert eventually(lambda: running.status("/health/live") == 200, 30)
        assert 503 == running.status("/health/ready")
        assert eventually(lambda: bool(warnings(running)), 30)
        (line,) = warnings(running)
        assert "MongoDB does not answer; the service goes on by itself when it does: " in line
        assert f"{node.address}: [Errno 111] Connection refused" in line
        try:
            node.start()
            with node.client() as client:
                initiate(client, REPLICA_SET, [node.address])
            assert eventually(running.ready, 60)
            assert 200 == put(running, "first")
            assert 1 == revisions(running)
            # Nobody set up who signs: it is said in the log and beside "ready", with the command that mends it
            assert eventually(lambda: any("audit keygen" in line for line in warnings(running)), 30)
            assert "audit keygen" in httpx.get(f"{running.url}/health/ready", timeout=20, trust_env=False).text
        finally:
            node.kill()


def test_memory_is_announced_loudly(tmp_path: Path) -> None:
    """With mongomock:// one process does everything, and says that nothing survives it."""
    with service(tmp_path, DMS_TAGS_MONGO_URI="mongomock://", DMS_TAGS_WORKERS="4") as running:
        assert "NOTHING survives" in lines(running)[0]
        assert 200 == put(running, "first")
        assert 1 == revisions(running)
        assert [] == running.children("keeper")
        assert 0 == running.stop()


def test_three_nodes_are_served_by_their_address(tmp_path: Path) -> None:
    """A replica set that is given is used, and no mongod of its own is started."""
    with replica_set(tmp_path / "set") as nodes, service(tmp_path / "service", DMS_TAGS_MONGO_URI=nodes.uri) as running:
        assert 200 == put(running, "first")
        assert [] == running.children("mongod")
        assert not (tmp_path / "service" / "data" / "mongod").exists()
