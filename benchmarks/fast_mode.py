"""What the fast mode loses against full precision, part by part, over whole clips.

::

    python -m benchmarks.fast_mode [--clips DIR_OR_GLOB ...]

Each clip is tracked at both speeds. The table tells in how many frames each saw a part, in how many
they agree on that, and where both saw it how far its landmarks lie apart in the picture, in percent
of the part's size: of the shoulders' distance or the trunk's length, the hand's longer side, or the
face's width. ``filled`` are the frames that fast mode did not look at. World landmarks are compared
in millimetres, blendshapes in their own units (0..1).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.clips import find_clips
from benchmarks.loops import views
from benchmarks.provider_loop import provider_of
from benchmarks.seen import PARTS, hand_size
from benchmarks.speed_tables import markdown
from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.tracking.holistic.networks import body_size
from tracker_core.tracking.provider import FrameLandmarks

Floats = npt.NDArray[np.float64]

_ABOVE_THE_LEGS = 25
_VISIBLE = 0.5


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description="What the fast mode loses, part by part.")
    parser.add_argument("--clips", nargs="+", default=[], metavar="DIR_OR_GLOB")
    given = parser.parse_args(arguments)
    clips = find_clips(given.clips, Path(__file__).resolve().parents[1])
    pairs = []
    for number, clip in enumerate(clips, 1):
        sys.stderr.write(f"{number}/{len(clips)} {clip.name}\n")
        pairs += list(zip(track(clip, "full"), track(clip, "fast"), strict=True))
    sys.stdout.write(table(pairs) + "\n")


def track(clip: Path, speed: str) -> list[FrameLandmarks]:
    """What the provider sees in each frame of a clip."""
    with provider_of({"tracking_provider": "holistic", "speed": speed}).session() as session:
        return list(session.track(views(clip)))


def table(pairs: list[tuple[FrameLandmarks, FrameLandmarks]]) -> str:
    """Markdown: a row per part, and one of its frames that were filled.

    Args:
        pairs: of each frame, what full precision and the fast mode saw.
    """
    header = [
        "", "frames", "seen in full", "seen fast", "agree %", "moved %, median", "p95",
        "world mm, median", "p95", "blendshapes, median", "p95",
    ]  # fmt: skip
    rows = []
    for name in PARTS:
        part = HOLISTIC.part(name).slice
        for what in ("", ", filled"):
            chosen = [pair for pair in pairs if not what or pair[1].filled[part].any()]
            if chosen:
                rows.append([name + what, *_row(chosen, name)])
    return "\n".join(markdown(header, rows))


def _row(pairs: list[tuple[FrameLandmarks, FrameLandmarks]], name: str) -> list[str]:
    part = HOLISTIC.part(name).slice
    seen = np.array([[np.isfinite(one.positions[part.start, 0]) for one in two] for two in pairs])
    both = [pair for pair, present in zip(pairs, seen, strict=True) if present.all()]
    moved = np.concatenate([_moved(full, fast, name) for full, fast in both] or [np.zeros(0)])
    world = [1000 * np.linalg.norm(a.world[part] - b.world[part], axis=1) for a, b in both]
    shapes = [np.abs(a.blendshapes - b.blendshapes) for a, b in both] if name == "face" else []
    return [
        str(len(pairs)),
        *(str(count) for count in seen.sum(axis=0)),
        f"{100 * (seen[:, 0] == seen[:, 1]).mean():.1f}",
        *_spread(moved, 2),
        *_spread(np.concatenate([*world, np.zeros(0)]), 1),
        *_spread(np.concatenate([*shapes, np.zeros(0)]), 3),
    ]


def _moved(full: FrameLandmarks, fast: FrameLandmarks, name: str) -> Floats:
    """[K]: how far the landmarks that count lie apart, in percent of the part's size."""
    part = HOLISTIC.part(name).slice
    points, others = full.positions[part, :2], fast.positions[part, :2]
    counted = np.ones(len(points), bool)
    size = np.ptp(points[:, 0]) if name == "face" else hand_size(points)
    if name == "pose":
        size = body_size(points)
        counted = full.confidence[part] > _VISIBLE
        counted[_ABOVE_THE_LEGS:] = False
    away = np.linalg.norm(points - others, axis=1)[counted]
    return np.asarray(100 * away / size, np.float64)


def _spread(values: Floats, digits: int) -> list[str]:
    """Median and 95th percentile of the finite ones; dashes where there are none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return ["–", "–"]
    return [f"{np.median(values):.{digits}f}", f"{np.percentile(values, 95):.{digits}f}"]


if __name__ == "__main__":
    main()
