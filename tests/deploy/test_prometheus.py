"""A real Prometheus reads a loaded service, and evaluates the alerts and the dashboard."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from dms_tags.serving.mongod import eventually, free_port
from dms_tags.serving.tether import tethered
from tests.deploy.test_monitoring import ALERTS, MONITORING, panels
from tests.support.service import Service

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not here")

CHOSEN = {
    "$job": "dms-tags",
    "$instance": ".*",
    "$tenant": ".*",
    "$__rate_interval": "10s",
}
"""What Grafana would put in for the dashboard's variables."""


class Prometheus:
    """A running Prometheus."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def ask(self, path: str, **query: str) -> Any:
        """The data of an answer of its API."""
        answer = self.client.get(f"/api/v1/{path}", params=query)
        assert 200 == answer.status_code, answer.text
        return answer.json()["data"]

    def ready(self) -> bool:
        """Whether it serves."""
        try:
            return self.client.get("/-/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def rules(self) -> list[dict[str, Any]]:
        """How it stands with the rules."""
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]


@contextmanager
def reading(service: Service, folder: Path) -> Iterator[Prometheus]:
    """Prometheus with the configuration that comes along, reading this service every second."""
    for file in ("alerts.yml", "limits.yml"):
        shutil.copy(MONITORING / file, folder)
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [service.url.removeprefix("http://")]}]
    (folder / "token").write_text("unused")
    job["authorization"]["credentials_file"] = str(folder / "token")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        *("prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"),
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(tethered(command), stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client:
            prometheus = Prometheus(client)
            assert eventually(prometheus.ready, 60), (folder / "log").read_text()
            yield prometheus
    finally:
        process.terminate()
        process.wait(30)


def test_alerts_and_panels_are_evaluated(loaded: Service, tmp_path: Path) -> None:
    """No rule fails; a service that is well sets off no alert; all panels but those without events show something."""
    with reading(loaded, tmp_path) as prometheus, httpx.Client(base_url=loaded.url, trust_env=False) as client:

        def evaluated() -> bool:
            client.post("/api/dms/objects/doc0/tags/ocr/state/1", params={"overwrite": "true"})
            return all(rule["health"] == "ok" and rule["evaluationTime"] > 0 for rule in prometheus.rules())

        assert eventually(evaluated, 60), prometheus.rules()
        assert eventually(lambda: ["up"] == [target["health"] for target in prometheus.ask("targets")["activeTargets"]], 30)
        assert ALERTS == [rule["name"] for rule in prometheus.rules() if rule["type"] == "alerting"]
        assert [] == [rule["name"] for rule in prometheus.rules() if rule.get("state", "inactive") != "inactive"]

        def silent() -> list[str]:
            client.post("/api/dms/objects/doc0/tags/ocr/state/1", params={"overwrite": "true"})
            return [
                panel["title"]
                for panel in panels()
                if not any(prometheus.ask("query", query=query(target))["result"] for target in panel["targets"])
            ]

        assert eventually(lambda: silent() == ["Failed calls"] or silent() == [], 60), silent()


def query(target: dict[str, Any]) -> str:
    """A panel's question with the dashboard's variables put in."""
    return re.sub(r"\$(?:__)?\w+", lambda variable: CHOSEN[variable[0]], target["expr"])
