"""Decode, MediaPipe's legacy Holistic, and nothing else: the engine inside pose-format.

It runs as a script of pose-format's own environment (mediapipe 0.10.21), so it imports nothing of
ours::

    ENVIRONMENT/bin/python benchmarks/peers/legacy_loop.py FOLDER --workers 2

Prints the numbers of frames as JSON. Complexity 1 and the frame as it is, as in pose-format.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import sys
from pathlib import Path

import cv2


def track(clip: Path) -> int:
    """Run a fresh graph over all frames of one clip; returns how many there were."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    holistic = importlib.import_module("mediapipe.python.solutions.holistic")
    frames = 0
    video = cv2.VideoCapture(str(clip))
    with holistic.Holistic(static_image_mode=False, model_complexity=1) as graph:
        while True:
            decoded, image = video.read()
            if not decoded:
                break
            graph.process(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            frames += 1
    video.release()
    return frames


def main() -> None:
    """Track every file of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    clips = sorted(path for path in given.folder.iterdir() if path.is_file())
    if given.workers == 1:
        frames = [track(clip) for clip in clips]
    else:
        with multiprocessing.get_context("spawn").Pool(given.workers) as pool:
            frames = list(pool.imap_unordered(track, clips))
            pool.close()
            pool.join()
    sys.stdout.write(json.dumps({"frames": frames}) + "\n")


if __name__ == "__main__":
    main()
