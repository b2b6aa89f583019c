"""The reference engine on real frames."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.tracking.clips import some_frames, track_whole
from tracker_core.errors import ModelError
from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.landmarks.tracks import State
from tracker_core.media.decode import Frame
from tracker_core.tracking.mediapipe import (
    HolisticSession,
    MediaPipeProvider,
)
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.provider import FrameLandmarks, Image, View


def test_a_missing_model_says_how_to_get_it(tmp_path: Path) -> None:
    with (
        pytest.raises(ModelError, match="tracker models pull"),
        MediaPipeProvider(ModelStore(tmp_path)).session(),
    ):
        pass


def test_all_parts_of_a_signer(models: ModelStore, signer: Path) -> None:
    tracks = track_whole(MediaPipeProvider(models), some_frames(signer))
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
    tracks = track_whole(MediaPipeProvider(models), some_frames(face))
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
    frames = some_frames(face, 6)
    first = track_whole(MediaPipeProvider(models), frames)
    track_whole(MediaPipeProvider(models), some_frames(signer, 6))
    again = track_whole(MediaPipeProvider(models), frames)
    assert first.positions.tobytes() == again.positions.tobytes()
    assert first.world.tobytes() == again.world.tobytes()


def test_a_frame_that_is_not_square_is_tracked_like_a_square_one(
    models: ModelStore, signer: Path
) -> None:
    """A strip below the picture changes nothing of what is seen, only the frame's shape."""
    frames = some_frames(signer, 6)
    padded = [
        Frame(f.index, f.timestamp_s, np.pad(f.image, ((0, 60), (0, 0), (0, 0)))) for f in frames
    ]
    height, width = frames[0].image.shape[:2]
    plain, strip = (
        track_whole(MediaPipeProvider(models), frames),
        track_whole(MediaPipeProvider(models), padded),
    )
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
