"""Named points of each landmark layout, the parts they form and the edges that draw them.

Left and right are always the subject's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise


@dataclass(frozen=True)
class Part:
    """A run of consecutive landmarks, e.g. ``left_hand``.

    Attributes:
        name: name of the part; Parquet columns are named after it.
        start: index of its first landmark in the topology.
        names: the landmarks' names, in the provider's order.
        edges: pairs of indices within the part, for drawing.
        has_world: whether providers give metric (world) coordinates for it.
    """

    name: str
    start: int
    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    has_world: bool

    @property
    def slice(self) -> slice:
        """Where the part lies on a landmark axis."""
        return slice(self.start, self.start + len(self.names))


@dataclass(frozen=True)
class Topology:
    """A landmark layout: parts in order, and the names of the expression weights beside them."""

    name: str
    parts: tuple[Part, ...]
    blendshapes: tuple[str, ...] = ()

    @cached_property
    def size(self) -> int:
        """Number of landmarks N."""
        return sum(len(part.names) for part in self.parts)

    @cached_property
    def landmark_names(self) -> tuple[str, ...]:
        """``part.landmark`` for each of the N landmarks."""
        return tuple(f"{part.name}.{name}" for part in self.parts for name in part.names)

    def only(self, part: str, landmarks: Sequence[str]) -> Topology:
        """The same layout with only these landmarks of one part, in its order, without its edges.

        Raises KeyError where the topology has no such part; landmarks that it lacks are left out.
        """
        chosen = self.part(part)
        wanted = frozenset(landmarks)
        kept = [name for name in chosen.names if name in wanted]
        return replace(
            self,
            parts=_layout(
                *(
                    (p.name, kept, (), p.has_world)
                    if p is chosen
                    else (p.name, p.names, p.edges, p.has_world)
                    for p in self.parts
                )
            ),
        )

    def part(self, name: str) -> Part:
        """The part called ``name``. Raises KeyError, naming the parts there are."""
        for part in self.parts:
            if part.name == name:
                return part
        known = ", ".join(part.name for part in self.parts)
        raise KeyError(f"topology {self.name} has no part {name!r}; its parts are {known}")

    def index(self, part: str, landmark: str) -> int:
        """Index of one landmark on the landmark axis. Raises KeyError."""
        found = self.part(part)
        if landmark not in found.names:
            raise KeyError(f"part {part} has no landmark {landmark!r}")
        return found.start + found.names.index(landmark)


def _chain(*indices: int) -> tuple[tuple[int, int], ...]:
    return tuple(pairwise(indices))


def _ring(*indices: int) -> tuple[tuple[int, int], ...]:
    return _chain(*indices, indices[0])


def _layout(
    *parts: tuple[str, Sequence[str], tuple[tuple[int, int], ...], bool],
) -> tuple[Part, ...]:
    out: list[Part] = []
    start = 0
    for name, names, edges, has_world in parts:
        out.append(Part(name, start, tuple(names), edges, has_world))
        start += len(names)
    return tuple(out)


POSE_NAMES = (
    "nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer "
    "left_ear right_ear mouth_left mouth_right left_shoulder right_shoulder left_elbow "
    "right_elbow left_wrist right_wrist left_pinky right_pinky left_index right_index "
    "left_thumb right_thumb left_hip right_hip left_knee right_knee left_ankle right_ankle "
    "left_heel right_heel left_foot_index right_foot_index"
).split()

HAND_NAMES = ["wrist"] + [
    f"{finger}_{joint}"
    for finger, joints in (
        ("thumb", ("cmc", "mcp", "ip", "tip")),
        ("index", ("mcp", "pip", "dip", "tip")),
        ("middle", ("mcp", "pip", "dip", "tip")),
        ("ring", ("mcp", "pip", "dip", "tip")),
        ("pinky", ("mcp", "pip", "dip", "tip")),
    )
    for joint in joints
]

FACE_NAMES = [f"mesh_{i:03d}" for i in range(468)] + [
    f"{side}_iris_{point}" for side in ("right", "left") for point in ("center", "0", "1", "2", "3")
]

# BlazePose's 33 points: the arms end in three fingers, the legs in heel and toe.
POSE_EDGES = (
    _chain(0, 1, 2, 3, 7) + _chain(0, 4, 5, 6, 8) + _chain(9, 10)
    + _ring(11, 12, 24, 23)
    + _chain(11, 13, 15) + _chain(15, 17, 19, 15, 21)
    + _chain(12, 14, 16) + _chain(16, 18, 20, 16, 22)
    + _chain(23, 25, 27, 29, 31, 27) + _chain(24, 26, 28, 30, 32, 28)
)  # fmt: skip

HAND_EDGES = (
    _chain(0, 1, 2, 3, 4) + _chain(0, 5, 6, 7, 8) + _chain(5, 9, 10, 11, 12)
    + _chain(9, 13, 14, 15, 16) + _chain(13, 17, 18, 19, 20) + _chain(0, 17)
)  # fmt: skip

# Contours of the 468-point face mesh (the triangles between them add nothing for the eye).
FACE_EDGES = (
    _ring(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
          152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
    + _ring(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291,
            409, 270, 269, 267, 0, 37, 39, 40, 185)
    + _ring(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308,
            415, 310, 311, 312, 13, 82, 81, 80, 191)
    + _ring(263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
    + _ring(33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
    + _chain(276, 283, 282, 295, 285) + _chain(300, 293, 334, 296, 336)
    + _chain(46, 53, 52, 65, 55) + _chain(70, 63, 105, 66, 107)
    + _ring(469, 470, 471, 472) + _ring(474, 475, 476, 477)
)  # fmt: skip

BLENDSHAPES = tuple(
    "_neutral browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff "
    "cheekSquintLeft cheekSquintRight eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight "
    "eyeLookInLeft eyeLookInRight eyeLookOutLeft eyeLookOutRight eyeLookUpLeft eyeLookUpRight "
    "eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight jawForward jawLeft jawOpen jawRight "
    "mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel "
    "mouthLeft mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker "
    "mouthRight mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft "
    "mouthSmileRight mouthStretchLeft mouthStretchRight mouthUpperUpLeft mouthUpperUpRight "
    "noseSneerLeft noseSneerRight".split()
)

HOLISTIC = Topology(
    name="mediapipe_holistic",
    parts=_layout(
        ("pose", POSE_NAMES, POSE_EDGES, True),
        ("left_hand", HAND_NAMES, HAND_EDGES, True),
        ("right_hand", HAND_NAMES, HAND_EDGES, True),
        ("face", FACE_NAMES, FACE_EDGES, False),
    ),
    blendshapes=BLENDSHAPES,
)

TOPOLOGIES = {topology.name: topology for topology in (HOLISTIC,)}
