"""A synthetic signer: tracks with known motion, noise and gaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.landmarks.tracks import State, Tracks

SHOULDERS = 200.0
"""Width of the signer's shoulders in pixels."""

SIZE = (1280, 720)
LEFT_HAND = HOLISTIC.part("left_hand").slice
RIGHT_HAND = HOLISTIC.part("right_hand").slice
HANDS = slice(LEFT_HAND.start, RIGHT_HAND.stop)
FACE = HOLISTIC.part("face").slice
POSE = HOLISTIC.part("pose").slice


Some = slice | list[int]
"""Which frames or landmarks."""


def index(name: str) -> int:
    """Index of ``part.landmark``."""
    return HOLISTIC.landmark_names.index(name)


def uniform_times(frames: int, fps: float = 25.0) -> npt.NDArray[np.float64]:
    return np.arange(frames, dtype=np.float64) / fps


def still(times: npt.NDArray[np.float64]) -> Tracks:
    """Every landmark observed with certainty in every frame, at rest, inside the picture."""
    tracks = Tracks.empty(HOLISTIC, times, SIZE)
    rng = np.random.default_rng(7)
    rest = np.zeros((HOLISTIC.size, 3))
    rest[POSE] = rng.uniform([500, 100, -50], [800, 700, 50], (33, 3))
    rest[index("pose.left_shoulder")] = (740, 300, 0)
    rest[index("pose.right_shoulder")] = (540, 300, 0)
    for side, x in (("left", 800), ("right", 480)):
        wrist = np.array([x, 450, 0])
        rest[index(f"pose.{side}_wrist")] = wrist
        rest[index(f"pose.{side}_index")] = np.add(wrist, (0, -40, 0))
        rest[index(f"pose.{side}_pinky")] = np.add(wrist, (20, -40, 0))
        hand = HOLISTIC.part(f"{side}_hand").slice
        rest[hand.start] = wrist
        for finger in range(5):
            for joint in range(4):
                offset = (25 * (finger - 2), -30 - 20 * joint, -joint)
                rest[hand.start + 1 + finger * 4 + joint] = wrist + offset
    rest[FACE] = rng.uniform([600, 120, -20], [680, 220, 20], (478, 3))
    tracks.positions[:] = rest
    tracks.world[:, : FACE.start] = rest[: FACE.start] / 500
    tracks.confidence[:] = 1
    tracks.state[:] = State.OBSERVED
    tracks.blendshapes[:] = rng.uniform(0, 1, 52)
    return tracks


def copy(tracks: Tracks) -> Tracks:
    """With arrays of its own."""
    return replace(
        tracks,
        positions=tracks.positions.copy(),
        confidence=tracks.confidence.copy(),
        state=tracks.state.copy(),
        world=tracks.world.copy(),
        blendshapes=tracks.blendshapes.copy(),
    )


def hide(tracks: Tracks, frames: Some, landmarks: Some) -> Tracks:
    """A copy in which these landmarks are missing in these frames."""
    out = copy(tracks)
    mask = np.zeros(out.state.shape, np.bool_)
    rows = np.zeros(len(out), np.bool_)
    rows[frames] = True
    columns = np.zeros(HOLISTIC.size, np.bool_)
    columns[landmarks] = True
    mask[np.ix_(rows, columns)] = True
    out.positions[mask] = np.nan
    out.world[mask] = np.nan
    out.confidence[mask] = 0
    out.state[mask] = State.MISSING
    if columns[FACE].all():
        out.blendshapes[rows] = np.nan
    return out


def move(tracks: Tracks, landmarks: Some, offset: npt.NDArray[np.float64]) -> Tracks:
    """A copy in which these landmarks are moved in the image by offset, [T, 2] pixels."""
    out = copy(tracks)
    out.positions[:, landmarks, :2] += offset[:, None]
    return out
