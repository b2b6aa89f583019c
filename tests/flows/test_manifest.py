"""The flows in process, with real models, on a real clip, against a real Prefect server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import State
from sqlalchemy import text

from flows.manifest import export, process_manifest, process_video, retrack
from flows.shell import run_videos
from tests.flows.conftest import write_manifest
from tracker_core.ingest.manifest import Manifest, open_manifest
from tracker_core.pipeline import PIPELINE
from tracker_core.settings import Settings, load_settings
from tracker_core.store.artifacts import ArtifactStore
from tracker_core.store.catalog import Catalog
from tracker_core.store.schema import Run
from tracker_core.tracking.models import ModelStore

pytestmark = pytest.mark.usefixtures("prefect_server")

ALL = len(PIPELINE)


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory, models: ModelStore) -> dict[str, Any]:
    """Few frames, two videos at a time."""
    return {
        "workspace_dir": str(tmp_path_factory.mktemp("workspace")), "target_fps": "4",
        "workers": 2, "models_dir": str(models.folder),
    }  # fmt: skip


@pytest.fixture(scope="module")
def settings(overrides: dict[str, Any]) -> Settings:
    return load_settings(overrides)


@pytest.fixture(scope="module")
def manifest(
    tmp_path_factory: pytest.TempPathFactory, signer: Path, small_clip: Path, web_page: Path
) -> str:
    """A signer under two words, a clip of nobody, a web page, and a file that is not there."""
    return write_manifest(
        tmp_path_factory.mktemp("manifest") / "mine.csv",
        ("takk", signer), ("svart", small_clip), ("side", web_page), ("borte", "gone.mp4"),
        ("tusen takk", signer),
    )  # fmt: skip


@pytest.fixture(scope="module")
def first(manifest: str, overrides: dict[str, Any]) -> State[Any]:
    """The end of the manifest's first run."""
    return process_manifest(manifest, overrides=overrides, return_state=True)


@pytest.fixture
def catalog(settings: Settings) -> Iterator[Catalog]:
    catalog = Catalog(settings.database).open()
    yield catalog
    catalog.close()


def last_run(catalog: Catalog) -> Run:
    run = catalog.last_run()
    assert run is not None
    return run


def artifacts(state: State[Any]) -> dict[str, str]:
    """What the flow run left in the Prefect server: key -> data."""
    flow_run = state.state_details.flow_run_id
    assert flow_run is not None
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run]))
        )
    return {str(artifact.key): str(artifact.data) for artifact in found}


def test_a_run_with_failures_completes_with_errors(first: State[Any], catalog: Catalog) -> None:
    assert (first.type.value, first.name) == ("COMPLETED", "CompletedWithErrors")
    assert first.message is not None
    assert first.message.startswith("2 done, 2 failed, 1 missing_file; ")
    data: Any = first.result()
    assert data["jobs"] == {"done": 2, "failed": 2, "missing_file": 1}
    assert data["failures"] == 3
    run = last_run(catalog)
    assert (run.due, run.done, run.failed, run.taken) == (4, 2, 2, 0)
    # All of the first word, what names the second, and of nobody the three stages before tracking.
    assert (run.stages_executed, run.stages_cached) == (ALL + 2 + 3, ALL - 2)


def test_failures_are_a_table_in_the_server(first: State[Any]) -> None:
    table = {row["word"]: row for row in json.loads(artifacts(first)["failures"])}
    assert {word: row["code"] for word, row in table.items()} == {
        "svart": "no_person", "side": "unreadable", "borte": "missing_file",
    }  # fmt: skip
    assert table["side"]["line"] == 4
    assert "web page" in table["side"]["what"]


def test_quality_is_a_page_in_the_server(first: State[Any]) -> None:
    page = artifacts(first)["quality"]
    assert page.startswith("# Quality of ")
    assert "| takk (" in page and "| tusen takk (" in page


def test_tracks_and_packages_are_there(first: State[Any], settings: Settings) -> None:
    assert first.is_completed()
    store = ArtifactStore(settings.artifacts, settings.cache)
    published = store.listing("tracks")
    assert len(published) == 2
    frames = pl.read_parquet(Path(store.root) / "tracks", hive_partitioning=True)
    assert frames["provider"].unique().to_list() == ["holistic"]
    index = json.loads((settings.exports / "index.json").read_bytes())
    words = {entry["word"] for entry in index["packages"]}
    assert words == {"takk", "tusen takk"}


