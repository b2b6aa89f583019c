"""What the contestants of `benchmarks.accuracy` see in the frames of a clip."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.landmarks.tracks import State, Tracks
from tracker_core.media.decode import read_frames
from tracker_core.tracking.holistic.provider import HolisticProvider
from tracker_core.tracking.mediapipe import MediaPipeProvider
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.provider import FrameLandmarks, Image, View

PARTS = tuple(part.name for part in HOLISTIC.parts)
HANDS = ("left_hand", "right_hand")

Contestant = Callable[[ModelStore, Iterable[View]], Iterator[FrameLandmarks]]
Change = Callable[[int, View], View]
"""What is done to a clip's frame, whose number is given, before a contestant sees it."""


def reference(models: ModelStore, views: Iterable[View]) -> Iterator[FrameLandmarks]:
    """HolisticLandmarker; frames that are not square lie in the corner of a black square."""
    with MediaPipeProvider(models).session() as session:
        yield from session.track(views)


def reference_unpadded(models: ModelStore, views: Iterable[View]) -> Iterator[FrameLandmarks]:
    """HolisticLandmarker on frames as they are."""
    with MediaPipeProvider(models).session() as session:
        for view in views:
            seen = session.look(view.image, view.timestamp_s)
            seen.positions[:, :2] += np.array([view.x, view.y], np.float32)
            yield seen


def parity(models: ModelStore, views: Iterable[View]) -> Iterator[FrameLandmarks]:
    """Our graph, doing as HolisticLandmarker does."""
    with HolisticProvider(models, parity=True).session() as session:
        yield from session.track(views)


def ours(models: ModelStore, views: Iterable[View]) -> Iterator[FrameLandmarks]:
    """Our graph."""
    with HolisticProvider(models).session() as session:
        yield from session.track(views)


def see(contestant: Contestant, models: ModelStore, views: Iterable[View]) -> Tracks:
    """The tracks of frames of one size; raw, however little was seen."""
    times: list[float] = []
    size = (0, 0)

    def noted() -> Iterator[View]:
        nonlocal size
        for view in views:
            times.append(view.timestamp_s)
            size = view.image.shape[1], view.image.shape[0]
            yield view

    return gathered(list(contestant(models, noted())), times, size)


def gathered(
    frames: list[FrameLandmarks], times: list[float], image_size: tuple[int, int]
) -> Tracks:
    """Tracks of what was seen in each frame."""
    out = Tracks.empty(HOLISTIC, np.asarray(times), image_size)
    for row, seen in enumerate(frames):
        out.positions[row], out.confidence[row] = seen.positions, seen.confidence
        out.world[row], out.blendshapes[row] = seen.world, seen.blendshapes
        out.state[row] = np.where(np.isfinite(seen.positions[:, 0]), State.OBSERVED, State.MISSING)
    return out


# ---------------------------------------------------------------------------- clips


def views_of(clip: Path) -> Iterator[View]:
    """A clip's whole frames."""
    for frame in read_frames(clip):
        yield View(frame.image, 0, 0, frame.timestamp_s)


@dataclass(frozen=True)
class Squared:
    """The frame in the corner of a square: black, or filled with the frame's last row or column."""

    repeat: bool = False

    def __call__(self, _: int, view: View) -> View:
        if not self.repeat:
            return replace(view, image=on_square(view.image))
        height, width = view.image.shape[:2]
        below, beside = max(0, width - height), max(0, height - width)
        padded = np.pad(view.image, ((0, below), (0, beside), (0, 0)), mode="edge")
        return replace(view, image=padded)


@dataclass(frozen=True)
class Scaled:
    """The frame made smaller."""

    factor: float

    def __call__(self, _: int, view: View) -> View:
        image = cv2.resize(
            view.image, None, fx=self.factor, fy=self.factor, interpolation=cv2.INTER_AREA
        )
        return replace(view, image=image.astype(np.uint8))


def see_clip(
    contestant: Contestant, models: ModelStore, clip: Path, change: Change | None = None
) -> Tracks:
    """The tracks of a clip."""
    views = views_of(clip)
    if change is None:
        return see(contestant, models, views)
    return see(contestant, models, (change(number, view) for number, view in enumerate(views)))


def see_squared(
    contestant: Contestant, models: ModelStore, clip: Path, *, repeat: bool = False
) -> Tracks:
    """The same on a square canvas; positions and image size are the frame's own."""
    first = next(views_of(clip)).image
    tracks = see_clip(contestant, models, clip, Squared(repeat))
    return replace(tracks, image_size=(first.shape[1], first.shape[0]))


def vga(image_size: tuple[int, int]) -> float:
    """Pixels of a 640x480 picture in a pixel of a picture of this size, by their areas."""
    return math.sqrt(640 * 480 / (image_size[0] * image_size[1]))


def hand_size(points: npt.NDArray[np.floating]) -> float:
    """The longer side of the box round a hand's points [21, 2 or 3]."""
    return float(np.ptp(points[:, :2], axis=0).max())


# ---------------------------------------------------------------------------- pictures


def sheet(
    cells: list[tuple[Image, str]], columns: int, width: int, height: int | None = None
) -> Image:
    """Pictures, each fitted into a cell (square when no height is given), a caption above it."""
    line, height = 18, width if height is None else height
    rows = -(-len(cells) // columns)
    out = np.full((rows * (height + line), columns * width, 3), 24, np.uint8)
    for number, (image, caption) in enumerate(cells):
        y, x = number // columns * (height + line), number % columns * width
        factor = min(width / image.shape[1], height / image.shape[0])
        size = (max(1, int(image.shape[1] * factor)), max(1, int(image.shape[0] * factor)))
        shrink = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        small = cv2.resize(image, size, interpolation=shrink)
        out[y + line : y + line + size[1], x : x + size[0]] = small
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(out, caption, (x + 3, y + 13), font, 0.4, (235, 235, 235), 1, cv2.LINE_AA)
    return out


def cut(image: Image, points: npt.NDArray[np.floating], grow: float) -> Image:
    """The square of the picture that holds the points [K, 2], grown; black beyond its edge."""
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    side = max(8, int((high - low).max() * grow))
    x, y = ((low + high) / 2 - side / 2).astype(int)
    shift = np.array([[1, 0, -x], [0, 1, -y]], np.float32)
    return cv2.warpAffine(image, shift, (side, side)).astype(np.uint8)


def save(image: Image, folder: Path, name: str) -> None:
    """Write an RGB picture as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def on_square(image: Image) -> Image:
    """The image in the corner of a black square."""
    side = max(image.shape[:2])
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas
