"""The reference engine on real frames."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tracker_core.errors import ModelError
from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.landmarks.tracks import State, Tracks
from tracker_core.media.decode import Frame, read_frames
from tracker_core.media.probe import probe
from tracker_core.preprocess.roi import Roi, RoiParameters, find_roi, sample_indices
from tracker_core.tracking.mediapipe import (
    HolisticSession,
    MediaPipeProvider,
    _tiles,
    pose_box_detector,
)
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.provider import FrameLandmarks, Image, View
from tracker_core.tracking.video import track_video

FRAMES = 12


def _frames(clip: Path, count: int = FRAMES) -> list[Frame]:
    info = probe(clip)
    start = max(0, info.frame_count // 2 - count // 2)
    return list(read_frames(clip, info, indices=list(range(start, start + count))))


def _track(models: ModelStore, frames: list[Frame]) -> Tracks:
    height, width = frames[0].image.shape[:2]
    whole = Roi(np.tile(np.array([0.0, 0, width, height]), (len(frames), 1)), 1, crop=False)
    return track_video(MediaPipeProvider(models), frames, whole, (width, height))


def test_a_missing_model_says_how_to_get_it(tmp_path: Path) -> None:
    with (
        pytest.raises(ModelError, match="tracker models pull"),
        MediaPipeProvider(ModelStore(tmp_path)).session(),
    ):
        pass


def test_all_parts_of_a_signer(models: ModelStore, signer: Path) -> None:
    tracks = _track(models, _frames(signer))
    seen = tracks.state != State.MISSING
    pose = HOLISTIC.part("pose").slice
    assert seen[:, pose].all()
    assert np.isfinite(tracks.world[:, pose]).all()
    shoulders = tracks.positions[:, [11, 12], 0]
    assert (shoulders[:, 0] > shoulders[:, 1]).all(), "the subject's left is on the image's right"
    for hand in ("left_hand", "right_hand"):
        part = HOLISTIC.part(hand).slice
        found = seen[:, part].all(axis=1)
        assert (seen[:, part].any(axis=1) == found).all(), "a hand is there whole or not at all"
        confidence = tracks.confidence[found][:, part]
        assert ((confidence >= 0.5) & (confidence <= 1)).all()
    assert (
        seen[:, HOLISTIC.part("left_hand").slice].any()
        or seen[:, HOLISTIC.part("right_hand").slice].any()
    )


def test_face_and_blendshapes(models: ModelStore, face: Path) -> None:
    tracks = _track(models, _frames(face))
    part = HOLISTIC.part("face")
    assert (tracks.state[:, part.slice] == State.OBSERVED).all()
    assert ((tracks.blendshapes >= 0) & (tracks.blendshapes <= 1)).all()
    nose = tracks.positions[:, HOLISTIC.index("face", "mesh_001"), :2]
    of_pose = tracks.positions[:, HOLISTIC.index("pose", "nose"), :2]
    eyes = tracks.positions[:, [part.start + 33, part.start + 263], 0]
    apart = np.abs(eyes[:, 1] - eyes[:, 0])
    assert (np.linalg.norm(nose - of_pose, axis=1) < apart).all()


def test_the_same_frames_give_the_same_bits(models: ModelStore, face: Path, signer: Path) -> None:
    """Nothing is left of the video before."""
    frames = _frames(face, 6)
    first = _track(models, frames)
    _track(models, _frames(signer, 6))
    again = _track(models, frames)
    assert first.positions.tobytes() == again.positions.tobytes()
    assert first.world.tobytes() == again.world.tobytes()


def test_a_frame_that_is_not_square_is_tracked_like_a_square_one(
    models: ModelStore, signer: Path
) -> None:
    """A strip below the picture changes nothing of what is seen, only the frame's shape."""
    frames = _frames(signer, 6)
    padded = [
        Frame(f.index, f.timestamp_s, np.pad(f.image, ((0, 60), (0, 0), (0, 0)))) for f in frames
    ]
    height, width = frames[0].image.shape[:2]
    plain, strip = _track(models, frames), _track(models, padded)
    if width >= height + 60:  # the canvas is the same
        assert plain.positions.tobytes() == strip.positions.tobytes()
    pose = slice(11, 17)
    moved = np.linalg.norm(plain.positions[:, pose, :2] - strip.positions[:, pose, :2], axis=2)
    assert np.median(moved) < 0.02 * max(width, height)


