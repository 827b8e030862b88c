"""docker-compose.yml: within the Compose format, and made of commands that give a working service."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from pymongo import MongoClient

from dms_tags.serving.mongod import HOST, eventually, find_mongod, free_port
from dms_tags.serving.tether import tethered
from tests.support.service import service

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NODES = ("mongo1", "mongo2", "mongo3")

# The part of the Compose format that the file uses
ALLOWED = {
    "file": {"name", "services", "networks", "volumes"},
    "service": {
        *("build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "image", "networks", "ports"),
        *("read_only", "restart", "security_opt", "stop_grace_period", "tmpfs", "volumes"),
    },
    "build": {"context", "dockerfile_inline"},
    "healthcheck": {"test", "interval", "timeout", "retries", "start_period"},
}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}


def test_the_file_is_within_the_compose_format() -> None:
    """Every key is one that Compose knows, and every name that is referred to is declared."""
    assert COMPOSE.keys() <= ALLOWED["file"]
    for declared in SERVICES.values():
        assert declared.keys() <= ALLOWED["service"]
        assert declared.get("build", {}).keys() <= ALLOWED["build"]
        assert declared.get("healthcheck", {}).keys() <= ALLOWED["healthcheck"]
        assert set(declared["networks"]) <= COMPOSE["networks"].keys()
        assert {volume.partition(":")[0] for volume in declared.get("volumes", ())} <= COMPOSE["volumes"].keys()
        for name, dependency in declared.get("depends_on", {}).items():
            assert dependency["condition"] in CONDITIONS
            assert dependency["condition"] != "service_healthy" or "healthcheck" in SERVICES[name]
        for duration in (declared.get("healthcheck", {}).get(key, "1s") for key in ("interval", "timeout", "start_period")):
            assert re.fullmatch(r"[0-9]+s", duration)


def test_only_the_service_can_be_reached() -> None:
    """The MongoDBs are on an internal network alone, and the service's port is on the loopback interface of the host."""
    assert COMPOSE["networks"]["store"]["internal"]
    assert all(SERVICES[node]["networks"] == ["store"] and "ports" not in SERVICES[node] for node in NODES)
    assert ["127.0.0.1:8080:8080"] == SERVICES["service"]["ports"]
    assert "tokens" == SERVICES["service"]["environment"]["DMS_TAGS_AUTH"]


def test_each_node_keeps_its_own_data() -> None:
    """The three MongoDBs differ in their volume and in nothing else."""
    assert 3 == len({SERVICES[node]["volumes"][0] for node in NODES})
    assert SERVICES["mongo1"] == {**SERVICES["mongo2"], "volumes": SERVICES["mongo1"]["volumes"]}
    assert SERVICES["mongo1"] == {**SERVICES["mongo3"], "volumes": SERVICES["mongo1"]["volumes"]}


def test_the_image_is_built_of_what_it_copies(tmp_path: Path) -> None:
    """What the inline Dockerfile copies is there, and is enough to install the command with all that it needs beside code."""
    dockerfile = SERVICES["service"]["build"]["dockerfile_inline"]
    for sources, target in re.findall(r"^COPY (.+) (\S+)$", dockerfile, re.MULTILINE):
        for source in sources.split():
            _copy(ROOT / source, tmp_path / target / ("" if (ROOT / source).is_dir() else source.rpartition("/")[2]))

    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "out", "."]
    subprocess.run(build, cwd=tmp_path, check=True)

    (wheel,) = (tmp_path / "out").glob("dms_tags-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    code = {path for path in ROOT.glob("dms_tags/**/*") if path.is_file() and "__pycache__" not in path.parts}
    assert {str(path.relative_to(ROOT)) for path in code} <= held
    assert re.search(r"--constraint scripts/requirements\.txt \.", dockerfile)
    assert dockerfile.index("RUN ") < dockerfile.index("USER dms-tags") < dockerfile.index('CMD ["dms-tags", "serve"]')


def test_its_commands_give_a_working_service(tmp_path: Path) -> None:
    """The nodes' commands, the set's configuration and the service's environment work together, on three local mongods."""
    ports = {node: free_port() for node in NODES}
    with _nodes(tmp_path, ports):
        with MongoClient[dict[str, Any]](HOST, ports["mongo1"], directConnection=True) as client:
            script = SERVICES["replica-set"]["command"][-1]
            config = json.loads(_local(script.partition("const config = ")[2].partition(";")[0], ports))
            client.admin.command("replSetInitiate", config)
            assert "while (!db.hello().primary)" in script
            assert eventually(lambda: "primary" in client.admin.command("hello"), 30)

        environment = {name: _local(value, ports) for name, value in SERVICES["service"]["environment"].items()}
        environment = {name: value.replace("/data", str(tmp_path)) for name, value in environment.items()}
        environment["DMS_TAGS_BIND"] = f"{HOST}:0"
        shell, option, line = SERVICES["service"]["command"]
        line = line.replace("/data", str(tmp_path)).replace("dms-tags", f"{sys.executable} -m dms_tags.cli.main")
        with service(tmp_path / "service", environment, command=[shell, option, line]) as running:
            assert (tmp_path / "signing.key").exists()
            _, python, *check = SERVICES["service"]["healthcheck"]["test"]
            assert "python" == python
            healthy = [part.replace("http://127.0.0.1:8080", running.url) for part in check]
            assert eventually(lambda: subprocess.run([sys.executable, *healthy], check=False).returncode == 0, 30)
            secret = _dms_tags(environment, "token", "create", "--name", "admin", "--allow", "read,write,audit,admin")
            caller = {"Authorization": f"Bearer {secret}"}
            answer = httpx.post(f"{running.url}/api/dms/objects/doc1/tags/first/state/1", headers=caller, trust_env=False)
            assert 200 == answer.status_code


@contextmanager
def _nodes(folder: Path, ports: Mapping[str, int]) -> Iterator[None]:
    """The three nodes as Compose would start them, but on ports of this machine's loopback interface."""
    processes = []
    try:
        for node, port in ports.items():
            data = folder / node
            data.mkdir()
            program, *arguments = SERVICES[node]["command"]
            assert "mongod" == program
            arguments = [str(port) if argument == "27017" else argument for argument in arguments if argument != "--bind_ip_all"]
            own = ["--dbpath", str(data), "--logpath", str(data / "log"), "--bind_ip", HOST, "--nounixsocket"]
            processes.append(subprocess.Popen(tethered([str(find_mongod()), *arguments, *own]), stdout=subprocess.DEVNULL))
        for port in ports.values():
            with MongoClient[dict[str, Any]](HOST, port, directConnection=True) as client:
                client.admin.command("ping")
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _local(text: str, ports: Mapping[str, int]) -> str:
    for node, port in ports.items():
        text = text.replace(f"{node}:27017", f"{HOST}:{port}")
    return text


def _dms_tags(environment: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "dms_tags.cli.main", *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
