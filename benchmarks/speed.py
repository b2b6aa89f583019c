"""How fast we are, beside peers and beside the bare cost of the networks.

::

    python -m benchmarks.speed [--clips DIR_OR_GLOB ...] [--repeat N] [--workers 2] [--quick]
                               [--only NAME,...] [--set NAME=VALUE] [--stages] [--json FILE]

Contestants (`benchmarks.contestants`; the table ends by saying what each computes) work through the
same clips, with one worker and with ``--workers``; between them the networks alone are measured
(`benchmarks.model_times`). Each contestant runs over a few clips and over all of them. What the
larger run costs beyond the smaller, per frame, is the *steady state*; what is left at no frames is
the *start-up* (interpreter, imports, server). All take turns, forwards and backwards, so that what
else the machine does falls on all alike.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.clips import count_frames, find_clips, lay_out
from benchmarks.contestants import ROOT, Contestant, as_arguments, contestants, process_role
from benchmarks.model_times import ModelTimes
from benchmarks.provider_loop import assignment
from benchmarks.speed_tables import Measured, floor_table, speed_table, stage_table
from benchmarks.stages import stage_costs
from benchmarks.tree import Usage, measure
from tracker_core.errors import CannotRun, TrackerError
from tracker_core.settings import load_settings
from tracker_core.tracking.models import ModelStore

# The networks alone: name -> the setting ``speed``, whether whole, and what is computed.
FLOORS = {
    "floor": (
        "full",
        True,
        "MediaPipe's models alone, as they come, as often as a frame with both hands and the face "
        "needs them: 478 face points, blendshapes",
    ),
    "networks": ("full", False, "the same without what no landmark needs, as our graph has them"),
    "networks-fast": ("fast", False, "the same as the fast mode has them"),
}

# With fewer clips, copies are made: the difference of two runs must be worth measuring.
_FEWEST_CLIPS, _CLIPS_QUICK = 6, 4
_ROUNDS, _ROUNDS_QUICK = 60, 20


@dataclass(frozen=True)
class Course:
    """What everybody works through.

    Attributes:
        frames: clip -> its frames.
        few: the clips of the smaller run.
        scratch: folder for what is made on the way.
    """

    frames: Mapping[Path, int]
    few: Sequence[Path]
    scratch: Path

    @property
    def all(self) -> Sequence[Path]:
        """The clips of the larger run."""
        return list(self.frames)

    def count(self, clips: Sequence[Path]) -> int:
        """Frames of some of the clips."""
        return sum(self.frames[clip] for clip in clips)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write the tables."""
    given, crew = _arguments(arguments)
    overrides = dict(given.settings)
    ModelStore(load_settings().models_dir).pull()
    clips = find_clips(given.clips, ROOT)
    before = psutil.cpu_times()
    with tempfile.TemporaryDirectory(prefix="tracker-speed-") as scratch:
        course = lay_course(clips, given.workers, Path(scratch), quick=given.quick)
        measured, floors = _take_turns(given, crew, course)
        costs = stage_costs(course.all, Path(scratch) / "stages", overrides) if given.stages else {}
    _say(conditions(measured, floors, course, _stolen(before)))
    computes = {name: one.computes for name, one in crew.items()}
    computes |= {name: what for name, (_, _, what) in FLOORS.items()}
    _say(speed_table(measured, floors, computes))
    if floors:
        _say(floor_table(measured, floors))
    if given.stages:
        _say(stage_table(measured, costs))
    if given.json:
        report = {
            "machine": _machine(),
            "measured": [dataclasses.asdict(one) for one in measured],
            "floors": [dataclasses.asdict(one) for one in floors],
            "stages_cpu_ms": costs,
        }
        given.json.write_text(json.dumps(report, indent=2), encoding="utf-8")


