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
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from dms_tags.serving.mongod import HOST, eventually, find_mongod, free_port
from dms_tags.serving.tether import tethered
from dms_tags.settings import Settings
from tests.support.service import service

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NODES = ("mongo1", "mongo2", "mongo3")


# The part of the Compose format that the file uses
ALLOWED = {
    "file": {"name", "services", "networks", "volumes", "configs", "secrets", "x-hardened"},
    "service": {
        *(
            "build",
            "cap_add",
            "cap_drop",
            "command",
            "configs",
            "depends_on",
            "entrypoint",
            "environment",
            "healthcheck",
            "image",
        ),
        *(
            "network_mode",
            "networks",
            "ports",
            "profiles",
            "read_only",
            "restart",
            "secrets",
            "security_opt",
            "stop_grace_period",
        ),
        *("tmpfs", "user", "volumes"),
    },
    "build": {"context", "dockerfile_inline"},
    "healthcheck": {"test", "interval", "timeout", "retries", "start_period"},
}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}


def unescaped(text: str) -> str:
    """A text as Compose passes it on."""
    assert not re.search(r"(?<!\$)(?:\$\$)*\$(?!\$)", text), text
    return text.replace("$$", "$")


DOCKERFILE = unescaped(SERVICES["service"]["build"]["dockerfile_inline"])


def test_the_file_is_within_the_compose_format() -> None:
    """Every key is one that Compose knows, and every name that is referred to is declared."""
    assert COMPOSE.keys() <= ALLOWED["file"]
    for declared in SERVICES.values():
        assert declared.keys() <= ALLOWED["service"]
        assert declared.get("build", {}).keys() <= ALLOWED["build"]
        assert declared.get("healthcheck", {}).keys() <= ALLOWED["healthcheck"]
        assert set(declared.get("networks", ())) <= COMPOSE["networks"].keys()
        assert ("networks" in declared) != ("network_mode" in declared)
        volumes = {volume.partition(":")[0] for volume in declared.get("volumes", ())}
        assert {volume for volume in volumes if not volume.startswith("./")} <= COMPOSE["volumes"].keys()
        assert all((ROOT / volume).is_dir() for volume in volumes if volume.startswith("./"))
        assert set(declared.get("secrets", ())) <= COMPOSE["secrets"].keys()
        assert {config["source"] for config in declared.get("configs", ())} <= COMPOSE["configs"].keys()
        for name, dependency in declared.get("depends_on", {}).items():
            assert dependency["condition"] in CONDITIONS
            healthy = "healthcheck" in SERVICES[name] or "HEALTHCHECK" in SERVICES[name].get("build", {}).get(
                "dockerfile_inline", ""
            )
            assert dependency["condition"] != "service_healthy" or healthy
        for duration in (declared.get("healthcheck", {}).get(key, "1s") for key in ("interval", "timeout", "start_period")):
            assert re.fullmatch(r"[0-9]+s", duration)


def test_only_the_service_can_be_reached() -> None:
    """The MongoDBs are on an internal network alone, and all ports but that with TLS on the loopback interface of the host."""
    assert COMPOSE["networks"]["store"]["internal"]
    assert all(SERVICES[node]["networks"] == ["store"] and "ports" not in SERVICES[node] for node in NODES)
    ports = [port for name, declared in SERVICES.items() if name != "tls-proxy" for port in declared.get("ports", ())]
    assert ["127.0.0.1:8080:8080", "127.0.0.1:9090:9090"] == ports
    assert "tokens" == SERVICES["service"]["environment"]["DMS_TAGS_AUTH"]


def test_every_container_is_held_to_what_it_needs() -> None:
    """None may write to its image, gain privileges or has capabilities that it does not name; all but one are no root."""
    for name, declared in SERVICES.items():
        assert declared["read_only"] is True
        assert ["ALL"] == declared["cap_drop"]
        assert ["no-new-privileges:true"] == declared["security_opt"]
        assert ("cap_add" in declared) == (name == "secrets")
        assert name in ("secrets", "service") or not declared["user"].startswith("0")
    assert "USER 10001:10001" in DOCKERFILE
    assert {"tls-proxy": ["tls"], "prometheus": ["monitoring"]} == {
        name: declared["profiles"] for name, declared in SERVICES.items() if "profiles" in declared
    }


