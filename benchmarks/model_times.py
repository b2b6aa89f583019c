"""The floor: what the networks of the provider ``holistic`` cost, with no graph around them.

::

    python -m benchmarks.model_times --workers 2 --set engine=openvino --set speed=fast [--whole]

They are those that a session of the provider loads, which leave out what no landmark needs, or with
``--whole`` the models as MediaPipe gives them out. They run in turns, as often as a frame with both
hands and the face needs them, so that each finds the processor's caches as it does at work; after
that the others, which no such frame needs. Several workers do so at the same time, each in a
process of its own. Prints JSON: network -> median milliseconds of one inference, as time that
passed and as CPU time of the process.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import multiprocessing.synchronize
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.provider_loop import assignment
from tracker_core.settings import load_settings
from tracker_core.tracking.holistic.loading import FILES
from tracker_core.tracking.holistic.provider import HolisticProvider
from tracker_core.tracking.inference import ENGINES, Network
from tracker_core.tracking.models import HOLISTIC_NETWORKS, ModelStore

# Network -> how often a frame with both hands and the face needs it once all have been found.
FULL_FRAME: Mapping[str, int] = {
    "pose": 1,
    "hand_recrop": 2,
    "hand": 2,
    "face": 1,
    "blendshapes": 1,
}
_OTHERS = ("face_plain", "pose_detector", "face_detector", "face_detector_full")


@dataclass(frozen=True)
class ModelTimes:
    """Median milliseconds of one inference of each network.

    Attributes:
        speed: ``full`` or ``fast``, as in the settings.
        workers: processes at work at the same time.
        whole: the models as they come.
        wall_ms: network -> time that passed.
        cpu_ms: network -> CPU time.
        others_cpus: CPUs that other processes of the machine took meanwhile, as far as known.
    """

    speed: str
    workers: int
    whole: bool
    wall_ms: Mapping[str, float]
    cpu_ms: Mapping[str, float]
    others_cpus: float = 0.0

    @property
    def name(self) -> str:
        """What the tables call it."""
        if self.whole:
            return "floor"
        return "networks" if self.speed == "full" else f"networks-{self.speed}"

    @property
    def fps(self) -> float:
        """Frames a second of all workers, were there nothing but the networks of full frames."""
        return 1000 * self.workers / _weighted(self.wall_ms, FULL_FRAME)

    def frame_cpu_ms(self, calls: Mapping[str, float] = FULL_FRAME) -> float:
        """CPU milliseconds of a frame for which the networks run so often.

        NaN where one of them was not measured, or none runs.
        """
        return _weighted(self.cpu_ms, calls)


def _weighted(costs: Mapping[str, float], calls: Mapping[str, float]) -> float:
    if not calls:
        return math.nan
    return sum(count * costs.get(network, math.nan) for network, count in calls.items())


def time_networks(
    networks: Mapping[str, Network], rounds: int, warm_up: int = 3
) -> dict[str, list[tuple[float, float]]]:
    """Network -> (seconds that passed, CPU seconds) of its inferences on made-up input.

    In a round each runs as often as in a full frame, and once where a full frame does not need it.
    """
    random = np.random.default_rng(0)
    inputs = {
        name: random.random(network.input_shape, dtype=np.float32)
        for name, network in networks.items()
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in networks}
    for number in range(warm_up + rounds):
        for name, network in networks.items():
            for _ in range(FULL_FRAME.get(name, 1)):
                wall, cpu = time.perf_counter(), time.process_time()
                network(inputs[name])
                if number >= warm_up:
                    times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return times


class Whole:
    """The models with all their outputs, at full precision."""

    def __init__(self, provider: HolisticProvider) -> None:
        self._engine = ENGINES[provider.runs_on]
        self._folder = provider.models.members(HOLISTIC_NETWORKS)

    def __getitem__(self, name: str) -> Network:
        from ai_edge_litert.interpreter import Interpreter

        model = self._folder / f"{FILES[name][0]}.tflite"
        outputs = len(Interpreter(str(model)).get_output_details())
        return self._engine(model, range(outputs), "f32", self._folder / "compiled")


def _work(
    settings: Mapping[str, str], rounds: int, whole: bool
) -> dict[str, list[tuple[float, float]]]:
    given = load_settings(settings)
    provider = HolisticProvider(ModelStore(given.models_dir), given.engine, given.speed)
    session: Any
    with provider.session() as session:
        # Nobody else needs them one by one, so the session keeps them to itself.
        loaded = Whole(provider) if whole else session._networks
        networks = {name: loaded[name] for name in FULL_FRAME}
        others = {name: loaded[name] for name in _OTHERS}
        if _together is not None:
            _together.wait()
        return time_networks(networks, rounds) | time_networks(others, rounds)


# What the workers wait for: that all have loaded.
_together: multiprocessing.synchronize.Barrier | None = None


def _meet(barrier: multiprocessing.synchronize.Barrier) -> None:
    global _together  # noqa: PLW0603 - a barrier reaches a pool's processes in no other way
    _together = barrier


def model_times(
    settings: Mapping[str, str], workers: int, rounds: int, *, whole: bool = False
) -> ModelTimes:
    """Measure the networks at these settings, so many workers at the same time."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, _meet, (context.Barrier(workers),)) as pool:
        found = pool.starmap(_work, [(settings, rounds, whole)] * workers, chunksize=1)
        pool.close()
        pool.join()

    def medians(which: int) -> dict[str, float]:
        return {
            name: 1000 * statistics.median(times[which] for one in found for times in one[name])
            for name in found[0]
        }

    return ModelTimes(settings.get("speed", "full"), workers, whole, medians(0), medians(1))


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--set", type=assignment, action="append", default=[], dest="settings")
    parser.add_argument("--whole", action="store_true", help="the models as they come")
    given = parser.parse_args(arguments)
    times = model_times(dict(given.settings), given.workers, given.rounds, whole=given.whole)
    sys.stdout.write(json.dumps(asdict(times)) + "\n")


if __name__ == "__main__":
    main()
