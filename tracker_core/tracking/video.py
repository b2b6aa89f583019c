"""A provider run over a video: the window on the person goes in, `Tracks` come out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tracker_core.errors import NoPerson
from tracker_core.landmarks.topology import Topology
from tracker_core.landmarks.tracks import State, Tracks
from tracker_core.media.decode import Frame
from tracker_core.preprocess.roi import Roi
from tracker_core.tracking.provider import FrameLandmarks, TrackingProvider, View

_SEEN_FRAMES = 3


def track_video(
    provider: TrackingProvider, frames: Iterable[Frame], roi: Roi, image_size: tuple[int, int]
) -> Tracks:
    """Raw tracks of the person in ``roi`` over the frames of a normalized video.

    Where the ROI says so, only the person's window of each frame is looked at. Positions are those
    of the normalized frame whatever was cut.

    Raises NoPerson when nobody was found, or only in single frames between others: a provider sees
    somebody in a stone or a cloud now and then, but not in `_SEEN_FRAMES` frames on end.
    """
    # Written where it will stay: what was seen of a long video is not to be held twice.
    tracks = _blank(provider.topology, max(1, len(roi.boxes)), image_size)
    timestamps: list[float] = []

    def views() -> Iterator[View]:
        for number, frame in enumerate(frames):
            x0, y0, x1, y1 = roi.window(number, image_size)
            timestamps.append(frame.timestamp_s)
            yield View(frame.image[y0:y1, x0:x1], x0, y0, frame.timestamp_s)

    count = 0
    with provider.session() as session:
        for seen in session.track(views()):
            if count == len(tracks):
                tracks = _longer(tracks)
            _put(tracks, count, seen)
            count += 1
    tracks = tracks.frames(slice(count))
    tracks = replace(tracks, timestamps=np.asarray(timestamps, np.float64))
    seen_frames = (tracks.state != State.MISSING).any(axis=1)
    if _longest_run(seen_frames) < min(_SEEN_FRAMES, len(tracks)):
        ghosts = np.count_nonzero(seen_frames)
        raise NoPerson(
            f"nobody was found in {f'more than {ghosts}' if ghosts else 'any'} of the "
            f"{len(tracks)} frames: check that the video shows a person, large enough and lit"
        )
    return tracks


def _longest_run(flags: npt.NDArray[np.bool_]) -> int:
    """Length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _blank(topology: Topology, frames: int, image_size: tuple[int, int]) -> Tracks:
    """So many frames of nothing, at times that are still to be set."""
    return Tracks.empty(topology, np.arange(frames, dtype=np.float64), image_size)


def _longer(tracks: Tracks) -> Tracks:
    """The same with as many frames again."""
    out = _blank(tracks.topology, 2 * len(tracks), tracks.image_size)
    for name in ("positions", "confidence", "state", "world", "blendshapes"):
        getattr(out, name)[: len(tracks)] = getattr(tracks, name)
    return out


def _put(tracks: Tracks, row: int, seen: FrameLandmarks) -> None:
    """Write what was seen in a frame."""
    tracks.positions[row] = seen.positions
    tracks.confidence[row] = seen.confidence
    tracks.world[row] = seen.world
    tracks.blendshapes[row] = seen.blendshapes
    present = np.isfinite(tracks.positions[row]).all(axis=1)
    seen_as = np.where(seen.filled, State.FILLED, State.OBSERVED)
    tracks.state[row] = np.where(present, seen_as, State.MISSING)
