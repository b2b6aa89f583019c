"""The arithmetic of `benchmarks.speed`: what was measured, and the tables made of it."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.model_times import FULL_FRAME, ModelTimes
from benchmarks.tree import Usage
from tracker_core.errors import CannotRun


@dataclass(frozen=True)
class Measured:
    """A contestant's two runs of one repetition.

    Attributes:
        contestant: its name.
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

    @property
    def peak_mib(self) -> float:
        """Largest memory of the whole process tree in the run over all clips, MiB."""
        return self.all.peak_bytes / 2**20

    @property
    def calls(self) -> dict[str, float]:
        """Network -> how often it ran per frame, where the contestant counts that."""
        try:
            counted = json.loads(self.all.output)["calls"]
        except (json.JSONDecodeError, KeyError, TypeError):
            return {}
        return {network: count / self.all_frames for network, count in counted.items()}

    @property
    def speed(self) -> str:
        """At what speed (the setting) the networks ran that it counts."""
        return str(json.loads(self.all.output)["speed"]) if self.calls else "full"


def wall(usage: Usage) -> float:
    """Seconds that passed."""
    return usage.wall_s


def cpu(usage: Usage) -> float:
    """CPU seconds of all processes."""
    return usage.cpu_s


def grouped(measured: Sequence[Measured]) -> dict[tuple[str, int], list[Measured]]:
    """(Contestant, workers) -> its repetitions, in order."""
    groups: dict[tuple[str, int], list[Measured]] = {}
    for one in measured:
        groups.setdefault((one.contestant, one.workers), []).append(one)
    return groups


def speed_table(
    measured: Sequence[Measured], floors: Sequence[ModelTimes], computes: Mapping[str, str]
) -> str:
    """Markdown: a row per contestant and number of workers, and what each contestant computes.

    Every cell is the median over the repetitions, with the lowest and the highest. A ratio is made
    within each repetition, whose runs lie close together in time, before the median is taken.

    Args:
        measured: as many repetitions of each.
        floors: of every repetition, for each speed and number of workers; may be empty.
        computes: contestant -> what it computes.
    """
    header = [
        "", "workers", "frames/s", "CPU ms/frame", "peak MiB",
        "frames/s : pose-format", "CPU : pose-format", "memory : pose-format",
        "CPU : floor", "CPU : own networks", "start-up s",
    ]  # fmt: skip
    figures = _figures(measured, floors)
    rows = []
    for (name, workers), runs in figures.items():
        peers = figures.get(("pose-format", workers), [])
        floor = figures.get(("floor", workers), [])
        rows.append(
            [
                name,
                str(workers),
                spread([run.fps for run in runs]),
                spread([run.cpu_ms for run in runs]),
                spread([run.peak_mib for run in runs], 0),
                _ratio(runs, peers, lambda one: one.fps),
                _ratio(runs, peers, lambda one: one.cpu_ms),
                _ratio(runs, peers, lambda one: one.peak_mib),
                _ratio(runs, floor, lambda one: one.cpu_ms),
                spread([run.cpu_ms / run.own_cpu_ms for run in runs], 2),
                spread([run.start_up_s for run in runs]),
            ]
        )
    lines = [f"- {name}: {computes[name]}" for name in dict.fromkeys(name for name, _ in figures)]
    return "\n".join([*markdown(header, rows), "", *lines])


@dataclass(frozen=True)
class _Figures:
    """One repetition's numbers in the table; NaN where there is none."""

    fps: float
    cpu_ms: float
    peak_mib: float = math.nan
    start_up_s: float = math.nan
    own_cpu_ms: float = math.nan


def _figures(
    measured: Sequence[Measured], floors: Sequence[ModelTimes]
) -> dict[tuple[str, int], list[_Figures]]:
    figures: dict[tuple[str, int], list[_Figures]] = {}
    for (name, workers), runs in grouped(measured).items():
        times = [t for t in _pruned(floors, runs[0].speed) if t.workers == workers]
        own = [one.frame_cpu_ms(run.calls) for run, one in zip(runs, times, strict=bool(times))]
        figures[name, workers] = [
            _Figures(run.fps, run.cpu_ms, run.peak_mib, run.start_up(wall), own_cpu_ms)
            for run, own_cpu_ms in zip(runs, own or [math.nan] * len(runs), strict=True)
        ]
    for one in sorted(floors, key=lambda times: (times.name, times.workers)):
        of_floor = _Figures(one.fps, one.frame_cpu_ms())
        figures.setdefault((one.name, one.workers), []).append(of_floor)
    return figures


def _pruned(floors: Sequence[ModelTimes], speed: str) -> list[ModelTimes]:
    """Those of the networks that our graph has at this speed."""
    return [times for times in floors if times.speed == speed and not times.whole]


def floor_table(measured: Sequence[Measured], floors: Sequence[ModelTimes]) -> str:
    """Markdown: what one inference of each network costs, and how many a frame takes.

    There is a column of CPU milliseconds for the models as they come and for the networks at each
    speed; then one of how often a full frame needs them, and one for each contestant that counts
    the runs of its networks; at the bottom stand the CPU milliseconds per frame that they sum up
    to, for a contestant those of the networks at its own speed.

    Args:
        measured: all repetitions.
        floors: at least one; those of the fewest workers are shown.
    """
    fewest = min(times.workers for times in floors)
    shown: dict[str, list[ModelTimes]] = {}
    for times in sorted(floors, key=lambda times: times.name):
        if times.workers == fewest:
            shown.setdefault(times.name, []).append(times)
    counting: dict[str, tuple[str, Mapping[str, float]]] = {}
    for (name, _), runs in grouped(measured).items():
        if runs[0].calls:
            counting.setdefault(name, (runs[0].speed, runs[0].calls))
    rows = [
        [
            network,
            *(spread([one.cpu_ms[network] for one in times], 2) for times in shown.values()),
            str(FULL_FRAME.get(network, 0)),
            *(f"{calls.get(network, 0):.2f}" for _, calls in counting.values()),
        ]
        for network in next(iter(shown.values()))[0].cpu_ms
    ]
    own = [
        [one.frame_cpu_ms(calls) for one in _pruned(floors, speed) if one.workers == fewest]
        for speed, calls in counting.values()
    ]
    full = [[one.frame_cpu_ms() for one in times] for times in shown.values()]
    rows.append(["CPU ms/frame", *map(spread, full), "", *map(spread, own)])
    header = ["network", *(f"CPU ms: {name}" for name in shown), "runs in a full frame"]
    return "\n".join(markdown([*header, *(f"runs/frame: {name}" for name in counting)], rows))


def stage_table(measured: Sequence[Measured], costs: Mapping[str, float]) -> str:
    """Markdown: CPU milliseconds per frame of each stage, and of what is around the stages.

    Args:
        measured: with runs of one worker of ``tracker``.
        costs: of `stage_costs`: stage -> CPU milliseconds per frame; "bare loop" among them.
    """
    runs = grouped(measured)[("tracker", 1)]

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
    return "\n".join(markdown(["", "CPU ms/frame", "of the bare loop"], rows))


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose columns are aligned as plain text, too."""
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(header))]
    padded = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines]
    return [f"| {' | '.join(line)} |" for line in padded]


def _ratio(
    runs: Sequence[_Figures], others: Sequence[_Figures], of: Callable[[_Figures], float]
) -> str:
    pairs = zip(runs, others, strict=True) if others else ()
    return spread([of(run) / of(other) for run, other in pairs], 2)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Median (lowest–highest); a dash where there is no number."""
    if not values or any(map(math.isnan, values)):
        return "–"
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})"
