from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.schemas.objects import State
from prefect.states import Completed, Crashed, Failed

from flows import run as run_module
from flows.manifest import process_manifest
from flows.run import _items, _wait_for
from flows.shard import ShardItem, _heartbeat, process_shard, shards_of
from tests.flows.conftest import write_manifest
from tracker_core.errors import ModelError, StorageError
from tracker_core.ingest.jobs import ingest, scope_of
from tracker_core.ingest.manifest import Record
from tracker_core.settings import Settings, load_settings
from tracker_core.store.catalog import Catalog, DueJob


@given(st.lists(st.integers(1, 5), max_size=30), st.integers(1, 12))
def test_shards_hold_every_item_once_in_order_and_are_no_larger_than_need_be(
    counts: list[int], size: int
) -> None:
    items = [ShardItem(title=str(i), job_ids=[uuid4() for _ in range(n)])
             for i, n in enumerate(counts)]  # fmt: skip
    shards = list(shards_of(iter(items), size))
    assert [item for shard in shards for item in shard] == items
    for shard in shards:
        videos = [len(item.job_ids) for item in shard]
        assert sum(videos[:-1]) < size
        assert sum(videos) >= size or shard is shards[-1]


def test_jobs_that_read_the_same_bytes_are_one_item() -> None:
    jobs = [DueJob(uuid4(), source, "t") for source in ("a", "a", "b", "https://x/c.mp4")]
    items = list(_items(iter(jobs)))
    assert [len(item.job_ids) for item in items] == [2, 1, 1]


@pytest.mark.filterwarnings("ignore:Logger 'tracker.shard' attempted:UserWarning")  # no flow here
def test_a_missed_heartbeat_is_not_the_last(caplog: pytest.LogCaptureFixture) -> None:
    beats, enough = list[float](), threading.Event()

    def renew(lease_s: float) -> None:
        beats.append(lease_s)
        if len(beats) == 1:
            raise StorageError("the catalog is busy")
        enough.set()

    catalog = cast(Catalog, SimpleNamespace(renew=renew))
    with _heartbeat(catalog, cast(Settings, SimpleNamespace(lease_s=0.03))):
        assert enough.wait(10)
    assert "the catalog is busy" in caplog.text
    count = len(beats)
    assert not [t for t in threading.enumerate() if t.name == "lease"] and len(beats) == count


@pytest.mark.usefixtures("prefect_server")
def test_a_shard_of_its_own_processes_the_jobs_it_is_given(web_page: Path, tmp_path: Path) -> None:
    overrides = {"workspace_dir": str(tmp_path), "workers": 1}
    settings = load_settings(overrides)
    catalog = Catalog(settings.database).open()
    rows = [Record(i, f"w{i}", str(web_page), None, web_page.name) for i in range(3)]
    ingest(rows, scope_of(rows, "m"), "m", catalog)
    run = catalog.start_run(None, "m", "p")
    jobs = list(catalog.due(None, "p"))
    items = [ShardItem(title="t", job_ids=[job.job_id for job in jobs[:2]])]
    assert process_shard("shard", run.id, items, overrides=overrides) == {"failed": 2}
    assert catalog.counts() == {"failed": 2, "queued": 1}
    # Handed out again, say because its machine was thought dead: nothing is done twice.
    assert process_shard("shard", run.id, items, overrides=overrides) == {"taken": 2}
    catalog.close()


@pytest.mark.usefixtures("prefect_server")
def test_what_no_video_could_pass_stops_the_run_before_the_first(
    web_page: Path, tmp_path: Path
) -> None:
    overrides = {"workspace_dir": str(tmp_path), "models_dir": str(tmp_path / "no models")}
    manifest = write_manifest(tmp_path / "m.csv", ("side", web_page))
    with pytest.raises(ModelError, match="tracker models pull"):
        process_manifest(manifest, overrides=overrides)


class Deployment:
    """Stands for a deployment whose flow runs end in the given states, one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *ends: State[Any]) -> None:
        self.given: list[int] = []
        states = iter(ends)
        monkeypatch.setattr(run_module, "_hand_over", self._hand_over)
        monkeypatch.setattr(run_module, "_final_state", lambda _: next(states))
        monkeypatch.setattr(
            run_module, "get_run_logger", lambda: SimpleNamespace(info=lambda *_: None)
        )

    def _hand_over(self, _name: str, _parameters: Any, attempt: int = 1) -> Any:
        self.given.append(attempt)
        return SimpleNamespace(id=uuid4())

    def wait(self) -> list[str]:
        return _wait_for([({"name": "m.csv 1"}, self._hand_over("", {}))], "process-shard/pool")


def test_a_shard_that_completed_is_waited_for_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = Deployment(monkeypatch, Completed())
    assert deployment.wait() == []
    assert deployment.given == [1]


def test_a_shard_whose_machine_died_is_handed_over_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployment = Deployment(monkeypatch, Crashed(), Completed())
    assert deployment.wait() == []
    assert deployment.given == [1, 2]


def test_a_shard_that_keeps_dying_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = Deployment(monkeypatch, Crashed(), Crashed(message="no heartbeat"))
    assert deployment.wait() == ["shard m.csv 1 ended as Crashed: no heartbeat"]


def test_a_shard_that_could_not_run_is_told_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployment = Deployment(monkeypatch, Failed(message="the model is missing"))
    assert deployment.wait() == ["shard m.csv 1 ended as Failed: the model is missing"]
    assert deployment.given == [1]
