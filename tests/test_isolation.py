from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.isolated_parameters import Crash, Hang, Raise
from tracker_core import isolation
from tracker_core.errors import NoPerson, TimedOut, Unreadable, WorkerCrashed
from tracker_core.isolation import run_isolated
from tracker_core.settings import Settings
from tracker_core.stages import StageWork, Subject, probe_parameters


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
