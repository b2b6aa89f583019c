"""MediaPipe: its HolisticLandmarker as the provider ``mediapipe``, its pose as person detector."""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_core.landmarks.topology import HOLISTIC, Topology
from tracker_core.preprocess.roi import Box
from tracker_core.tracking.models import (
    HOLISTIC_FAR_FACE,
    HOLISTIC_FULL,
    POSE_FULL,
    Model,
    ModelStore,
)
from tracker_core.tracking.provider import FrameLandmarks, Image, View

# Below this, HolisticLandmarker reports no hand and no face at all.
PRESENCE_THRESHOLD = 0.5

# An image with this aspect ratio is looked at in tiles at once.
_LONG = 2.0

# The points of the pose that lie on each part, from which its confidence is graded.
_POSE_POINTS_ON = {
    "left_hand": [15, 17, 19, 21],
    "right_hand": [16, 18, 20, 22],
    "face": list(range(11)),
}


@dataclass(frozen=True)
class MediaPipeProvider:
    """HolisticLandmarker in VIDEO mode, a fresh one per video.

    Pose: 33 landmarks with visibility and world coordinates; hands: 2 x 21 with world coordinates;
    face: 478 landmarks and 52 blendshapes. Left and right are the subject's, for video that is not
    mirrored.

    Confidence: for the pose, the model's visibility. HolisticLandmarker gives hands and face no
    score, only presence above `PRESENCE_THRESHOLD` (mediapipe #5212), so theirs is graded as
    ``threshold + (1 - threshold) * mean visibility of the pose's points on that part``.
    """

    models: ModelStore
    face_detector: str = "short"
    name: str = "mediapipe"
    topology: Topology = HOLISTIC

    @property
    def model(self) -> Model:
        """The bundle with the face detector asked for: ``short`` range or ``full`` range."""
        return {"short": HOLISTIC_FULL, "full": HOLISTIC_FAR_FACE}[self.face_detector]

    def model_digest(self) -> str:
        """sha256 of the holistic bundle."""
        return self.model.sha256

    def parameters(self) -> Mapping[str, Any]:
        """MediaPipe's version (versions differ in their output) and the options."""
        return {
            "mediapipe": version("mediapipe"),
            "presence_threshold": PRESENCE_THRESHOLD,
            "face_detector": self.face_detector,
        }

    @contextmanager
    def session(self) -> Iterator[HolisticSession]:
        """A fresh HolisticLandmarker. Raises ModelError when the model file is not there."""
        quiet()
        from mediapipe.tasks.python import BaseOptions, vision

        path = self.models.path(self.model)
        options = vision.HolisticLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(path)),
            running_mode=vision.RunningMode.VIDEO,
            min_face_landmarks_confidence=PRESENCE_THRESHOLD,
            min_pose_landmarks_confidence=PRESENCE_THRESHOLD,
            min_hand_landmarks_confidence=PRESENCE_THRESHOLD,
            output_face_blendshapes=True,
        )
        landmarker = vision.HolisticLandmarker.create_from_options(options)
        try:
            yield HolisticSession(landmarker)
        finally:
            close(landmarker)
            _give_back_memory()


class HolisticSession:
    """One HolisticLandmarker over the frames of one video."""

    def __init__(self, landmarker: Any) -> None:
        self._landmarker = landmarker
        self._last_ms = -1
        self._canvas = np.zeros((0, 0, 3), np.uint8)

    def track(self, views: Iterable[View]) -> Iterator[FrameLandmarks]:
        """One result per view; each is set into the corner of a black square (see README)."""
        for view in views:
            height, width = view.image.shape[:2]
            side = max(height, width)
            if self._canvas.shape[0] != side:
                self._canvas = np.zeros((side, side, 3), np.uint8)
            # The canvas may have held another shape of the same side.
            self._canvas[height:], self._canvas[:, width:] = 0, 0
            self._canvas[:height, :width] = view.image
            seen = self.look(self._canvas, view.timestamp_s)
            seen.positions[:, :2] += np.array([view.x, view.y], np.float32)
            yield seen

    def look(self, image: Image, timestamp_s: float) -> FrameLandmarks:
        """Landmarks of one RGB image, in its pixels; as wide as high unless one knows better."""
        import mediapipe

        # The graph wants whole milliseconds that strictly increase, at any frame rate.
        self._last_ms = max(self._last_ms + 1, round(timestamp_s * 1000))
        result = self._landmarker.detect_for_video(
            mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image), self._last_ms
        )
        seen = FrameLandmarks.missing(HOLISTIC)
        # Coordinates are fractions of the width and the height, depths of the width.
        height, width = image.shape[:2]
        size = np.array([width, height, width], np.float32)
        visibility = np.zeros(0, np.float32)
        for name in ("pose", "left_hand", "right_hand", "face"):
            landmarks = getattr(result, f"{name}_landmarks")
            if not landmarks:
                continue
            part = HOLISTIC.part(name).slice
            seen.positions[part] = _xyz(landmarks) * size
            if name == "pose":
                visibility = np.fromiter((p.visibility for p in landmarks), np.float32, 33)
                seen.confidence[part] = visibility
            else:
                over = visibility[_POSE_POINTS_ON[name]].mean() if len(visibility) else 0.0
                seen.confidence[part] = PRESENCE_THRESHOLD + (1 - PRESENCE_THRESHOLD) * over
            if name != "face":
                seen.world[part] = _xyz(getattr(result, f"{name}_world_landmarks"))
        if result.face_blendshapes:
            seen.blendshapes[:] = [category.score for category in result.face_blendshapes]
        return seen


