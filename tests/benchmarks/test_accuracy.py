"""The arithmetic of `benchmarks.accuracy` on made-up landmarks; its runs are other tests'."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import accuracy, parity, seen, signing, truth
from benchmarks.seen import Squared, cut, see, sheet, vga
from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.landmarks.tracks import State, Tracks
from tracker_core.tracking.holistic.graph import (
    OURS,
    PARITY,
    HandTracker,
    arm_region,
    hand_region,
    metre,
)
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.provider import FrameLandmarks, View

LEFT = HOLISTIC.part("left_hand").slice
HAND = np.random.default_rng(5).uniform(100, 180, (21, 2))


def hand_tracks(offsets: Sequence[float | None]) -> Tracks:
    """A left hand that lies so many pixels beside its place, or is missing."""
    tracks = Tracks.empty(HOLISTIC, np.arange(len(offsets)) / 25, (640, 480))
    for row, offset in enumerate(offsets):
        if offset is not None:
            tracks.positions[row, LEFT] = np.column_stack(
                [HAND + np.array([offset, 0]), np.zeros(21)]
            )
            tracks.world[row, LEFT] = tracks.positions[row, LEFT] / 1000
            tracks.state[row, LEFT] = State.OBSERVED
    return tracks


# ---------------------------------------------------------------------------- parity


def test_a_difference_counts_presence_and_measures_what_both_have() -> None:
    first, second = hand_tracks([0, 0, None, 0]), hand_tracks([3, None, None, 5])
    apart = parity.difference(first, second, "left_hand", scale=0.5)
    assert (apart.frames, apart.first, apart.second, apart.agree) == (4, 3, 2, 3)
    assert apart.agreement == 0.75
    assert apart.percentile("pixels", 0) == pytest.approx(1.5, abs=1e-4)
    assert apart.percentile("pixels", 100) == pytest.approx(2.5, abs=1e-4)
    assert apart.percentile("world", 50) == pytest.approx(4, abs=1e-3)
    assert apart.percentile("depth", 100) == 0
    side = hand_region(first.positions[0, LEFT]).width
    assert apart.percentile("crop", 0) == pytest.approx(3 * 224 / side, abs=1e-3)


def test_differences_of_clips_add_up() -> None:
    sum_ = parity.difference(hand_tracks([0, 0]), hand_tracks([1, None]), "left_hand")
    sum_ += parity.difference(hand_tracks([0]), hand_tracks([9]), "left_hand")
    assert (sum_.frames, sum_.agree, len(sum_.pixels)) == (3, 2, 2)
    assert sum_.percentile("pixels", 50) == pytest.approx(5, abs=1e-4)
    nothing = parity.Difference()
    assert nothing.agreement == 1
    assert math.isnan(nothing.percentile("pixels", 50))


def test_what_differs_in_one_step_is_told_by_its_score() -> None:
    steps = hand_tracks([0, None, None, 0])
    steps.confidence[:, LEFT] = np.array([[0.9], [0.48], [0.1], [0.51]])
    assert parity.undecided(hand_tracks([0, 0, None, None]), steps, "left_hand") == pytest.approx(
        [0.48, 0.51]
    )


def test_pixels_are_those_of_a_640x480_picture() -> None:
    assert vga((640, 480)) == 1
    assert vga((480, 640)) == 1
    assert vga((1280, 960)) == 0.5


# ---------------------------------------------------------------------------- truth


def test_points_that_were_not_marked_do_not_count_and_missing_parts_count_as_wrong() -> None:
    points = HAND.copy()
    points[3:] = np.nan
    target = truth.Target("left_hand", range(21), points)
    assert target.size == np.ptp(HAND[:3], axis=0).max()
    far = target.size * 0.3
    near = truth.score(target, hand_tracks([0, 0]))
    wrong = truth.score(target, hand_tracks([0, far]))
    missing = truth.score(target, hand_tracks([0, None]))
    assert near.found
    assert wrong.found
    assert not missing.found
    assert near.marked.sum() == 3
    assert wrong.errors[:3] == pytest.approx([0.3] * 3, abs=1e-4)
    assert truth.pck([near]) == 1
    assert truth.pck([near, wrong, missing, near]) == 0.5
    assert math.isnan(truth.pck([]))


def test_the_map_of_the_face_says_the_same_for_68_and_98_points() -> None:
    assert len(truth._INNER_ON_MESH) == len(truth._INNER_OF_98) == 51
    assert len(set(truth._INNER_ON_MESH)) == 51
    corners = [truth._INNER_ON_MESH[i] for i in truth._EYE_CORNERS]
    assert corners == [33, 263]
    assert [truth._INNER_OF_98[i] for i in truth._EYE_CORNERS] == [60, 72]


def test_marks_are_read_with_what_is_not_marked_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "mmpose_onehand10k"
    for name, file in (
        ("mmpose_freihand", "test_freihand.json"),
        ("mmpose_onehand10k", "test_onehand10k.json"),
        ("mmpose_panoptic", "test_panoptic.json"),
        ("mmpose_coco", "test_coco_wholebody.json"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text('{"images": [], "annotations": []}')
    cv2.imwrite(str(folder / "a.png"), np.full((200, 200, 3), (10, 20, 30), np.uint8))
    whole = np.column_stack([HAND, np.ones(21)])
    partial = whole.copy()
    partial[5] = 0  # without the index finger's root nothing tells where the arm's end is
    wrist_hidden = whole.copy()
    wrist_hidden[0] = 0
    marks = [{"image_id": 1, "keypoints": rows.ravel().tolist()} for rows in (whole, partial)]
    marks.append({"image_id": 1, "keypoints": wrist_hidden.ravel().tolist()})
    data = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": marks}
    (folder / "test_onehand10k.json").write_text(json.dumps(data))
    one, other = truth.hands(tmp_path)
    assert one.source == "OneHand10K"
    assert one.image[0, 0].tolist() == [30, 20, 10]
    assert np.allclose(one.points, HAND)
    assert np.isnan(other.points[0]).all()
    (folder / "a.png").unlink()
    with pytest.raises(FileNotFoundError, match="no picture that can be read"):
        list(truth.hands(tmp_path))


def test_a_made_up_arm_ends_in_the_hand_and_is_as_long_as_asked() -> None:
    hand = truth.MarkedHand("made up", np.zeros((300, 300, 3), np.uint8), HAND)
    straight = truth.arm_pose(hand, 1.0, 0.0, 0.0, 0)
    assert np.allclose(straight.points[[15, 17, 19], :2], HAND[[0, 17, 5]], atol=1e-3)
    assert metre(straight) == pytest.approx(hand.length / 0.19, rel=1e-3)
    short = truth.arm_pose(hand, 0.25, 0.0, 0.0, 0)
    regions = [arm_region(pose, 15, 17, 19) for pose in (straight, short)]
    assert regions[1].width == pytest.approx(regions[0].width / 4, rel=1e-3)
    off = truth.arm_pose(hand, 1.0, 0.2, 20.0, 1)
    assert not np.allclose(off.points[15], straight.points[15], atol=1)
    assert np.array_equal(off.points, truth.arm_pose(hand, 1.0, 0.2, 20.0, 1).points)


def test_a_shortened_arm_is_looked_at_in_a_larger_square_by_ours_alone() -> None:
    hand = truth.MarkedHand("made up", np.zeros((300, 300, 3), np.uint8), HAND)
    short = truth.arm_pose(hand, 0.25, 0.0, 0.0, 0)
    sides = [HandTracker({}, rules, 15, 17, 19)._at_arm(short).width for rules in (PARITY, OURS)]
    assert sides[0] == arm_region(short, 15, 17, 19).width
    assert sides[1] > hand.length


def test_a_face_is_made_so_small_that_its_ears_are_so_far_apart() -> None:
    points = np.random.default_rng(1).uniform(40, 160, (51, 2))
    target = truth.Target("face", truth._INNER_ON_MESH, points)
    view = View(np.zeros((200, 200, 3), np.uint8), 10, 20, 0.0)
    small = truth.shrunk(truth.Person("made up", view, (target,)), 20)
    factor = 20 / (1.6 * target.size)
    assert small.targets[0].size * 1.6 == pytest.approx(20)
    assert np.allclose(small.targets[0].points, (points - [10, 20]) * factor)
    assert small.view.image.shape[0] == round(200 * factor)


# ---------------------------------------------------------------------------- clips


def flags(text: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.array([letter == "x" for letter in text])


def test_flips_and_flickers() -> None:
    assert signing.flips(flags("xxxx")) == signing.flickers(flags("xxxx")) == 0
    assert signing.flips(flags("..xxx..")) == 2
    assert signing.flickers(flags("..xxx..")) == 0
    assert signing.flickers(flags("x.xx.....x")) == 2
    # At the ends nobody knows how long it has been so.
    assert signing.flickers(flags(".xxx.")) == 0


def test_jitter_is_relative_to_size_and_only_where_nothing_moves() -> None:
    steady = np.stack([HAND + np.array([2.0 * t, 0]) for t in range(6)])
    everywhere = np.ones(6, bool)
    assert signing.jitter(steady, everywhere).max() < 1e-12
    shaken = steady.copy()
    shaken[3] += [4, 0]
    size = np.ptp(HAND, axis=0).max()
    assert np.allclose(signing.jitter(shaken, everywhere) * size, [0, 4, 8, 4])
    still = everywhere.copy()
    still[3] = False
    assert np.allclose(signing.jitter(shaken, still) * size, [0, 4])
    shaken[0] = np.nan
    assert len(signing.jitter(shaken, everywhere)) == 3


def test_delays_after_a_cover() -> None:
    assert signing.delays(flags("xx..xx"), [1, 2, 4], 5) == [0, 2, 0]
    assert signing.delays(flags("......"), [0, 4], 3) == [3, 3]


def test_covers_hide_where_anybody_found_the_hand_and_only_then() -> None:
    tracks = hand_tracks([0] * 40)
    other = replace(hand_tracks([20] * 40))
    cover = signing.covers("left_hand", [tracks, other])
    ((first, x0, y0, x1, y1),) = cover.boxes
    low, high = HAND.min(axis=0), HAND.max(axis=0) + np.array([20, 0])
    assert (x0, y0) < tuple(low)
    assert (x1, y1) > tuple(high)
    view = View(np.zeros((480, 640, 3), np.uint8), 0, 0, 0.0)
    assert not cover(first - 1, view).image.any()
    assert cover(first, view).image.sum() == 128 * 3 * (x1 - x0) * (y1 - y0)
    assert not cover(first + cover.frames, view).image.any()
    assert not view.image.any(), "a view's image was written to"
    assert signing.covers("right_hand", [tracks]).boxes == ()
    late = hand_tracks([None] * 30 + [0] * 10)
    assert signing.covers("left_hand", [late, tracks]) == signing.covers("left_hand", [tracks])
    gone = hand_tracks([0] * 15 + [None] + [0] * 24)
    assert signing.covers("left_hand", [gone]).boxes == ()


def test_both_hands_are_one_where_they_lie_together() -> None:
    hand = np.stack([HAND] * 4)
    size = np.ptp(HAND, axis=0).max()
    shifts = np.array([0, 0.2, 0.3, np.nan])[:, None, None] * np.array([size, 0])
    assert signing.doubled(hand, hand + shifts).tolist() == [True, True, False, False]


# ---------------------------------------------------------------------------- pictures, command


def test_a_canvas_repeats_the_edge_or_is_black() -> None:
    wide = View(np.full((2, 4, 3), 9, np.uint8), 0, 0, 0.0)
    assert Squared()(0, wide).image[:, :, 0].tolist() == [[9] * 4] * 2 + [[0] * 4] * 2
    assert (Squared(repeat=True)(0, wide).image == 9).all()
    tall = View(np.full((4, 2, 3), 9, np.uint8), 0, 0, 0.0)
    assert Squared(repeat=True)(0, tall).image.shape == (4, 4, 3)


def test_a_cut_is_black_beyond_the_edge_and_sheets_hold_every_picture() -> None:
    image = np.full((100, 100, 3), 200, np.uint8)
    picture = cut(image, np.array([[0.0, 0.0], [20.0, 10.0]]), 2.0)
    assert picture.shape == (40, 40, 3)
    assert not picture[:10].any()
    assert (picture[20:, 12:] == 200).all()
    assert sheet([(picture, "a")] * 5, 2, 50).shape == (3 * 68, 100, 3)


def test_what_is_seen_becomes_tracks_in_the_views_order(models: ModelStore) -> None:
    def contestant(_: ModelStore, views: object) -> object:
        for view in views:  # type: ignore[attr-defined]
            out = FrameLandmarks.missing(HOLISTIC)
            out.positions[LEFT] = view.timestamp_s
            yield out

    views = [View(np.zeros((3, 5, 3), np.uint8), 0, 0, t) for t in (1.0, 2.0)]
    tracks = see(contestant, models, views)  # type: ignore[arg-type]
    assert tracks.image_size == (5, 3)
    assert tracks.timestamps.tolist() == [1, 2]
    assert tracks.positions[:, LEFT.start, 0].tolist() == [1, 2]
    assert tracks.part_present("left_hand").all()
    assert not tracks.part_present("face").any()


def test_tables_are_read_back_from_markdown() -> None:
    lines = ["## Title", "", "First:", "", "| a  | b   |", "| --- | --- |", "| 1  | x |", ""]
    assert accuracy.tables(lines) == [{"table": "First", "a": "1", "b": "x"}]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["truth"], "truth needs --data"),
        (["truth", "--data", "nowhere"], "no such folder"),
        (["clips", "--clips", "nowhere"], "no video is there"),
    ],
)
def test_bad_input_is_told_in_a_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert accuracy.main(arguments) == 2
    assert says in capsys.readouterr().err
    assert seen.PARTS[0] == "pose"
