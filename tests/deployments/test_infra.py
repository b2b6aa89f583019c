"""What can be checked of the container files where no container runs."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import Settings
from ruamel.yaml import YAML

from flows.defaults import DEFAULTS
from tests.conftest import REPOSITORY

INFRA = REPOSITORY / "infra"


def environment(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if line.strip() and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def names_of(value: Any) -> set[str]:
    """The environment variables that Prefect's settings are read from."""
    schema = json.dumps(value.model_json_schema())
    return {name.upper() for name in re.findall(r"PREFECT_\w+", schema)}


def test_the_server_has_the_settings_of_the_one_that_a_run_starts() -> None:
    # Those that concern a server's clients, and a server that is started within a command.
    client = {
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "PREFECT_LOGGING_EXTRA_LOGGERS",
    }  # fmt: skip
    server = environment(INFRA / "server.env")
    ours = {name: value for name, value in DEFAULTS.items() if name not in client}
    assert {name: server.get(name) for name in ours} == ours


def test_every_setting_is_one_that_prefect_knows() -> None:
    known = names_of(Settings)
    assert "PREFECT_API_URL" in known
    settings = {*environment(INFRA / "server.env"), *DEFAULTS} - {"DO_NOT_TRACK"}
    compose = YAML(typ="safe").load(INFRA / "docker-compose.yml")
    for service in compose["services"].values():
        settings |= {n for n in service.get("environment", {}) if n.startswith("PREFECT_")}
    assert settings - known == set()


def test_compose_listens_on_loopback_alone_and_wants_its_secrets() -> None:
    compose = YAML(typ="safe").load(INFRA / "docker-compose.yml")
    ports = [p for service in compose["services"].values() for p in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)
    server = compose["services"]["server"]
    assert server["environment"]["PREFECT_SERVER_API_AUTH_STRING"].startswith("${TRACKER_AUTH:?")
    database = compose["services"]["database"]["environment"]
    assert database["POSTGRES_PASSWORD"].startswith("${TRACKER_DB_PASSWORD:?")


def test_compose_names_only_what_is_there() -> None:
    compose = YAML(typ="safe").load(INFRA / "docker-compose.yml")
    services = compose["services"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        if "build" in service:
            context = INFRA / service["build"]["context"]
            assert (context / service["build"]["dockerfile"]).is_file()
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source.startswith("${") or source in compose["volumes"] or (
                INFRA / source
            ).exists()  # fmt: skip


def test_the_dockerfile_copies_only_what_is_there() -> None:
    text = (INFRA / "Dockerfile").read_text(encoding="utf-8")
    steps = [line.split(maxsplit=1) for line in text.splitlines() if re.match(r"[A-Z]+ ", line)]
    assert steps[0] == ["FROM", "python:3.11-slim"]
    known = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "VOLUME", "CMD"}
    assert {word for word, _ in steps} <= known
    for word, rest in steps:
        if word == "COPY":
            for source in shlex.split(rest)[:-1]:
                assert (REPOSITORY / source).exists(), source


@pytest.mark.parametrize("name", ["Dockerfile", "docker-compose.yml", "kubernetes-worker.yaml"])
def test_what_was_never_run_says_so(name: str) -> None:
    head = (INFRA / name).read_text(encoding="utf-8").split("\n\n")[0]
    assert "Untried" in head


def test_the_worker_in_kubernetes_is_of_a_kind_that_may_make_jobs() -> None:
    made = YAML(typ="safe").load_all(INFRA / "kubernetes-worker.yaml")
    parts = {part["kind"]: part for part in made}
    account = parts["ServiceAccount"]["metadata"]["name"]
    assert parts["Deployment"]["spec"]["template"]["spec"]["serviceAccountName"] == account
    assert parts["RoleBinding"]["subjects"][0]["name"] == account
    rules = {r: rule["verbs"] for rule in parts["Role"]["rules"] for r in rule["resources"]}
    assert "create" in rules["jobs"] and "watch" in rules["pods"]
    template = json.loads(
        (REPOSITORY / "deployments/pools/kubernetes-gpu.json").read_text(encoding="utf-8")
    )
    claim = template["variables"]["properties"]["claim"]["default"]
    assert parts["PersistentVolumeClaim"]["metadata"]["name"] == claim
