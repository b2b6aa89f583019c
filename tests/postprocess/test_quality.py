from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.postprocess.signer import (
    FACE,
    HANDS,
    LEFT_HAND,
    POSE,
    RIGHT_HAND,
    SHOULDERS,
    copy,
    hide,
    index,
    still,
    uniform_times,
)
from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.landmarks.tracks import Tracks
from tracker_core.postprocess.quality import Quality, QualityParameters, score, signature
from tracker_core.postprocess.smoothing import SmoothingParameters, smooth

DEFAULT = QualityParameters()
FRAMES = 50


def judge(raw: Tracks, **info: Any) -> Quality:
    return score(raw, smooth(raw, SmoothingParameters()), info, DEFAULT)


def signer() -> Tracks:
    return still(uniform_times(FRAMES))


def lowered(raw: Tracks, side: str, frames: slice) -> Tracks:
    """The hand hangs below the picture: the pose's guess lies there, the hand is missing."""
    out = hide(raw, frames, HOLISTIC.part(f"{side}_hand").slice)
    for point in ("wrist", "index", "pinky"):
        out.positions[frames, index(f"pose.{side}_{point}"), 1] = 900
        out.confidence[frames, index(f"pose.{side}_{point}")] = 0.1
    return out


def noisy(raw: Tracks, amount: float, landmarks: slice, seed: int = 0) -> Tracks:
    """Jitter about the same path, ``amount`` in shoulder widths."""
    out = copy(raw)
    noise = np.random.default_rng(seed).normal(0, 1, out.positions[:, landmarks].shape)
    # Shoulders stay, since all is measured against their width.
    out.positions[:, landmarks] += (amount * SHOULDERS * noise).astype(np.float32)
    for side in ("left", "right"):
        shoulder = index(f"pose.{side}_shoulder")
        out.positions[:, shoulder] = raw.positions[:, shoulder]
    return out


def test_a_whole_and_still_track_is_as_good_as_its_resolution() -> None:
    quality = judge(signer())
    assert quality.parts == pytest.approx(
        {
            "hand_visibility": 1.0,
            "stability": 1.0,
            "face_coverage": 1.0,
            "resolution": SHOULDERS / 224,
        }
    )
    assert quality.score == pytest.approx(0.9 + 0.1 * SHOULDERS / 224)
    assert quality.issues == ()


def test_the_score_is_the_stated_sum() -> None:
    raw = noisy(hide(signer(), slice(10, 20), FACE), 0.05, HANDS)
    raw = hide(raw, slice(0, 15), LEFT_HAND)
    quality = judge(raw)
    parts = quality.parts
    assert quality.score == pytest.approx(
        0.4 * parts["hand_visibility"]
        + 0.3 * parts["stability"]
        + 0.2 * parts["face_coverage"]
        + 0.1 * parts["resolution"]
    )
    assert parts["hand_visibility"] == pytest.approx((50 + 35) / 100)
    assert parts["face_coverage"] == pytest.approx(0.8)
    assert 0 < parts["stability"] < 0.9


def test_nobody_scores_nothing() -> None:
    quality = judge(Tracks.empty(HOLISTIC, uniform_times(30), (640, 480)))
    assert quality.score == 0
    assert set(quality.parts.values()) == {0.0}
    assert quality.issues == (
        "person_missing_100%",
        "left_hand_missing_100%",
        "right_hand_missing_100%",
        "face_missing_100%",
    )


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_one_handed_sign_is_whole_with_one_hand(side: str) -> None:
    quality = judge(lowered(signer(), side, slice(None)))
    assert quality.parts["hand_visibility"] == 1
    assert quality.parts["stability"] == 1
    assert quality.issues == (f"{side}_hand_missing_100%",)


def test_hands_at_rest_below_the_picture_cost_nothing() -> None:
    raw = signer()
    for side in ("left", "right"):
        raw = lowered(lowered(raw, side, slice(0, 10)), side, slice(40, 50))
    quality = judge(raw)
    assert quality.parts["hand_visibility"] == 1
    assert {"left_hand_missing_40%", "right_hand_missing_40%"} <= set(quality.issues)


