"""Our own graph: its geometry on made-up numbers, and all of it on real frames."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tracking.clips import some_frames, track_whole
from tracker_core.errors import ModelError
from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.landmarks.tracks import State, Tracks
from tracker_core.media.decode import Frame
from tracker_core.tracking.holistic import detection
from tracker_core.tracking.holistic.filter import OneEuro
from tracker_core.tracking.holistic.graph import face_region, hand_region, held
from tracker_core.tracking.holistic.networks import _refined
from tracker_core.tracking.holistic.provider import HolisticProvider
from tracker_core.tracking.holistic.region import Region, angle_of, around, bounding, circle
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.provider import View

ENGINES = ("openvino", "litert", "onnx")
regions = st.builds(
    Region,
    st.floats(-50, 250), st.floats(-50, 250), st.floats(5, 300), st.floats(5, 300),
    st.floats(-math.pi, math.pi),
)  # fmt: skip


# ---------------------------------------------------------------------------- regions


@given(regions, st.integers(1, 99))
def test_a_point_goes_into_a_region_and_comes_back(region: Region, seed: int) -> None:
    points = np.random.default_rng(seed).uniform(-300, 300, (7, 2)).astype(np.float32)
    inside = region.local(points) / [region.width, region.height] + 0.5
    assert np.allclose(region.project(inside.astype(np.float32)), points, atol=0.05)


@given(regions, st.integers(8, 90), st.integers(8, 90))
def test_the_matrix_says_the_same_as_project(region: Region, width: int, height: int) -> None:
    corners = np.array([[0, 0], [width, 0], [width, height], [3, 5]], np.float64)
    by_matrix = corners @ region.matrix((width, height))[:, :2].T
    by_matrix += region.matrix((width, height))[:, 2]
    projected = region.project((corners / [width, height]).astype(np.float32))
    assert np.allclose(by_matrix, projected, atol=0.05)


@pytest.mark.parametrize("angle", [0.0, 0.6, -2.5])
@pytest.mark.parametrize("origin", [(0, 0), (40, 25)])
def test_what_a_crop_shows_is_where_project_says(angle: float, origin: tuple[int, int]) -> None:
    """A white spot in the frame, found in the crop, is projected back onto the spot."""
    frame = np.zeros((200, 240, 3), np.uint8)
    cv2.circle(frame, (130, 90), 6, (255, 255, 255), -1)
    x, y = origin
    view = View(frame[y:, x:], x, y, 0.0)
    region = Region(120, 100, 90, 90, angle)
    crop = region.crop(view, (180, 180))
    rows, columns = np.nonzero(crop[..., 0] > 128)
    found = np.array([[columns.mean() / 180, rows.mean() / 180]], np.float32)
    assert np.linalg.norm(region.project(found)[0] - (130, 90)) < 0.6


@given(regions, st.booleans(), st.integers(0, 99))
def test_a_crop_is_the_frame_turned_whole(region: Region, replicate: bool, seed: int) -> None:
    """Only what the crop touches is looked at: nothing else of the frame would change it."""
    noise = np.random.default_rng(seed).integers(0, 256, (120, 160, 3), np.uint8)
    frame = np.asarray(cv2.GaussianBlur(noise, (9, 9), 2), np.uint8)
    border = cv2.BORDER_REPLICATE if replicate else cv2.BORDER_CONSTANT
    whole = cv2.warpAffine(
        frame, region.matrix((64, 48)), (64, 48), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )  # fmt: skip
    crop = region.crop(View(frame, 0, 0, 0.0), (64, 48), replicate=replicate)
    assert np.abs(crop.astype(int) - whole).max() <= 1


def test_depth_is_in_units_of_the_regions_width() -> None:
    points = np.array([[0.5, 0.5, 0.25]], np.float32)
    assert Region(10, 20, 40, 40, 1.0).project(points)[0].tolist() == [10, 20, 10]


def test_directions() -> None:
    right, up = np.array([1.0, 0.0], np.float32), np.array([0.0, -1.0], np.float32)
    zero = np.zeros(2, np.float32)
    assert angle_of(zero, right, 0) == 0
    assert angle_of(zero, up, math.pi / 2) == 0
    assert math.isclose(angle_of(zero, right, math.pi / 2), math.pi / 2)
    square = circle(zero, up * 7, math.pi / 2)
    assert (square.width, square.height, square.angle) == (14, 14, 0)


@given(st.floats(-3, 3), st.integers(0, 99))
def test_a_bounding_rectangle_just_holds_its_points(angle: float, seed: int) -> None:
    points = np.random.default_rng(seed).uniform(0, 100, (9, 2)).astype(np.float32)
    rectangle = bounding(points, angle)
    reach = np.abs(rectangle.local(points)).max(axis=0)
    assert np.allclose(reach, [rectangle.width / 2, rectangle.height / 2], atol=0.01)
    upright = around(points)
    assert np.allclose(upright.local(points).max(axis=0), [upright.width / 2, upright.height / 2])


def test_a_region_is_grown_and_shifted_along_its_own_axis() -> None:
    grown = Region(0, 0, 10, 20, math.pi / 2).scaled(2, shift_y=-0.1, square=True)
    assert np.allclose([grown.x, grown.y], [2, 0], atol=1e-9)
    assert (grown.width, grown.height) == (40, 40)


def test_a_region_is_held_until_it_has_moved() -> None:
    before = Region(100, 100, 50, 50, 0.1)
    assert held(before, replace(before, x=101.0, angle=0.12), 0.04) is before
    for now in (
        replace(before, x=103.0),
        replace(before, height=54.0),
        replace(before, angle=-0.1),
    ):
        assert held(before, now, 0.04) is now
    assert held(None, before, 0.04) is before


def test_hand_and_face_regions_stand_upright_on_wrist_and_eyes() -> None:
    hand = np.zeros((21, 3), np.float32)
    hand[:, 0] = 50 + np.tile([-8, -4, 0, 4, 8, 0, 2], 3)
    hand[:, 1] = 80 - np.arange(21)
    hand[0] = (50, 100, 0)
    region = hand_region(hand)
    assert abs(region.angle) < 0.05
    assert region.width == region.height
    face = np.random.default_rng(0).uniform(40, 60, (478, 3)).astype(np.float32)
    face[33], face[263] = (40, 50, 0), (60, 50, 0)
    assert face_region(face).angle == 0
    assert np.isclose(face_region(face).width, 30)


# ---------------------------------------------------------------------------- decoding


def test_anchors_are_as_many_as_the_networks_boxes() -> None:
    for detector, boxes in (
        (detection.POSE, 2254), (detection.FACE_SHORT, 896), (detection.FACE_FULL, 2304),
    ):  # fmt: skip
        anchors = detector.anchors
        assert anchors.shape == (boxes, 2)
        assert ((anchors > 0) & (anchors < 1)).all()
    assert np.allclose(detection.POSE.anchors[:2], 0.5 / 28)


class OneFace:
    """A detector's network that sees one face in three overlapping boxes, and another one."""

    input_shape: tuple[int, ...] = (1, 128, 128, 3)

    def __call__(self, array: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        assert array.shape == self.input_shape
        boxes = np.zeros((1, 896, 16), np.float32)
        scores = np.full((1, 896, 1), -9, np.float32)
        anchors = detection.FACE_SHORT.anchors * 128
        for box, x, logit in ((200, 60, 1.0), (201, 62, 3.0), (202, 64, 1.0), (800, 100, 2.0)):
            boxes[0, box, :2] = (x, 40) - anchors[box]
            boxes[0, box, 2:4] = 20
            boxes[0, box, 4:] = np.tile((x, 40) - anchors[box], 6)
            scores[0, box] = logit
        return [boxes, scores]


def test_overlapping_boxes_become_one_and_keypoints_are_of_the_frame() -> None:
    view = View(np.zeros((256, 256, 3), np.uint8), 10, 20, 0.0)
    region = Region(138, 148, 256, 256)
    found = detection.detect(OneFace(), detection.FACE_SHORT, view, region, overlap=0.3)
    assert [round(one.score, 3) for one in found] == [0.953, 0.881]
    assert np.allclose(found[0].keypoints, [10 + 2 * 62, 20 + 2 * 40], atol=0.01)
    assert np.allclose(found[1].keypoints, [10 + 2 * 100, 20 + 2 * 40], atol=0.01)


def test_a_point_moves_to_its_heatmaps_centre_where_that_is_sure() -> None:
    heatmaps = np.full((64, 64, 4), -20, np.float32)
    heatmaps[31, 22, 0] = 5
    heatmaps[31, 40, 1] = 5  # beyond the window
    heatmaps[31, 21, 2] = -1  # not sure
    points = np.tile(np.array([20.5 / 64, 30.5 / 64], np.float32), (4, 1))
    points[3] = (1.2, 0.5)  # outside
    refined = _refined(points, heatmaps) * 64
    assert np.allclose(refined[0], [22, 31], atol=1e-3)
    assert np.allclose(refined[1:], points[1:] * 64)


def test_the_one_euro_filter_is_slow_on_what_stands_and_quick_on_what_moves() -> None:
    noise = np.random.default_rng(0).normal(0, 1, 200).astype(np.float32)
    still, quick = OneEuro(0.05, 0.0), OneEuro(0.05, 80.0)
    out = [float(still(noise[i : i + 1], i / 30, 100.0)[0]) for i in range(200)]
    assert np.std(out[20:]) < 0.2
    ramp = [float(quick(np.array([i * 20], np.float32), i / 30, 100.0)[0]) for i in range(30)]
    assert abs(ramp[-1] - 29 * 20) < 5


# ---------------------------------------------------------------------------- real frames


def test_networks_that_are_missing_say_how_to_get_them(tmp_path: Path) -> None:
    with (
        pytest.raises(ModelError, match="tracker models pull"),
        HolisticProvider(ModelStore(tmp_path)).session(),
    ):
        pass


@pytest.mark.parametrize("engine", ENGINES)
def test_body_and_hands_of_a_signer(models: ModelStore, signer: Path, engine: str) -> None:
    tracks = track_whole(HolisticProvider(models, engine), some_frames(signer))
    pose = HOLISTIC.part("pose").slice
    assert (tracks.state[:, pose] == State.OBSERVED).all()
    assert np.isfinite(tracks.world[:, pose]).all()
    shoulders = tracks.positions[:, [11, 12], 0]
    assert (shoulders[:, 0] > shoulders[:, 1]).all(), "the subject's left is on the image's right"
    assert tracks.part_present("left_hand").any() or tracks.part_present("right_hand").any()
    for side, wrist in (("left_hand", 15), ("right_hand", 16)):
        part = HOLISTIC.part(side).slice
        found = tracks.part_present(side)
        size = np.ptp(tracks.positions[found][:, part, 0], axis=1)
        away = tracks.positions[found][:, part.start, :2] - tracks.positions[found][:, wrist, :2]
        assert (np.linalg.norm(away, axis=1) < 2 * size).all(), "a hand hangs on its arm"
        assert np.allclose(
            tracks.world[found][:, part.start], tracks.world[found][:, wrist], atol=1e-6
        )


def test_the_engines_agree(models: ModelStore, signer: Path) -> None:
    frames = some_frames(signer, 4)
    first, *others = (track_whole(HolisticProvider(models, engine), frames) for engine in ENGINES)
    for other in others:
        assert (other.state == first.state).all()
        moved = np.linalg.norm(first.positions[..., :2] - other.positions[..., :2], axis=-1)
        side = max(first.image_size)
        assert np.nanmedian(moved) < 1e-4 * side
        assert np.nanmax(moved) < 5e-3 * side


def test_confidence_is_graded(models: ModelStore, signer: Path) -> None:
    tracks = track_whole(HolisticProvider(models), some_frames(signer, 40))
    hands = slice(HOLISTIC.part("left_hand").start, HOLISTIC.part("face").start)
    scores = np.unique(tracks.confidence[:, hands])
    assert len(scores) > 20
    assert scores.max() <= 1
    seen = tracks.state[:, hands] != State.MISSING
    assert (tracks.confidence[:, hands][seen] > 0.3).all()
    assert (tracks.confidence[:, hands][~seen] == 0).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_face_and_blendshapes(models: ModelStore, face: Path, engine: str) -> None:
    tracks = track_whole(HolisticProvider(models, engine), some_frames(face))
    part = HOLISTIC.part("face")
    assert (tracks.state[:, part.slice] == State.OBSERVED).all()
    assert ((tracks.blendshapes >= 0) & (tracks.blendshapes <= 1)).all()
    nose = tracks.positions[:, HOLISTIC.index("face", "mesh_001"), :2]
    eyes = tracks.positions[:, [part.start + 33, part.start + 263], 0]
    apart = np.abs(eyes[:, 1] - eyes[:, 0])
    assert (np.linalg.norm(nose - tracks.positions[:, 0, :2], axis=1) < apart).all()


def test_the_plain_mesh_has_no_irises_and_no_blendshapes(models: ModelStore, face: Path) -> None:
    frames = some_frames(face, 4)
    plain = track_whole(HolisticProvider(models, face_mesh="plain"), frames)
    whole = track_whole(HolisticProvider(models), frames)
    part = HOLISTIC.part("face")
    mesh, irises = slice(part.start, part.start + 468), slice(part.start + 468, part.slice.stop)
    assert (plain.state[:, mesh] == State.OBSERVED).all()
    assert (plain.state[:, irises] == State.MISSING).all()
    assert np.isnan(plain.blendshapes).all()
    width = np.ptp(whole.positions[0, mesh, 0])
    away = np.linalg.norm(plain.positions[:, mesh, :2] - whole.positions[:, mesh, :2], axis=2)
    assert np.median(away) < 0.04 * width


def test_the_same_frames_give_the_same_bits(models: ModelStore, face: Path, signer: Path) -> None:
    """Nothing is left of the video before, and other threads change nothing."""
    frames, others = some_frames(face, 6), some_frames(signer, 6)
    engine = HolisticProvider(models)

    def track(chosen: list[Frame]) -> Tracks:
        return track_whole(engine, chosen)

    first = track(frames)
    track(others)
    with ThreadPoolExecutor(3) as pool:
        again = list(pool.map(track, [frames, others, frames, frames]))
    for same in (again[0], again[2], again[3]):
        assert same.positions.tobytes() == first.positions.tobytes()
        assert same.world.tobytes() == first.world.tobytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_it_works_after_a_fork(models: ModelStore, face: Path) -> None:
    frames = some_frames(face, 2)
    before = track_whole(HolisticProvider(models), frames).positions.tobytes()
    child = os.fork()
    if child == 0:
        try:
            after = track_whole(HolisticProvider(models), frames).positions.tobytes()
            os._exit(0 if after == before else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 400), (900, 60)])
