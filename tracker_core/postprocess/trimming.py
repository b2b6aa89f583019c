"""Dead lead-in and lead-out: the frames before the hands begin and after they have ended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracker_core.landmarks.tracks import State, Tracks
from tracker_core.postprocess.smoothing import shoulder_width

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TrimmingParameters:
    """What counts as a hand at work. Lengths are in shoulder widths, times in seconds.

    Attributes:
        margin_s: kept before the first and after the last frame in which a hand is at work.
        speed: a wrist faster than this, in shoulder widths per second, moves; breathing and the
            landmarks' jitter stay below half of it.
        window_s, way_s: speed must be that high over both of these: the short one tells when, the
            long one that it was a way and no jump of a tracked point.
        raised: a wrist this far above its elbow is held up.
        away: a hand further than this from where it rests is held.
        rest_s: a hand that is seen in half of the first (last) so many seconds rests there.
        shortest_s: what lasts shorter is no motion but a slip of the tracker.
    """

    margin_s: float = 0.2
    speed: float = 0.5
    window_s: float = 0.08
    way_s: float = 0.2
    raised: float = 0.4
    away: float = 0.5
    rest_s: float = 0.4
    shortest_s: float = 0.12


def active_span(
    tracks: Tracks, parameters: TrimmingParameters = TrimmingParameters()
) -> tuple[int, int]:
    """First and last frame to keep of smoothed tracks; both are kept.

    A hand is at work in a frame in which its wrist

    - moves: faster than ``speed``, or
    - is held up: further than ``raised`` above its elbow, or
    - is held elsewhere: further than ``away`` from where it rests at the clip's start and from
      where it rests at the end. Where the hand landmarks are not seen at an end of the clip, the
      hand rests out of the picture there, and anywhere in it is elsewhere.

    So a hold belongs to the sign however still it is, and so does one that the clip begins or ends
    with. A wrist is looked at twice, as the pose and as the hand landmarks have it: which of them
    is seen changes, and must not look like motion. Hands that are not seen are not at work. Where
    no hand ever is, everything is kept.

    Raises ValueError when the tracks have no frame.
    """
    if not len(tracks):
        raise ValueError("tracks without a frame have no span")
    times = tracks.timestamps
    working = _without_slips(_working(tracks, parameters), times, parameters.shortest_s)
    if not working.any():
        return 0, len(tracks) - 1
    first, last = np.flatnonzero(working)[[0, -1]]
    # A microsecond, so that a margin of whole frames does not depend on rounding.
    start = np.searchsorted(times, times[first] - parameters.margin_s - 1e-6)
    end = np.searchsorted(times, times[last] + parameters.margin_s + 1e-6, side="right")
    return int(start), int(end) - 1


def _working(tracks: Tracks, parameters: TrimmingParameters) -> Bools:
    """bool [T]: whether a hand is at work."""
    times, scale = tracks.timestamps, shoulder_width(tracks)
    working = np.zeros(len(tracks), np.bool_)
    for side in ("left", "right"):
        elbow = _path(tracks, f"pose.{side}_elbow") / scale
        for name, may_leave in ((f"pose.{side}_wrist", False), (f"{side}_hand.wrist", True)):
            wrist = _path(tracks, name) / scale
            # NaN, which is unseen, compares as False.
            for_now = _speed(wrist, times, parameters.window_s) > parameters.speed
            working |= for_now & (_speed(wrist, times, parameters.way_s) > parameters.speed)
            working |= elbow[:, 1] - wrist[:, 1] > parameters.raised
            working |= _elsewhere(wrist, times, parameters, may_leave)
    return working


def _path(tracks: Tracks, name: str) -> Floats:
    """float64 [T, 2], pixels: one landmark in the image; NaN where it is not seen."""
    path = np.full((len(tracks), 2), np.nan)
    if name in tracks.topology.landmark_names:
        at = tracks.topology.landmark_names.index(name)
        seen = tracks.state[:, at] != State.MISSING
        path[seen] = tracks.positions[seen, at, :2]
    return path


def _speed(wrist: Floats, times: Floats, window_s: float) -> Floats:
    """float64 [T]: widths per second over the window before or after, the larger; NaN unknown."""
    frames = len(times)
    speed = np.full(frames, np.nan)
    if frames < 2:
        return speed
    span = min(frames - 1, max(1, round(window_s / float(np.median(np.diff(times))))))
    moved = np.linalg.norm(wrist[span:] - wrist[:-span], axis=1) / (times[span:] - times[:-span])
    speed[:-span] = moved
    speed[span:] = np.fmax(speed[span:], moved)
    return speed


def _elsewhere(
    wrist: Floats, times: Floats, parameters: TrimmingParameters, may_leave: bool
) -> Bools:
    """bool [T]: seen, and far from where it rests at either end."""
    seen: Bools = np.isfinite(wrist[:, 0])
    elsewhere = seen
    for at_end in (
        times <= times[0] + parameters.rest_s,
        times >= times[-1] - parameters.rest_s,
    ):
        resting = at_end & seen
        if 2 * resting.sum() >= at_end.sum():
            place = np.median(wrist[resting], axis=0)
            elsewhere = elsewhere & (np.linalg.norm(wrist - place, axis=1) > parameters.away)
        elif not may_leave:
            return np.zeros_like(seen)
    return elsewhere


def _without_slips(working: Bools, times: Floats, shortest_s: float) -> Bools:
    """The runs of True that last long enough; all of them where none does."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], working, [False]]).astype(np.int8)))
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    out = np.zeros_like(working)
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if times[stop - 1] - times[start] + step >= shortest_s - 1e-6:
            out[start:stop] = True
    return out if out.any() else working
