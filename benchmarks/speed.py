"""How fast the whole pipeline is, beside a peer and beside a bare loop over the same model.

::

    python -m benchmarks.speed [--clips DIR_OR_GLOB ...] [--repeat N] [--workers 2]
                               [--only tracker,floor,pose-format] [--stages] [--json FILE]

Three contestants work through the same clips, with one worker and with ``--workers``:

- **tracker**: ``tracker run`` on a folder, in a workspace of its own, every frame tracked: probe
  to avatar package, with its Prefect server and its catalog;
- **pose-format**: its command ``videos_to_poses``, in an environment made for it;
- **floor**: decode and HolisticLandmarker, with the tracker's model and options, nothing kept.

Each runs over a few clips and over all of them. What the larger run costs beyond the smaller, per
frame, is the *steady state*; what is left at no frames is the *start-up* (interpreter, imports,
server). Contestants take turns, so that what else the machine does falls on all alike.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.clips import count_frames, find_clips, lay_out
from benchmarks.peers.environment import pose_format_command
from benchmarks.stages import stage_costs
from benchmarks.tree import Usage, measure
from tracker_core.errors import CannotRun
from tracker_core.settings import load_settings
from tracker_core.tracking.models import HOLISTIC_FULL, ModelStore

ROOT = Path(__file__).resolve().parents[1]
FEWEST_CLIPS = 6  # with fewer, copies are made: the difference of two runs must be worth measuring

COMPUTES = {
    "tracker": "478 face points, blendshapes, smoothing, score, dataset, avatar package, catalog",
    "pose-format": "plain face mesh of 468 points, no blendshapes; one .pose file a clip",
    "floor": "the tracker's landmarks, thrown away",
}


@dataclass(frozen=True)
class Measured:
    """A contestant's two runs of one repetition.

    Attributes:
        contestant: key of `COMPUTES`.
        workers: how many it was told to use.
        few, all: what the run over a few clips cost, and the one over all.
        few_frames, all_frames: how many frames those clips have.
    """

    contestant: str
    workers: int
    few: Usage
    all: Usage
    few_frames: int
    all_frames: int

    def per_frame(self, of: Callable[[Usage], float]) -> float:
        """Steady state: what a further frame costs."""
        return (of(self.all) - of(self.few)) / (self.all_frames - self.few_frames)

    def start_up(self, of: Callable[[Usage], float]) -> float:
        """What is left at no frames; never below 0."""
        return max(0.0, of(self.all) - self.per_frame(of) * self.all_frames)

    @property
    def fps(self) -> float:
        """Frames per second of the steady state."""
        seconds = self.per_frame(wall)
        if seconds <= 0:
            raise CannotRun(
                f"{self.contestant}: the run over all clips was no longer than the one over a few; "
                "the machine is too busy, or the clips are too short, to measure anything"
            )
        return 1 / seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds per frame of the steady state."""
        return 1000 * self.per_frame(cpu)


def wall(usage: Usage) -> float:
    """Seconds that passed."""
    return usage.wall_s