def test_a_frame_shows_nothing_of_the_one_before_it() -> None:
    """The canvas is reused: what lies outside the view is black, whatever was there before."""

    class Looks(HolisticSession):
        def look(self, image: Image, _timestamp_s: float) -> FrameLandmarks:
            pictures.append(image.copy())
            return FrameLandmarks.missing(HOLISTIC)

    pictures: list[Image] = []
    shapes = [(10, 20), (20, 10), (20, 20), (10, 20)]
    views = [View(np.full((*shape, 3), 255, np.uint8), 0, 0, t) for t, shape in enumerate(shapes)]
    list(Looks(None).track(views))
    for picture, (height, width) in zip(pictures, shapes, strict=True):
        assert picture.shape == (20, 20, 3)
        assert picture[:height, :width].min() == 255
        assert picture.sum() == height * width * 3 * 255


def test_a_failed_graph_does_not_hang(models: ModelStore) -> None:
    """Timestamps that go back fail the graph, after which closing it raises and hangs."""
    code = f"""
import numpy as np
from pathlib import Path
from tracker_core.tracking.mediapipe import MediaPipeProvider
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.provider import FrameLandmarks, Image, View
import mediapipe
engine = MediaPipeProvider(ModelStore(Path({str(models.folder)!r})))
image = np.zeros((64, 64, 3), np.uint8)
try:
    with engine.session() as session:
        session.look(image, 1.0)
        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)
        session._landmarker.detect_for_video(picture, 5)
except Exception as error:
    print(type(error).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("ValueError", "RuntimeError")


def test_the_person_is_found(models: ModelStore, signer: Path) -> None:
    info = probe(signer)
    samples = sample_indices(info.timestamps, 1.0)
    size = (info.display_width, info.display_height)
    detector = pose_box_detector(models, 4)
    frames = read_frames(signer, info, indices=samples)
    roi = find_roi(frames, info.timestamps, size, detector, RoiParameters())
    assert roi.people >= 1
    tracks = _track(models, _frames(signer))
    shoulders = tracks.positions[:, [11, 12], :2].reshape(-1, 2)
    x0, y0, x1, y1 = roi.boxes[info.frame_count // 2]
    inside = (shoulders >= [x0, y0]).all(axis=1) & (shoulders <= [x1, y1]).all(axis=1)
    assert inside.all()


@pytest.mark.parametrize(
    ("size", "side"), [((640, 480), 320), ((1280, 150), 150), ((150, 1280), 150), ((1, 1), 1)]
)
def test_tiles_cover_the_image(size: tuple[int, int], side: int) -> None:
    covered = np.zeros((size[1], size[0]), bool)
    for x, y, tile in _tiles(*size):
        assert tile == side
        assert 0 <= x <= size[0] - side
        assert 0 <= y <= size[1] - side
        covered[y : y + side, x : x + side] = True
    assert covered.all()


def test_a_small_person_in_a_long_picture_is_found(models: ModelStore, shared_data: Path) -> None:
    clip = shared_data / "hard" / "synth" / "wide_4096x480.mp4"
    info = probe(clip)
    frames = list(read_frames(clip, info, size=(1280, 150)))
    detector = pose_box_detector(models, 4)
    roi = find_roi(frames, info.timestamps, (1280, 150), detector, RoiParameters())
    assert roi.people == 1
    assert roi.crop
    tracks = track_video(MediaPipeProvider(models), frames, roi, (1280, 150))
    nose = tracks.positions[:, 0, 0]
    assert np.all((nose > 500) & (nose < 780)), "the signer stands in the middle"


def test_the_detector_keeps_nothing_of_the_image_before(models: ModelStore, signer: Path) -> None:
    detector = pose_box_detector(models, 4)
    first, last = _frames(signer, 2)[0].image, _frames(signer, FRAMES)[-1].image
    alone = [box.tolist() for box in detector.detect(first)]
    detector.detect(last)
    assert [box.tolist() for box in detector.detect(first)] == alone
    assert len(alone) >= 1


def test_of_two_signers_one_is_followed(models: ModelStore, shared_data: Path) -> None:
    clip = shared_data / "hard" / "synth" / "two_signers_side_by_side.mp4"
    info = probe(clip)
    size = (info.display_width, info.display_height)
    detector = pose_box_detector(models, 4)
    frames = read_frames(clip, info, indices=sample_indices(info.timestamps, 0.5))
    roi = find_roi(frames, info.timestamps, size, detector, RoiParameters())
    assert roi.people == 2
    assert roi.crop
    tracks = track_video(MediaPipeProvider(models), read_frames(clip, info), roi, size)
    nose = tracks.positions[:, 0, 0]
    assert np.nanmax(nose) - np.nanmin(nose) < 200, "it never jumps to the other one, 400 px away"
