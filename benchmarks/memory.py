"""Memory of a run against the number of its clips: it must not grow.

::

    python -m benchmarks.memory [--clips DIR_OR_GLOB ...] [--counts 6,12,24] [--workers 2]

Each run has its own workspace; where there are fewer clips than a count, copies that differ in
bytes only are made of them. Ends with 1 when the memory per clip grows by more than
``--most-per-clip`` MiB.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.clips import count_frames, find_clips, lay_out
from benchmarks.contestants import ROOT, process_role
from benchmarks.tree import Usage, measure
from tracker_core.errors import CannotRun
from tracker_core.settings import load_settings
from tracker_core.tracking.models import ModelStore


def growth(counts: Sequence[int], peaks: Sequence[int]) -> float:
    """Bytes by which the peak grows with each further clip: the slope of a least-squares line."""
    return statistics.linear_regression(counts, peaks).slope


def table(counts: Sequence[int], frames: Sequence[int], usages: Sequence[Usage]) -> str:
    """Markdown: a row per run."""
    lines = ["| clips | frames | peak memory, all processes | wall |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {count} | {frame_count} | {usage.peak_bytes / 2**20:.0f} MiB | {usage.wall_s:.0f} s |"
        for count, frame_count, usage in zip(counts, frames, usages, strict=True)
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write the table, and judge; 0 or 1."""
    parser = argparse.ArgumentParser(description="Memory of a run against its number of clips.")
    parser.add_argument("--clips", nargs="+", default=[], metavar="DIR_OR_GLOB")
    parser.add_argument("--counts", type=_counts, default=[6, 12, 24], metavar="N,N,...")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--most-per-clip", type=float, default=2.0, metavar="MIB")
    given = parser.parse_args(arguments)
    clips = find_clips(given.clips, ROOT)
    ModelStore(load_settings().models_dir).pull()
    usages, frames = [], []
    with tempfile.TemporaryDirectory(prefix="tracker-memory-") as scratch:
        for count in given.counts:
            folder = Path(scratch) / str(count)
            laid = lay_out(clips, count, folder / "clips")
            frames.append(sum(map(count_frames, laid)))
            usages.append(_run(folder, given.workers, Path(scratch) / "prefect"))
    per_clip = growth(given.counts, [usage.peak_bytes for usage in usages]) / 2**20
    grows = per_clip > given.most_per_clip
    sys.stdout.write(
        f"{table(given.counts, frames, usages)}\n\n"
        f"{per_clip:+.2f} MiB per further clip: memory {'GROWS' if grows else 'does not grow'} "
        f"with the number of clips (limit {given.most_per_clip:g} MiB)\n"
    )
    return int(grows)


def _run(folder: Path, workers: int, prefect: Path) -> Usage:
    command = [sys.executable, "-m", "flows.cli", "run", str(folder / "clips")]
    command += ["--workspace", str(folder / "workspace"), "--workers", str(workers)]
    return measure(
        [*command, "--set", "target_fps=source"],
        folder / "errors.log",
        role=process_role,
        environment={"PREFECT_HOME": str(prefect)},
        folder=ROOT,
    )


def _counts(text: str) -> list[int]:
    counts = [int(part) for part in text.split(",")]
    if len(set(counts)) < 2 or min(counts) < 1:
        raise argparse.ArgumentTypeError(f"{text}: give at least two numbers of clips")
    return counts


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotRun as error:
        raise SystemExit(f"benchmarks.memory: {error}") from None