def test_the_proxy_is_believed_and_nobody_else() -> None:
    """The service believes the one address that the proxy has on a network which the two have for themselves."""
    address = SERVICES["tls-proxy"]["networks"]["proxied"]["ipv4_address"]
    assert f"{address}/32" == SERVICES["service"]["environment"]["DMS_TAGS_TRUSTED_PROXIES"]
    assert ip_address(address) in ip_network(COMPOSE["networks"]["proxied"]["ipam"]["config"][0]["subnet"])
    assert ["service", "tls-proxy"] == [name for name, declared in SERVICES.items() if "proxied" in declared.get("networks", ())]
    (alias,) = SERVICES["service"]["networks"]["proxied"]["aliases"]
    assert f"proxy_pass http://{alias}:8080;" in COMPOSE["configs"]["nginx"]["content"]


def test_each_node_keeps_its_own_data() -> None:
    """The three MongoDBs differ in the volume of their data and in nothing else."""
    data = [SERVICES[node]["volumes"][0] for node in NODES]
    assert 3 == len(set(data))
    for node in NODES:
        assert {**SERVICES["mongo1"], "volumes": []} == {**SERVICES[node], "volumes": []}
        assert SERVICES["mongo1"]["volumes"][1:] == SERVICES[node]["volumes"][1:]


