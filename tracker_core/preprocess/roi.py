"""The person's box in every frame, steadied; the main person where there are several."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import linear_sum_assignment

from tracker_core.media.decode import Frame

Box = npt.NDArray[np.float64]  # x0, y0, x1, y1 in pixels
Chain = list[tuple[float, Box]]  # times and boxes of one person

_OTHER_PERSON = 1.5  # a greater mismatch is somebody else


@dataclass(frozen=True)
class RoiParameters:
    """How the box is found.

    Attributes:
        interval_s: seconds between the frames that a detector looks at; a quarter of it where
            somebody moves about, or there are several people.
        margin: added on each side, as a fraction of the box's larger side, since arms move.
        steady_s: standard deviation of the Gaussian that steadies the box's centre, in seconds.
        crop: ``auto`` crops where several people are seen or the person is small, ``always`` or
            ``never``.
        max_people: how many people the detector looks for.
    """

    interval_s: float = 2.0
    margin: float = 0.25
    steady_s: float = 1.0
    crop: str = "auto"
    max_people: int = 4


@dataclass(frozen=True)
class Roi:
    """The person's box per frame of the normalized video.

    Attributes:
        boxes: float64 [T, 4]: x0, y0, x1, y1 in pixels of the normalized frame, margin included;
            all of one size, so that the person's scale does not flicker. The whole frame where
            nobody was found.
        people: the largest number of people seen at once; 0 where nobody was found.
        crop: whether tracking is to look at the box alone.
    """

    boxes: Box
    people: int
    crop: bool

    @property
    def moves(self) -> bool:
        """Whether the person goes from one place to another: by a quarter of the box's size."""
        centres = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2
        size = float((self.boxes[0, 2:] - self.boxes[0, :2]).max())
        return bool(np.ptp(centres, axis=0).max() > size / 4)

    def window(self, frame: int, image_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 of the part of the frame that is tracked: whole pixels inside it."""
        width, height = image_size
        if not self.crop:
            return 0, 0, width, height
        # The size is the first box's, not rounded with each position: it must not flicker.
        first_x0, first_y0, first_x1, first_y1 = self.boxes[0]
        w, h = min(width, round(first_x1 - first_x0)), min(height, round(first_y1 - first_y0))
        x0, y0, x1, y1 = self.boxes[min(frame, len(self.boxes) - 1)]
        left = min(max(0, round((x0 + x1 - w) / 2)), width - w)
        top = min(max(0, round((y0 + y1 - h) / 2)), height - h)
        return left, top, left + w, top + h

    def to_json(self) -> dict[str, Any]:
        """As JSON values; boxes to a tenth of a pixel."""
        return {"boxes": self.boxes.round(1).tolist(), "people": self.people, "crop": self.crop}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Roi:
        """What `to_json` gave."""
        return cls(np.asarray(value["boxes"], np.float64), value["people"], value["crop"])


class PersonDetector(Protocol):
    """Finds people in one image."""

    def detect(self, image: npt.NDArray[np.uint8]) -> list[Box]:
        """Boxes of the people in an RGB [H, W, 3] image, in its pixels."""
        ...


def find_roi(
    frames: Iterable[Frame],
    timestamps: npt.NDArray[np.float64],
    image_size: tuple[int, int],
    detector: PersonDetector,
    parameters: RoiParameters,
) -> Roi:
    """The main person's box over the sampled frames, spread over all T timestamps.

    Args:
        frames: the frames that `sample_indices` names, in order.
        timestamps: float64 [T], of all frames.
        image_size: width and height in pixels.
        detector: what finds people.
        parameters: see `RoiParameters`.
    """
    width, height = image_size
    whole = np.tile(np.array([0.0, 0.0, width, height]), (len(timestamps), 1))
    sightings = [(frame.timestamp_s, detector.detect(frame.image)) for frame in frames]
    people = max((len(boxes) for _, boxes in sightings), default=0)
    if people == 0:
        return Roi(whole, 0, crop=False)
    times, main = _main_person(sightings, image_size)
    boxes = _steady(times, main, timestamps, parameters)
    small = max(boxes[0, 2] - boxes[0, 0], boxes[0, 3] - boxes[0, 1]) < 0.6 * max(width, height)
    crop = parameters.crop == "always" or (parameters.crop == "auto" and (people > 1 or small))
    return Roi(boxes, people, bool(crop))


def sample_indices(timestamps: npt.NDArray[np.float64], interval_s: float) -> list[int]:
    """Indices of the frames that the detector looks at: evenly spread, first and last included."""
    if len(timestamps) == 0:
        return []
    span = float(timestamps[-1] - timestamps[0])
    count = max(2, round(span / interval_s) + 1)
    ticks = np.linspace(timestamps[0], timestamps[-1], count)
    return sorted({int(np.abs(timestamps - tick).argmin()) for tick in ticks})


def _main_person(
    sightings: Sequence[tuple[float, list[Box]]], image_size: tuple[int, int]
) -> tuple[npt.NDArray[np.float64], Box]:
    """Times [S] and boxes [S, 4] of the person who is largest and most central overall.

    Each sighting's boxes are assigned to the chains so that the sum of `_mismatch` is smallest;
    the chain with the greatest sum of area times centrality is the main person's.
    """
    chains: list[Chain] = []
    for time, boxes in sightings:
        costs = np.array([_mismatch(chain, time, box) for chain in chains for box in boxes])
        costs = costs.reshape(len(chains), len(boxes))
        taken: set[int] = set()
        for row, column in zip(*linear_sum_assignment(costs), strict=True):
            if costs[row, column] < _OTHER_PERSON:
                chains[row].append((time, boxes[column]))
                taken.add(int(column))
        chains.extend([(time, box)] for i, box in enumerate(boxes) if i not in taken)
    best = max(chains, key=_weight(image_size))
    return np.array([time for time, _ in best]), np.array([box for _, box in best])


def _mismatch(chain: Chain, time: float, box: Box) -> float:
    """How little a box looks like the next one of a chain: distance from where it was heading, in
    box sizes, plus the logarithm of how much larger or smaller it is.
    """
    then, last = chain[-1]
    heading = _centre(last)
    if len(chain) > 1:
        before, previous = chain[-2]
        heading = heading + (heading - _centre(previous)) * (time - then) / (then - before)
    size = max(last[2] - last[0], last[3] - last[1])
    distance = float(np.linalg.norm(_centre(box) - heading)) / float(size)
    return distance + abs(math.log(_area(box) / _area(last)))


def _area(box: Box) -> float:
    return max(1.0, float((box[2] - box[0]) * (box[3] - box[1])))


def _weight(image_size: tuple[int, int]) -> Callable[[Chain], float]:
    middle = np.array(image_size) / 2
    diagonal = float(np.linalg.norm(middle))

    def weight(chain: Chain) -> float:
        total = 0.0
        for _, box in chain:
            total += _area(box) * (
                1 - 0.5 * float(np.linalg.norm(_centre(box) - middle)) / diagonal
            )
        return total

    return weight


def _centre(box: Box) -> Box:
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])


def _steady(
    times: npt.NDArray[np.float64],
    boxes: Box,
    timestamps: npt.NDArray[np.float64],
    parameters: RoiParameters,
) -> Box:
    """Boxes [T, 4] of one size: centres interpolated over time, held at the ends, smoothed."""
    sizes = np.column_stack([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]])
    size = sizes.max(axis=0) + 2 * parameters.margin * sizes.max()
    centres = np.column_stack(
        [np.interp(timestamps, times, (boxes[:, i] + boxes[:, i + 2]) / 2) for i in (0, 1)]
    )
    if len(timestamps) > 1:
        step = float(np.median(np.diff(timestamps)))
        centres = gaussian_filter1d(
            centres, parameters.steady_s / step, axis=0, mode="nearest", truncate=3
        )
    return np.column_stack([centres - size / 2, centres + size / 2])
