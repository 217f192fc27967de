"""The files of deploy/: what linters and schemas say, and what must hold between them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from composed import DEPLOY, ROOT, composed, dockerfile

from volspike import __version__
from volspike.bus.broker_jars import kafka_version

PROGRAMS = Path(sys.executable).parent
YAML = sorted(path for path in DEPLOY.rglob("*") if path.suffix in (".yml", ".yaml"))
STYLE = "{extends: default, rules: {line-length: {max: 120}, document-start: disable}}"


def run(*command: object) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, cwd=DEPLOY)
    assert done.returncode == 0, done.stdout + done.stderr


def expressions() -> list[tuple[str, str]]:
    """Return every PromQL expression of the alert rules and the dashboard."""
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
    board = json.loads((DEPLOY / "grafana/dashboards/volspike.json").read_text())
    asked = [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel["targets"]]
    return [(rule["alert"], rule["expr"]) for rule in rules] + asked


def test_the_dockerfile_is_sound() -> None:
    run(PROGRAMS / "hadolint", "--failure-threshold", "style", "Dockerfile")


def test_the_last_stage_has_no_root_no_pip_and_what_the_build_made() -> None:
    instructions = dockerfile()
    last = max(n for n, (word, _) in enumerate(instructions) if word == "FROM")
    words = dict(instructions[last:])
    assert words["USER"].split(":")[0].isdigit()
    assert int(words["USER"].split(":")[0]) > 0
    assert words["COPY"].startswith("--from=build")
    assert "pip uninstall" in words["RUN"]
    assert "HEALTHCHECK" in words


def test_what_the_dockerfile_copies_is_not_ignored() -> None:
    told = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    kept = {line[1:] for line in told if line.startswith("!")}
    copied = [rest.split()[:-1] for word, rest in dockerfile() if word == "COPY" and "--from" not in rest]
    sources = {source for sources in copied for source in sources}
    assert kept == sources
    assert all((ROOT / source).exists() for source in sources)


def test_the_wheel_is_built_as_the_dockerfile_builds_it(tmp_path: Path) -> None:
    (command,) = [rest for word, rest in dockerfile() if word == "RUN" and "pip wheel" in rest]
    arguments = (
        command.partition("&&")[0].replace("python", sys.executable, 1).replace("dist", str(tmp_path)).split()
    )
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [f"volspike-{__version__}-py3-none-any.whl"]


@pytest.mark.parametrize("profile", ["demo", "live"])
def test_the_composition_fits_its_schema(profile: str, tmp_path: Path) -> None:
    path = tmp_path / "compose.json"
    path.write_text(json.dumps(composed({"COMPOSE_PROFILES": profile})))
    run(PROGRAMS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", path)


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_the_yaml_is_clean(path: Path) -> None:
    run(PROGRAMS / "yamllint", "--strict", "--config-data", STYLE, path)


def test_promtool_takes_the_configuration_and_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool: Debian has it in the package prometheus")
    run(promtool, "check", "config", "prometheus.yml")
    run(promtool, "test", "rules", ROOT / "tests" / "deploy" / "alerts_test.yml")


@pytest.mark.parametrize(("title", "expression"), expressions(), ids=lambda text: text[:30])
def test_every_expression_is_promql(title: str, expression: str) -> None:
    assert promql_parser.parse(expression)


def test_services_listen_on_loopback_restart_and_are_watched() -> None:
    services = composed()["services"]
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert service["stop_grace_period"], name
        if not is_once(service):
            assert service["restart"] == "unless-stopped", name
            assert "healthcheck" in service or service["image"].startswith("volspike:"), name
    assert {name for name, service in services.items() if is_once(service)} == {"topics", "train"}


def test_services_wait_for_those_they_need() -> None:
    services = composed()["services"]
    for name, service in services.items():
        for needed, wait in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if is_once(services[needed]) else "service_healthy"
            assert wait["condition"] == wanted, (name, needed)


def test_the_two_markets_differ_in_the_address_alone() -> None:
    demo, live = (composed()["services"][name] for name in ("ingest-demo", "ingest"))
    assert demo["profiles"] == ["demo"]
    assert live["profiles"] == ["live"]
    assert demo["command"] == live["command"]
    assert set(demo["environment"]) - set(live["environment"]) == {"VOLSPIKE_EXCHANGE_URL"}
    assert demo["networks"]["default"]["aliases"] == ["ingest"]


def test_prometheus_asks_every_stage_on_the_port_of_the_image() -> None:
    told = dict(dockerfile())["ENV"]
    jobs = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    for job in jobs:
        (found,) = job["dns_sd_configs"]
        assert found["names"] == [job["job_name"]]
        assert f"VOLSPIKE_METRICS_PORT={found['port']}" in told
    assert {job["job_name"] for job in jobs} == {"ingest", "featurize", "score"}


def test_versions_are_those_of_the_project() -> None:
    services = composed()["services"]
    assert services["score"]["image"] == f"volspike:{__version__}"
    assert services["kafka"]["image"] == f"apache/kafka:{kafka_version()}"


def is_once(service: dict[str, Any]) -> bool:
    return service["restart"] == "no"


def test_the_tracking_server_answers_to_the_name_it_is_asked_by() -> None:
    services = composed()["services"]
    asking = {
        each["environment"].get("VOLSPIKE_MLFLOW_URI") for each in services.values() if "environment" in each
    }
    (uri,) = asking - {None}
    (allowed,) = [
        word.partition("=")[2] for word in services["mlflow"]["command"] if "--allowed-hosts" in word
    ]
    assert uri.removeprefix("http://") in allowed.split(",")
    assert services["train"]["environment"]["VOLSPIKE_MLFLOW_URI"] == uri
