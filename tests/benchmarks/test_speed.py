"""The benchmarks' own arithmetic, on measurements made up for it."""

from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks import clips, memory, speed
from benchmarks.peers import environment
from benchmarks.speed import Measured
from benchmarks.tree import Usage, measure
from tracker_core.errors import CannotRun
from tracker_core.tracking.models import sha256_file


def usage(wall_s: float, cpu_s: float, **roles: float) -> Usage:
    return Usage(wall_s, cpu_s, roles, 100 * 2**20, "")


def measured(
    name: str, workers: int = 1, *, ms: float, cpu_ms: float, start: float = 2.0
) -> Measured:
    """A contestant whose every frame takes ``ms``, after ``start`` seconds."""
    few, many = 100, 900
    return Measured(
        name,
        workers,
        usage(start + few * ms / 1000, start + few * cpu_ms / 1000),
        usage(start + many * ms / 1000, start + many * cpu_ms / 1000),
        few,
        many,
    )


def cells(table: str, row: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {row} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_steady_state_and_start_up_are_told_apart() -> None:
    one = measured("tracker", ms=50, cpu_ms=66, start=7.5)
    assert one.fps == pytest.approx(20)
    assert one.cpu_ms == pytest.approx(66)
    assert one.start_up(speed.wall) == pytest.approx(7.5)
    assert one.start_up(speed.cpu) == pytest.approx(7.5)


def test_a_measurement_that_says_nothing_is_an_error() -> None:
    same = usage(5, 5)
    with pytest.raises(CannotRun, match="too busy, or the clips are too short"):
        _ = Measured("floor", 1, same, same, 100, 900).fps


def test_table_gives_medians_spreads_and_ratios_of_the_same_number_of_workers() -> None:
    runs = [
        measured("tracker", ms=50, cpu_ms=66),
        measured("tracker", ms=40, cpu_ms=70),
        measured("tracker", ms=40, cpu_ms=66),
        measured("floor", ms=50, cpu_ms=60),
        measured("floor", 2, ms=1, cpu_ms=1),
        measured("pose-format", ms=80, cpu_ms=33),
    ]
    table = speed.table(runs)
    row = cells(table, "tracker")
    assert row[1:4] == ["1", "25.0 (20.0–25.0)", "66.0 (66.0–70.0)"]
    assert row[4] == "CPU x1.10, speed x1.25"
    assert row[5] == "CPU x2.00, speed x2.00"
    assert row[6:] == ["100 MiB", "2.0 s", "2.0 s"]
    assert "plain face mesh" in table
    widths = {len(line) for line in table.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_table_without_a_contestant_has_a_dash_for_it() -> None:
    assert cells(speed.table([measured("tracker", ms=50, cpu_ms=66)]), "tracker")[4:6] == ["–", "–"]


def test_a_busy_machine_is_said_to_be_one() -> None:
    quiet, busy = Usage(10, 8, {}, 1, ""), Usage(10, 8, {}, 1, "", others_cpu_s=8)
    calm = speed.conditions([Measured("floor", 1, quiet, quiet, 1, 9)], 3)
    assert "3 clips, 9 frames a run, 1 repetitions" in calm
    assert "0.00 CPUs on average.\n" in calm
    loud = speed.conditions([Measured("floor", 1, quiet, busy, 1, 9)], 3)
    assert "0.40 CPUs on average. That is much: trust the CPU times" in loud


def test_stage_table_adds_up() -> None:
    def both(frames: int) -> Usage:
        return usage(
            1,
            1,
            **{
                "stage processes": 0.070 * frames,
                "main process": 0.002 * frames,
                "Prefect server": 0.003 * frames,
            },
        )

    run = Measured("tracker", 1, both(100), both(900), 100, 900)
    table = speed.stage_table([run], {"bare loop": 60, "roi": 3, "track": 61, "smooth": 1})
    assert cells(table, "track, beyond the bare loop")[1:] == ["1.00", "1.7%"]
    assert cells(table, "stage processes, beyond the stages")[1] == "5.00"
    assert cells(table, "Prefect server")[1:] == ["3.00", "5.0%"]
    assert cells(table, "all")[1:] == ["75.00", "125.0%"]


@pytest.mark.parametrize(
    "arguments",
    [["--repeat", "0"], ["--only", "openpose"], ["--stages", "--only", "tracker"]],
)
def test_arguments_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        speed.main(arguments)


@pytest.mark.parametrize(
    ("command", "role"),
    [
        (["python", "-m", "uvicorn", "--app-dir", "prefect.server.api.server"], "Prefect server"),
        (["python", "-c", "from multiprocessing.spawn import spawn_main"], "stage processes"),
        (["python", "-m", "flows.cli", "run", "clips"], "main process"),
    ],
)
def test_roles_of_processes(command: list[str], role: str) -> None:
    assert speed.process_role(command) == role


def test_the_whole_tree_is_measured(tmp_path: Path) -> None:
    child = "import time\nheap = bytearray(b'x' * 64_000_000)\nend = time.process_time() + 0.6\n"
    child += "while time.process_time() < end: pass\n"
    parent = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\nprint('ok')"
    )
    found = measure([sys.executable, "-c", parent], tmp_path / "log")
    assert found.output.strip() == "ok"
    assert 0.6 <= found.cpu_s < 5
    assert found.wall_s >= 0.6
    assert found.peak_bytes > 60_000_000


def test_a_command_that_fails_is_an_error_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="no luck"):
        measure([sys.executable, "-c", "raise SystemExit('no luck')"], tmp_path / "log")


