"""What coarser arithmetic saves and costs: f32, bf16 and int8 of the networks that may have it.

::

    python -m benchmarks.precision [--clips FOLDER ...]

The networks get what the graph cuts from the clips: their inferences run in turns on one thread,
and what they give is compared with f32's. int8 is there once `tracker models quantize` made it.
With ONEDNN_MAX_CPU_ISA=AVX2 (or AVX2_VNNI) in the environment the processor does as one that has no
more than that, and hence no bf16. Prints a table: milliseconds, and in percent of the
size of the hand (the longer side round it), of the face (its width) or of the body (shoulders or
trunk) how far landmarks move, and how much scores and world landmarks change.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.clips import find_clips
from benchmarks.seen import hand_size
from tracker_core.errors import ModelError
from tracker_core.settings import load_settings
from tracker_core.tracking.holistic.detection import unit_input
from tracker_core.tracking.holistic.loading import FILES
from tracker_core.tracking.holistic.networks import body_size, see_face, see_hand, see_pose
from tracker_core.tracking.holistic.region import Region
from tracker_core.tracking.inference import QUANTIZED, Network, OpenVinoNetwork
from tracker_core.tracking.models import HOLISTIC_NETWORKS, ModelStore
from tracker_core.tracking.provider import View
from tracker_core.tracking.quantization import Crop, collect

Floats = npt.NDArray[np.float32]

_PARTS = ("pose", "hand", "face")
_ABOVE_THE_LEGS = 25


@dataclass(frozen=True, eq=False)
class Read:
    """What a network says of one picture.

    Attributes:
        points: [K, 2], pixels of the picture.
        seen: bool [K], those that count.
        size: pixels; of the hand, the face or the body.
        score: that there is one.
        world: [K, 3], metres; [0, 3] where the network has none.
    """

    points: Floats
    seen: npt.NDArray[np.bool_]
    size: float
    score: float
    world: Floats


def read(part: str, network: Network, crop: Crop) -> Read:
    """Let a network look at a whole picture."""
    side = crop.shape[0]
    view, region = View(crop, 0, 0, 0.0), Region(side / 2, side / 2, side, side)
    if part == "hand":
        hand = see_hand(network, view, region)
        size = hand_size(hand.points)
        return Read(hand.points[:, :2], np.ones(21, bool), size, hand.score, hand.world)
    if part == "face":
        face = see_face(network, view, region)
        count = len(face.points)
        nothing = np.zeros((0, 3), np.float32)
        width = float(np.ptp(face.points[:, 0]))
        return Read(face.points[:, :2], np.ones(count, bool), width, face.score, nothing)
    pose = see_pose(network, view, region)
    points = pose.points[:_ABOVE_THE_LEGS, :2]
    visible = pose.visibility[:_ABOVE_THE_LEGS] > 0.5
    size = body_size(points)
    return Read(points, visible, size, pose.score, pose.world[:_ABOVE_THE_LEGS])


def compare(full: list[Read], other: list[Read]) -> str:
    """How far the other's landmarks, scores and world landmarks are from those in full.

    Only pictures count in which f32 sees the part.
    """
    pairs = [(a, b) for a, b in zip(full, other, strict=True) if a.score > 0.5]
    if not pairs:
        return "nothing to be seen in the clips"
    moved = np.concatenate(
        [100 * np.linalg.norm(a.points - b.points, axis=1)[a.seen] / a.size for a, b in pairs]
    )
    world = np.concatenate([1000 * np.linalg.norm(a.world - b.world, axis=1) for a, b in pairs])
    scores = np.array([abs(a.score - b.score) for a, b in zip(full, other, strict=True)])
    flips = sum((a.score > 0.5) != (b.score > 0.5) for a, b in zip(full, other, strict=True))
    columns = [
        f"{np.median(moved):6.2f} {np.percentile(moved, 95):6.2f}",
        f"{scores.mean():.4f} {flips:3}",
        f"{np.median(world):6.1f} {np.percentile(world, 95):6.1f}" if world.size else "",
    ]
    return "   ".join(columns)


def times(networks: dict[str, Network], crops: list[Crop], rounds: int) -> dict[str, float]:
    """Precision -> median milliseconds of an inference, all in turns."""
    taken: dict[str, list[float]] = {precision: [] for precision in networks}
    for number in range(rounds):
        given = unit_input(crops[number % len(crops)])
        for precision, network in networks.items():
            start = time.perf_counter()
            network(given)
            taken[precision].append(1000 * (time.perf_counter() - start))
    return {precision: float(np.median(ms)) for precision, ms in taken.items()}


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", nargs="*", default=[])
    parser.add_argument("--pictures", type=int, default=300, help="of each part, at most")
    parser.add_argument("--rounds", type=int, default=120)
    given = parser.parse_args(arguments)
    clips = find_clips(given.clips, Path(__file__).resolve().parents[1])
    models = ModelStore(load_settings({}).models_dir)
    folder = models.members(HOLISTIC_NETWORKS)
    crops = collect(models, clips, _PARTS, given.pictures)
    write = sys.stdout.write
    write("                 ms   moved, % (median, p95)   score, flips   world, mm (median, p95)\n")
    for part in _PARTS:
        file, outputs = FILES[part]
        networks: dict[str, Network] = {}
        for precision in ("f32", "bf16", "int8"):
            if precision == "int8" and file not in QUANTIZED:
                continue
            try:
                networks[precision] = OpenVinoNetwork(
                    folder / f"{file}.tflite", outputs, precision, folder / "compiled"
                )
            except ModelError as error:
                write(f"{part:5} {precision:5} {error}\n")
            except RuntimeError:  # so says OpenVINO when instructions are held back
                if precision != "bf16":
                    raise
                write(f"{part:5} {precision:5} not with these instructions\n")
        if not crops[part]:
            write(f"{part:5} is nowhere to be seen in the clips\n")
            continue
        ms = times(networks, crops[part], given.rounds)
        seen = {
            precision: [read(part, network, crop) for crop in crops[part]]
            for precision, network in networks.items()
        }
        for precision, found in seen.items():
            line = compare(seen["f32"], found)
            write(f"{part:5} {precision:5} {ms[precision]:7.2f}   {line}\n")


if __name__ == "__main__":
    main()
