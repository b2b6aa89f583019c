"""People's boxes in single pictures, from the body's networks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tracker_core.preprocess.roi import Box
from tracker_core.tracking.holistic.detection import POSE, detect
from tracker_core.tracking.holistic.graph import Networks
from tracker_core.tracking.holistic.networks import Pose, see_pose
from tracker_core.tracking.holistic.region import Region, circle
from tracker_core.tracking.provider import Image, View

# An image with this aspect ratio is looked at in tiles at once.
_LONG = 2.0

_SURE = 0.5


@dataclass(frozen=True)
class PeopleDetector:
    """The boxes of up to `max_people` people; nothing is remembered from picture to picture.

    The detector sees 224 x 224 pixels. Where nobody is found in the whole picture, or it is so long
    that a person in it would be tiny, overlapping square tiles of it are looked at.
    """

    networks: Networks
    max_people: int

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
        view = View(image[top : top + side, left : left + side], left, top, 0.0)
        whole = Region(left + side / 2, top + side / 2, side, side)
        boxes: list[Box] = []
        for person in detect(self.networks["pose_detector"], POSE, view, whole)[: self.max_people]:
            centre, rim = person.keypoints[:2]
            region = circle(centre, rim, math.pi / 2).scaled(1.25)
            pose = see_pose(self.networks["pose"], view, region)
            box = _box(pose, image) if pose.score > _SURE else None
            if box is not None and all(_overlap(box, other) < 0.7 for other in boxes):
                boxes.append(box)
        return boxes


def _box(pose: Pose, image: Image) -> Box | None:
    """The box of the landmarks that are visible; None where hardly any are."""
    height, width = image.shape[:2]
    points = pose.points[:, :2]
    inside = (points >= 0).all(1) & (points < (width, height)).all(1)
    seen = points[(pose.visibility > _SURE) & inside]
    if len(seen) < 4:
        return None
    (x0, y0), (x1, y1) = seen.min(axis=0), seen.max(axis=0)
    # BlazePose has no point above the eyes: three times nose to mouth reaches the top.
    head = abs(points[0, 1] - points[[9, 10], 1].mean()) * 3
    return np.array([x0, max(0.0, y0 - head), x1, y1], np.float64)


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