def test_a_second_run_has_nothing_to_do(
    first: State[Any], manifest: str, overrides: dict[str, Any], catalog: Catalog
) -> None:
    again = process_manifest(manifest, overrides=overrides, return_state=True)
    assert again.name == first.name == "CompletedWithErrors"
    run = last_run(catalog)
    assert (run.due, run.stages_executed, run.stages_cached) == (0, 0, 2 * ALL)
    counts: list[Any] = [again.result(), first.result()]
    assert counts[0]["jobs"] == counts[1]["jobs"]


def test_a_deleted_track_is_made_again(
    first: State[Any], manifest: str, overrides: dict[str, Any], catalog: Catalog,
    settings: Settings,
) -> None:  # fmt: skip
    assert first.is_completed()
    store = ArtifactStore(settings.artifacts, settings.cache)
    before = store.listing("tracks")
    store.remove(min(before))
    process_manifest(manifest, overrides=overrides)
    run = last_run(catalog)
    assert (run.done, run.stages_executed) == (1, 1)
    assert store.listing("tracks") == before


def test_exporting_a_word_writes_its_package_alone(
    first: State[Any], overrides: dict[str, Any], catalog: Catalog
) -> None:
    assert first.is_completed()
    export("takk", overrides=overrides)
    run = last_run(catalog)
    assert (run.done, run.stages_executed) == (1, 1)


def test_retracking_runs_what_changed_and_what_follows(
    first: State[Any], overrides: dict[str, Any], catalog: Catalog
) -> None:
    assert first.is_completed()
    state = retrack(overrides={**overrides, "min_confidence": 0.5}, return_state=True)
    assert state.name == "CompletedWithErrors"
    run = last_run(catalog)
    # smooth, score, persist, export; of the other word the last two. The two that had failed for
    # good with other settings are due as well.
    assert (run.done, run.failed, run.taken, run.stages_executed) == (2, 2, 0, 6)
    retrack(overrides={**overrides, "min_confidence": 0.5})
    assert last_run(catalog).due == 0


@pytest.mark.parametrize("as_manifest", [True, False])
def test_the_command_hands_over_what_it_has_ingested(
    web_page: Path, overrides: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    as_manifest: bool,
) -> None:  # fmt: skip
    """A million rows are read for one ingest, not for another in the flow."""
    opened: list[str] = []

    def counted(source: str, **options: Any) -> Manifest:
        opened.append(source)
        return open_manifest(source, **options)

    for place in ("flows.shell", "flows.manifest"):
        monkeypatch.setattr(f"{place}.open_manifest", counted)
    rows = (("side", web_page), ("side", web_page), ("bok", ""))
    source = write_manifest(tmp_path / "m.csv", *rows) if as_manifest else web_page
    mine = {**overrides, "workspace_dir": str(tmp_path)}
    outcome = run_videos([str(source)], mine, as_manifest=as_manifest)
    # A web page is no video, and the last row names none; the second only repeats the first.
    assert outcome.failures == (2 if as_manifest else 1)
    assert opened == [str(source)]
    catalog = Catalog(load_settings(mine).database).open()
    assert (last_run(catalog).due, last_run(catalog).scope) == (1, outcome.scope)
    catalog.close()


def test_remote_videos_are_fetched_and_again_when_they_change(
    web_page: Path, overrides: dict[str, Any], tmp_path: Path, bucket: str
) -> None:
    """A URL stays and the bytes behind it do not: by its name alone nothing is called done."""
    s3 = fsspec.filesystem("s3")
    mine = {**overrides, "workspace_dir": str(tmp_path / "workspace")}
    rows = (("borte", f"{bucket}/absent.mp4"), ("her", web_page.as_uri()), ("der", "a.mp4"))
    manifest = write_manifest(tmp_path / "m.csv", *rows)
    s3.put_file(manifest, f"{bucket}/set/m.csv")

    def run_with(content: bytes) -> Run:
        s3.pipe_file(f"{bucket}/set/a.mp4", content)
        run_videos([f"{bucket}/set/m.csv"], mine, as_manifest=True)
        with closing(Catalog(load_settings(mine).database).open()) as catalog:
            codes = {failure.word: failure.code for failure in catalog.failures()}
            assert codes == {"borte": "missing_file", "her": "unreadable", "der": "unreadable"}
            return last_run(catalog)

    assert run_with(b"no video").due == 3
    assert run_with(b"no video").due == 1, "what is not there is looked for each time"
    assert run_with(b"NO VIDEO").due == 2
    assert run_with(b"NO VIDEO").due == 1


