"""MediaPipe's HolisticLandmarker as the provider ``mediapipe``: the reference for our own graph."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_core.landmarks.topology import HOLISTIC, Topology
from tracker_core.tracking.models import (
    HOLISTIC_FAR_FACE,
    HOLISTIC_FULL,
    Model,
    ModelStore,
)
from tracker_core.tracking.provider import FrameLandmarks, Image, View

# Below this, HolisticLandmarker reports no hand and no face at all.
PRESENCE_THRESHOLD = 0.5

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
        # MediaPipe reads a part of a picture as if its rows lay one after the other.
        result = self._landmarker.detect_for_video(
            mediapipe.Image(
                image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image)
            ),
            self._last_ms,
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
