"""Even export times over true timestamps."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker_core.errors import NoFrames, TooLarge
from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.landmarks.tracks import State, Tracks
from tracker_core.motion.resample import even_times, resample


def ramp(timestamps: list[float]) -> Tracks:
    """Tracks whose every value is its own time."""
    tracks = Tracks.empty(HOLISTIC, np.array(timestamps), (64, 48))
    tracks.positions[:] = tracks.world[:] = tracks.timestamps[:, None, None]
    tracks.blendshapes[:] = tracks.timestamps[:, None]
    tracks.confidence[:] = 1.0
    tracks.state[:] = State.OBSERVED
    return tracks


gaps = st.lists(st.floats(0.005, 0.2), min_size=0, max_size=40)
rates = st.sampled_from([Fraction(25), Fraction(30000, 1001), Fraction(60), Fraction(5)])


@given(gaps, rates)
def test_linear_movement_stays_linear_at_any_timestamps(steps: list[float], fps: Fraction) -> None:
    tracks = ramp(list(np.cumsum([1.5, *steps])))
    even = resample(tracks, fps)
    assert np.allclose(np.diff(even.timestamps), 1 / float(fps))
    assert even.timestamps[0] == tracks.timestamps[0]
    left = tracks.timestamps[-1] - even.timestamps[-1]
    assert -0.011 / float(fps) <= left < 1 / float(fps)
    # To a millisecond a frame stands for itself, so values are off by no more.
    assert np.allclose(even.world[:, 0, 0], even.timestamps, atol=0.0011 + 0.011 / float(fps))
    assert np.allclose(even.blendshapes[:, 0], even.timestamps, atol=0.0011 + 0.011 / float(fps))
    assert (even.state == State.OBSERVED).all()


def test_the_same_rate_changes_nothing() -> None:
    tracks = ramp([k / 25 for k in range(50)])
    tracks.world[:] = np.random.default_rng(0).normal(size=tracks.world.shape)
    even = resample(tracks, Fraction(25))
    assert len(even) == 50
    assert np.array_equal(even.world, tracks.world)


def test_missing_stays_missing_and_does_not_spread() -> None:
    tracks = ramp([k / 30 for k in range(31)])
    lost = slice(10, 20)
    for array in (tracks.positions, tracks.world):
        array[lost, 3] = np.nan
    tracks.state[lost, 3], tracks.confidence[lost, 3] = State.MISSING, 0
    even = resample(tracks, Fraction(25))
    missing = even.state[:, 3] == State.MISSING
    inside = (even.timestamps > 10 / 30 - 0.5 / 30) & (even.timestamps < 19 / 30 + 0.5 / 30)
    assert np.array_equal(missing, inside)
    assert np.isnan(even.world[missing, 3]).all()
    assert np.isfinite(even.world[~missing, 3]).all()
    assert (even.state[:, 4] == State.OBSERVED).all()


def test_one_damaged_timestamp_does_not_make_hours_of_nothing() -> None:
    times = np.append(np.arange(24) / 25, 5 * 3600.0)
    with pytest.raises(
        TooLarge, match=r"25 frames would be .* 450,001: after 0\.9 s none .* cut it"
    ):
        even_times(times, Fraction(25))
    assert len(even_times(np.append(times[:-1], 3600.0), Fraction(25))) == 90_001
    hours = np.arange(60_000) / 5
    assert len(even_times(hours, Fraction(60))) == 12 * len(hours) - 11, "slow, and no hole in it"


def test_a_hole_in_the_video_is_not_filled() -> None:
    tracks = ramp([0.0, 0.04, 0.08, 1.08, 1.12])
    even = resample(tracks, Fraction(25))
    known = np.flatnonzero(even.state[:, 0] != State.MISSING)
    assert known.tolist() == [0, 1, 2, 27, 28]
    assert np.isnan(even.blendshapes[3:27]).all()


def test_the_more_doubtful_state_wins() -> None:
    tracks = ramp([0.0, 0.1, 0.2])
    tracks.state[1, 0], tracks.state[1, 1] = State.FILLED, State.CLAMPED
    even = resample(tracks, Fraction(20))
    assert even.state[1, 0] == State.FILLED
    assert even.state[1, 1] == State.CLAMPED
    assert even.state[0, 0] == State.OBSERVED


def test_one_frame_gives_one_and_none_is_an_error() -> None:
    assert len(resample(ramp([3.0]), Fraction(25))) == 1
    with pytest.raises(NoFrames, match="nothing to export"):
        even_times(np.zeros(0), Fraction(25))


def test_provenance_and_size_survive() -> None:
    tracks = replace(ramp([0.0, 0.04]), provenance={"provider": "x"})
    even = resample(tracks, Fraction(25))
    assert even.provenance == {"provider": "x"}
    assert even.image_size == (64, 48)