def _arguments(arguments: list[str] | None) -> tuple[argparse.Namespace, dict[str, Contestant]]:
    """What was asked for, and who takes part; ``only`` has the names of `FLOORS` as well."""
    parser = argparse.ArgumentParser(
        description="Speed, CPU time and memory beside pose-format, MediaPipe and bare networks."
    )
    parser.add_argument("--clips", nargs="+", default=[], metavar="DIR_OR_GLOB")
    parser.add_argument("--repeat", type=_positive, default=3, help="repetitions of everything")
    parser.add_argument("--workers", type=_positive, default=2, help="besides one worker")
    parser.add_argument("--quick", action="store_true", help="one repetition on the shortest clips")
    parser.add_argument("--only", metavar="NAME,...", help="contestants, by default all")
    parser.add_argument(
        "--set", type=assignment, action="append", default=[], dest="settings",
        metavar="NAME=VALUE", help="a setting for all that is ours, e.g. engine=litert",
    )  # fmt: skip
    parser.add_argument("--stages", action="store_true", help="CPU time of each stage as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    given = parser.parse_args(arguments)
    if given.quick:
        given.repeat = 1
    load_settings(dict(given.settings))  # a wrong one is said to be wrong now
    crew = contestants(dict(given.settings))
    known = [*crew, *FLOORS]
    given.only = given.only.split(",") if given.only else known
    unknown = sorted(set(given.only) - set(known))
    if unknown:
        parser.error(f"--only {', '.join(unknown)}: there are {', '.join(known)}")
    if given.stages and "tracker" not in given.only:
        parser.error("--stages needs the contestant tracker")
    return given, {name: one for name, one in crew.items() if name in given.only}


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def lay_course(clips: Sequence[Path], workers: int, scratch: Path, *, quick: bool) -> Course:
    """The clips of both runs, in a folder of their own.

    Raises CannotRun when there are too few for the difference of two runs to say anything.
    """
    count = max(_FEWEST_CLIPS, len(clips))
    if quick:
        clips = sorted(clips, key=count_frames)[:_CLIPS_QUICK]
        count = _CLIPS_QUICK
    frames = {clip: count_frames(clip) for clip in lay_out(clips, count, scratch / "clips")}
    # As many as keep every worker busy, and short ones, so that the runs differ by much.
    few = sorted(frames, key=lambda clip: frames[clip])[: max(2, workers)]
    course = Course(frames, few, scratch)
    if course.count(course.all) < 2 * course.count(few):
        raise CannotRun(f"{count} clips are too few for {workers} workers: give more (--clips)")
    return course


# ---------------------------------------------------------------------------- measuring


def _take_turns(
    given: argparse.Namespace, crew: Mapping[str, Contestant], course: Course
) -> tuple[list[Measured], list[ModelTimes]]:
    """Run everybody as often as asked for: the contestants' costs, and the networks'."""
    for name, contestant in crew.items():  # page cache, environments and Prefect's database made
        run(name, contestant, given.workers, course.few, course.scratch)
    # From one number of workers to the next, so that what is compared lies close together in time.
    turns = [(name, n) for n in sorted({1, given.workers}) for name in given.only]
    measured, floors = [], []
    for repetition in range(given.repeat):
        for name, workers in turns if repetition % 2 == 0 else reversed(turns):
            step = f"{repetition + 1}/{given.repeat} {name} x{workers}"
            if name in FLOORS:
                speed, whole, _ = FLOORS[name]
                settings = {**dict(given.settings), "speed": speed}
                rounds = _ROUNDS_QUICK if given.quick else _ROUNDS
                times = _model_times(settings, workers, rounds, course.scratch, whole=whole)
                floors.append(times)
                fps, cpu_ms = times.fps, times.frame_cpu_ms()
            else:
                one = Measured(
                    contestant=name,
                    workers=workers,
                    few=run(name, crew[name], workers, course.few, course.scratch),
                    all=run(name, crew[name], workers, course.all, course.scratch),
                    few_frames=course.count(course.few),
                    all_frames=course.count(course.all),
                )
                measured.append(one)
                fps, cpu_ms = one.fps, one.cpu_ms
            sys.stderr.write(f"{step}: {fps:.1f} frames/s, {cpu_ms:.1f} CPU ms/frame\n")
    order = list(crew)
    return sorted(measured, key=lambda one: order.index(one.contestant)), floors


def run(
    name: str, contestant: Contestant, workers: int, clips: Sequence[Path], scratch: Path
) -> Usage:
    """One contestant over some clips, from nothing; raises CannotRun unless it did them all."""
    folder, workspace = scratch / "run" / "clips", scratch / "run" / "workspace"
    folder.mkdir(parents=True)
    for clip in clips:
        shutil.copyfile(clip, folder / clip.name)  # pose-format writes beside them
    try:
        usage = measure(
            contestant.command(folder, workspace, workers),
            scratch / f"{name}.log",
            role=process_role,
            environment={"PREFECT_HOME": str(scratch / "prefect")},
            folder=ROOT,
        )
        done = contestant.clips_done(folder, workspace, usage.output)
    finally:
        shutil.rmtree(scratch / "run")
    if done != len(clips):
        raise CannotRun(f"{name} did {done} of {len(clips)} clips: {usage.output[-800:]}")
    return usage


def _model_times(
    settings: Mapping[str, str], workers: int, rounds: int, scratch: Path, *, whole: bool
) -> ModelTimes:
    """The networks alone, in processes of their own."""
    command = [sys.executable, "-m", "benchmarks.model_times"]
    command += ["--workers", str(workers), "--rounds", str(rounds), *(["--whole"] * whole)]
    usage = measure([*command, *as_arguments(settings)], scratch / "floor.log", folder=ROOT)
    times = ModelTimes(**json.loads(usage.output))
    return dataclasses.replace(times, others_cpus=usage.others_cpu_s / usage.wall_s)


# ---------------------------------------------------------------------------- conditions


def conditions(
    measured: Sequence[Measured], floors: Sequence[ModelTimes], course: Course, stolen: float = 0.0
) -> str:
    """Sentences: on what, and how busy the machine was with other things.

    Args:
        measured, floors: all repetitions.
        course: what they ran over.
        stolen: CPUs that other guests of the same host took from this virtual machine.
    """
    machine = _machine()
    busy = [
        (run.others_cpu_s / run.wall_s, f"{one.contestant} x{one.workers}")
        for one in measured
        for run in (one.few, one.all)
    ]
    busy += [(one.others_cpus, f"{one.name} x{one.workers}") for one in floors]
    most, disturbed = max(busy)
    repetitions = max(
        Counter(
            [(one.contestant, one.workers) for one in measured]
            + [(times.name, times.workers) for times in floors]
        ).values()
    )
    warning = (
        " That is much: trust the CPU times, not the frames per second, and measure again."
        if most + stolen > 0.2
        else ""
    )
    return (
        f"{len(course.all)} clips, {course.count(course.all)} frames a run, "
        f"{repetitions} repetitions; {machine['cpus']} CPUs ({machine['processor']}), "
        f"{machine['memory_gib']:.0f} GiB, {machine['system']}, Python {machine['python']}; "
        f"{machine['engines']}.\n"
        f"Other processes took at most {most:.2f} CPUs during a run (of {disturbed}), and other "
        f"guests of the host {stolen:.2f} on average.{warning}\n"
        "Medians (lowest–highest) of the steady state; memory is of the whole process tree."
    )


def _stolen(before: Any) -> float:
    """CPUs on average that the host gave to others since ``before``, which psutil.cpu_times() gave.

    0 where the system does not say.
    """
    now = psutil.cpu_times()
    passed = sum(now[:8]) - sum(before[:8])  # those after the eighth are counted in others, too
    stolen = getattr(now, "steal", 0.0) - getattr(before, "steal", 0.0)
    return float(stolen / passed * (os.cpu_count() or 1)) if passed else 0.0


def _machine() -> dict[str, str | int | float | None]:
    return {
        "cpus": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": psutil.virtual_memory().total / 2**30,
        "system": platform.system(),
        "python": platform.python_version(),
        "engines": _engines(),
    }


def _processor() -> str:
    """The processor's name; on Linux only the kernel tells it."""
    told = Path("/proc/cpuinfo")
    if told.is_file():
        for line in told.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _engines() -> str:
    """Names and versions of the installed engines."""
    found = {}
    for name in ("mediapipe", "openvino", "ai-edge-litert", "onnxruntime"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return ", ".join(f"{name} {number}" for name, number in found.items())


def _say(text: str) -> None:
    sys.stdout.write(text + "\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except TrackerError as error:
        raise SystemExit(f"benchmarks.speed: {error}") from None