@dataclass(frozen=True)
class PoseBoxDetector:
    """People's boxes from MediaPipe's PoseLandmarker in IMAGE mode (no state between frames).

    The detector sees 224 x 224 pixels. Where nobody is found in the whole picture, or it is so long
    that a person in it would be tiny, overlapping square tiles of it are looked at.
    """

    landmarker: Any

    def detect(self, image: Image) -> list[Box]:
        """Box around the landmarks that are visible, the head's top added; one per person."""
        height, width = image.shape[:2]
        boxes: list[Box] = []
        if max(width, height) < _LONG * min(width, height):
            boxes = self._look(image, 0, 0, max(width, height))
        if not boxes:
            for x, y, side in _tiles(width, height):
                for box in self._look(image, x, y, side):
                    if all(_overlap(box, other) < 0.3 for other in boxes):
                        boxes.append(box)
        return boxes

    def _look(self, image: Image, left: int, top: int, side: int) -> list[Box]:
        """The people in one square of the image, in the image's pixels."""
        import mediapipe

        height, width = image.shape[:2]
        square = np.zeros((side, side, 3), np.uint8)
        part = image[top : top + side, left : left + side]
        square[: part.shape[0], : part.shape[1]] = part
        result = self.landmarker.detect(
            mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=square)
        )
        boxes: list[Box] = []
        for person in result.pose_landmarks:
            points = np.array([[p.x * side + left, p.y * side + top, p.visibility] for p in person])
            inside = (points[:, 0] < width) & (points[:, 1] < height) & (points[:, :2] >= 0).all(1)
            seen = points[(points[:, 2] > 0.5) & inside]
            if len(seen) < 4:
                continue
            x0, y0 = seen[:, :2].min(axis=0)
            x1, y1 = seen[:, :2].max(axis=0)
            # BlazePose has no point above the eyes: three times nose to mouth reaches the top.
            head = abs(points[0, 1] - points[[9, 10], 1].mean()) * 3
            box = np.array([x0, max(0.0, y0 - head), x1, y1])
            if all(_overlap(box, other) < 0.7 for other in boxes):
                boxes.append(box)
        return boxes


def _tiles(width: int, height: int) -> list[tuple[int, int, int]]:
    """Left, top and side of squares that overlap by half and cover the image.

    A side is the image's shorter one, or half the longer one where that is less.
    """
    side = max(1, min(width, height, -(-max(width, height) // 2)))

    def starts(length: int) -> list[int]:
        count = -(-(length - side) * 2 // side) + 1
        return sorted({round(start) for start in np.linspace(0, length - side, count)})

    return [(x, y, side) for y in starts(height) for x in starts(width)]


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    both = w * h
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(both / (areas - both))


def pose_box_detector(models: ModelStore, max_people: int) -> PoseBoxDetector:
    """The detector of this process, made once: in IMAGE mode nothing is left of the image before.

    Raises ModelError when its model is not there.
    """
    return _detector(models.path(POSE_FULL), max_people)


@cache
def _detector(model: Path, max_people: int) -> PoseBoxDetector:
    quiet()
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.PoseLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model)),
        running_mode=vision.RunningMode.IMAGE,
        num_poses=max_people,
    )
    landmarker = vision.PoseLandmarker.create_from_options(options)
    # At the interpreter's end a graph can no longer be closed; without a handle nobody tries.
    atexit.register(setattr, landmarker, "_handle", None)
    return PoseBoxDetector(landmarker)


def quiet() -> None:
    """Keep MediaPipe's C++ log from the terminal; errors still come as exceptions."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def close(landmarker: Any) -> None:
    """Close a landmarker whatever its graph's state.

    After a failed graph ``close`` raises, and the second close in ``__del__`` then hangs
    (mediapipe #6233); without a handle there is no second close.
    """
    try:
        landmarker.close()
    finally:
        landmarker._handle = None


def _give_back_memory() -> None:
    """Give what closed graphs have freed back to the system; takes 10 ms.

    glibc keeps it for the graphs' threads, which are gone: after 16 videos a process held 580 MiB,
    with this 225 MiB.
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # there is none in musl
    if trim is not None:
        trim(0)


def _xyz(landmarks: Sequence[Any]) -> npt.NDArray[np.float32]:
    flat = np.fromiter((v for p in landmarks for v in (p.x, p.y, p.z)), np.float32)
    return flat.reshape(-1, 3)