def test_a_hand_lost_within_the_picture_costs() -> None:
    quality = judge(hide(signer(), slice(0, 15), RIGHT_HAND))
    assert quality.parts["hand_visibility"] == pytest.approx(85 / 100)
    assert quality.parts["stability"] < 1
    assert quality.issues[0] == "right_hand_missing_30%"


def test_both_hands_out_of_the_picture_amid_the_sign_cost_the_signing_hand() -> None:
    raw = signer()
    for side in ("left", "right"):
        raw = lowered(raw, side, slice(20, 30))
    assert judge(raw).parts["hand_visibility"] == pytest.approx((40 + 40) / (50 + 40))


def test_hands_never_in_the_picture_are_not_visible() -> None:
    raw = lowered(lowered(signer(), "left", slice(None)), "right", slice(None))
    assert judge(raw).parts["hand_visibility"] == 0


hand_frames = st.lists(st.integers(0, FRAMES - 1), min_size=1, max_size=20)


@settings(max_examples=40, deadline=None)
@given(hand_frames, hand_frames, st.sampled_from([0.0, 0.05, 0.2]), st.booleans())
def test_fewer_hand_observations_never_raise_the_score(
    first: list[int], more: list[int], jitter: float, one_hand: bool
) -> None:
    """Whole hands or single landmarks of them, steady or jittering."""
    base = noisy(signer(), jitter, HANDS)
    if one_hand:
        base = lowered(base, "right", slice(5, 30))
    some = hide(base, first, LEFT_HAND)
    fewer = hide(some, more, slice(LEFT_HAND.start + 5, RIGHT_HAND.start + 9))
    scores = [unsmoothed(raw).score for raw in (base, some, fewer)]
    assert scores[0] >= scores[1] - 1e-12
    assert scores[1] >= scores[2] - 1e-12


@settings(max_examples=25, deadline=None)
@given(hand_frames, st.sampled_from([0.0, 0.02]))
def test_less_face_never_raises_the_score(frames: list[int], jitter: float) -> None:
    base = noisy(signer(), jitter, FACE)
    assert unsmoothed(base).score >= unsmoothed(hide(base, frames, FACE)).score - 1e-12


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([HANDS, FACE, POSE]),
    st.lists(st.floats(0, 0.3), min_size=2, max_size=2),
    st.integers(0, 100),
)
def test_more_jitter_never_raises_the_score(
    landmarks: slice, amounts: list[float], seed: int
) -> None:
    less, more = sorted(amounts)
    calm = unsmoothed(noisy(signer(), less, landmarks, seed))
    shaky = unsmoothed(noisy(signer(), more, landmarks, seed))
    assert calm.score >= shaky.score - 1e-6
    assert 0 <= shaky.score <= 1


def unsmoothed(raw: Tracks) -> Quality:
    """Smoothing does not enter the score, only the issues."""
    return score(raw, raw, {}, DEFAULT)


@pytest.mark.parametrize(
    ("landmarks", "name", "limit"),
    [(HANDS, "hands", 0.045), (slice(0, 15), "body", 0.007), (FACE, "face", 0.006)],
)
def test_jitter_is_measured_in_shoulder_widths_and_named_above_its_limit(
    landmarks: slice, name: str, limit: float
) -> None:
    for factor, named in ((0.9, False), (1.1, True)):
        raw = copy(signer())
        # +d, -d, +d ... has second differences of 4 d.
        sign = np.where(np.arange(FRAMES) % 2, 1, -1)[:, None]
        raw.positions[:, landmarks, 1] += sign * limit * factor * SHOULDERS / 4
        quality = judge(raw)
        assert quality.details["jitter"][name] == pytest.approx(limit * factor, rel=1e-3)
        assert (f"jitter_{name}_high" in quality.issues) == named
        assert (quality.parts["stability"] < 1) == named


