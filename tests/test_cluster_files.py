"""The files of a cluster: their metrics, commands, names and paths are those of this release."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import typer
import yaml

from cli.app import build_app
from serving.api.routes import OPERATIONS
from serving.runtime.settings import Settings, variable_of
from serving.runtime.telemetry import Telemetry

ROOT: Final = Path(__file__).parents[1]
DEPLOY: Final = ROOT / "deploy"
ALERTS: Final = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD: Final = DEPLOY / "grafana" / "recsys.json"
MANIFESTS: Final = DEPLOY / "kubernetes" / "recsys.yaml"
COMPOSE: Final = DEPLOY / "cluster" / "compose.yaml"
GUIDE: Final = ROOT / "docs" / "cluster.md"
PATHS: Final = {operation.path for operation in OPERATIONS}
VARIABLES: Final = {variable_of(name) for name in Settings.model_fields}


def exposed() -> dict[str, set[str]]:
    """The metrics of a server, each with its labels."""
    telemetry = Telemetry()
    telemetry.answered("for_you", 200, 0.1)
    telemetry.opened("served")
    telemetry.received("accepted", 1)
    telemetry.shown("logged", 1)
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(recsys_\w+)(?:\{(.*)\})? ", telemetry.exposition().decode(), re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return found


def expressions() -> list[str]:
    rules = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [rule["expr"] for rule in rules] + [target["expr"] for panel in panels for target in panel["targets"]]


@pytest.mark.parametrize("expression", expressions())
def test_alerts_and_panels_read_metrics_and_labels_that_exist(expression: str) -> None:
    metrics = exposed()
    for name, selector in re.findall(r"\b(recsys_\w+)(?:\{([^}]*)\})?", expression):
        assert name in metrics
        assert set(re.findall(r"(\w+)(?==)", selector)) <= metrics[name]
    for group in re.findall(r"by \(([^)]*)\)", expression):
        labels = {label for name in re.findall(r"recsys_\w+", expression) for label in metrics[name]}
        assert {each.strip() for each in group.split(",")} <= labels | {"instance"}


def test_every_metric_is_watched() -> None:
    read = set(re.findall(r"recsys_\w+", " ".join(expressions())))
    made = {name for name in exposed() if not name.endswith(("_created", "_sum"))}
    assert made <= read


def test_every_alert_is_explained() -> None:
    rules = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]
    rows = re.findall(r"^\| `(Recsys\w+)` \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [rule["alert"] for rule in rules]
    assert all(rule["annotations"].keys() == {"summary", "remedy"} for rule in rules)


def containers(document: Any) -> list[dict[str, Any]]:
    """All containers below a part of a manifest."""
    if isinstance(document, dict):
        own = document.get("containers", [])
        return own + [each for value in document.values() for each in containers(value)]
    return [each for value in document for each in containers(value)] if isinstance(document, list) else []


def test_the_manifests_run_this_release() -> None:
    documents = list(yaml.safe_load_all(MANIFESTS.read_text(encoding="utf-8")))
    kinds = [document["kind"] for document in documents]
    wanted = {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "CronJob"}
    assert wanted <= set(kinds)
    by_kind = dict(zip(kinds, documents, strict=True))
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version
    every = containers(documents)
    assert {each["image"] for each in every} == {f"recsys:{version[1]}"}
    assert {name for each in every for entry in each["env"] if (name := entry["name"]) != "PGPASSWORD"} <= VARIABLES
    (server,) = containers(by_kind["Deployment"])
    probes = [server[f"{name}Probe"]["httpGet"]["path"] for name in ("readiness", "liveness", "startup")]
    assert set(probes) <= PATHS
    labels = by_kind["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        by_kind["Service"]["spec"]["selector"],
        by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    assert (
        by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"]
        == by_kind["Deployment"]["metadata"]["name"]
    )


def test_the_commands_of_the_containers_parse() -> None:
    every = containers(list(yaml.safe_load_all(MANIFESTS.read_text(encoding="utf-8"))))
    calls = [each["args"] for each in every if each["args"][0] == "recsys"]
    application: Any = typer.main.get_command(build_app())
    for _, command, *words in calls:
        assert application.commands[command].make_context(command, words).params
    scripts = {each["args"][0] for each in every} - {"recsys"}
    assert all(f"/usr/local/bin/{name}" in (ROOT / "Dockerfile").read_text(encoding="utf-8") for name in scripts)


def test_the_proxy_has_the_servers_of_the_compose_file() -> None:
    services = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    servers = [name for name in services if name.startswith("server-")]
    proxied = re.findall(
        r"^ +server (\S+):8000 ", (COMPOSE.parent / "nginx.conf").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert proxied == servers == services["proxy"]["depends_on"]
    assert {services[name]["environment"]["RECSYS_STORE"] for name in (*servers, "train")} == {
        "postgresql://recsys@database/recsys"
    }
    assert {name for name in services["train"]["environment"] if name.startswith("RECSYS")} <= VARIABLES