def test_the_image_is_built_of_what_it_copies(tmp_path: Path) -> None:
    """What the inline Dockerfile copies is there, and is enough to install the command with all that it needs beside code."""
    build, run = DOCKERFILE.split("\n\n")
    sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for sources, target in re.findall(r"^COPY (.+) (\S+)$", build, re.MULTILINE):
        for source in sources.split():
            assert source in sent
            _copy(ROOT / source, tmp_path / target / ("" if (ROOT / source).is_dir() else source.rpartition("/")[2]))

    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "out", "."]
    subprocess.run(command, cwd=tmp_path, check=True)

    (wheel,) = (tmp_path / "out").glob("dms_tags-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    code = {path for path in ROOT.glob("dms_tags/**/*") if path.is_file() and "__pycache__" not in path.parts}
    assert {str(path.relative_to(ROOT)) for path in code} <= held
    assert re.search(r"--constraint scripts/requirements\.txt \.", build)
    assert "COPY --from=build /opt/dms-tags /opt/dms-tags" in run
    assert run.index("RUN ") < run.index("USER 10001") < run.index('CMD ["dms-tags", "serve"]')
    given = dict(re.findall(r"(DMS_TAGS_\w+)=(\S+)", run))
    assert Settings.from_environment(given).bind == "0.0.0.0:8080"


def test_its_commands_give_a_working_service(tmp_path: Path) -> None:
    """The passwords, the nodes' commands, the set's configuration, its users and the service's environment work together."""
    ports = {node: free_port() for node in NODES}
    secrets = _secrets(tmp_path)
    again = _secrets(tmp_path)
    assert again == secrets
    with _nodes(tmp_path, ports):
        with MongoClient[dict[str, Any]](HOST, ports["mongo1"], directConnection=True) as client:
            script = unescaped(SERVICES["replica-set"]["command"][-1])
            config, users = (
                json.loads(_local(script.partition(f"const {name} = ")[2].partition(";\n")[0], ports))
                for name in ("config", "users")
            )
            client.admin.command("replSetInitiate", config)
            assert eventually(lambda: client.admin.command("hello")["isWritablePrimary"], 60)
            client.admin.command("createUser", users[0]["user"], pwd=secrets["root"], roles=users[0]["roles"])
        with MongoClient[dict[str, Any]](
            HOST, ports["mongo1"], username="root", password=secrets["root"], directConnection=True
        ) as client:
            client.admin.command("createUser", users[1]["user"], pwd=secrets["dms-tags"], roles=users[1]["roles"])
        with (
            MongoClient[dict[str, Any]](HOST, ports["mongo1"], directConnection=True) as stranger,
            pytest.raises(OperationFailure),
        ):
            stranger["dms_tags"]["tags"].find_one()

        (tmp_path / "service" / "mongo-uri").write_text(_local((tmp_path / "service" / "mongo-uri").read_text(), ports))
        environment = SERVICES["service"]["environment"] | {"DMS_TAGS_BIND": f"{HOST}:0"}
        environment = {name: _at(value, tmp_path) for name, value in environment.items()}
        (tmp_path / "data").mkdir()
        shell, option, line = SERVICES["service"]["command"]
        line = _at(line, tmp_path).replace("dms-tags", f"{sys.executable} -m dms_tags.cli.main")
        with service(tmp_path / "running", environment, command=[shell, option, line]) as running:
            assert (tmp_path / "data" / "signing.key").exists()
            python, *check = json.loads(re.search(r"HEALTHCHECK .*\\\n +CMD (.*)", DOCKERFILE)[1])  # type: ignore[index]
            assert "python" == python
            healthy = [part.replace("http://127.0.0.1:8080", running.url) for part in check]
            assert eventually(lambda: subprocess.run([sys.executable, *healthy], check=False).returncode == 0, 30)
            assert 0o440 == (tmp_path / "metrics" / "token").stat().st_mode & 0o777
            secret = _dms_tags(environment, "token", "create", "--name", "admin", "--allow", "read,write,audit,admin")
            caller = {"Authorization": f"Bearer {secret}"}
            answer = httpx.post(f"{running.url}/api/dms/objects/doc1/tags/first/state/1", headers=caller, trust_env=False)
            assert 200 == answer.status_code


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not here")
def test_the_proxy_serves_with_tls(tmp_path: Path) -> None:
    """nginx takes its configuration, and passes calls on to the service."""
    key, certificate = self_signed(tmp_path)
    port, nginx = free_port(), shutil.which("nginx") or ""
    text = unescaped(COMPOSE["configs"]["nginx"]["content"])
    with service(tmp_path / "running", DMS_TAGS_MONGO_URI="mongomock://", DMS_TAGS_TRUSTED_PROXIES=f"{HOST}/32") as running:
        for old, new in (
            ("/tmp/", f"{tmp_path}/"),  # noqa: S108 - the container's
            ("listen 8443", f"listen {HOST}:{port}"),
            ("http://behind-proxy:8080", running.url),
            ("/run/secrets/tls-certificate", str(certificate)),
            ("/run/secrets/tls-key", str(key)),
        ):
            assert old in text
            text = text.replace(old, new)
        if os.getuid() == 0:
            text = f"user root;\n{text}"  # else it would try to become another user
        (tmp_path / "nginx.conf").write_text(text)
        command = [
            nginx,
            *(word.replace("/run/nginx.conf", str(tmp_path / "nginx.conf")) for word in SERVICES["tls-proxy"]["command"][1:]),
        ]
        process = subprocess.Popen(tethered(command))
        try:
            with httpx.Client(base_url=f"https://{HOST}:{port}", verify=False, trust_env=False) as client:  # noqa: S501 - its own certificate

                def answers() -> bool:
                    try:
                        return client.get("/health/ready").status_code == 200
                    except httpx.HTTPError:
                        return False

                assert eventually(answers, 30)
                assert 200 == client.post("/api/dms/objects/doc1/tags/first/state/1").status_code
        finally:
            process.terminate()
            process.wait(20)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """The files of a key and of a certificate for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    moment = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, moment - timedelta(days=1), moment + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    (folder / "certificate.pem").write_bytes(certificate)
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "key.pem", folder / "certificate.pem"


def _secrets(folder: Path) -> dict[str, str]:
    """Runs what makes the passwords, in this folder, without giving them to other users; those of the MongoDBs."""
    for name in ("mongo", "service", "metrics"):
        (folder / name).mkdir(exist_ok=True)
    script = unescaped(SERVICES["secrets"]["command"][0]).replace("chown ", "true ")
    script = re.sub(r"(?<= )/(?=mongo/|service/|metrics/)", f"{folder}/", script)
    shell, *options = SERVICES["secrets"]["entrypoint"]
    subprocess.run([shell, *options, script], check=True)
    assert 0o600 == (folder / "mongo" / "keyfile").stat().st_mode & 0o777
    return {path.name: path.read_text().strip() for path in (folder / "mongo").iterdir()}


def _at(text: str, folder: Path) -> str:
    return (
        text.replace("/run/dms-tags/", f"{folder}/service/")
        .replace("/run/metrics/", f"{folder}/metrics/")
        .replace("/data", f"{folder}/data")
    )


@contextmanager
def _nodes(folder: Path, ports: Mapping[str, int]) -> Iterator[None]:
    """The three nodes as Compose would start them, but on ports of this machine's loopback interface."""
    processes = []
    try:
        for node, port in ports.items():
            data = folder / node
            data.mkdir()
            assert ["mongod"] == SERVICES[node]["entrypoint"]
            arguments = [argument for argument in SERVICES[node]["command"] if argument != "--bind_ip_all"]
            arguments = [argument.replace("--port=27017", f"--port={port}") for argument in arguments]
            arguments = [argument.replace("/run/mongo/", f"{folder}/mongo/") for argument in arguments]
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
