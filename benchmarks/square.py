"""What a square canvas does for MediaPipe's holistic graph: parts found with and without it.

python -m benchmarks.square VIDEO...
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np

from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.media.decode import read_frames
from tracker_core.settings import load_settings
from tracker_core.tracking.mediapipe import MediaPipeProvider
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.provider import Image


def found(clip: Path, models: ModelStore, *, square: bool) -> tuple[int, Counter[str]]:
    """Frames of a clip, and in how many of them each part is found."""
    parts: Counter[str] = Counter()
    frames = 0
    with MediaPipeProvider(models).session() as session:
        for frame in read_frames(clip):
            image = on_square(frame.image) if square else frame.image
            seen = session.look(image, frame.timestamp_s)
            present = np.isfinite(seen.positions[:, 0])
            parts.update(part.name for part in HOLISTIC.parts if present[part.slice].any())
            frames += 1
    return frames, parts


def on_square(image: Image) -> Image:
    """The image in the corner of a black square."""
    side = max(image.shape[:2])
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas


def main(arguments: list[str]) -> None:
    """Print a line for each clip and canvas."""
    models = ModelStore(load_settings().models_dir)
    for name in arguments:
        for square in (False, True):
            frames, parts = found(Path(name), models, square=square)
            counts = ", ".join(f"{part.name} {parts[part.name]}" for part in HOLISTIC.parts)
            canvas = "square" if square else "as it is"
            sys.stdout.write(f"{Path(name).name}, {canvas}: {frames} frames; {counts}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
