"""Tracks brought from the video's true timestamps to an even export rate."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_core.errors import NoFrames, TooLarge
from tracker_core.landmarks.tracks import State, Tracks

MAX_GAP_S = 0.25
"""Frames further apart than this are a hole in the video; nothing is interpolated over it."""

_ALWAYS_ALLOWED = 100_000  # frames of an export
_MOST_PER_FRAME = 20  # export frames for each frame of a track, where it is longer

# How far a state is from a plain sighting: of two frames that make one, the further one counts.
_DOUBT = np.zeros(len(State), np.uint8)
_DOUBT[[State.OBSERVED, State.CLAMPED, State.FILLED, State.MISSING]] = [0, 1, 2, 3]


def even_times(timestamps: npt.NDArray[np.float64], fps: Fraction) -> npt.NDArray[np.float64]:
    """float64 [K]: times 1/fps apart, from the first timestamp up to the last, in seconds.

    A last frame that a timestamp's rounding puts a hundredth of a frame too early is kept.

    Raises:
        NoFrames: there is no timestamp.
        TooLarge: nearly all of the times would lie in holes of the video. One damaged timestamp
            is enough to make hours of them.
    """
    if len(timestamps) == 0:
        raise NoFrames("the track has no frame, so there is nothing to export")
    span = float(timestamps[-1] - timestamps[0])
    count = int(np.floor(span * float(fps) + 0.01)) + 1
    if count > max(_ALWAYS_ALLOWED, _MOST_PER_FRAME * len(timestamps)):
        gaps = np.diff(timestamps)
        at = int(np.argmax(gaps))
        raise TooLarge(
            f"{len(timestamps):,} frames would be exported as {count:,}: after "
            f"{timestamps[at]:.1f} s none follows for {gaps[at]:,.0f} s, "
            "because a timestamp is damaged or the recording paused; cut it into segments (columns "
            "start and end of the manifest)"
        )
    step = fps.denominator / fps.numerator
    times: npt.NDArray[np.float64] = timestamps[0] + np.arange(count) * step
    return times


def resample(tracks: Tracks, fps: Fraction, max_gap_s: float = MAX_GAP_S) -> Tracks:
    """The same tracks at ``fps``, by linear interpolation over their true timestamps.

    Where only one neighbour has a value, it is taken if it is the nearer one; a value missing from
    both stays missing. Between frames more than ``max_gap_s`` seconds apart there are values only
    within half an export frame of either. The state is that of the two frames which is further
    from a plain sighting.

    Raises:
        NoFrames, TooLarge: see `even_times`.
    """
    source = tracks.timestamps
    times = even_times(source, fps)
    before = np.clip(np.searchsorted(source, times, side="right") - 1, 0, len(source) - 1)
    after = np.minimum(before + 1, len(source) - 1)
    gap = source[after] - source[before]
    weight = np.clip((times - source[before]) / np.where(gap > 0, gap, 1.0), 0.0, 1.0)
    # A timestamp rounded to milliseconds still means its own frame.
    on_frame = np.abs(weight - np.round(weight)) * gap < 0.001
    weight = np.where(on_frame, np.round(weight), weight)
    nearest = np.where(weight <= 0.5, before, after)
    near_enough = (gap <= max_gap_s) | (np.abs(times - source[nearest]) <= 0.5 / float(fps))
    blend = (weight > 0) & (weight < 1) & (gap <= max_gap_s)

    def interpolate(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        extra = (slice(None),) + (None,) * (values.ndim - 1)
        out = values[nearest].astype(np.float64)
        mixed = values[before] * (1 - weight[extra]) + values[after] * weight[extra]
        out = np.where(blend[extra] & np.isfinite(mixed), mixed, out)
        return np.where(near_enough[extra], out, np.nan).astype(np.float32)

    state = tracks.state[nearest]
    both = blend[:, None] & (tracks.state[before] != 0) & (tracks.state[after] != 0)
    doubtful = np.where(
        _DOUBT[tracks.state[before]] >= _DOUBT[tracks.state[after]],
        tracks.state[before],
        tracks.state[after],
    )
    state = np.where(both, doubtful, state)
    state = np.where(near_enough[:, None], state, State.MISSING).astype(np.uint8)
    missing = state == State.MISSING

    def absent(values: npt.NDArray[np.float32], fill: Any) -> npt.NDArray[np.float32]:
        values[missing] = fill
        return values

    return replace(
        tracks,
        timestamps=times,
        positions=absent(interpolate(tracks.positions), np.nan),
        confidence=absent(np.nan_to_num(interpolate(tracks.confidence)), 0.0),
        state=state,
        world=absent(interpolate(tracks.world), np.nan),
        blendshapes=interpolate(tracks.blendshapes),
    )
