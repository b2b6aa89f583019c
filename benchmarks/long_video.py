"""Memory of the stages that hold a whole track, against the length of the video.

::

    python -m benchmarks.long_video [--frames 3000,30000,180000]

A track of a synthetic signer goes through track (what is around the engine, which finds a ready
answer at once), smooth, score, persist and export, each stage in a process of its own, as in a run.
180,000 frames are two hours at 25 frames per second. Ends with 1 when a stage takes more than
``--most`` GiB.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import numpy as np

from benchmarks.ingest_manifest import peak_memory
from tracker_core.landmarks.topology import HOLISTIC, Topology
from tracker_core.media.decode import Frame
from tracker_core.pipeline import STAGES
from tracker_core.preprocess.roi import Roi
from tracker_core.settings import load_settings
from tracker_core.stages import Facts, StageWork, Subject
from tracker_core.tracking.provider import FrameLandmarks, TrackingProvider, View
from tracker_core.tracking.video import track_video

STAGES_MEASURED = ("track", "smooth", "score", "persist", "export")
FPS, SIZE = 25, (1280, 720)
_VIDEO = UUID(int=1)


class Signer:
    """A provider, and its session, that sees a signer who moves and whose hands are lost at times.

    What it sees differs from frame to frame in all landmarks, as with a real provider.
    """

    name = "synthetic"
    topology: Topology = HOLISTIC

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self.place = rng.uniform([400, 100, -50], [900, 700, 50], (HOLISTIC.size, 3))
        self.place[[11, 12]] = (740, 300, 0), (540, 300, 0)
        self.noise = rng.normal(0, 1, (64, HOLISTIC.size, 3))
        self.calls = 0

    def model_digest(self) -> str:
        """Of no model."""
        return "0" * 64

    def parameters(self) -> dict[str, str]:
        """None."""
        return {}

    @contextmanager
    def session(self) -> Iterator[Signer]:
        """Itself."""
        yield self

    def track(self, views: Iterable[View]) -> Iterator[FrameLandmarks]:
        """The signer at each time, whatever the image."""
        return (self._at(view.timestamp_s) for view in views)

    def _at(self, timestamp_s: float) -> FrameLandmarks:
        seen = FrameLandmarks.missing(HOLISTIC)
        self.calls += 1
        hands, face = HOLISTIC.part("left_hand"), HOLISTIC.part("face")
        seen.positions[:] = self.place + self.noise[self.calls % 64]
        seen.positions[hands.start : face.start, 1] += 80 * np.sin(timestamp_s * 4)
        seen.confidence[:] = 0.9
        seen.world[: face.start] = seen.positions[: face.start] / 500
        seen.blendshapes[:] = np.abs(self.noise[self.calls % 64, :52, 0]) / 4
        if self.calls % 50 < 2:
            seen.positions[hands.slice], seen.world[hands.slice] = np.nan, np.nan
            seen.confidence[hands.slice] = 0
        return seen


def track(frames: int, path: Path) -> None:
    """What the track stage does with what its engine finds."""
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    roi = Roi(np.tile(np.array([0.0, 0.0, *SIZE]), (frames, 1)), 1, crop=False)
    pictures = (Frame(i, i / FPS, image) for i in range(frames))
    engine: TrackingProvider = Signer()
    tracks = track_video(engine, pictures, roi, SIZE)
    tracks.with_provenance(
        provider="synthetic", model_digest=engine.model_digest(), stage_keys={}
    ).write_parquet(path)


def run(stage: str, frames: int, folder: Path) -> tuple[float, int, Facts]:
    """Do one stage's work on what the earlier ones left in the folder.

    Returns seconds, peak resident memory in bytes, and the stage's facts.
    """
    out = folder / stage
    out.mkdir()
    started = time.perf_counter()
    with peak_memory() as peak:
        if stage == "track":
            track(frames, out / "tracks.parquet")
            facts: Facts = {}
        else:
            facts = STAGES[stage].function(_work(stage, folder))
    return time.perf_counter() - started, peak[0], facts


def _work(stage: str, folder: Path) -> StageWork:
    files = {
        name: {path.name: path for path in (folder / name).iterdir()}
        for name in STAGES_MEASURED
        if (folder / name).is_dir()
    }
    facts: dict[str, Facts] = {
        "probe": {"damaged_fraction": 0.0, "width": SIZE[0], "height": SIZE[1]},
        "normalize": {"trimmed": [0, 0]},
        "roi": {"people": 1},
        "smooth": {"trimmed": [0, 0]},
    }
    return StageWork(
        source=folder,
        content="0" * 64,
        subject=Subject(str(_VIDEO), "long", "long.mp4"),
        parameters=STAGES[stage].parameters(load_settings()),
        inputs=files,
        facts=facts,
        keys={name: name for name in STAGES},
        models_dir=folder,
        out=folder / stage,
    )


def measure(frames: int, folder: Path) -> Iterator[tuple[str, float, int]]:
    """Stage, seconds and peak memory in bytes, one stage after the other."""
    context = multiprocessing.get_context("spawn")
    for stage in STAGES_MEASURED:
        with ProcessPoolExecutor(1, context) as process:
            seconds, peak, _ = process.submit(run, stage, frames, folder).result()
        yield stage, seconds, peak


def main(arguments: list[str] | None = None) -> int:
    """Measure, write the table, and judge; 0 or 1."""
    parser = argparse.ArgumentParser(description="Memory of the stages against a video's length.")
    parser.add_argument("--frames", default="3000,30000,180000", metavar="N,N,...")
    parser.add_argument("--most", type=float, default=4.0, metavar="GIB")
    given = parser.parse_args(arguments)
    too_much = False
    sys.stdout.write("| frames | stage | seconds | peak memory |\n| --- | --- | --- | --- |\n")
    for frames in map(int, given.frames.split(",")):
        with tempfile.TemporaryDirectory(prefix="tracker-long-") as folder:
            for stage, seconds, peak in measure(frames, Path(folder)):
                too_much |= peak > given.most * 2**30
                sys.stdout.write(
                    f"| {frames:,} | {stage} | {seconds:.1f} | {peak / 2**20:,.0f} MiB |\n"
                )
                sys.stdout.flush()
    return int(too_much)


if __name__ == "__main__":
    sys.exit(main())
