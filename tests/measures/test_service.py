"""What a whole service tells of its processes, its calls and its streams."""

from __future__ import annotations

import os
import platform
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dms_tags.serving.mongod import eventually
from dms_tags.version import __version__
from tests.support.metrics import Samples, samples, total, value
from tests.support.mongo import replica_set
from tests.support.service import Service, service

STATE = "/api/dms/objects/{objectId}/tags/{name}/state/{state}"


@pytest.fixture(scope="module")
def running(mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with service(folder, DMS_TAGS_MONGO_URI=mongo_uri, DMS_TAGS_DATABASE="metrics_service", DMS_TAGS_WORKERS="2") as started:
        assert eventually(lambda: worker_starts(started) == 2, 30)  # it is ready when one of them is
        yield started


def worker_starts(running: Service) -> float:
    """How many workers have started so far."""
    return value(told_by(running), "dms_tags_process_starts_total", process="worker")


def told_by(running: Service) -> Samples:
    """What `/metrics` tells now."""
    return samples(httpx.get(running.url + "/metrics", timeout=20, trust_env=False).text)


def streams_after_a_change(running: Service) -> float:
    """How many streams are open; that a client went is noticed when there is something to tell it."""
    path = f"/api/dms/objects/{uuid.uuid4().hex}/tags/ocr/state/1"
    httpx.post(running.url + path, timeout=20, trust_env=False).raise_for_status()
    return told_by(running)["dms_tags_event_streams"][()]


def test_duration_by_route_method_and_class(running: Service) -> None:
    """Each answer is timed under its route's template; what belongs to no route is counted as one, whatever it asked."""
    with httpx.Client(base_url=running.url, trust_env=False) as client:
        for number in range(3):
            assert 200 == client.post(f"/api/dms/objects/doc{number}/tags/ocr/state/1").status_code
        assert (
            409
            == client.post("/api/dms/objects/doc0/tags/ocr/state/1", headers={"If-None-Match": "*"}).status_code // 100 * 100 + 9
        )
        for number in range(3):
            assert 404 == client.get(f"/nothing/here{number}").status_code
        assert 405 == client.request("BREW", "/health/live").status_code
    told = told_by(running)

    assert 3 == value(told, "dms_tags_request_seconds_count", **{"method": "POST", "route": STATE, "class": "2xx"})
    assert 1 == value(told, "dms_tags_request_seconds_count", **{"method": "POST", "route": STATE, "class": "4xx"})
    assert 3 == value(told, "dms_tags_requests_total", method="GET", route="none", status="404")
    assert 1 == value(told, "dms_tags_requests_total", method="other", route="none", status="405")
    assert "doc0" not in str(told)


def test_time_of_exchanges_with_mongodb(running: Service) -> None:
    """Changes are told apart from other exchanges, and the processes for calls from the keeper."""
    with httpx.Client(base_url=running.url, trust_env=False) as client:
        assert 200 == client.post("/api/dms/objects/timed/tags/ocr/state/1").status_code
    told = told_by(running)

    assert total(told, "dms_tags_mongodb_seconds_count", process="worker", kind="change") >= 1
    assert total(told, "dms_tags_mongodb_seconds_count", process="keeper", kind="other") >= 1
    assert 0 == total(told, "dms_tags_mongodb_seconds_count", process="service")


def test_what_runs(running: Service) -> None:
    """The versions, and what each kind of process takes."""
    told = told_by(running)

    assert 1 == value(told, "dms_tags_build_info", version=__version__, python=platform.python_version())
    assert {"supervisor": 1, "web": 1, "worker": 2, "keeper": 1} == {
        dict(labels)["process"]: count for labels, count in told["dms_tags_processes"].items()
    }
    worker = running.children("web")[-1]
    assert abs(value(told, "dms_tags_process_largest_bytes", process="worker") / 1024 - running.memory(worker)) < 20_000
    assert 2 * value(told, "dms_tags_process_largest_bytes", process="worker") >= value(
        told, "dms_tags_process_memory_bytes", process="worker"
    )
    assert value(told, "dms_tags_process_cpu_seconds_total", process="worker") > 0.1
    assert (
        0
        < value(told, "dms_tags_process_open_files", process="worker")
        < value(told, "dms_tags_process_max_files", process="worker")
    )
    started = value(told, "dms_tags_process_start_seconds", process="supervisor")
    assert abs(started - Path("/proc", str(running.process.pid)).stat().st_ctime) < 60


def test_open_streams_and_a_worker_that_dies(running: Service) -> None:
    """Streams are told while they are open; those of a process that dies with it; its counts stay, and its start is counted."""
    before = told_by(running)
    with httpx.Client(base_url=running.url, trust_env=False) as client:
        with client.stream("GET", "/api/dms/tags/events") as stream:
            next(stream.iter_bytes())
            assert eventually(lambda: streams_after_a_change(running) == 1, 20)
        assert eventually(lambda: streams_after_a_change(running) == 0, 30)
        with client.stream("GET", "/api/dms/tags/events") as stream:
            next(stream.iter_bytes())
            for pid in running.children("web"):
                if Path("/proc", str(pid), "task", str(pid), "children").read_text() == "":
                    os.kill(pid, signal.SIGKILL)
            assert eventually(lambda: running.ready() and told_by(running)["dms_tags_event_streams"].get(()) in (0, None), 30)
    assert eventually(lambda: worker_starts(running) == 2 + value(before, "dms_tags_process_starts_total", process="worker"), 30)
    after = told_by(running)

    cpu = "dms_tags_process_cpu_seconds_total"
    assert value(after, cpu, process="worker") >= value(before, cpu, process="worker")
    assert total(after, "dms_tags_requests_total", route="/metrics") > total(before, "dms_tags_requests_total", route="/metrics")


def test_values_stay_in_every_process_while_mongodb_is_away(tmp_path: Path) -> None:
    """After MongoDB is gone every worker tells what was last known, at once, and that there is no answer; later it is new."""
    with replica_set(tmp_path / "mongod") as mongod, service(tmp_path / "service", DMS_TAGS_MONGO_URI=mongod.uri) as running:
        httpx.post(running.url + "/api/dms/objects/doc/tags/ocr/state/1", trust_env=False, timeout=20).raise_for_status()
        head = {(("tenant", "default"),): 1.0}
        assert eventually(lambda: told_by(running).get("dms_tags_trail_head") == head, 30)
        mongod.nodes[0].kill()
        assert eventually(lambda: told_by(running)["dms_tags_mongodb_up"][()] == 0, 30)
        for _ in range(8):
            away = told_by(running)
            assert head == away["dms_tags_trail_head"]
            assert 0 == away["dms_tags_mongodb_up"][()]
            assert away["dms_tags_measures_age_seconds"][()] > 0
        mongod.nodes[0].start()
        assert eventually(lambda: told_by(running)["dms_tags_mongodb_up"][()] == 1, 60)
