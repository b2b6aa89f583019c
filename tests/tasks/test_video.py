from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from prefect import flow

from tasks import stages, video
from tasks.video import process_videos
from tracker_core.errors import ModelError, NoPerson
from tracker_core.ingest.jobs import ingest, video_id
from tracker_core.ingest.manifest import Record
from tracker_core.pipeline import PIPELINE
from tracker_core.settings import Settings
from tracker_core.store.artifacts import ArtifactStore
from tracker_core.store.catalog import Catalog
from tracker_core.store.schema import Run

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def catalog(settings: Settings) -> Iterator[Catalog]:
    catalog = Catalog(settings.database).open()
    yield catalog
    catalog.close()


def ingested(catalog: Catalog, *rows: Record) -> tuple[Run, list[UUID]]:
    ingest(rows, "s", "m.csv", catalog)
    run = catalog.start_run("s", "m.csv", "p")
    return run, [job.job_id for job in catalog.due("s", "p")]


def record(path: Path, line: int = 1, **segment: Any) -> Record:
    return Record(line, f"takk {line}", str(path), None, path.name, **segment)


def process(
    jobs: list[UUID], run: Run, settings: Settings, catalog: Catalog, store: ArtifactStore,
    *forced: str,
) -> dict[str, int]:  # fmt: skip
    outcomes: dict[str, int] = {}

    @flow(name="one-content", persist_result=False)
    def one_content() -> None:
        made = process_videos("t", jobs, run, settings, catalog, store, frozenset(forced))
        outcomes.update(made)

    one_content()
    return outcomes


