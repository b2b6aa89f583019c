from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.postprocess.signer import (
    HANDS,
    LEFT_HAND,
    POSE,
    RIGHT_HAND,
    SHOULDERS,
    hide,
    index,
    move,
    still,
    uniform_times,
)
from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.landmarks.tracks import State, Tracks
from tracker_core.media.decode import read_frames
from tracker_core.media.probe import probe
from tracker_core.postprocess.smoothing import SmoothingParameters, smooth
from tracker_core.postprocess.trimming import TrimmingParameters, active_span
from tracker_core.preprocess.roi import Roi
from tracker_core.tracking.holistic.provider import HolisticProvider
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.video import track_video

FRAMES, FPS = 100, 25
MARGIN = 5  # frames in 0.2 s
RIGHT = [index("pose.right_wrist"), *range(RIGHT_HAND.start, RIGHT_HAND.stop)]
LEFT = [index("pose.left_wrist"), *range(LEFT_HAND.start, LEFT_HAND.stop)]


def resting(frames: int = FRAMES) -> Tracks:
    """A signer whose arms hang, wrists below elbows, hands in the picture."""
    tracks = still(uniform_times(frames, FPS))
    for side, x in (("left", 790), ("right", 490)):
        tracks.positions[:, index(f"pose.{side}_elbow"), :2] = (x, 400)
    return tracks


def signing(tracks: Tracks, start: int, stop: int, up: float, hand: list[int] = RIGHT) -> Tracks:
    """The hand goes up in four frames from ``start``, stays, and is down again at ``stop``."""
    rise = np.interp(np.arange(len(tracks)), [start, start + 4, stop - 4, stop], [0, 1, 1, 0])
    offset = np.stack([np.zeros_like(rise), -up * SHOULDERS * rise], axis=1)
    return move(tracks, hand, offset)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 60), st.integers(12, 40), st.floats(0.6, 2), st.sampled_from([LEFT, RIGHT]),
    st.booleans(),
)  # fmt: skip
def test_a_sign_and_its_hold_are_kept_whole_and_rest_is_not(
    start: int, length: int, up: float, hand: list[int], smoothed: bool
) -> None:
    stop = start + length
    tracks = signing(resting(), start, stop, up, hand)
    if smoothed:
        tracks = smooth(tracks, SmoothingParameters())
    first, last = active_span(tracks)
    assert max(0, start - MARGIN - 3) <= first <= start
    assert stop <= last + 1 <= min(FRAMES, stop + MARGIN + 4) + 1


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_span_lies_within_the_clip_whatever_the_track(data: st.DataObject) -> None:
    frames = data.draw(st.integers(1, 30))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    times = np.cumsum(rng.uniform(0.001, data.draw(st.floats(0.01, 2)), frames))
    tracks = Tracks.empty(HOLISTIC, times, (640, 480))
    seen = rng.random(tracks.state.shape) < data.draw(st.floats(0, 1))
    tracks.state[seen] = State.OBSERVED
    tracks.confidence[seen] = 1
    tracks.positions[seen] = rng.normal(300, 100, (seen.sum(), 3))
    first, last = active_span(tracks)
    assert 0 <= first <= last < frames


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30))
def test_more_dead_frames_change_nothing_but_the_count(lead: int, tail: int) -> None:
    tracks = signing(resting(60), 20, 40, 1.0)
    first, last = active_span(tracks)
    rows = np.concatenate([np.zeros(lead, int), np.arange(60), np.full(tail, 59)])
    longer = Tracks(
        HOLISTIC, uniform_times(len(rows), FPS), tracks.positions[rows], tracks.confidence[rows],
        tracks.state[rows], tracks.world[rows], tracks.blendshapes[rows], tracks.image_size,
    )  # fmt: skip
    assert active_span(longer) == (first + lead, last + lead)


