"""`prefect.yaml`, pool templates and automations, with the real command, server and worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import prefect
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.events import emit_event
from prefect.exceptions import PrefectHTTPStatusError
from ruamel.yaml import YAML

from deployments import automations
from tests import services
from tests.conftest import REPOSITORY
from tests.flows.conftest import write_manifest
from tracker_core.settings import load_settings
from tracker_core.store.catalog import Catalog
from tracker_core.tracking.models import ModelStore

POOLS = REPOSITORY / "deployments" / "pools"
DEPLOYMENTS = {
    "process-manifest/local", "process-manifest/pool", "process-shard/pool",
    "process-video/local", "retrack/nightly", "export/local",
}  # fmt: skip


class Prefect:
    """The command `prefect`, as a user of this server runs it."""

    def __init__(self, environment: dict[str, str]) -> None:
        plain = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        wanted = ("PREFECT_HOME", "PREFECT_API_URL")
        self.environment = {**plain, **{name: environment[name] for name in wanted}}

    def __call__(self, *words: object, timeout: float = 200) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *map(str, words)],
            cwd=REPOSITORY, env=self.environment, timeout=timeout, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def command(prefect_server: dict[str, str]) -> Prefect:
    return Prefect(prefect_server)


@pytest.fixture(scope="module")
def deployed(command: Prefect) -> Prefect:
    """Everything deployed."""
    template = POOLS / "process.json"
    command("work-pool", "create", "tracker", "--type", "process", "--base-job-template", template)
    command("deploy", "--all", "--no-prompt")
    return command


@pytest.fixture(scope="module")
def workspace(
    deployed: Prefect, models: ModelStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The folder that a process worker was started in; its `.env` holds its machine's settings."""
    folder = tmp_path_factory.mktemp("machine")
    lines = ["WORKSPACE_DIR=here", "TARGET_FPS=4", "WORKERS=1", f"MODELS_DIR={models.folder}"]
    (folder / ".env").write_text("\n".join(lines), encoding="utf-8")
    ready = folder / "worker.log"
    with (
        ready.open("wb") as log,
        services.running(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", "tracker",
             "--name", "here"],
            lambda: b"started" in ready.read_bytes(), log, 60,
            cwd=folder, env=deployed.environment | {"PREFECT_WORKER_QUERY_SECONDS": "1"},
        ),
    ):  # fmt: skip
        yield folder / "here"


def by_name() -> dict[str, Any]:
    with get_client(sync_client=True) as client:
        flows = {flow.id: flow.name for flow in client.read_flows()}
        return {f"{flows[d.flow_id]}/{d.name}": d for d in client.read_deployments()}


def runs_of(deployment: str) -> list[FlowRun]:
    wanted = by_name()[deployment].id
    with get_client(sync_client=True) as client:
        return [run for run in client.read_flow_runs() if run.deployment_id == wanted]


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("name", sorted(p.stem for p in POOLS.glob("*.json")))
def test_the_server_takes_a_template(name: str) -> None:
    template = json.loads((POOLS / f"{name}.json").read_bytes())
    kind = name.removesuffix("-gpu")
    with get_client(sync_client=True) as client:
        pool = client.create_work_pool(
            WorkPoolCreate(name=f"test-{name}", type=kind, base_job_template=template)
        )
        assert pool.base_job_template == template
        del template["variables"]["properties"]["env"]  # now one is used that is not declared
        with pytest.raises(PrefectHTTPStatusError):
            client.create_work_pool(
                WorkPoolCreate(name=f"bad-{name}", type=kind, base_job_template=template)
            )


@pytest.mark.parametrize("name", sorted(p.stem for p in POOLS.glob("*.json")))
def test_a_template_fills_in_only_what_its_worker_knows(name: str) -> None:
    known = Path(prefect.__file__).parent / "server/api/collections_data/views"
    views = json.loads((known / "aggregate-worker-metadata.json").read_bytes())
    kind = name.removesuffix("-gpu")
    [worker] = [view[kind] for view in views.values() if kind in view]
    ours = json.loads((POOLS / f"{name}.json").read_bytes())
    theirs = worker["default_base_job_configuration"]
    assert set(ours["job_configuration"]) <= set(theirs["job_configuration"])
    used = {
        word.removesuffix(" }}")
        for word in json.dumps(ours["job_configuration"]).replace('"', "").split("{{ ")[1:]
        for word in [word.split("}}")[0] + "}}"]
    }
    assert used == set(ours["variables"]["properties"])