def test_records_are_on_disk_before_the_video_ends(
    small_clip: Path, settings: Settings, catalog: Catalog, store: ArtifactStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(stages, "PIPELINE", PIPELINE[:2])
    seen: list[set[str]] = []

    def and_look(*args: Any) -> Any:
        stages.run_stages(*args)
        seen.append({path.split("/")[1] for path in store.listing("records")})
        raise NoPerson("and stop here")

    monkeypatch.setattr(video, "run_stages", and_look)
    run, jobs = ingested(catalog, record(small_clip))
    assert process(jobs, run, settings, catalog, store) == {"failed": 1}
    assert seen == [{"probe", "normalize"}]
    [failure] = catalog.failures("s")
    assert (failure.code, failure.message) == ("no_person", "and stop here")
    assert catalog.run(run.id).stages_executed == 2


def test_a_surprise_fails_one_video_by_name_and_not_the_others(
    small_clip: Path, settings: Settings, catalog: Catalog, store: ArtifactStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def surprise(_source: Any, _content: Any, subject: Any, *_: Any) -> Any:
        raise ZeroDivisionError(subject.word)

    monkeypatch.setattr(video, "run_stages", surprise)
    run, jobs = ingested(catalog, record(small_clip, 1), record(small_clip, 2))
    assert process(jobs, run, settings, catalog, store) == {"failed": 2}
    messages = [(f.code, f.message) for f in catalog.failures("s")]
    assert messages[0][0] == "unexpected" and "ZeroDivisionError: takk 1" in messages[0][1]
    assert len(list(catalog.due("s", "p"))) == 2  # a bug may be mended: tried again next time


def test_what_stops_the_run_gives_its_job_back(
    small_clip: Path, settings: Settings, catalog: Catalog, store: ArtifactStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def no_model(*_: Any) -> Any:
        raise ModelError("the model is not here")

    monkeypatch.setattr(video, "run_stages", no_model)
    run, jobs = ingested(catalog, record(small_clip))
    with pytest.raises(ModelError, match="not here"):
        process(jobs, run, settings, catalog, store)
    assert catalog.counts() == {"queued": 1}


def test_a_job_that_another_has_is_left_alone(
    small_clip: Path, settings: Settings, catalog: Catalog, store: ArtifactStore
) -> None:
    run, jobs = ingested(catalog, record(small_clip))
    assert catalog.claim(jobs[0], run, 60)
    assert process(jobs, run, settings, catalog, store) == {"taken": 1}
    assert catalog.run(run.id).taken == 1


def test_a_video_that_vanished_since_the_ingest_is_missing(
    small_clip: Path, settings: Settings, catalog: Catalog, store: ArtifactStore, tmp_path: Path
) -> None:
    path = tmp_path / "gone.mp4"
    path.write_bytes(small_clip.read_bytes())
    run, jobs = ingested(catalog, record(path))
    path.unlink()
    assert process(jobs, run, settings, catalog, store) == {"missing_file": 1}


def test_a_video_that_changed_since_the_ingest_is_read_as_it_is_now(
    small_clip: Path, settings: Settings, catalog: Catalog, store: ArtifactStore, tmp_path: Path,
    content: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = tmp_path / "changed.mp4"
    path.write_bytes(b"before")
    run, jobs = ingested(catalog, record(path))
    path.write_bytes(small_clip.read_bytes())
    contents: list[str] = []

    def note(_source: Any, content: str, *_: Any) -> Any:
        contents.append(content)
        raise NoPerson("nobody")

    monkeypatch.setattr(video, "run_stages", note)
    process(jobs, run, settings, catalog, store)
    assert contents == [content]
    assert list(catalog.due("s", "p")) == []  # settled for the bytes that were read


def test_a_fetched_copy_of_a_video_is_no_second_video(
    small_clip: Path, settings: Settings, catalog: Catalog, store: ArtifactStore,
    monkeypatch: pytest.MonkeyPatch, content: str,
) -> None:  # fmt: skip
    processed: list[tuple[str, str]] = []

    def note(_source: Any, found: str, subject: Any, *_: Any) -> Any:
        processed.append((subject.video_id, found))
        raise NoPerson("nobody")

    monkeypatch.setattr(video, "run_stages", note)
    url = small_clip.as_uri()
    rows = [
        Record(1, "takk", str(small_clip), None, small_clip.name),
        Record(2, "takk", url, url, "kopi.mp4"),
        Record(3, "ja", url, url, "kopi.mp4"),
    ]
    run, jobs = ingested(catalog, *rows)
    assert len(jobs) == 3
    assert process(jobs[1:], run, settings, catalog, store) == {"failed": 2}
    assert process(jobs[:1], run, settings, catalog, store) == {"taken": 1}, "it was done meanwhile"
    ids = [str(video_id(row)) for row in rows]
    assert processed == [(ids[0], content), (ids[2], content)]
    assert catalog.counts() == {"failed": 2}
    ended = catalog.run(run.id)
    assert (ended.failed, ended.taken) == (2, 1)


def test_force_reaches_every_segment_of_a_content_once(
    small_clip: Path, settings: Settings, catalog: Catalog, store: ArtifactStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    forced: list[tuple[float | None, set[str]]] = []

    def note(*args: Any) -> Any:
        forced.append((args[2].start_s, set(args[5])))
        return {}

    monkeypatch.setattr(video, "run_stages", note)
    monkeypatch.setattr(video, "_finish", lambda *_: None)
    rows = [record(small_clip, i, start_s=s) for i, s in enumerate((None, 0.04, 0.04), 1)]
    run, jobs = ingested(catalog, *rows)
    process(jobs, run, settings, catalog, store, "track", "persist", "export")
    everything = {"track", "persist", "export"}
    assert forced == [(None, everything), (0.04, everything), (0.04, {"persist", "export"})]


@pytest.mark.parametrize(("segments", "open_after_each"), [(1, [False]), (3, [True] * 3)])
def test_a_source_stays_open_while_its_segments_are_processed_in_order(
    small_clip: Path, settings: Settings, catalog: Catalog, store: ArtifactStore,
    monkeypatch: pytest.MonkeyPatch, segments: int, open_after_each: list[bool],
) -> None:  # fmt: skip
    monkeypatch.setattr(stages, "PIPELINE", PIPELINE[:2])
    settings = settings.model_copy(update={"trim": "motion"})  # so that normalize reads frames
    starts: list[float | None] = []
    found: list[bool] = []

    def is_open() -> bool:
        children = psutil.Process().children(recursive=True)
        return any(str(small_clip) == file.path for p in children for file in p.open_files())

    def and_look(*args: Any) -> Any:
        starts.append(args[2].start_s)
        stages.run_stages(*args)
        found.append(is_open())
        return {}

    monkeypatch.setattr(video, "run_stages", and_look)
    monkeypatch.setattr(video, "_finish", lambda *_: None)
    rows = [record(small_clip, 3 - i, start_s=0.04 * i, end_s=0.04 * (i + 1))
            for i in range(segments)]  # fmt: skip
    run, jobs = ingested(catalog, *rows)
    process(jobs, run, settings, catalog, store)
    assert found == open_after_each
    assert starts == [0.04 * i for i in range(segments)], "whatever the manifest's order"
    assert not is_open()
