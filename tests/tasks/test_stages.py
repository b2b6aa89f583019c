from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prefect import flow

from tasks import stages
from tasks.stages import StageCall, StageCounts, run_stages
from tests.isolated_parameters import Crash, Hang, Raise
from tracker_core.errors import NoPerson, StorageError, TimedOut, VideoError, WorkerCrashed
from tracker_core.isolation import run_isolated
from tracker_core.pipeline import PIPELINE, STAGES, stage_key
from tracker_core.settings import Settings
from tracker_core.stages import Subject
from tracker_core.store.artifacts import ArtifactStore, StageRecord

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(autouse=True)
def _two_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probe and normalize take no model and no person."""
    monkeypatch.setattr(stages, "PIPELINE", PIPELINE[:2])


@dataclasses.dataclass(frozen=True)
class Video:
    """What the stages are given."""

    source: Path
    content: str
    subject: Subject
    settings: Settings
    store: ArtifactStore

    def run(self, *forced: str) -> tuple[dict[str, StageRecord], StageCounts]:
        """The two stages, in a flow."""
        counts = StageCounts()

        @flow(name="two-stages", persist_result=False)
        def two_stages() -> None:
            found = run_stages(
                self.source, self.content, self.subject, self.settings, self.store,
                frozenset(forced), counts,
            )  # fmt: skip
            records.update(found)

        records: dict[str, StageRecord] = {}
        two_stages()
        return records, counts

    def probe(self, parameters: Mapping[str, Any], settings: Settings | None = None) -> StageRecord:
        """The stage probe alone, with parameters of its own, in a flow."""
        stage = STAGES["probe"]
        call = StageCall(
            stage="probe", key=stage_key(stage, self.content, {}, {}, self.subject),
            source=self.source, content=self.content, subject=self.subject,
            parameters=parameters, records={}, settings=settings or self.settings,
            store=self.store,
        )  # fmt: skip

        @flow(name="one-stage", persist_result=False)
        def one_stage() -> None:
            records.append(stages._run(stage, call, False, StageCounts()))

        records: list[StageRecord] = []
        one_stage()
        return records[0]


@pytest.fixture
def video(
    small_clip: Path, content: str, subject: Subject, settings: Settings, store: ArtifactStore
) -> Video:
    return Video(small_clip, content, subject, settings, store)


def test_a_stage_publishes_files_and_leaves_a_json_record_under_its_key(video: Video) -> None:
    records, counts = video.run()
    assert (counts.executed, counts.cached) == (2, 0)
    probe = records["probe"]
    assert probe.facts["frames"] == 5
    assert probe.files["probe.json"].path == f"{probe.key}/probe.json"
    assert all(video.store.holds(ref, deep=True) for ref in probe.files.values())
    written = json.loads((Path(video.store.root) / "records" / probe.key).read_bytes())
    assert StageRecord.model_validate(json.loads(written["result"])) == probe


def test_the_second_run_finds_everything_done(video: Video) -> None:
    first, _ = video.run()
    second, counts = video.run()
    assert (counts.executed, counts.cached) == (0, 2)
    assert second == first


def test_a_moved_video_is_found_done_and_other_bytes_are_not(video: Video, tmp_path: Path) -> None:
    video.run()
    moved = tmp_path / "moved.mp4"
    moved.write_bytes(video.source.read_bytes())
    _, counts = dataclasses.replace(video, source=moved).run()
    assert (counts.executed, counts.cached) == (0, 2)
    _, counts = dataclasses.replace(video, source=moved, content="other").run()
    assert (counts.executed, counts.cached) == (2, 0)


def test_a_changed_parameter_runs_its_stage_and_no_earlier_one(video: Video) -> None:
    video.run()
    settings = video.settings.model_copy(update={"target_fps": "5"})
    records, counts = dataclasses.replace(video, settings=settings).run()
    assert (counts.executed, counts.cached) == (1, 1)
    assert records["normalize"].facts["frames"] == 1


def test_a_hit_whose_artifact_is_gone_runs_again(video: Video) -> None:
    records, _ = video.run()
    video.store.remove(records["normalize"].files["normalized.json"].path)
    again, counts = video.run()
    assert (counts.executed, counts.cached) == (1, 1)
    assert all(video.store.holds(ref) for ref in again["normalize"].files.values())
    _, counts = video.run()
    assert (counts.executed, counts.cached) == (0, 2)


def test_a_damaged_record_runs_again(video: Video) -> None:
    records, _ = video.run()
    path = Path(video.store.root) / "records" / records["probe"].key
    path.write_bytes(path.read_bytes()[:40])
    _, counts = video.run()
    assert (counts.executed, counts.cached) == (1, 1)


def test_a_forced_stage_runs_though_it_is_done(video: Video) -> None:
    video.run()
    _, counts = video.run("normalize")
    assert (counts.executed, counts.cached) == (1, 1)


@pytest.mark.parametrize(("error", "calls"), [(NoPerson("nobody"), 1), (StorageError("busy"), 2)])
def test_only_what_may_pass_is_tried_again(
    video: Video, tmp_path: Path, error: VideoError, calls: int
) -> None:
    note = tmp_path / "note"
    with pytest.raises(type(error), match=str(error)):
        video.probe(Raise(note, error))
    assert len(note.read_text().splitlines()) == calls


def test_no_retry_when_none_is_wanted(video: Video, tmp_path: Path) -> None:
    settings = video.settings.model_copy(update={"retries": 0})
    with pytest.raises(StorageError):
        video.probe(Raise(tmp_path / "note", StorageError("busy")), settings)
    assert (tmp_path / "note").read_text() == "read\n"


def test_a_failure_is_no_hit_later(video: Video, tmp_path: Path) -> None:
    with pytest.raises(NoPerson):
        video.probe(Raise(tmp_path / "note", NoPerson("nobody")))
    good = STAGES["probe"].parameters(video.settings)
    assert video.probe(good).facts["frames"] == 5


def test_a_failure_leaves_no_record_and_the_attempt_that_succeeds_does(
    video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoPerson):
        video.probe(Raise(tmp_path / "note", NoPerson("nobody")))
    assert not video.store.listing("records")

    busy = iter([StorageError("busy")])

    def busy_once(*given: Any) -> Any:
        for error in busy:
            raise error
        return run_isolated(*given)

    monkeypatch.setattr(stages, "run_isolated", busy_once)
    probe = video.probe(STAGES["probe"].parameters(video.settings))
    assert list(video.store.listing("records")) == [f"records/{probe.key}"]


def test_a_hanging_stage_ends_as_timed_out(video: Video, tmp_path: Path) -> None:
    update = {"retries": 0, "stage_timeout_s": 1.0, "stage_timeout_per_frame_s": 0.0}
    with pytest.raises(TimedOut):
        video.probe(Hang(tmp_path / "pid"), video.settings.model_copy(update=update))


def test_a_crashing_stage_ends_as_worker_crashed_and_the_next_one_works(video: Video) -> None:
    with pytest.raises(WorkerCrashed):
        video.probe(Crash(), video.settings.model_copy(update={"retries": 0}))
    _, counts = video.run()
    assert counts.executed == 2


def test_nothing_of_a_failed_stage_stays_in_scratch(video: Video, tmp_path: Path) -> None:
    with pytest.raises(NoPerson):
        video.probe(Raise(tmp_path / "note", NoPerson("nobody")))
    assert not [p for p in (video.settings.cache / "scratch").rglob("*") if p.is_file()]
    assert not list((video.settings.cache / "scratch").glob("*/*"))


def test_a_longer_video_is_given_more_time(video: Video) -> None:
    records, _ = video.run()
    call = StageCall(
        "normalize", "k", video.source, "c", video.subject, {}, records, video.settings, video.store
    )
    assert stages._time_limit(call) == 300 + 5 * 1
    before = dataclasses.replace(call, records={})
    assert stages._time_limit(before) > 300
