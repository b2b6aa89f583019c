"""Loops over clips with nothing around them: decode, and one who looks at the frames."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import av
import numpy as np

from tracker_core.media.decode import prefetch
from tracker_core.tracking.provider import View

T = TypeVar("T")


def views(clip: Path) -> Iterator[View]:
    """All frames of a clip, whole, as if they were 25 a second.

    They are decoded in a thread, a few ahead, as they are in the pipeline.
    """
    return prefetch(_views(clip))


def _views(clip: Path) -> Iterator[View]:
    with av.open(clip) as container:
        for number, frame in enumerate(container.decode(video=0)):
            image = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            yield View(image, 0, 0, number / 25)


def over_clips(work: Callable[[Path], T], folder: Path, workers: int) -> list[T]:
    """Do ``work`` on every file of a folder, in this process or in several new ones."""
    clips = sorted(path for path in folder.iterdir() if path.is_file())
    if workers == 1:
        return [work(clip) for clip in clips]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        done = list(pool.imap_unordered(work, clips))
        pool.close()  # an end in peace: what the processes hold is freed as in a single one
        pool.join()
    return done
