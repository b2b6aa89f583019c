"""What a tracking provider is, and how one is run over a video.

A provider finds the landmarks of one person in one image after another. Everything around it is
done here, once for all providers: the crop to the person, the square canvas, the way back to the
coordinates of the normalized frame, and the assembly of `Tracks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tracker_core.errors import NoPerson
from tracker_core.landmarks.topology import Topology
from tracker_core.landmarks.tracks import State, Tracks
from tracker_core.media.decode import Frame
from tracker_core.preprocess.roi import Roi

Image = npt.NDArray[np.uint8]

_SEEN_FRAMES = 3


@dataclass(frozen=True, eq=False)
class FrameLandmarks:
    """What a provider saw in one image. N landmarks of its topology, B blendshapes.

    Attributes:
        positions: float32 [N, 3], pixels of the image given, z in the same unit; NaN where missing.
        confidence: float32 [N] in 0..1; 0 where missing.
        world: float32 [N, 3], metres; NaN where there is none.
        blendshapes: float32 [B]; NaN where no face was found.
    """

    positions: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    world: npt.NDArray[np.float32]
    blendshapes: npt.NDArray[np.float32]

    @classmethod
    def missing(cls, topology: Topology) -> FrameLandmarks:
        """Nothing seen."""
        return cls(
            np.full((topology.size, 3), np.nan, np.float32),
            np.zeros(topology.size, np.float32),
            np.full((topology.size, 3), np.nan, np.float32),
            np.full(len(topology.blendshapes), np.nan, np.float32),
        )


class TrackingSession(Protocol):
    """The provider at work on one video. It knows nothing of any other video."""

    def track_frame(self, image: Image, timestamp_s: float) -> FrameLandmarks:
        """Landmarks in a square uint8 RGB [S, S, 3] image; timestamps strictly increase."""
        ...


class TrackingProvider(Protocol):
    """A landmark engine.

    Attributes:
        name: as in ``TRACKING_PROVIDER``.
        topology: layout of the landmarks it returns.
    """

    @property
    def name(self) -> str: ...

    @property
    def topology(self) -> Topology: ...

    def model_digest(self) -> str:
        """sha256 over the model files; part of every stage key and every track's provenance."""
        ...

    def parameters(self) -> Mapping[str, Any]:
        """All else that changes its output (versions, thresholds), as JSON values."""
        ...

    def session(self) -> AbstractContextManager[TrackingSession]:
        """A fresh session, closed on leaving the context."""
        ...


def track_video(
    provider: TrackingProvider, frames: Iterable[Frame], roi: Roi, image_size: tuple[int, int]
) -> Tracks:
    """Raw tracks of the person in ``roi`` over the frames of a normalized video.

    Each frame is cut to the person's window where the ROI says so, and set into the corner of a
    black square, in which MediaPipe's holistic graph finds more hands (see README, "What was
    measured"). Positions are those of the normalized frame whatever was cut.

    Raises NoPerson when nobody was found, or only in single frames between others: a provider sees
    somebody in a stone or a cloud now and then, but not in `_SEEN_FRAMES` frames on end.
    """
    # Written where it will stay: what was seen of a long video is not to be held twice.
    tracks = _blank(provider.topology, max(1, len(roi.boxes)), image_size)
    timestamps: list[float] = []
    canvas = np.zeros((0, 0, 3), np.uint8)
    with provider.session() as session:
        for number, frame in enumerate(frames):
            x0, y0, x1, y1 = roi.window(number, image_size)
            side = max(x1 - x0, y1 - y0)
            if canvas.shape[0] != side:
                canvas = np.zeros((side, side, 3), np.uint8)
            canvas[: y1 - y0, : x1 - x0] = frame.image[y0:y1, x0:x1]
            seen = session.track_frame(canvas, frame.timestamp_s)
            if number == len(tracks):
                tracks = _longer(tracks)
            _put(tracks, number, seen, np.array([x0, y0, 0], np.float32))
            timestamps.append(frame.timestamp_s)
    tracks = tracks.frames(slice(len(timestamps)))
    tracks = replace(tracks, timestamps=np.asarray(timestamps, np.float64))
    seen_frames = (tracks.state != State.MISSING).any(axis=1)
    if _longest_run(seen_frames) < min(_SEEN_FRAMES, len(tracks)):
        count = np.count_nonzero(seen_frames)
        raise NoPerson(
            f"nobody was found in {f'more than {count}' if count else 'any'} of the "
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


def _put(tracks: Tracks, row: int, seen: FrameLandmarks, offset: npt.NDArray[np.float32]) -> None:
    """Write what was seen in a frame, its positions moved by the offset."""
    tracks.positions[row] = seen.positions + offset
    tracks.confidence[row] = seen.confidence
    tracks.world[row] = seen.world
    tracks.blendshapes[row] = seen.blendshapes
    present = np.isfinite(tracks.positions[row]).all(axis=1)
    tracks.state[row] = np.where(present, State.OBSERVED, State.MISSING)
