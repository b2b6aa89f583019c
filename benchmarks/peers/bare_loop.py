"""Decode, square canvas, HolisticLandmarker, and nothing else. No result is kept.

::

    python -m benchmarks.peers.bare_loop MODEL FOLDER --workers 2

Prints the numbers of frames as JSON. Same model, options and canvas as the provider ``mediapipe``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.loops import over_clips, views


def track(clip: Path, model: Path) -> int:
    """Run a fresh landmarker over all frames of one clip; returns how many there were."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.HolisticLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model)),
        running_mode=vision.RunningMode.VIDEO,
        output_face_blendshapes=True,
    )
    frames = 0
    canvas = np.zeros((0, 0, 3), np.uint8)
    with vision.HolisticLandmarker.create_from_options(options) as landmarker:
        for view in views(clip):
            height, width = view.image.shape[:2]
            if not len(canvas):
                canvas = np.zeros((max(height, width), max(height, width), 3), np.uint8)
            canvas[:height, :width] = view.image
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=canvas)
            landmarker.detect_for_video(image, round(1000 * view.timestamp_s))
            frames += 1
    return frames


def main(arguments: list[str] | None = None) -> None:
    """Track every file of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args(arguments)
    frames = over_clips(partial(track, model=given.model), given.folder, given.workers)
    sys.stdout.write(json.dumps({"frames": frames}) + "\n")


if __name__ == "__main__":
    main()
