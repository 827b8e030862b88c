"""The Kubernetes manifests: whole, of settings and paths that there are, and within the schemas."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from dms_tags.app import create_app
from dms_tags.settings import Settings
from dms_tags.store.database import Database

FOLDER = Path(__file__).parents[2] / "scripts" / "deploy" / "kubernetes"
MANIFESTS: dict[str, dict[str, Any]] = {
    file.stem: yaml.safe_load(file.read_text()) for file in FOLDER.glob("*.yaml") if file.stem != "kustomization"
}
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
POD: dict[str, Any] = MANIFESTS["deployment"]["spec"]["template"]
CONTAINERS = [*POD["spec"]["initContainers"], *POD["spec"]["containers"]]
SERVICE: dict[str, Any] = POD["spec"]["containers"][0]
KUBECTL = shutil.which("kubectl") or ""


def test_all_manifests_are_listed() -> None:
    """What is applied is what lies there, each of its own name and all of one application."""
    assert {f"{name}.yaml" for name in MANIFESTS} == set(KUSTOMIZATION["resources"])
    assert {"dms-tags"} == {manifest["metadata"]["name"] for manifest in MANIFESTS.values()}
    assert {name: manifest["kind"].lower() for name, manifest in MANIFESTS.items()} == {name: name for name in MANIFESTS}
    assert {container["image"] for container in CONTAINERS} == {image["name"] for image in KUSTOMIZATION["images"]}


def test_the_settings_are_settings(tmp_path: Path) -> None:
    """Every variable is one that the service reads, with a value that it takes; files are those that are mounted."""
    environment: dict[str, str] = dict(MANIFESTS["configmap"]["data"])
    uri = Path(environment["DMS_TAGS_MONGO_URI_FILE"])
    for name, value in environment.items():
        if Path(value).parent == uri.parent:
            (tmp_path / Path(value).name).write_text(MANIFESTS["secret"]["stringData"][Path(value).name])
            environment[name] = str(tmp_path / Path(value).name)
    settings = Settings.from_environment(environment)

    assert "tokens" == settings.authentication
    assert "mongodb" == (settings.mongo_uri or "").partition("://")[0]
    (port,) = SERVICE["ports"]
    assert settings.port == port["containerPort"]
    mounts = {mount["mountPath"] for mount in SERVICE["volumeMounts"]}
    assert {str(uri.parent), str(settings.data), "/tmp"} == mounts  # noqa: S108 - the container's
    assert settings.signing_key_file is not None
    assert settings.signing_key_file.parent == settings.data


def test_what_is_asked_for_is_served() -> None:
    """Probes and scrapes go to a path that the service has, which needs no identity or is given a token."""
    settings = Settings(mongo_uri="mongomock://", auth="none")
    app = create_app(settings, database=Database.connect(settings))
    paths = (app.test_client().get("/openapi.json").json or {})["paths"]
    probes = {SERVICE[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    (endpoint,) = MANIFESTS["servicemonitor"]["spec"]["endpoints"]

    assert {"/health/live", "/health/ready"} == probes
    assert {*probes, endpoint["path"]} <= paths.keys()
    token = Path(MANIFESTS["configmap"]["data"]["DMS_TAGS_METRICS_TOKEN_FILE"]).name
    assert endpoint["authorization"]["credentials"]["key"] == token in MANIFESTS["secret"]["stringData"]
    assert {"http"} == {
        endpoint["port"],
        SERVICE["ports"][0]["name"],
        MANIFESTS["service"]["spec"]["ports"][0]["targetPort"],
        MANIFESTS["networkpolicy"]["spec"]["ingress"][0]["ports"][0]["port"],
        *(SERVICE[name]["httpGet"]["port"] for name in ("startupProbe", "livenessProbe", "readinessProbe")),
    }


def test_every_selector_finds_the_pods() -> None:
    """Deployment, service, budget and policy select by what the pods are labelled with; the autoscaler names the deployment."""
    labels = POD["metadata"]["labels"]
    selectors = [
        MANIFESTS["deployment"]["spec"]["selector"]["matchLabels"],
        MANIFESTS["service"]["spec"]["selector"],
        MANIFESTS["poddisruptionbudget"]["spec"]["selector"]["matchLabels"],
        MANIFESTS["networkpolicy"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert [labels] * 4 == selectors
    target = MANIFESTS["horizontalpodautoscaler"]["spec"]["scaleTargetRef"]
    assert ("Deployment", "dms-tags") == (target["kind"], target["name"])
    assert "replicas" not in MANIFESTS["deployment"]["spec"]
    assert (
        MANIFESTS["horizontalpodautoscaler"]["spec"]["minReplicas"] > MANIFESTS["poddisruptionbudget"]["spec"]["maxUnavailable"]
    )


def test_the_pods_are_confined() -> None:
    """They fit the restricted standard of their namespace: no root, no capabilities, nothing to write to but what is mounted."""
    pod = POD["spec"]["securityContext"]
    assert (True, 10001, "RuntimeDefault") == (pod["runAsNonRoot"], pod["runAsUser"], pod["seccompProfile"]["type"])
    assert POD["spec"]["automountServiceAccountToken"] is False
    for container in CONTAINERS:
        context = container["securityContext"]
        assert (False, True) == (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"])
        assert {"drop": ["ALL"]} == context["capabilities"]
        assert {"cpu", "memory"} == container["resources"]["requests"].keys()


def test_the_key_is_put_where_it_is_read(tmp_path: Path) -> None:
    """The first container copies the mounted key, for the service's user alone."""
    (secret,) = (volume["secret"] for volume in POD["spec"]["volumes"] if "secret" in volume)
    assert {item["key"] for item in secret["items"]} <= MANIFESTS["secret"]["stringData"].keys()
    *command, source, target = POD["spec"]["initContainers"][0]["command"]
    assert target == MANIFESTS["configmap"]["data"]["DMS_TAGS_SIGNING_KEY_FILE"]
    assert Path(source).name in {item["path"] for item in secret["items"]}
    (tmp_path / "mounted").write_text("key")
    subprocess.run([shutil.which(command[0]) or "", *command[1:], tmp_path / "mounted", tmp_path / "key"], check=True)
    assert ("key", 0o600) == ((tmp_path / "key").read_text(), (tmp_path / "key").stat().st_mode & 0o777)


@pytest.fixture
def rendered() -> str:
    """The manifests as they are applied."""
    if not KUBECTL:
        pytest.skip("kubectl is not here")
    done = subprocess.run([KUBECTL, "kustomize", FOLDER], capture_output=True, text=True, check=True)
    assert "" == done.stderr
    return done.stdout


def test_kustomize_renders_it(rendered: str) -> None:
    """kubectl's own kustomize makes the manifests, labelled, of a version and in their namespace."""
    made = list(yaml.safe_load_all(rendered))

    assert len(MANIFESTS) == len(made)
    assert {None, "dms-tags"} == {manifest["metadata"].get("namespace") for manifest in made}
    assert all(manifest["metadata"]["labels"]["app.kubernetes.io/name"] == "dms-tags" for manifest in made)
    assert not re.search(r"\bimage: dms-tags$", rendered, re.MULTILINE)


def test_the_schemas_take_it(rendered: str) -> None:
    """Kubernetes' own schemas know every member."""
    for manifest in yaml.safe_load_all(rendered):
        if manifest["kind"] != "ServiceMonitor":  # the operator's, not Kubernetes' own
            kubernetes_validate.validate(manifest, "1.29", strict=True)