def test_nothing_is_cut_where_no_hand_ever_works_or_is_seen() -> None:
    assert active_span(resting()) == (0, FRAMES - 1)
    wrists = [index("pose.left_wrist"), index("pose.right_wrist")]
    unseen = hide(hide(resting(), slice(None), HANDS), slice(None), wrists)
    assert active_span(unseen) == (0, FRAMES - 1)
    assert active_span(hide(resting(), slice(None), POSE)) == (0, FRAMES - 1)
    with pytest.raises(ValueError, match="without a frame"):
        active_span(resting(0))


def test_a_clip_that_begins_and_ends_within_a_sign_is_kept_whole() -> None:
    held = move(resting(), RIGHT, np.tile([0.0, -1.2 * SHOULDERS], (FRAMES, 1)))
    moved = signing(held, 40, 60, 0.5)
    assert active_span(moved) == (0, FRAMES - 1)


def test_a_hold_low_and_reached_slowly_belongs_to_the_sign() -> None:
    drift = np.interp(np.arange(FRAMES), [10, 50, 60, 99], [0, 0.7, 0.7, 0]) * SHOULDERS
    tracks = move(resting(), RIGHT, np.stack([drift, np.zeros(FRAMES)], axis=1))
    assert np.abs(np.diff(drift)).max() * FPS / SHOULDERS < TrimmingParameters().speed
    first, last = active_span(tracks)
    assert 30 < first < 40
    assert 60 < last < 80


def test_hands_that_rest_below_the_picture_are_at_work_when_they_come_into_it() -> None:
    still_hands = resting()
    for frames in (slice(None, 30), slice(70, None)):
        still_hands = hide(still_hands, frames, [*LEFT, *RIGHT])
    assert active_span(still_hands) == (30 - MARGIN, 69 + MARGIN)
    # The pose alone guesses wrists that are not there.
    guessed = hide(still_hands, slice(None), HANDS)
    assert active_span(guessed) == (0, FRAMES - 1)


def test_a_hand_that_is_lost_within_the_sign_does_not_end_it() -> None:
    tracks = hide(signing(resting(), 20, 80, 1.0), slice(35, 70), RIGHT)
    assert active_span(tracks) == active_span(signing(resting(), 20, 80, 1.0))


def test_a_slip_of_the_tracker_is_no_sign() -> None:
    offset = np.zeros((FRAMES, 2))
    offset[5] = offset[92] = (0, -1.5 * SHOULDERS)
    slips = smooth(move(signing(resting(), 30, 60, 1.0), RIGHT, offset), SmoothingParameters())
    plain = smooth(signing(resting(), 30, 60, 1.0), SmoothingParameters())
    assert active_span(slips) == active_span(plain)


def test_the_margin_is_time_not_frames() -> None:
    tracks = signing(resting(), 40, 60, 1.0)
    double = replace(tracks, timestamps=tracks.timestamps / 2)
    first, _ = active_span(tracks, TrimmingParameters(margin_s=0))
    assert active_span(tracks)[0] == first - MARGIN
    first, _ = active_span(double, TrimmingParameters(margin_s=0))
    assert active_span(double)[0] == first - 2 * MARGIN


def test_a_frozen_lead_in_and_lead_out_is_found(models: ModelStore, shared_data: Path) -> None:
    """The clip stands still but for 1.5 to 3.2 s of its 5.2 s."""
    clip = shared_data / "hard" / "synth" / "frozen_lead_in_out.mp4"
    info = probe(clip)
    size = (info.display_width, info.display_height)
    frames = list(read_frames(clip, info, indices=list(range(0, info.frame_count, 3))))
    whole = Roi(np.tile(np.array([0.0, 0, *size]), (len(frames), 1)), 1, crop=False)
    tracks = track_video(HolisticProvider(models), frames, whole, size)
    first, last = active_span(smooth(tracks, SmoothingParameters()))
    start, end = tracks.timestamps[[first, last]]
    assert 0.9 < start < 1.7
    assert 2.5 < end < 3.5
