from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.postprocess.signer import (
    FACE,
    HANDS,
    LEFT_HAND,
    RIGHT_HAND,
    SHOULDERS,
    copy,
    hide,
    index,
    move,
    still,
    uniform_times,
)
from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.landmarks.tracks import State, Tracks
from tracker_core.postprocess import smoothing
from tracker_core.postprocess.smoothing import (
    SmoothingParameters,
    _parents,
    shoulder_width,
    smooth,
)

DEFAULT = SmoothingParameters()
PLAIN = SmoothingParameters(responsive_speed=0, velocity_clamp_deg=0)
Floats = npt.NDArray[np.float64]


@st.composite
def wild_tracks(draw: st.DrawFn, min_frames: int = 1, max_frames: int = 12) -> Tracks:
    """Any frame times, motion, confidences and gaps."""
    frames = draw(st.integers(min_frames, max_frames))
    steps = draw(st.lists(st.sampled_from([0.01, 1 / 30, 0.04, 0.1, 1.5]), min_size=frames))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([0.0, 2.0, 60.0]))
    seen = draw(st.sampled_from([0.0, 0.4, 0.9, 1.0]))
    tracks = still(np.cumsum(np.array(steps[:frames])))
    tracks.positions[:] += rng.normal(0, spread, tracks.positions.shape).astype(np.float32)
    tracks.world[:] += rng.normal(0, spread / 500, tracks.world.shape).astype(np.float32)
    tracks.confidence[:] = rng.choice([0.3, 0.6, 0.8, 1.0], tracks.confidence.shape)
    gone = rng.random(tracks.state.shape) >= seen
    tracks.positions[gone] = np.nan
    tracks.world[gone] = np.nan
    tracks.confidence[gone] = 0
    tracks.state[gone] = State.MISSING
    tracks.blendshapes[rng.random(frames) >= seen] = np.nan
    return tracks


def arrays(tracks: Tracks) -> list[npt.NDArray[np.generic]]:
    return [
        tracks.positions,
        tracks.confidence,
        tracks.state,
        tracks.world,
        tracks.blendshapes,
        tracks.timestamps,
    ]


def observed(raw: Tracks) -> npt.NDArray[np.bool_]:
    seen: npt.NDArray[np.bool_] = np.isin(raw.state, (State.OBSERVED, State.CLAMPED))
    seen &= raw.confidence >= np.float32(0.6)
    return seen


@settings(max_examples=20, deadline=None)
@given(wild_tracks(), st.sampled_from([1, 40, 3000]))
def test_the_same_bit_for_bit_however_few_at_a_time_and_in_place(raw: Tracks, count: int) -> None:
    whole, before = smooth(raw, DEFAULT), copy(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smoothing, "_VALUES_AT_A_TIME", count)
        patch.setattr(smoothing, "_FEWEST_AT_A_TIME", 1)
        few = smooth(raw, DEFAULT)
    for one, other, kept, was in zip(
        arrays(whole), arrays(few), arrays(raw), arrays(before), strict=True
    ):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(kept, was)
    placed = smooth(raw, DEFAULT, in_place=True)
    assert placed.positions is raw.positions
    for one, other in zip(arrays(whole), arrays(placed), strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=60, deadline=None)
@given(wild_tracks(), st.sampled_from([DEFAULT, PLAIN, SmoothingParameters(max_gap_frames=0)]))
def test_states_positions_and_confidence_agree(
    raw: Tracks, parameters: SmoothingParameters
) -> None:
    before = [array.copy() for array in arrays(raw)]
    out = smooth(raw, parameters)
    for array, same in zip(arrays(raw), before, strict=True):
        np.testing.assert_array_equal(array, same)
    for array, like in zip(arrays(out), before, strict=True):
        assert (array.shape, array.dtype) == (like.shape, like.dtype)
    missing = np.isin(out.state, [State.MISSING])
    for axis in range(3):
        np.testing.assert_array_equal(np.isnan(out.positions[..., axis]), missing)
    np.testing.assert_array_equal(out.confidence == 0, missing)
    seen = observed(raw)
    np.testing.assert_array_equal(np.isin(out.state, (State.OBSERVED, State.CLAMPED)), seen)
    assert (out.confidence[~missing & ~seen] <= 0.5).all()
    world: npt.NDArray[np.bool_] = np.isfinite(out.world[..., 0])
    np.testing.assert_array_equal(world[:, : FACE.start], ~missing[:, : FACE.start])
    assert not world[:, FACE].any()


