"""What is there for Prometheus and Grafana asks for metrics that a service tells, and every alert is explained."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.metrics import Samples, samples
from tests.support.service import Service

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "scripts" / "deploy" / "monitoring"
RULES: list[dict[str, Any]] = [
    rule
    for file in ("alerts.yml", "limits.yml")
    for group in yaml.safe_load((MONITORING / file).read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule["alert"] for rule in RULES if "alert" in rule]
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
OPERATING = (ROOT / "dms_tags" / "docs" / "OPERATING.md").read_text()

GIVEN = {"job", "instance"}
"""Labels that Prometheus puts to every series itself."""

SELECTOR = re.compile(r"\b(dms_tags_\w+)(?:{([^}]*)})?")
PROMTOOL = shutil.which("promtool") or ""
WITH_PROMTOOL = pytest.mark.skipif(not PROMTOOL, reason="promtool (Debian: prometheus) is not here")


def told_by(service: Service) -> Samples:
    """What the service tells."""
    return samples(httpx.get(service.url + "/metrics", timeout=20, trust_env=False).text)


def panels() -> Iterator[dict[str, Any]]:
    """The dashboard's panels that show something."""
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def expressions() -> Iterator[str]:
    """Everything that is asked of Prometheus."""
    yield from (rule["expr"] for rule in RULES)
    yield from (target["expr"] for panel in panels() for target in panel["targets"])
    yield from (variable["query"]["query"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query")


def test_every_metric_and_label_is_told(loaded: Service) -> None:
    """Whatever a rule or a panel selects is in a loaded service's answer, with the labels that it selects by."""
    told = told_by(loaded)
    recorded = {rule["record"]: {**rule["labels"]} for rule in RULES if "record" in rule}
    asked = [selector for expression in expressions() for selector in SELECTOR.findall(expression)]

    assert len(asked) > 60
    for metric, labels in asked:
        if metric in recorded:
            continue
        assert metric in told, metric
        known = {name for series in told[metric] for name, _ in series} | GIVEN
        assert set(re.findall(r"(\w+)=?[=~!]", labels)) <= known, (metric, labels)


def test_labels_that_are_summed_by_are_told(loaded: Service) -> None:
    """Each label that an expression groups by is one of a metric in it."""
    told = told_by(loaded)
    for expression in expressions():
        names = {name for name, _ in SELECTOR.findall(expression)}
        known = {label for name in names for series in told.get(name, {}) for label, _ in series} | GIVEN | {"le"}
        used = {word.strip() for words in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression) for word in words.split(",")}
        assert used <= known, expression


def test_the_table_of_metrics_is_what_is_told(loaded: Service) -> None:
    """The operators' table has every metric that a service tells, and no other."""
    listed = re.findall(r"^\| `(dms_tags_\w+)`", OPERATING, re.MULTILINE)
    series = {re.sub(r"_(bucket|count|sum)$", "", name) for name in told_by(loaded)}

    assert sorted(series) == sorted(listed)


def test_each_alert_is_explained() -> None:
    """Each alert has its line for operators, each line its alert, and each alert a test of when it fires and when not."""
    assert ALERTS == re.findall(r"^\| `(DmsTags\w+)` \| [^|]+ \| [^|]+ \|$", OPERATING, re.MULTILINE)
    tests = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    for fires in (True, False):
        assert set(ALERTS) == {case["alertname"] for case in cases if bool(case["exp_alerts"]) is fires}


@WITH_PROMTOOL
def test_promtool_takes_the_rules() -> None:
    """Prometheus' own tool finds nothing wrong, and each alert fires when it should."""
    for line in (
        ["check", "rules", "--lint-fatal", "alerts.yml", "limits.yml"],
        ["check", "config", "--syntax-only", "prometheus.yml"],
        ["test", "rules", "alerts_test.yml"],
    ):
        done = subprocess.run([PROMTOOL, *line], cwd=MONITORING, capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stdout + done.stderr


def test_panels_are_complete() -> None:
    """Each panel has a title, a place of its own and something to show, from the chosen data source."""
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]

    assert len(set(places)) == len(places)
    assert len({panel["title"] for panel in panels()}) == len(list(panels()))
    for panel in panels():
        assert "${datasource}" == panel["datasource"]["uid"]
        assert panel["targets"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