@pytest.mark.usefixtures("deployed")
def test_every_flow_is_deployed_and_nothing_is_scheduled_unasked() -> None:
    found = by_name()
    assert set(found) >= DEPLOYMENTS
    for name in DEPLOYMENTS:
        assert found[name].work_pool_name == "tracker"
        assert found[name].description
    [schedule] = found["retrack/nightly"].schedules
    assert not schedule.active
    assert not [name for name in DEPLOYMENTS - {"retrack/nightly"} if found[name].schedules]
    shards = found["process-manifest/pool"].job_variables["env"]["SHARD_DEPLOYMENT"]
    assert shards in DEPLOYMENTS


def test_a_manifest_on_a_worker(
    deployed: Prefect, workspace: Path, web_page: Path, tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path / "local.csv", ("side", web_page))
    said = deployed(
        "deployment", "run", "process-manifest/local", "--param", f"manifest={manifest}", "--watch"
    )
    assert "CompletedWithErrors" in said
    assert (workspace / "tracker.db").is_file()  # the worker's folder, and its .env, count
    [run] = runs_of("process-manifest/local")
    assert run.state is not None and run.state.message is not None
    assert run.state.message.startswith("1 failed; ")


def test_a_manifest_whose_shards_go_to_the_pool(
    deployed: Prefect, workspace: Path, signer: Path, web_page: Path, tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path / "pool.csv", ("takk", signer), ("nettside", web_page))
    said = deployed(
        "deployment", "run", "process-manifest/pool", "--param", f"manifest={manifest}",
        "--param", 'overrides={"shard_size": 1}', "--watch",
    )  # fmt: skip
    assert "CompletedWithErrors" in said
    shards = runs_of("process-shard/pool")
    assert {run.name for run in shards} == {"pool.csv 1", "pool.csv 2"}
    assert all(run.state is not None and run.state.is_completed() for run in shards)
    catalog = Catalog(load_settings({"workspace_dir": str(workspace)}).database).open()
    run = catalog.last_run()
    assert run is not None and (run.due, run.done, run.failed, run.taken) == (2, 1, 1, 0)
    catalog.close()
    assert list((workspace / "exports").glob("takk/*/meta.json"))


@pytest.mark.usefixtures("workspace")
def test_promoting_a_model_retracks(deployed: Prefect) -> None:
    assert runs_of("retrack/nightly") == []
    emit_event("tracker.model.promoted", {"prefect.resource.id": "tracker.model.holistic"})
    deadline = time.monotonic() + 60
    while not (found := runs_of("retrack/nightly")):
        assert time.monotonic() < deadline, "the event started nothing"
        time.sleep(0.5)
    assert len(found) == 1
    deployed("flow-run", "cancel", found[0].id)


@pytest.mark.usefixtures("prefect_server")
def test_the_heartbeat_automation_is_made_once(capsys: pytest.CaptureFixture[str]) -> None:
    automations.main()
    assert "created" in capsys.readouterr().out
    automations.main()
    assert "updated" in capsys.readouterr().out
    wanted = automations.heartbeat_automation()
    with get_client(sync_client=True) as client:
        [found] = client.read_automations_by_name(wanted.name)
    assert found.enabled
    assert found.trigger.within == timedelta(seconds=90)  # type: ignore[union-attr]


def test_heartbeats_are_as_frequent_as_the_automation_thinks() -> None:
    config = YAML(typ="safe").load(REPOSITORY / "prefect.yaml")
    for deployment in config["deployments"]:
        env = deployment["work_pool"]["job_variables"]["env"]
        assert int(env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]) == automations.HEARTBEAT_S
