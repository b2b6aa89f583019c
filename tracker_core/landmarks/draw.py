"""Landmarks drawn into frames, and contact sheets: for looking at a track."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from tracker_core.landmarks.topology import Part
from tracker_core.landmarks.tracks import State, Tracks

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

SHEET_WIDTH = 1600
"""Width of a contact sheet in pixels."""

_SHIFT = 4  # OpenCV draws at 1/16 of a pixel
_FACE_DOTS = 100  # a part with more landmarks than this is drawn by its edges alone
_MIN_CELL = 200  # narrower than this a caption cannot be read
_MARGIN = 8
_BACKGROUND: Colour = (24, 24, 24)
_TEXT: Colour = (235, 235, 235)
_ABSENT: Colour = (110, 110, 110)

# Colours that stay apart for colour-blind eyes (Okabe and Ito, 2008): left hand orange, right blue.
_COLOURS: dict[str, Colour] = {
    "left_hand": (230, 159, 0),
    "right_hand": (86, 180, 233),
    "face": (0, 210, 150),
    "pose": (240, 228, 66),
}
_CAPTIONS = {"left_hand": "L", "right_hand": "R", "face": "face", "pose": "pose"}


@dataclass(frozen=True)
class _Pen:
    """What one part is drawn with: colour (RGB) and sizes in pixels."""

    colour: Colour
    line: int
    radius: int


def draw_landmarks(image_rgb: Image, tracks: Tracks, frame_index: int) -> Image:
    """A copy of the image with the landmarks of one frame.

    Left hand orange, right hand blue (the subject's own), face contours green, pose yellow. Lines
    join two landmarks that both have a position. Filled landmarks are hollow and their lines half
    as strong; clamped ones have a red rim; missing ones are not drawn.

    Args:
        image_rgb: uint8 RGB [H, W, 3] of the frame; of any size, landmarks are scaled to it.
        tracks: any tracks, smoothed or raw.
        frame_index: which of their T frames.

    Raises:
        ValueError: the image is not uint8 [H, W, 3].
        IndexError: the tracks have no such frame.
    """
    _check(image_rgb)
    _check_frame(tracks, frame_index)
    height, width = image_rgb.shape[:2]
    size = np.array([width, height], np.float64) / tracks.image_size
    points = tracks.positions[frame_index, :, :2] * size
    states = tracks.state[frame_index]
    strong = np.ascontiguousarray(image_rgb).copy()
    weak = strong.copy()  # what is filled is drawn here, then laid under at half strength
    fine = max(1, round(min(width, height) / 400))
    # Hands last: they are the smallest and matter most.
    for part in sorted(tracks.topology.parts, key=lambda part: part.name.endswith("_hand")):
        is_pose = part.name == "pose"
        pen = _Pen(_COLOURS.get(part.name, _TEXT), 2 * fine if is_pose else fine, 2 * fine)
        _draw_part((strong, weak), points[part.slice], states[part.slice], part, pen)
    pale = cv2.addWeighted(image_rgb, 0.5, weak, 0.5, 0)
    untouched = (strong == image_rgb).all(axis=2, keepdims=True)
    out: Image = np.where(untouched, pale, strong).astype(np.uint8)
    return out


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """Indices of at most ``wanted`` of ``count`` frames, evenly spread, first and last included."""
    if count <= 0 or wanted <= 0:
        return []
    if wanted == 1:
        return [(count - 1) // 2]
    return sorted({round(i) for i in np.linspace(0, count - 1, min(wanted, count))})


def contact_sheet(
    frames: Iterable[tuple[int, float, Image]], tracks: Tracks, columns: int | None = None
) -> Image:
    """A grid of frames with their landmarks, about 1600 px wide; uint8 RGB [H, W, 3].

    Under each frame stand its number, its timestamp in seconds, and per part whether it is present:
    in the part's colour where it was observed, in brackets too where it was only filled, a grey
    "no" where it is missing.

    Args:
        frames: (frame index of the tracks, timestamp in seconds, uint8 RGB image), in order; images
            may differ in size.
        tracks: what is drawn.
        columns: frames side by side; chosen from the count and the shape of the frames where not
            given. At most 8, so that captions stay readable.

    Raises:
        ValueError: there are no frames, or ``columns`` is below 1.
        IndexError: the tracks have no such frame.
    """
    if columns is not None and columns < 1:
        raise ValueError(f"columns is {columns}, and must be at least 1")
    cells = list(frames)
    if not cells:
        raise ValueError("a contact sheet needs at least one frame, and there is none")
    for _, _, image in cells:
        _check(image)
    most = SHEET_WIDTH // _MIN_CELL
    aspect = max(image.shape[0] / image.shape[1] for _, _, image in cells)
    # A sheet of the shape of a screen: columns * rows = count, columns * width = 1.6 rows * height.
    fitting = round(float(np.sqrt(1.6 * aspect * len(cells))))
    columns = max(1, min(columns or fitting, most, len(cells)))
    width = (SHEET_WIDTH - _MARGIN * (columns + 1)) // columns
    height = min(round(width * aspect), SHEET_WIDTH)
    drawn = [_cell(index, when, image, tracks, (width, height)) for index, when, image in cells]

    rows = -(-len(drawn) // columns)
    step_x, step_y = width + _MARGIN, drawn[0].shape[0] + _MARGIN
    sheet = np.full((rows * step_y + _MARGIN, SHEET_WIDTH, 3), _BACKGROUND, np.uint8)
    for number, cell in enumerate(drawn):
        y = _MARGIN + number // columns * step_y
        x = _MARGIN + number % columns * step_x
        sheet[y : y + cell.shape[0], x : x + width] = cell
    return sheet


def _draw_part(
    canvases: tuple[Image, Image],
    points: npt.NDArray[np.float64],
    states: npt.NDArray[np.uint8],
    part: Part,
    pen: _Pen,
) -> None:
    strong, weak = canvases
    # OpenCV wants 32-bit integers; what lies further outside than this is not drawn at all.
    near = np.abs(points).max(axis=1) < 2**15
    shown = (states != State.MISSING) & np.isfinite(points).all(axis=1) & near
    fixed = [(round(x), round(y)) for x, y in np.where(shown[:, None], points, 0) * 2**_SHIFT]
    filled = states == State.FILLED
    for a, b in part.edges:
        if shown[a] and shown[b]:
            canvas = weak if filled[a] or filled[b] else strong
            cv2.line(canvas, fixed[a], fixed[b], pen.colour, pen.line, cv2.LINE_AA, _SHIFT)
    if len(part.names) > _FACE_DOTS:
        return
    radius = pen.radius << _SHIFT
    for index in np.flatnonzero(shown):
        if filled[index]:
            cv2.circle(strong, fixed[index], radius, pen.colour, 1, cv2.LINE_AA, _SHIFT)
            continue
        cv2.circle(strong, fixed[index], radius, pen.colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)
        if states[index] == State.CLAMPED:
            rim = radius + (1 << _SHIFT)
            cv2.circle(strong, fixed[index], rim, (220, 30, 30), 1, cv2.LINE_AA, _SHIFT)


def _cell(index: int, when: float, image: Image, tracks: Tracks, size: tuple[int, int]) -> Image:
    """One frame within ``size`` (width, height), its caption below."""
    width, height = size
    # Landmarks are drawn after scaling, so that lines and dots keep their thickness.
    factor = min(width / image.shape[1], height / image.shape[0])
    w, h = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    shrink = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    small = draw_landmarks(_resize(image, (w, h), shrink), tracks, index)
    line = 22
    cell = np.full((height + 2 * line, width, 3), _BACKGROUND, np.uint8)
    x, y = (width - w) // 2, (height - h) // 2
    cell[y : y + h, x : x + w] = small
    _write(cell, f"#{index}  {when:.3f} s", (4, height + line - 6), _TEXT)
    at = 4
    for part in tracks.topology.parts:
        states = tracks.state[index, part.slice]
        text, colour = _CAPTIONS.get(part.name, part.name), _COLOURS.get(part.name, _TEXT)
        if not (states != State.MISSING).any():
            text, colour = f"no {text}", _ABSENT
        elif not np.isin(states, (State.OBSERVED, State.CLAMPED)).any():
            text = f"({text})"
        at += _write(cell, text, (at, height + 2 * line - 8), colour) + 10
    return cell


def _resize(image: Image, size: tuple[int, int], interpolation: int) -> Image:
    out: Image = cv2.resize(image, size, interpolation=interpolation).astype(np.uint8)
    return out


def _write(canvas: Image, text: str, at: tuple[int, int], colour: Colour) -> int:
    """Write text with its baseline's left end at ``at``; its width in pixels."""
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.48
    cv2.putText(canvas, text, at, font, scale, colour, 1, cv2.LINE_AA)
    return int(cv2.getTextSize(text, font, scale, 1)[0][0])


def _check(image: Image) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"an image must be uint8 RGB [H, W, 3], not {image.dtype} {image.shape}")


def _check_frame(tracks: Tracks, frame_index: int) -> None:
    if not 0 <= frame_index < len(tracks):
        raise IndexError(f"there is no frame {frame_index}: the tracks have {len(tracks)}")