def test_steady_motion_at_uneven_times_is_no_jitter() -> None:
    times = np.cumsum(np.random.default_rng(2).choice([0.02, 0.04, 0.1], FRAMES))
    raw = still(times)
    raw.positions[:, HANDS, 0] += (200 * times).astype(np.float32)[:, None]
    quality = judge(raw)
    assert quality.parts["stability"] == pytest.approx(1)
    assert quality.details["jitter"]["hands"] < 1e-4


@pytest.mark.parametrize("frames", [1, 2])
def test_two_frames_say_nothing_of_stability(frames: int) -> None:
    quality = judge(still(uniform_times(frames)))
    assert quality.parts["stability"] == 0
    assert quality.parts["hand_visibility"] == 1
    assert {"stability_not_measured", "short_clip"} <= set(quality.issues)


def test_resolution_is_that_of_the_person_not_of_the_frame() -> None:
    raw = signer()
    small = copy(raw)
    small.positions[:] *= np.float32(0.25)
    quality = judge(small)
    assert quality.parts["resolution"] == pytest.approx(SHOULDERS / 4 / 224)
    assert "person_small" in quality.issues
    assert "low_resolution" not in quality.issues


def test_enlarged_video_has_no_more_resolution_than_its_source() -> None:
    quality = judge(signer(), width=320, height=180)
    assert quality.parts["resolution"] == pytest.approx(SHOULDERS / 4 / 224)
    assert {"low_resolution", "person_small"} <= set(quality.issues)


def test_issues_are_named_in_order() -> None:
    raw = hide(signer(), slice(0, 6), FACE)
    raw = hide(raw, [20, 21], RIGHT_HAND)
    raw.positions[40, LEFT_HAND, 0] += 300
    quality = judge(
        raw, damaged_fraction=0.1, person_count=2, notes=["cut_short", "short_clip", "cut_short"]
    )
    assert quality.issues == (
        "right_hand_missing_4%",
        "face_missing_12%",
        "clamped_2%",
        "filled_4%",
        "damaged_source_10%",
        "several_people_2",
        "cut_short",
        "short_clip",
    )


@pytest.mark.parametrize(
    ("frames", "missing", "issue"), [(400, 399, "99%"), (400, 400, "100%"), (90, 1, "1%")]
)
def test_percentages_never_claim_all_or_nothing(frames: int, missing: int, issue: str) -> None:
    raw = hide(still(uniform_times(frames)), slice(0, missing), LEFT_HAND)
    assert f"left_hand_missing_{issue}" in judge(raw).issues


def test_uncertain_hands_are_missing() -> None:
    raw = signer()
    raw.confidence[:, RIGHT_HAND] = 0.55
    assert "right_hand_missing_100%" in judge(raw).issues


def test_json_gives_back_an_equal_value() -> None:
    for raw in (noisy(signer(), 0.05, HANDS), Tracks.empty(HOLISTIC, uniform_times(1), (9, 9))):
        quality = judge(raw, notes=["a"])
        assert Quality.from_json(json.loads(json.dumps(quality.to_json()))) == quality


def test_the_signature_names_formula_and_parameters() -> None:
    assert judge(signer()).signature == signature(DEFAULT) == signature(QualityParameters())
    assert signature(DEFAULT).startswith("quality-1:")
    assert len(signature(DEFAULT)) == len("quality-1:") + 8
    assert signature(replace(DEFAULT, jitter_face=0.007)) != signature(DEFAULT)


def test_weights_must_sum_to_one() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        QualityParameters(weight_stability=0.5)


def test_tracks_of_different_videos_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in frames"):
        score(signer(), still(uniform_times(3)), {}, DEFAULT)


def test_what_was_trimmed_is_named_as_a_share_of_all_frames() -> None:
    raw = signer()
    assert not any("trimmed" in issue for issue in judge(raw).issues)
    issues = judge(raw, trimmed=(len(raw), 2 * len(raw))).issues
    assert {"trimmed_lead_25%", "trimmed_tail_50%"} <= set(issues)
    assert not any("tail" in issue for issue in judge(raw, trimmed=(len(raw), 0)).issues)
