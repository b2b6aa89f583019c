"""A few frames of a clip, and a provider run over them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tracker_core.landmarks.tracks import Tracks
from tracker_core.media.decode import Frame, read_frames
from tracker_core.media.probe import probe
from tracker_core.preprocess.roi import Roi
from tracker_core.tracking.provider import TrackingProvider
from tracker_core.tracking.video import track_video

FRAMES = 12


def some_frames(clip: Path, count: int = FRAMES) -> list[Frame]:
    """Frames from the middle of a clip."""
    info = probe(clip)
    start = max(0, info.frame_count // 2 - count // 2)
    return list(read_frames(clip, info, indices=list(range(start, start + count))))


def track_whole(engine: TrackingProvider, frames: list[Frame]) -> Tracks:
    """What a provider makes of whole frames."""
    height, width = frames[0].image.shape[:2]
    whole = Roi(np.tile(np.array([0.0, 0, width, height]), (len(frames), 1)), 1, crop=False)
    return track_video(engine, frames, whole, (width, height))
