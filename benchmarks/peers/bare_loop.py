"""The floor: decode, square canvas, HolisticLandmarker, and nothing else. No result is kept.

::

    python -m benchmarks.peers.bare_loop MODEL FOLDER --workers 2

Prints the number of frames. Same model, options and canvas as the provider ``mediapipe``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from functools import partial
from pathlib import Path

import av
import numpy as np


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
    with vision.HolisticLandmarker.create_from_options(options) as landmarker, av.open(clip) as box:
        for frame in box.decode(video=0):
            if not len(canvas):
                side = max(frame.width, frame.height)
                canvas = np.zeros((side, side, 3), np.uint8)
            canvas[: frame.height, : frame.width] = frame.to_ndarray(format="rgb24")
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=canvas)
            landmarker.detect_for_video(image, frames * 40)
            frames += 1
    return frames


def main(arguments: list[str] | None = None) -> None:
    """Track every file of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args(arguments)
    clips = sorted(path for path in given.folder.iterdir() if path.is_file())
    work = partial(track, model=given.model)
    if given.workers == 1:
        frames = sum(map(work, clips))
    else:
        with multiprocessing.get_context("spawn").Pool(given.workers) as pool:
            frames = sum(pool.imap_unordered(work, clips))
            pool.close()
            pool.join()
    sys.stdout.write(f"{frames}\n")


if __name__ == "__main__":
    main()