def cpu(usage: Usage) -> float:
    """CPU seconds of all processes."""
    return usage.cpu_s


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write the tables."""
    given = _arguments(arguments)
    clips = find_clips(given.clips, ROOT)
    ModelStore(load_settings().models_dir).pull()
    with tempfile.TemporaryDirectory(prefix="tracker-speed-") as scratch:
        measured, costs = _measure(given, clips, Path(scratch))
    _say(conditions(measured, len(clips)))
    _say(table(measured))
    if given.stages:
        _say(stage_table(measured, costs))
    if given.json:
        report = {
            "machine": _machine(),
            "measured": [dataclasses.asdict(one) for one in measured],
            "stages_cpu_ms": costs,
        }
        given.json.write_text(json.dumps(report, indent=2), encoding="utf-8")


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Speed, CPU time and memory beside pose-format and a bare landmarker loop."
    )
    parser.add_argument("--clips", nargs="+", default=[], metavar="DIR_OR_GLOB")
    parser.add_argument("--repeat", type=_positive, default=2, help="repetitions of everything")
    parser.add_argument("--workers", type=_positive, default=2, help="besides one worker")
    parser.add_argument("--only", type=_contestants, default=list(COMPUTES), metavar="NAME,...")
    parser.add_argument("--stages", action="store_true", help="CPU time of each stage as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    given = parser.parse_args(arguments)
    if given.stages and not {"tracker", "floor"} <= set(given.only):
        parser.error("--stages needs the contestants tracker and floor")
    return given


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def _contestants(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in COMPUTES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(COMPUTES)}")
    return names


# ---------------------------------------------------------------------------- measuring


def _measure(
    given: argparse.Namespace, clips: Sequence[Path], scratch: Path
) -> tuple[list[Measured], dict[str, float]]:
    all_clips = lay_out(clips, max(FEWEST_CLIPS, len(clips)), scratch / "clips")
    frames = {clip: count_frames(clip) for clip in all_clips}
    # As many as keep every worker busy, and short ones, so that the runs differ by much.
    few_clips = sorted(all_clips, key=lambda clip: frames[clip])[: max(2, given.workers)]
    if sum(frames.values()) < 2 * sum(frames[clip] for clip in few_clips):
        raise CannotRun(
            f"{len(all_clips)} clips are too few for {given.workers} workers: give more (--clips)"
        )
    crew = [(name, workers) for name in given.only for workers in sorted({1, given.workers})]
    for name in given.only:  # files in the page cache, environment and Prefect's database made
        _run(name, given.workers, few_clips, scratch)
    measured = []
    for repetition in range(given.repeat):
        for name, workers in crew:
            one = Measured(
                contestant=name,
                workers=workers,
                few=_run(name, workers, few_clips, scratch),
                all=_run(name, workers, all_clips, scratch),
                few_frames=sum(frames[clip] for clip in few_clips),
                all_frames=sum(frames.values()),
            )
            measured.append(one)
            sys.stderr.write(
                f"{repetition + 1}/{given.repeat} {name} x{workers}: {one.fps:.1f} frames/s, "
                f"{one.cpu_ms:.1f} CPU ms/frame\n"
            )
    costs = stage_costs(all_clips, scratch / "stages") if given.stages else {}
    return measured, costs


def _run(name: str, workers: int, clips: Sequence[Path], scratch: Path) -> Usage:
    """One contestant over some clips, from nothing; raises CannotRun unless it did them all."""
    folder, workspace = scratch / "run" / "clips", scratch / "run" / "workspace"
    folder.mkdir(parents=True)
    for clip in clips:
        shutil.copyfile(clip, folder / clip.name)  # pose-format writes beside them
    try:
        usage = measure(
            _command(name, workers, folder, workspace),
            scratch / f"{name}.log",
            role=process_role,
            environment={"PREFECT_HOME": str(scratch / "prefect")},
            folder=ROOT,
        )
        done = _clips_done(name, folder, workspace, usage)
    finally:
        shutil.rmtree(scratch / "run")
    if done != len(clips):
        raise CannotRun(f"{name} did {done} of {len(clips)} clips: {usage.output[-800:]}")
    return usage


def _command(name: str, workers: int, folder: Path, workspace: Path) -> list[str]:
    if name == "tracker":
        command = [sys.executable, "-m", "flows.cli", "run", str(folder)]
        command += ["--workspace", str(workspace), "--workers", str(workers)]
        return [*command, "--set", "target_fps=source"]
    if name == "pose-format":
        command = [str(pose_format_command()), "--format", "mediapipe"]
        return [*command, "--directory", str(folder), "--num-workers", str(workers)]
    model = ModelStore(load_settings().models_dir).path(HOLISTIC_FULL)
    command = [sys.executable, "-m", "benchmarks.peers.bare_loop", str(model), str(folder)]
    return [*command, "--workers", str(workers)]


def _clips_done(name: str, folder: Path, workspace: Path, usage: Usage) -> int:
    if name == "tracker":
        return len(list((workspace / "artifacts" / "tracks").rglob("*.parquet")))
    if name == "pose-format":
        return sum(1 for made in folder.glob("*.pose") if made.stat().st_size)
    return len(list(folder.iterdir())) if int(usage.output) else 0


def process_role(command: Sequence[str]) -> str:
    """What a process of a run does, from its command line."""
    line = " ".join(command)
    if "uvicorn" in line or "prefect.server" in line:
        return "Prefect server"
    if "multiprocessing" in line:
        return "stage processes"
    return "main process"


# ---------------------------------------------------------------------------- tables


def table(measured: Sequence[Measured]) -> str:
    """Markdown: a row per contestant and number of workers, medians with their spread."""
    header = [
        "", "workers", "frames/s", "CPU ms/frame", "of floor", "of pose-format",
        "peak memory", "start-up", "start-up CPU",
    ]  # fmt: skip
    rows = []
    groups = _grouped(measured)
    for (name, workers), runs in groups.items():
        rows.append(
            [
                name,
                str(workers),
                _spread([run.fps for run in runs]),
                _spread([run.cpu_ms for run in runs]),
                _ratio(runs, groups.get(("floor", workers))),
                _ratio(runs, groups.get(("pose-format", workers))),
                f"{max(run.all.peak_bytes for run in runs) / 2**20:.0f} MiB",
                f"{statistics.median(run.start_up(wall) for run in runs):.1f} s",
                f"{statistics.median(run.start_up(cpu) for run in runs):.1f} s",
            ]
        )
    names = dict.fromkeys(name for name, _ in groups)
    lines = [f"- {name}: {COMPUTES[name]}" for name in names]
    return "\n".join([*_markdown(header, rows), "", *lines])


def stage_table(measured: Sequence[Measured], costs: Mapping[str, float]) -> str:
    """Markdown: CPU milliseconds per frame of each stage, and of what is around the stages.

    Args:
        measured: with runs of one worker of ``tracker`` and ``floor``.
        costs: of `stage_costs`: stage -> CPU milliseconds per frame; "bare loop" among them.
    """
    runs = _grouped(measured)[("tracker", 1)]

    def of_role(role: str) -> float:
        return statistics.median(
            1000 * run.per_frame(lambda usage: usage.roles.get(role, 0.0)) for run in runs
        )

    bare = costs["bare loop"]
    stages = {name: cost for name, cost in costs.items() if name != "bare loop"}
    inside = sum(stages.values())
    parts = {
        "bare loop (model, decode)": bare,
        **{
            ("track, beyond the bare loop" if name == "track" else name): (
                cost - bare if name == "track" else cost
            )
            for name, cost in stages.items()
        },
        "stage processes, beyond the stages": of_role("stage processes") - inside,
        "main process (Prefect client, catalog, store)": of_role("main process"),
        "Prefect server": of_role("Prefect server"),
    }
    parts["all"] = sum(parts.values())
    rows = [[name, f"{cost:.2f}", f"{cost / bare:.1%}"] for name, cost in parts.items()]
    return "\n".join(_markdown(["", "CPU ms/frame", "of the bare loop"], rows))


def _grouped(measured: Sequence[Measured]) -> dict[tuple[str, int], list[Measured]]:
    groups: dict[tuple[str, int], list[Measured]] = {}
    for one in measured:
        groups.setdefault((one.contestant, one.workers), []).append(one)
    return groups


def _spread(values: Sequence[float]) -> str:
    middle = f"{statistics.median(values):.1f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.1f}–{max(values):.1f})"


def _ratio(runs: Sequence[Measured], others: Sequence[Measured] | None) -> str:
    """CPU per frame, and frames a second, relative to another's medians."""
    if others is None:
        return "–"

    def cpu_ms(of: Sequence[Measured]) -> float:
        return statistics.median(run.cpu_ms for run in of)

    def fps(of: Sequence[Measured]) -> float:
        return statistics.median(run.fps for run in of)

    cpu_ratio, fps_ratio = cpu_ms(runs) / cpu_ms(others), fps(runs) / fps(others)
    return f"CPU x{cpu_ratio:.2f}, speed x{fps_ratio:.2f}"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(header))]
    padded = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines]
    return [f"| {' | '.join(line)} |" for line in padded]


def conditions(measured: Sequence[Measured], clips: int) -> str:
    """Sentences: on what, and how busy the machine was with other things."""
    machine = _machine()
    runs = [usage for one in measured for usage in (one.few, one.all)]
    others = sum(run.others_cpu_s for run in runs) / sum(run.wall_s for run in runs)
    warning = (
        " That is much: trust the CPU times, not the frames per second." if others > 0.2 else ""
    )
    return (
        f"{clips} clips, {measured[0].all_frames} frames a run, "
        f"{len(measured) // len(_grouped(measured))} repetitions; {machine['cpus']} CPUs "
        f"({machine['processor']}), {machine['memory_gib']:.0f} GiB, {machine['system']}.\n"
        f"Meanwhile other processes took {others:.2f} CPUs on average.{warning}\n"
        "Medians (lowest-highest) of the steady state; memory is of the whole process tree."
    )


def _machine() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "memory_gib": psutil.virtual_memory().total / 2**30,
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _say(text: str) -> None:
    sys.stdout.write(text + "\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except CannotRun as error:
        raise SystemExit(f"benchmarks.speed: {error}") from None
