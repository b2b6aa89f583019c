"""Rotated rectangles of a frame: where a network looks, and the way back from what it sees there.

All in pixels of the frame, x to the right, y down, angles clockwise in radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from tracker_core.tracking.provider import Image, View

Points = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Region:
    """A rotated rectangle.

    Attributes:
        x, y: its centre.
        width, height: of its sides, before it is turned.
        angle: by which it is turned, clockwise as seen on the screen.
    """

    x: float
    y: float
    width: float
    height: float
    angle: float = 0.0

    def scaled(self, factor: float, *, shift_y: float = 0.0, square: bool = False) -> Region:
        """The region grown about its centre, first moved along its own y axis.

        Args:
            factor: of both sides.
            shift_y: in heights of the region as it was.
            square: make both sides as long as the longer one.
        """
        shift = self.height * shift_y
        width, height = self.width, self.height
        if square:
            width = height = max(width, height)
        return Region(
            self.x - shift * math.sin(self.angle),
            self.y + shift * math.cos(self.angle),
            width * factor,
            height * factor,
            self.angle,
        )

    def matrix(self, size: tuple[int, int]) -> npt.NDArray[np.float64]:
        """[2, 3], from pixels (u, v) of a crop of this size (width, height) to the frame's."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        across, down = self.width / size[0], self.height / size[1]
        a, b, c, d = cos * across, -sin * down, sin * across, cos * down
        half_u, half_v = size[0] / 2, size[1] / 2
        return np.array(
            [
                [a, b, self.x - a * half_u - b * half_v],
                [c, d, self.y - c * half_u - d * half_v],
            ]
        )

    def crop(self, view: View, size: tuple[int, int], *, replicate: bool = True) -> Image:
        """uint8 [height, width, 3]: the region's pixels, bilinear, turned upright.

        Beyond the view's edge its border is repeated, or all is black.
        """
        border = cv2.BORDER_REPLICATE if replicate else cv2.BORDER_CONSTANT
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        rows, columns = self._touched(view)
        matrix = self.matrix(size)
        matrix[:, 2] -= view.x + columns.start, view.y + rows.start
        # OpenCV turns four channels twice as fast as three.
        window = cv2.cvtColor(view.image[rows, columns], cv2.COLOR_RGB2RGBA)
        crop = cv2.warpAffine(window, matrix, size, flags=flags, borderMode=border)
        return cv2.cvtColor(crop, cv2.COLOR_RGBA2RGB)  # type: ignore[return-value]

    def _touched(self, view: View) -> tuple[slice, slice]:
        """Rows and columns of the view that a bilinear crop reads; at least one of each."""
        cos, sin = abs(math.cos(self.angle)), abs(math.sin(self.angle))
        height, width = view.image.shape[:2]

        def within(centre: float, extent: float, size: int) -> slice:
            start = min(max(math.floor(centre - extent / 2) - 1, 0), size - 1)
            return slice(start, max(min(math.ceil(centre + extent / 2) + 1, size), start + 1))

        return (
            within(self.y - view.y, sin * self.width + cos * self.height, height),
            within(self.x - view.x, cos * self.width + sin * self.height, width),
        )

    def project(self, points: Points) -> Points:
        """Points [N, 2 or 3] in units of the region (0..1 across and down) to the frame's pixels.

        z, in units of the region's width, comes out in pixels.
        """
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        u = (points[:, 0] - 0.5) * self.width
        v = (points[:, 1] - 0.5) * self.height
        out = points * np.float32(self.width)
        out[:, 0] = self.x + cos * u - sin * v
        out[:, 1] = self.y + sin * u + cos * v
        return out

    def inside(self, view: View) -> float:
        """0..1: how much of the middle half of the region, across and down, the view shows."""
        points = self.project(_MIDDLE)
        height, width = view.image.shape[:2]
        x, y = points[:, 0] - view.x, points[:, 1] - view.y
        return float(((x >= 0) & (x < width) & (y >= 0) & (y < height)).mean())

    def turn(self, points: Points) -> Points:
        """Points [N, 3] about the origin, turned with the region: world coordinates of the crop."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        out = points.copy()
        out[:, 0] = cos * points[:, 0] - sin * points[:, 1]
        out[:, 1] = sin * points[:, 0] + cos * points[:, 1]
        return out

    def local(self, points: Points) -> Points:
        """Points [N, 2] of the frame, from the centre, along the region's own axes, in pixels."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        x, y = points[:, 0] - self.x, points[:, 1] - self.y
        return np.stack([cos * x + sin * y, cos * y - sin * x], axis=1)


_MIDDLE = np.stack(np.meshgrid(*[np.linspace(0.25, 0.75, 7, dtype=np.float32)] * 2), 2).reshape(
    -1, 2
)


def angle_of(start: Points, end: Points, target: float) -> float:
    """By how much a region is turned in which the line from start to end has the target direction.

    Args:
        start, end: [2], pixels.
        target: direction in the turned region, radians, counter-clockwise from its x axis.

    Returns:
        An angle in -pi..pi.
    """
    angle = target - math.atan2(-float(end[1] - start[1]), float(end[0] - start[0]))
    return normalized_angle(angle)


def normalized_angle(angle: float) -> float:
    """The angle in -pi..pi."""
    return angle - 2 * math.pi * math.floor((angle + math.pi) / (2 * math.pi))


def around(points: Points) -> Region:
    """The upright rectangle that just holds the points."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    x, y = (low + high) / 2
    width, height = high - low
    return Region(float(x), float(y), float(width), float(height))


def bounding(points: Points, angle: float) -> Region:
    """The rectangle at this angle that just holds the points."""
    upright = around(points)
    about = turned(upright, angle)
    local = about.local(points[:, :2])
    low, high = local.min(axis=0), local.max(axis=0)
    u, v = (low + high) / 2
    cos, sin = math.cos(angle), math.sin(angle)
    width, height = high - low
    x, y = upright.x + cos * u - sin * v, upright.y + sin * u + cos * v
    return Region(float(x), float(y), float(width), float(height), angle)


def circle(centre: Points, rim: Points, target: float) -> Region:
    """A square about `centre` whose inscribed circle goes through `rim`.

    The line from centre to rim shows where up is: BlazePose's alignment points (Bazarevsky et al.,
    "BlazePose: On-device Real-time Body Pose tracking", 2020).
    """
    side = 2 * math.hypot(float(rim[0] - centre[0]), float(rim[1] - centre[1]))
    angle = angle_of(centre, rim, target)
    return Region(float(centre[0]), float(centre[1]), side, side, angle)


def turned(region: Region, angle: float) -> Region:
    """The same centre and sides at another angle."""
    return replace(region, angle=angle)