def test_videos_without_a_manifest(signer: Path, overrides: dict[str, Any], tmp_path: Path) -> None:
    mine = {**overrides, "workspace_dir": str(tmp_path)}
    state = process_video([str(signer)], overrides=mine, return_state=True)
    assert state.name == "Completed"
    data: Any = state.result()
    assert data["jobs"] == {"done": 1}
    assert "failures" not in artifacts(state)


TWO = """
    import json, sys
    from flows.manifest import process_manifest

    if __name__ == "__main__":
        state = process_manifest(
            sys.argv[1], overrides=json.loads(sys.argv[2]), return_state=True
        )
        print(state.name)
"""


def test_two_processes_at_once_do_each_video_once(
    signer: Path, small_clip: Path, web_page: Path, overrides: dict[str, Any], tmp_path: Path,
    prefect_server: dict[str, str],
) -> None:  # fmt: skip
    script = tmp_path / "two.py"
    script.write_text(textwrap.dedent(TWO))
    rows = [(f"ord {i}", clip) for i, clip in enumerate((signer, small_clip, web_page) * 2)]
    mine = {**overrides, "workspace_dir": str(tmp_path / "workspace"), "workers": 1}
    command = [sys.executable, str(script), write_manifest(tmp_path / "two.csv", *rows)]
    here = str(Path(__file__).parents[2])
    runs = [
        subprocess.Popen(
            [*command, json.dumps(mine)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **prefect_server, "PYTHONPATH": here},
        )
        for _ in range(2)
    ]  # fmt: skip
    ends = [run.communicate(timeout=200) for run in runs]
    assert [out.strip() for out, _ in ends] == ["CompletedWithErrors"] * 2, ends
    with Catalog(load_settings(mine).database).engine.connect() as connection:
        jobs = connection.execute(text("select status, attempts from jobs order by status")).all()
        done, failed = connection.execute(text("select sum(done), sum(failed) from runs")).one()
    assert [tuple(job) for job in jobs] == [("done", 1)] * 2 + [("failed", 1)] * 4
    assert (done, failed) == (2, 4)


def test_s3_and_postgres(
    signer: Path, overrides: dict[str, Any], tmp_path: Path, bucket: str, postgres_url: str
) -> None:
    mine = {
        **overrides, "workspace_dir": str(tmp_path / "workspace"),
        "artifact_url": f"{bucket}/artifacts", "database_url": postgres_url,
    }  # fmt: skip
    manifest = write_manifest(tmp_path / "one.csv", ("takk", signer))
    state = process_manifest(manifest, overrides=mine, return_state=True)
    assert state.name == "Completed", state
    settings = load_settings(mine)
    store = ArtifactStore(settings.artifacts, settings.cache)
    assert len(store.listing("tracks")) == 1
    assert len(store.listing("records")) == ALL
    assert not (tmp_path / "workspace" / "artifacts").exists()

    # Another machine: the same bucket and database, and nothing else.
    elsewhere = {**mine, "workspace_dir": str(tmp_path / "elsewhere")}
    process_manifest(manifest, overrides=elsewhere, force_stage="export")
    catalog = Catalog(settings.database).open()
    run = last_run(catalog)
    assert (run.done, run.stages_executed, run.stages_cached) == (1, 1, ALL - 1)
    catalog.close()
    assert list((tmp_path / "elsewhere" / "exports").glob("takk/*/tracking_v2.jsonl.gz"))


def test_a_flow_run_is_named_after_its_manifest(first: State[Any], manifest: str) -> None:
    flow_run = first.state_details.flow_run_id
    assert flow_run is not None
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
        )
    assert [run.name for run in found] == [manifest]
