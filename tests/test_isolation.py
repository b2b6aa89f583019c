from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.isolated_parameters import Counting, Crash, Hang, Raise
from tests.media.hard_files import ffmpeg
from tracker_core import isolation
from tracker_core.errors import NoPerson, TimedOut, Unreadable, WorkerCrashed
from tracker_core.isolation import one_process, run_isolated
from tracker_core.landmarks.tracks import Tracks
from tracker_core.pipeline import STAGES
from tracker_core.settings import Settings, load_settings
from tracker_core.stages import Facts, StageWork, Subject, probe_parameters
from tracker_core.tracking.models import ModelStore


@pytest.fixture
def work(small_clip: Path, tmp_path: Path) -> StageWork:
    """A probe that succeeds."""
    out = tmp_path / "out"
    out.mkdir()
    return StageWork(
        source=small_clip, content="c", subject=Subject("id", "word", small_clip.name),
        parameters=probe_parameters(Settings(workspace_dir=tmp_path)), inputs={}, facts={}, keys={},
        models_dir=tmp_path, out=out,
    )  # fmt: skip


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("log") / "stages.log"
    isolation.close()


def until(reached: Callable[[], bool], within_s: float = 20.0) -> bool:
    deadline = time.monotonic() + within_s
    while not reached():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def works(work: StageWork, log: Path) -> bool:
    return bool(run_isolated("probe", work, 60, 1, log)["frames"] == 5)


def test_a_stage_gives_its_facts_and_writes_its_files(work: StageWork, log: Path) -> None:
    assert works(work, log)
    assert (work.out / "probe.json").is_file()


def test_a_stages_own_error_comes_through_with_its_sentence(
    work: StageWork, log: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.mp4"
    page.write_text("<!DOCTYPE html>")
    with pytest.raises(Unreadable, match="web page"):
        run_isolated("probe", dataclasses.replace(work, source=page), 60, 1, log)
    broken = Raise(tmp_path / "note", NoPerson("nobody"))
    with pytest.raises(NoPerson, match="nobody"):
        run_isolated("probe", dataclasses.replace(work, parameters=broken), 60, 1, log)


def test_a_hanging_stage_is_killed_at_its_time_limit(
    work: StageWork, log: Path, tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"probe was ended after 1 s.*STAGE_TIMEOUT_S"):
        run_isolated("probe", dataclasses.replace(work, parameters=Hang(note)), 1, 1, log)
    assert time.monotonic() - started < 30
    assert until(lambda: not psutil.pid_exists(int(note.read_text())))
    assert works(work, log)


def test_a_crashing_stage_is_named_and_the_next_one_works(work: StageWork, log: Path) -> None:
    with pytest.raises(WorkerCrashed, match=r"the process of probe died \(exit code -?\d+\)"):
        run_isolated("probe", dataclasses.replace(work, parameters=Crash()), 60, 1, log)
    assert works(work, log)


def test_running_out_of_memory_is_a_crash_with_a_name(
    work: StageWork, log: Path, tmp_path: Path
) -> None:
    full = Raise(tmp_path / "note", MemoryError())
    with pytest.raises(WorkerCrashed, match="ran out of memory"):
        run_isolated("probe", dataclasses.replace(work, parameters=full), 60, 1, log)


def test_runs_of_different_sizes_do_not_end_each_others_processes(
    work: StageWork, log: Path, tmp_path: Path
) -> None:
    assert works(work, log)
    mine = {p.pid for p in psutil.Process().children()}
    run_isolated("probe", work, 60, 2, tmp_path / "other.log")
    assert mine <= {p.pid for p in psutil.Process().children()}


def test_after_closing_no_process_is_left_and_the_next_stage_starts_one(
    work: StageWork, log: Path
) -> None:
    def stages() -> list[psutil.Process]:
        return [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]

    assert works(work, log) and stages()
    isolation.close()
    assert until(lambda: not stages())
    assert works(work, log)


def stage_processes() -> set[int]:
    children = psutil.Process().children()
    return {p.pid for p in children if "spawn_main" in " ".join(p.cmdline())}


# stages that share a process


def test_stages_that_belong_together_share_a_process_and_hold_no_other(
    work: StageWork, tmp_path: Path
) -> None:
    log = tmp_path / "shared.log"
    before = stage_processes()
    with one_process(open_between=False):
        for _ in range(3):
            run_isolated("probe", work, 60, 3, log)
            assert len(stage_processes() - before) == 1
    for _ in range(3):  # the process that is there already is the next one's too
        run_isolated("probe", work, 60, 3, log)
    assert len(stage_processes() - before) == 1


def test_a_group_within_a_group_asks_for_no_second_process(work: StageWork, log: Path) -> None:
    with one_process(open_between=False):
        assert works(work, log)
        with one_process(open_between=True):
            assert works(work, log), "there is one slot: waiting for another would never end"
        assert works(work, log)


def test_no_more_stages_run_at_a_time_than_are_allowed(work: StageWork, tmp_path: Path) -> None:
    """Six groups of two stages, of four threads, in two processes; and each gets its turn."""
    log = tmp_path / "many.log"
    before, most = stage_processes(), list[int]()

    def group(number: int) -> list[int]:
        outs = [tmp_path / f"{number} {i}" for i in range(2)]
        with one_process(open_between=True):
            for out in outs:
                out.mkdir()
                run_isolated("probe", dataclasses.replace(work, out=out), 60, 2, log)
                most.append(len(stage_processes() - before))
        return [out.stat().st_size for out in outs if (out / "probe.json").is_file()]

    with ThreadPoolExecutor(4) as threads:
        assert [len(made) for made in threads.map(group, range(6))] == [2] * 6
    assert max(most) == 2


def test_a_group_goes_on_after_a_crash_a_hang_and_a_death_between_stages(
    work: StageWork, tmp_path: Path
) -> None:
    log, before = tmp_path / "deaths.log", stage_processes()
    with one_process(open_between=True):
        assert works(work, log)
        with pytest.raises(WorkerCrashed):
            run_isolated("probe", dataclasses.replace(work, parameters=Crash()), 60, 1, log)
        assert works(work, log)
        hang = Hang(tmp_path / "pid")
        with pytest.raises(TimedOut):
            run_isolated("probe", dataclasses.replace(work, parameters=hang), 1, 1, log)
        assert works(work, log)
        for pid in stage_processes() - before:
            psutil.Process(pid).kill()
        time.sleep(1)  # it is noticed in a tenth of a second
        assert works(work, log)
    assert works(work, log)


# segments of one source


@pytest.fixture(scope="module")
def one_keyframe(tmp_path_factory: pytest.TempPathFactory, face: Path) -> Path:
    """A face over half a minute, slowly; all but the first frame build on the one before."""
    path = tmp_path_factory.mktemp("segments") / "one_keyframe.mp4"
    coding = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "9999", "-sc_threshold", "0")
    slow = ("-an", "-vf", "setpts=10*PTS,scale=320:-2", "-fps_mode", "passthrough")
    ffmpeg("-i", face, *slow, *coding, path)
    return path