@settings(max_examples=30, deadline=None)
@given(wild_tracks())
def test_landmarks_stay_between_what_was_observed(raw: Tracks) -> None:
    out = smooth(raw, replace(DEFAULT, velocity_clamp_deg=0))
    values = np.where(observed(raw)[..., None], raw.positions, np.nan)
    low = np.nan_to_num(np.fmin.reduce(values), nan=np.inf)
    high = np.nan_to_num(np.fmax.reduce(values), nan=-np.inf)
    present = out.state != State.MISSING
    assert (out.positions >= low - 1e-3)[present].all()
    assert (out.positions <= high + 1e-3)[present].all()
    shapes = out.blendshapes[np.isfinite(out.blendshapes)]
    assert ((shapes >= 0) & (shapes <= 1)).all()


@settings(max_examples=30, deadline=None)
@given(wild_tracks())
def test_backwards_in_time_gives_the_same_backwards(raw: Tracks) -> None:
    parameters = replace(DEFAULT, velocity_clamp_deg=0)
    mirrored = replace(
        raw,
        timestamps=(raw.timestamps[-1] - raw.timestamps)[::-1].copy(),
        positions=raw.positions[::-1].copy(),
        confidence=raw.confidence[::-1].copy(),
        state=raw.state[::-1].copy(),
        world=raw.world[::-1].copy(),
        blendshapes=raw.blendshapes[::-1].copy(),
    )
    there, back = smooth(raw, parameters), smooth(mirrored, parameters)
    np.testing.assert_array_equal(there.state, back.state[::-1])
    np.testing.assert_allclose(there.positions, back.positions[::-1], atol=1e-3)
    np.testing.assert_allclose(there.blendshapes, back.blendshapes[::-1], atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    wild_tracks(min_frames=3),
    st.sampled_from([0.25, 1.0, 4.0]),
    st.tuples(st.integers(-300, 300), st.integers(-300, 300)),
)
def test_moved_and_scaled_pictures_give_moved_and_scaled_tracks(
    raw: Tracks, factor: float, shift: tuple[int, int]
) -> None:
    shoulders = [index("pose.left_shoulder"), index("pose.right_shoulder")]
    assume(observed(raw)[:, shoulders].all(axis=1).any())  # else there is no measure of size
    offset = np.array([*shift, 0], np.float32)
    other = replace(raw, positions=raw.positions * np.float32(factor) + offset)
    expected, out = smooth(raw, DEFAULT), smooth(other, DEFAULT)
    # At the very edge of the clamp's threshold rounding decides; it is as rare as a coin on edge.
    agree = expected.state == out.state
    assert agree.mean() > 0.999
    np.testing.assert_allclose(
        out.positions[agree], (expected.positions * factor + offset)[agree], atol=0.5, rtol=1e-3
    )


@pytest.mark.parametrize("frames", [1, 2, 3, 40])
def test_constant_stays_exactly_constant(frames: int) -> None:
    rng = np.random.default_rng(1)
    raw = still(np.cumsum(rng.uniform(0.01, 0.2, frames)))
    raw.confidence[:] = rng.uniform(0.6, 1, raw.confidence.shape)
    out = smooth(raw, DEFAULT)
    np.testing.assert_array_equal(out.positions, raw.positions)
    np.testing.assert_array_equal(out.world, raw.world)
    np.testing.assert_array_equal(out.blendshapes, raw.blendshapes)
    assert (out.state == State.OBSERVED).all()


def test_nothing_in_nothing_out() -> None:
    raw = Tracks.empty(HOLISTIC, uniform_times(9), (640, 480))
    out = smooth(raw, DEFAULT)
    assert (out.state == State.MISSING).all()
    assert np.isnan(out.positions).all()
    assert np.isnan(out.blendshapes).all()


@pytest.mark.parametrize(
    ("landmark", "alpha"),
    [
        ("pose.left_wrist", 0.35),
        ("left_hand.wrist", 0.35),
        ("right_hand.index_tip", 0.55),
        ("pose.right_thumb", 0.55),
        ("pose.left_foot_index", 0.40),
        ("pose.nose", 0.40),
        ("face.mesh_100", 0.40),
    ],
)
def test_an_alpha_is_the_weight_of_a_new_frame(landmark: str, alpha: float) -> None:
    """A certain step at 25 fps: the mean of the textbook EMA from the left and from the right."""
    at = index(landmark)
    raw = still(uniform_times(30))
    raw.positions[15:, at, 0] += 10
    x = raw.positions[:, at, 0].astype(np.float64)
    there = np.array(ema(list(x), alpha))
    back = np.array(ema(list(x[::-1]), alpha)[::-1])
    out = smooth(raw, PLAIN)
    np.testing.assert_allclose(out.positions[:, at, 0], (there + back) / 2, atol=1e-3)