def write_clip(path: Path, frames: int = 5, codec: str = "mpeg4", b_frames: int = 0) -> Path:
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25, options={"bf": str(b_frames)})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for value in range(frames):
            picture = np.full((48, 64, 3), 8 * value, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_copies_have_the_same_frames_and_other_bytes(tmp_path: Path) -> None:
    made = [write_clip(tmp_path / "a.mp4"), write_clip(tmp_path / "b.mkv", 7)]
    laid = clips.lay_out(made, 6, tmp_path / "laid")
    assert [clips.count_frames(clip) for clip in laid] == [5, 7] * 3
    assert len({sha256_file(clip) for clip in laid}) == 6


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_copy_keeps_frames_that_are_stored_out_of_order(tmp_path: Path, suffix: str) -> None:
    """Matroska does not store decoding times: the first packets of such video have none."""
    clip = write_clip(tmp_path / f"a.{suffix}", 30, "libx264", b_frames=3)
    clips.remux(clip, tmp_path / f"b.{suffix}", "copy")

    def pictures(path: Path) -> list[bytes]:
        with av.open(path) as container:
            return [f.to_ndarray(format="rgb24").tobytes() for f in container.decode(video=0)]

    assert len(pictures(clip)) == 30
    assert pictures(tmp_path / f"b.{suffix}") == pictures(clip)


def test_clips_are_found_in_folders_and_globs_once(tmp_path: Path) -> None:
    one = write_clip(tmp_path / "a.mp4")
    (tmp_path / "notes.txt").write_text("no video", encoding="utf-8")
    assert clips.find_clips([str(tmp_path), str(tmp_path / "*.mp4"), str(one)], tmp_path) == [one]
    with pytest.raises(CannotRun, match="no video is there"):
        clips.find_clips([str(tmp_path / "*.mov")], tmp_path)
    with pytest.raises(CannotRun, match="cannot be measured on"):
        clips.count_frames(tmp_path / "notes.txt")


def test_the_peer_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def install(command: list[str], what: str) -> None:
        commands.append([what, *command])
        scripts = tmp_path / "pose-format-0.15.0" / "bin"
        scripts.mkdir(parents=True, exist_ok=True)
        (scripts / "videos_to_poses").touch(mode=0o755)

    monkeypatch.setattr(environment, "_run", install)
    monkeypatch.setattr("os.name", "posix")
    first = environment.pose_format_command(tmp_path)
    assert environment.pose_format_command(tmp_path) == first
    assert [what for what, *_ in commands] == ["make an environment", "install pose-format"]
    assert set(environment.REQUIREMENTS) < set(commands[1])


def test_growth_of_memory_is_a_slope() -> None:
    assert memory.growth([6, 12, 24], [700, 700, 700]) == 0
    assert memory.growth([6, 12, 24], [760, 820, 940]) == pytest.approx(10)
    assert "| 6 | 400 | 100 MiB | 5 s |" in memory.table([6], [400], [usage(5, 5)])