@dataclasses.dataclass
class Segments:
    """Runs the stages that read, on segments of one source."""

    source: Path
    models: ModelStore
    folder: Path

    def __post_init__(self) -> None:
        self.log, self.note = self.folder / "log", self.folder / "note"
        self.decoded = {"roi": 0, "track": 0}
        self.note.touch()
        self.probed = self._stage("probe", Subject("id", "word", "v.mp4"), {}, {}, "probe")

    def run(self, start_s: float, end_s: float) -> tuple[bytes, Tracks]:
        """The box and the track of a segment."""
        subject = Subject("id", "word", "v.mp4", start_s, end_s)
        files, facts = {"probe": self.probed[0]}, {"probe": self.probed[1]}
        for name in ("normalize", "roi", "track"):
            before = self.note.stat().st_size
            files[name], facts[name] = self._stage(name, subject, files, facts, f"{start_s} {name}")
            if name in self.decoded:
                self.decoded[name] += self.note.stat().st_size - before
        return files["roi"]["roi.json"].read_bytes(), Tracks.read_parquet(
            files["track"]["tracks.parquet"]
        )

    def _stage(
        self, name: str, subject: Subject, files: dict[str, dict[str, Path]],
        facts: dict[str, Facts], folder: str,
    ) -> tuple[dict[str, Path], Facts]:  # fmt: skip
        out = self.folder / folder
        out.mkdir()
        settings = load_settings({"models_dir": self.models.folder, "target_fps": "source"})
        parameters = Counting(STAGES[name].parameters(settings), self.note)
        work = StageWork(
            self.source, "c", subject, parameters, files, facts, {}, self.models.folder, out
        )
        made = run_isolated(name, work, 120, 1, self.log)
        return {path.name: path for path in out.iterdir()}, made


def test_segments_in_order_are_decoded_once_by_each_stage_and_are_the_same(
    one_keyframe: Path, models: ModelStore, tmp_path: Path
) -> None:
    spans = list(itertools.pairwise(2.4 * i for i in range(11)))
    before = stage_processes()
    (tmp_path / "together").mkdir()
    (tmp_path / "alone").mkdir()
    together = Segments(one_keyframe, models, tmp_path / "together")
    frames = together.probed[1]["frames"]
    with one_process(open_between=True):
        found = [together.run(*span) for span in spans]
        (process,) = (psutil.Process(pid) for pid in stage_processes() - before)
        assert together.decoded["track"] == frames
        assert 0 < together.decoded["roi"] <= frames
        # Some of the last frames are still to come, so here the source is open.
        together.run(0, 1)
        assert str(one_keyframe) in {file.path for file in process.open_files()}
    assert str(one_keyframe) not in {file.path for file in process.open_files()}

    alone = Segments(one_keyframe, models, tmp_path / "alone")
    for span, (box, track) in list(zip(spans, found, strict=True))[::3]:
        single_box, single = alone.run(*span)
        assert box == single_box
        for name in ("positions", "confidence", "state", "world", "blendshapes", "timestamps"):
            np.testing.assert_array_equal(getattr(track, name), getattr(single, name))
    assert alone.decoded["track"] > 2 * frames, "each from the start: else this proves nothing"


# the end


PARENT = """
    import sys
    from pathlib import Path
    from tests.isolated_parameters import Hang
    from tracker_core.isolation import run_isolated
    from tracker_core.stages import StageWork, Subject

    if __name__ == "__main__":
        folder = Path(sys.argv[1])
        work = StageWork(folder, "", Subject("", "", ""), Hang(folder / "pid"), {}, {}, {}, folder,
                         folder)
        run_isolated("probe", work, 600, 1, folder / "log")
"""


def test_no_stage_outlives_a_killed_run(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(textwrap.dedent(PARENT))
    here = Path(__file__).parents[1]
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py", tmp_path],
        env={**os.environ, "PYTHONPATH": str(here)},
    )
    note = tmp_path / "pid"
    assert until(lambda: note.is_file() and note.read_text() != "", 60)
    parent.kill()
    parent.wait()
    child = int(note.read_text())
    alive = not until(lambda: not psutil.pid_exists(child), 10)
    if alive:
        psutil.Process(child).kill()
    assert not alive