def ema(values: list[float], alpha: float) -> list[float]:
    out = values[:1]
    for value in values[1:]:
        out.append(alpha * value + (1 - alpha) * out[-1])
    return out


def test_a_blendshape_has_the_faces_alpha() -> None:
    raw = still(uniform_times(20))
    raw.blendshapes[:, 25] = 0
    raw.blendshapes[10, 25] = 1
    out = smooth(raw, PLAIN).blendshapes[:, 25]
    assert out[10] == pytest.approx(0.4, abs=1e-6)
    assert out[[9, 11]] == pytest.approx(0.4 * 0.6 / 2, abs=1e-6)


def test_a_blink_of_three_frames_survives() -> None:
    raw = still(uniform_times(40))
    raw.blendshapes[:, 9] = 0.05
    raw.blendshapes[20:23, 9] = (0.5, 0.9, 0.5)
    assert smooth(raw, DEFAULT).blendshapes[:, 9].max() > 0.85
    assert smooth(raw, PLAIN).blendshapes[:, 9].max() < 0.75  # what the speed term is for


def test_the_frame_rate_does_not_change_the_smoothing() -> None:
    """A ramp that starts from rest, smoothed at 25 and at 100 fps, at the same moments."""
    curves = []
    for fps in (25, 100):
        times = uniform_times(fps * 2 + 1, fps)
        ramp = np.clip(times - 1, 0, None) * 40  # a fifth of a shoulder width in a second
        out = smooth(move(still(times), [index("pose.left_wrist")], both(ramp)), PLAIN)
        curves.append(out.positions[:: fps // 25, index("pose.left_wrist"), 0])
    assert np.abs(curves[0] - curves[1]).max() < 0.3
    raw = 1.49  # what the alpha lags behind the ramp at its end, halved by the other pass
    assert curves[0][-1] == pytest.approx(
        still(np.zeros(1)).positions[0, 15, 0] + 40 - raw, abs=0.1
    )


def both(x: Floats) -> Floats:
    """[T] -> [T, 2], motion along x alone."""
    return np.stack([x, np.zeros_like(x)], axis=1)


def test_uncertain_observations_weigh_less() -> None:
    at = index("pose.nose")
    moved = []
    for confidence in (1.0, 0.8, 0.6):
        raw = still(uniform_times(21))
        raw.positions[10, at, 0] += 10
        raw.confidence[10, at] = confidence
        moved.append(smooth(raw, PLAIN).positions[10, at, 0] - raw.positions[0, at, 0])
    assert moved[0] == pytest.approx(4.0, abs=1e-2)
    assert moved[0] > moved[1] > moved[2] > 0
    assert moved[2] == pytest.approx(10 * (1 - 0.6**0.6), abs=1e-2)


def test_unconfident_landmarks_were_not_observed() -> None:
    at = index("left_hand.index_tip")
    raw = still(uniform_times(20))
    raw.positions[8, at] += 500
    raw.confidence[8, at] = 0.59
    raw.confidence[12:18, at] = 0.59
    out = smooth(raw, DEFAULT)
    assert out.state[8, at] == State.FILLED
    np.testing.assert_allclose(out.positions[8, at], raw.positions[0, at], atol=1e-3)
    assert (out.state[12:18, at] == State.MISSING).all()
    assert (out.confidence[12:18, at] == 0).all()
    assert out.state[18, at] == State.OBSERVED


@pytest.mark.parametrize(("gap", "filled"), [(1, True), (3, True), (4, False)])
def test_gaps_of_three_frames_are_filled_and_no_longer_ones(gap: int, filled: bool) -> None:
    raw = hide(still(uniform_times(20)), slice(8, 8 + gap), LEFT_HAND)
    raw.confidence[7, LEFT_HAND] = 0.7
    out = smooth(raw, DEFAULT)
    state = State.FILLED if filled else State.MISSING
    assert (out.state[8 : 8 + gap, LEFT_HAND] == state).all()
    assert (out.state[:, RIGHT_HAND] == State.OBSERVED).all()
    assert out.confidence[8, LEFT_HAND] == pytest.approx(0.35 if filled else 0)


def test_a_gap_is_a_straight_line_in_time() -> None:
    times = np.array([0.0, 0.04, 0.08, 0.09, 0.24, 0.28, 0.32])
    raw = move(still(times), RIGHT_HAND, both(times * 100))
    raw = hide(raw, [2, 3], RIGHT_HAND)
    out = smooth(raw, replace(DEFAULT, ema_alpha_wrist=1, ema_alpha_fingers=1))
    expected = still(times).positions[:, RIGHT_HAND, 0] + (times * 100)[:, None]
    np.testing.assert_allclose(out.positions[:, RIGHT_HAND, 0], expected, atol=1e-3)
    ends = np.interp(times[[2, 3]], times[[1, 4]], raw.world[[1, 4], RIGHT_HAND.start, 0])
    np.testing.assert_allclose(out.world[[2, 3], RIGHT_HAND.start, 0], ends, atol=1e-6)


def test_nothing_is_extrapolated() -> None:
    raw = hide(still(uniform_times(12)), [0, 1, 10, 11], HANDS)
    out = smooth(raw, DEFAULT)
    assert (out.state[[0, 1, 10, 11], HANDS] == State.MISSING).all()
    assert (out.state[2:10] == State.OBSERVED).all()


def test_blendshapes_are_filled_like_landmarks() -> None:
    raw = hide(hide(still(uniform_times(20)), [4, 5, 6], FACE), slice(10, 14), FACE)
    out = smooth(raw, DEFAULT)
    np.testing.assert_allclose(out.blendshapes[4:7], raw.blendshapes[[0, 0, 0]], atol=1e-6)
    assert np.isnan(out.blendshapes[10:14]).all()


def test_the_average_starts_anew_after_a_long_gap() -> None:
    raw = still(uniform_times(30))
    raw.positions[12:, LEFT_HAND, 0] += 300
    raw = hide(raw, slice(8, 12), LEFT_HAND)
    out = smooth(raw, PLAIN)
    np.testing.assert_array_equal(out.positions[:8], raw.positions[:8])
    np.testing.assert_array_equal(out.positions[12:], raw.positions[12:])


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("landmark", ["right_hand.index_tip", "right_hand.wrist", "pose.nose"])
def test_a_spike_is_held_back(landmark: str, length: int) -> None:
    at = index(landmark)
    raw = still(uniform_times(20))
    raw.positions[9 : 9 + length, at, 1] += 250
    raw.world[9 : 9 + length, at, 1] += 0.5
    out = smooth(raw, DEFAULT)
    spike = np.zeros(20, np.bool_)
    spike[9 : 9 + length] = True
    np.testing.assert_array_equal(out.state[:, at] == State.CLAMPED, spike)
    assert (out.confidence[spike, at] == 0.5).all()
    assert (out.state == State.CLAMPED).sum() == length  # and nothing that hangs on it
    np.testing.assert_allclose(out.positions, still(raw.timestamps).positions, atol=1e-3)
    np.testing.assert_allclose(out.world, still(raw.timestamps).world, atol=1e-6)
    off = smooth(raw, replace(DEFAULT, velocity_clamp_deg=0))
    assert not (off.state == State.CLAMPED).any()
    assert np.abs(off.positions[:, at] - raw.positions[0, at]).max() > 100


def test_a_hand_that_jumps_as_a_whole_comes_back_as_a_whole() -> None:
    raw = still(uniform_times(20))
    raw.positions[9, RIGHT_HAND, 0] += 400
    out = smooth(raw, DEFAULT)
    assert (out.state[9, RIGHT_HAND] == State.CLAMPED).all()
    np.testing.assert_allclose(out.positions[9], raw.positions[0], atol=1e-3)
    assert (out.state[:, LEFT_HAND] == State.OBSERVED).all()


def test_the_limit_grows_with_the_time_step() -> None:
    """0.4 shoulder widths in 1/10 s is a fair movement; in 1/25 s, there and back, it is not."""
    for fps, clamped in ((25, True), (10, False)):
        raw = still(uniform_times(20, fps))
        raw.positions[9, RIGHT_HAND, 0] += 0.4 * SHOULDERS
        assert (smooth(raw, DEFAULT).state == State.CLAMPED).any() == clamped


def test_a_jump_that_stays_is_no_spike() -> None:
    raw = still(uniform_times(20))
    raw.positions[10:, RIGHT_HAND, 0] += 400
    assert not (smooth(raw, DEFAULT).state == State.CLAMPED).any()


@settings(max_examples=60, deadline=None)
@given(
    frequency=st.floats(0.5, 7.0),
    amplitude=st.floats(0.1, 3.0),
    phase=st.floats(0, 2 * np.pi),
    landmarks=st.sampled_from([RIGHT_HAND, slice(index("right_hand.index_tip"), None)]),
)
def test_genuine_fast_motion_is_never_clamped(
    frequency: float, amplitude: float, phase: float, landmarks: slice
) -> None:
    """To and fro, faster than any trill, at any amplitude (shoulder widths), hand or fingers."""
    times = uniform_times(25)
    swing = amplitude * SHOULDERS * np.sin(2 * np.pi * frequency * times + phase)
    raw = move(still(times), landmarks, both(swing))
    assert not (smooth(raw, DEFAULT).state == State.CLAMPED).any()


def test_jitter_falls_while_speed_stays_and_nothing_lags() -> None:
    """A sign of two strokes between holds: 6 shoulder widths a second, hand jitter of 0.02."""
    times = uniform_times(100)
    ease = 0.5 * (1 + np.tanh((times - 1) * 12)) - 0.5 * (1 + np.tanh((times - 2.6) * 12))
    path = SHOULDERS * ease
    rng = np.random.default_rng(3)
    clean = move(still(times), HANDS, both(path))
    noisy = copy(clean)
    noise = rng.normal(0, 0.02 * SHOULDERS / np.sqrt(12), (100, 42, 2))
    noisy.positions[:, HANDS, :2] += noise.astype(np.float32)
    hold = slice(40, 55)
    for parameters, speed_kept in ((DEFAULT, 0.93), (PLAIN, 0.55)):
        out = smooth(noisy, parameters)
        assert jitter(out)[hold].mean() < 0.6 * jitter(noisy)[hold].mean()
        assert speed(out).max() > speed_kept * speed(clean).max()
        # Each stroke's middle is crossed when the true one is, to a quarter of a frame.
        x = out.positions[:, HANDS, 0].mean(axis=1) - clean.positions[0, HANDS, 0].mean()
        assert np.interp(SHOULDERS / 2, x[15:40], times[15:40]) == pytest.approx(1.0, abs=0.01)
        assert np.interp(-SHOULDERS / 2, -x[55:80], times[55:80]) == pytest.approx(2.6, abs=0.01)
    assert speed(smooth(noisy, PLAIN)).max() < 0.9 * speed(clean).max()


def jitter(tracks: Tracks) -> Floats:
    points = tracks.positions[:, HANDS, :2].astype(np.float64)
    return np.pad(np.linalg.norm(np.diff(points, 2, axis=0), axis=2).mean(axis=1), 1)


def speed(tracks: Tracks) -> Floats:
    centre = tracks.positions[:, HANDS, :2].astype(np.float64).mean(axis=1)
    out: Floats = np.linalg.norm(np.diff(centre, axis=0), axis=1)
    return out


def test_shoulder_width_and_what_stands_in_for_it() -> None:
    raw = still(uniform_times(5))
    assert shoulder_width(raw) == pytest.approx(SHOULDERS)
    turned = copy(raw)  # sideways: the same shoulders, one behind the other
    turned.positions[:, index("pose.left_shoulder")] = (540, 300, SHOULDERS)
    assert shoulder_width(turned) == pytest.approx(SHOULDERS)
    hands_only = hide(hide(raw, slice(None), slice(0, 33)), slice(None), FACE)
    palm = np.linalg.norm(
        raw.positions[0, index("left_hand.wrist")] - raw.positions[0, index("left_hand.middle_mcp")]
    )
    assert shoulder_width(hands_only) == pytest.approx(4 * palm)
    nothing = Tracks.empty(HOLISTIC, uniform_times(2), (640, 480))
    assert shoulder_width(nothing) == 160


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ema_alpha_wrist", 0.0),
        ("ema_alpha_face", 1.1),
        ("min_confidence", -0.1),
        ("max_gap_frames", -1),
        ("velocity_clamp_deg", float("nan")),
    ],
)
def test_impossible_parameters_are_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        replace(DEFAULT, **{name: value})  # type: ignore[arg-type]


def test_segments_follow_the_skeleton() -> None:
    for part in HOLISTIC.parts:
        parents = _parents(part)
        names = {
            name: part.names[parent] if parent >= 0 else ""
            for name, parent in zip(part.names, parents, strict=True)
        }
        roots = [name for name, parent in names.items() if not parent]
        if part.name == "face":
            assert len(roots) == 478
        elif part.name == "pose":
            assert roots == ["nose"]
            assert names["left_wrist"] == "left_elbow"
            assert names["right_foot_index"] == "right_ankle"
        else:
            assert roots == ["wrist"]
            assert [names[f"ring_{joint}"] for joint in ("mcp", "pip", "dip", "tip")] == [
                "wrist",
                "ring_mcp",
                "ring_pip",
                "ring_dip",
            ]
