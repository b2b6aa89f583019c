"""What the landmark networks give, in the frame's pixels and in metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracker_core.tracking.holistic.detection import sigmoid, unit_input
from tracker_core.tracking.holistic.region import Region, circle
from tracker_core.tracking.inference import Network
from tracker_core.tracking.provider import View

Array = npt.NDArray[np.float32]

POSE_POINTS = 33
_POSE_OUTPUTS = 39  # 33 landmarks, centre and scale of the person, 4 unused
_LEGS = 25  # the first landmark of the pose below the hips
_VISIBLE = 0.5
_HEATMAP_WINDOW = 7
_HEATMAP_SURE = 0.5

# The 146 of the face's 478 landmarks that the blendshape network reads.
_BLENDSHAPE_POINTS = np.array(
    [
        *(0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63),
        *(65, 66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132),
        *(133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161),
        *(162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263),
        *(267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310),
        *(311, 312, 314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373),
        *(374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398),
        *(400, 402, 405, 409, 415, 454, 466, *range(468, 478)),
    ]
)


@dataclass(frozen=True, eq=False)
class Pose:
    """A body, from BlazePose (Bazarevsky et al., 2020) and BlazePose GHUM's world landmarks.

    Attributes:
        score: probability that somebody is in the region.
        points: float32 [33, 3], pixels of the frame, z from the hips in the same unit.
        visibility: float32 [33], probability that the point is in the frame and not hidden.
        world: float32 [33, 3], metres from the middle of the hips.
        centre, rim: float32 [3], pixels: the middle of the hips and a point of the circle round
            the person.
    """

    score: float
    points: Array
    visibility: Array
    world: Array
    centre: Array
    rim: Array

    @property
    def circle(self) -> Region:
        """The square round the person, upright along the body."""
        return circle(self.centre, self.rim, np.pi / 2)

    def moved(self, other: Pose) -> float:
        """How far the farthest of the visible points of head, trunk and arms has moved.

        In units of `body_size`.
        """
        seen = np.minimum(self.visibility, other.visibility)[:_LEGS] > _VISIBLE
        ways = np.linalg.norm(self.points[:_LEGS, :2] - other.points[:_LEGS, :2], axis=1)
        return float(ways[seen].max(initial=0) / max(body_size(self.points), 1e-6))

    def towards(self, other: Pose, share: float) -> Pose:
        """The pose this share (0..1) of the way to the other."""
        return Pose(
            score=min(self.score, other.score),
            points=mix(self.points, other.points, share),
            visibility=mix(self.visibility, other.visibility, share),
            world=mix(self.world, other.world, share),
            centre=mix(self.centre, other.centre, share),
            rim=mix(self.rim, other.rim, share),
        )


@dataclass(frozen=True, eq=False)
class Hand:
    """A hand, from MediaPipe Hands' landmark network (Zhang et al., 2020).

    Attributes:
        score: probability that a hand is in the region.
        points: float32 [21, 3], pixels of the frame, z from the wrist in the same unit.
        world: float32 [21, 3], metres from the hand's centre.
    """

    score: float
    points: Array
    world: Array


@dataclass(frozen=True, eq=False)
class Face:
    """A face, from Attention Mesh (Grishchenko et al., 2020).

    Attributes:
        score: probability that a face is in the region.
        points: float32 [478, 3], pixels of the frame, z in the same unit.
    """

    score: float
    points: Array

    def moved(self, other: Face) -> float:
        """How far the farthest of its points has moved, in widths of the face."""
        ways = np.linalg.norm(self.points[:, :2] - other.points[:, :2], axis=1)
        return float(ways.max() / max(np.ptp(self.points[:, 0]), 1e-6))

    def towards(self, other: Face, share: float) -> Face:
        """The face this share (0..1) of the way to the other."""
        score = min(self.score, other.score)
        return Face(score, mix(self.points, other.points, share))


def body_size(points: npt.NDArray[np.floating]) -> float:
    """The width of the shoulders, or the height of the trunk where that is longer, in pixels.

    Args:
        points: the pose's, [25 or more, 2 or 3].
    """
    shoulders, hips = points[[11, 12], :2], points[[23, 24], :2]
    width = np.linalg.norm(shoulders[0] - shoulders[1])
    return float(max(width, np.linalg.norm(shoulders.mean(0) - hips.mean(0))))


def mix(start: Array, end: Array, share: float) -> Array:
    """What lies this share (0..1) of the way from one array to another."""
    return start + (end - start) * np.float32(share)


def see_pose(network: Network, view: View, region: Region) -> Pose:
    """The body in a region of the frame.

    Args:
        network: with outputs landmarks [1, 195], presence [1, 1], heatmaps [1, 64, 64, 39] and
            world landmarks [1, 117].
        view: of a frame.
        region: a square round the person.
    """
    side = network.input_shape[1]
    flat, presence, heatmaps, world = network(unit_input(region.crop(view, (side, side))))
    raw = flat.reshape(_POSE_OUTPUTS, 5)
    points = raw[:, :3] / np.float32(side)
    points[:, :2] = _refined(points[:, :2], heatmaps[0])
    placed = region.project(points[: POSE_POINTS + 2])
    return Pose(
        score=float(presence.flat[0]),
        points=placed[:POSE_POINTS],
        visibility=sigmoid(raw[:POSE_POINTS, 3]),
        world=region.turn(world.reshape(_POSE_OUTPUTS, 3)[:POSE_POINTS]),
        centre=placed[POSE_POINTS],
        rim=placed[POSE_POINTS + 1],
    )


def _refined(points: Array, heatmaps: Array) -> Array:
    """Points moved to the centre of mass of their heatmap's window about them.

    Args:
        points: [K, 2] in units of the crop.
        heatmaps: [H, W, K], logits.

    Returns:
        [K, 2]; a point outside, or whose heatmap is nowhere sure in the window, as it was.
    """
    height, width, count = heatmaps.shape
    reach = _HEATMAP_WINDOW // 2
    column = np.trunc(points[:, 0] * width).astype(int)
    row = np.trunc(points[:, 1] * height).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    steps = np.arange(-reach, reach + 1)
    rows = row[:, None, None] + steps[:, None]
    columns = column[:, None, None] + steps
    # Nothing is known beyond the heatmap.
    known = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
    weight = sigmoid(heatmaps[rows, columns, np.arange(count)[:, None, None]]) * known
    total = weight.sum(axis=(1, 2))
    sure = inside & (weight.max(axis=(1, 2)) >= _HEATMAP_SURE)
    total = np.where(sure, total, 1)
    x = (weight * columns).sum(axis=(1, 2)) / total / width
    y = (weight * rows).sum(axis=(1, 2)) / total / height
    return np.where(sure[:, None], np.stack([x, y], axis=1), points).astype(np.float32)


def see_hand(network: Network, view: View, region: Region) -> Hand:
    """The hand in a region of the frame.

    Args:
        network: with outputs landmarks [1, 63], presence [1, 1] and world landmarks [1, 63].
        view: of a frame.
        region: a square round the hand, its fingers up.
    """
    side = network.input_shape[1]
    flat, presence, world = network(unit_input(region.crop(view, (side, side))))
    points = flat.reshape(21, 3) / np.float32(side)
    points[:, 2] /= np.float32(0.4)  # the network's z is that much flatter than its x and y
    return Hand(
        score=float(presence.flat[0]),
        points=region.project(points),
        world=region.turn(world.reshape(21, 3)),
    )


def see_hand_region(network: Network, view: View, region: Region) -> Region:
    """A closer region round the hand that is somewhere in this one.

    Args:
        network: with output [1, 1, 1, 4]: the hand's centre and a point above it on its circle.
        view: of a frame.
        region: a square that holds the hand.
    """
    side = network.input_shape[1]
    (flat,) = network(unit_input(region.crop(view, (side, side))))
    centre, rim = region.project(flat.reshape(2, 2) / np.float32(side))
    return circle(centre, rim, -np.pi / 2).scaled(1.0, shift_y=-0.1, square=True)


def see_face(network: Network, view: View, region: Region) -> Face:
    """The face in a region of the frame.

    Args:
        network: with outputs landmarks [1, 1, 1, 1434] and presence (logit) [1, 1, 1, 1].
        view: of a frame.
        region: round the face, its eyes level.
    """
    side = network.input_shape[1]
    flat, presence = network(unit_input(region.crop(view, (side, side))))
    points = flat.reshape(-1, 3) / np.float32(side)
    return Face(float(sigmoid(presence.reshape(1))[0]), region.project(points))


def see_blendshapes(network: Network, face: Face) -> Array:
    """float32 [52] in 0..1: the weights of the ARKit-like expressions of a face.

    Args:
        network: input [1, 146, 2], pixels; output [52].
        face: with its irises.
    """
    (weights,) = network(np.ascontiguousarray(face.points[None, _BLENDSHAPE_POINTS, :2]))
    return weights.copy()