@pytest.mark.parametrize("speed", ["full", "fast"])
def test_nobody_is_seen_in_noise_of_any_shape(
    models: ModelStore, shape: tuple[int, int], speed: str
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    views = [View(picture, 0, 0, i / 25) for i, picture in enumerate([noise, noise * 0, noise])]
    with HolisticProvider(models, speed=speed).session() as session:
        assert all(np.isnan(seen.positions).all() for seen in session.track(views))


def test_equal_frames_give_equal_landmarks(models: ModelStore, signer: Path) -> None:
    """No flicker: once a region has settled, the same picture is the same tensor."""
    picture = some_frames(signer, 1)[0]
    frames = [Frame(i, i / 25, picture.image) for i in range(8)]
    tracks = track_whole(HolisticProvider(models), frames)
    hands = slice(HOLISTIC.part("left_hand").start, None)
    settled = tracks.positions[4:, hands, :2]
    assert np.nanmax(np.abs(settled - settled[0])) < 0.5


def test_hands_are_found_again_within_two_frames(models: ModelStore, signer: Path) -> None:
    frames = some_frames(signer, 12)
    whole = track_whole(HolisticProvider(models), frames)
    black = np.zeros_like(frames[0].image)
    gone = [replace(f, image=black) if 4 <= i < 7 else f for i, f in enumerate(frames)]
    tracks = track_whole(HolisticProvider(models), gone)
    for side in ("left_hand", "right_hand"):
        assert not tracks.part_present(side)[4:7].any()
        if whole.part_present(side)[6:9].all():
            assert tracks.part_present(side)[7:9].any(), side


def test_fast_fills_body_and_face_and_looks_at_every_hand(models: ModelStore, face: Path) -> None:
    frames = some_frames(face, 13)
    engine = HolisticProvider(models, speed="fast")
    views = [View(f.image, 0, 0, f.timestamp_s) for f in frames]
    with engine.session() as session:
        seen = list(session.track(views))
        calls = dict(session.calls)
    body, mesh = HOLISTIC.part("pose").slice, HOLISTIC.part("face").slice
    hands = slice(body.stop, mesh.start)
    assert len(seen) == 13
    filled = np.array([one.filled for one in seen])
    assert not filled[::2].any(), "every second frame is looked at"
    assert filled[1::2, body].any()
    assert filled[1::2, mesh].any()
    assert not filled[:, hands].any()
    assert calls["pose"] == 13 - filled[:, 0].sum()
    full = track_whole(HolisticProvider(models), frames)
    fast = track_whole(engine, frames)
    assert (fast.state[:, body] == np.where(filled, State.FILLED, State.OBSERVED)[:, body]).all()
    shoulders = np.linalg.norm(full.positions[0, 11, :2] - full.positions[0, 12, :2])
    away = np.linalg.norm(full.positions[:, :25, :2] - fast.positions[:, :25, :2], axis=2)
    assert np.median(away) < 0.03 * shoulders


def test_fast_mode_looks_for_lost_hands_less_often_and_finds_them_as_early(
    models: ModelStore, signer: Path
) -> None:
    """Uncovered in a frame that fast mode looks at only after the next one."""
    frames = some_frames(signer, 25)
    hands = [HOLISTIC.part(side).slice for side in ("left_hand", "right_hand")]
    plain = track_whole(HolisticProvider(models), frames)
    for number, frame in enumerate(frames[:17]):
        image = frame.image.copy()
        for hand in hands:
            points = plain.positions[number, hand, :2]
            if np.isfinite(points).all():
                low, high = points.min(0) - np.ptp(points, 0), points.max(0) + np.ptp(points, 0)
                x0, y0, x1, y1 = np.concatenate([low.clip(0), high.clip(0)]).astype(int)
                image[y0:y1, x0:x1] = 127
        frames[number] = replace(frame, image=image)
    views = [View(frame.image, 0, 0, frame.timestamp_s) for frame in frames]
    present, searched = {}, {}
    for speed in ("full", "fast"):
        with HolisticProvider(models, engine="openvino", speed=speed).session() as session:
            seen = np.array([one.positions[:, 0] for one in session.track(views)])
            searched[speed] = session.calls["hand_recrop"]
        present[speed] = np.array([np.isfinite(seen[:, hand]).all(axis=1) for hand in hands])
    found = ~present["full"][:, :17].any(axis=1) & present["full"][:, 17:].all(axis=1)
    assert found.any(), "a hand is hidden, and seen as soon as it is not"
    assert present["fast"][found, 17:].all()
    assert searched["fast"] < 0.8 * searched["full"]


def test_what_is_kept_of_a_compiled_network_may_be_damaged(
    models: ModelStore, face: Path, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path)
    shutil.copy(models.folder / "holistic_networks.task", tmp_path)
    frames = some_frames(face, 2)
    first = track_whole(HolisticProvider(store, "openvino"), frames)
    (blob,) = tmp_path.glob("*/compiled/face_landmarks_detector*.blob")
    blob.write_bytes(blob.read_bytes()[:1000])
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.tracking.clips import some_frames, track_whole\n"
        "from tracker_core.tracking.holistic.provider import HolisticProvider\n"
        "from tracker_core.tracking.models import ModelStore\n"
        "tracks = track_whole(HolisticProvider(ModelStore(Path(sys.argv[1])), 'openvino'),"
        " some_frames(Path(sys.argv[2]), 2))\n"
        "sys.stdout.buffer.write(tracks.positions.tobytes())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(face)], capture_output=True, check=True
    )
    assert done.stdout == first.positions.tobytes()
    assert blob.stat().st_size > 1000
