"""The canonical skeleton: joints, their positions and anatomical orientations, from landmarks.

**Axes** are the avatar's: x to the subject's left, y out of the chest of a subject who faces the
camera, z up; metres; origin between the hips. They are left-handed, as Unreal's component space
is. From MediaPipe's world landmarks (x to the image's right, y down, z away from the camera) they
are (x, -z, -y). That an unmirrored subject's left is the image's right holds for every video that
was not flipped.

**Orientation** of a joint is an anatomical frame: x along the segment that starts at the joint, y
a secondary axis made orthogonal to it, z = x × y. The frame says nothing of any avatar's bones: a
retarget builds the same frames from the reference pose of its skeleton and turns each bone by the
difference. The recipes (left and right are the subject's, "lateral" points to the left):

=================== ============================== ========================================
joint               x                              y
=================== ============================== ========================================
root                middle of hips -> of shoulders right hip -> left hip
spine_03 (chest)    middle of hips -> of shoulders right shoulder -> left shoulder
head                up: lateral × forward          lateral: from the right to the left of the face
clavicle            middle of shoulders ->         the torso's up
                    the shoulder
upperarm, lowerarm  shoulder -> elbow -> wrist     the elbow's hinge, upper × lower
wrist               wrist -> middle knuckle        pinky knuckle -> index knuckle
fingers 1, 2, 3     joint -> next joint            pinky knuckle -> index knuckle
thumb 1, 2, 3       joint -> next joint            towards the palm's inside, away from the radial
                                                   side: out of reach of the thumb itself
thigh, calf         hip -> knee -> ankle           the knee's hinge, upper × lower
foot                ankle -> big toe               ankle -> knee
=================== ============================== ========================================
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_core.landmarks.tracks import State, Tracks
from tracker_core.motion import rotations
from tracker_core.motion.rotations import Array

SIDES = {"l": "left", "r": "right"}
FINGERS = {
    "thumb": ("cmc", "mcp", "ip", "tip"),
    "index": ("mcp", "pip", "dip", "tip"),
    "middle": ("mcp", "pip", "dip", "tip"),
    "ring": ("mcp", "pip", "dip", "tip"),
    "pinky": ("mcp", "pip", "dip", "tip"),
}


def _parents() -> dict[str, str | None]:
    parents: dict[str, str | None] = {
        "root": None,
        "spine_01": "root",
        "spine_02": "spine_01",
        "spine_03": "spine_02",
        "neck": "spine_03",
        "head": "neck",
    }
    for s in SIDES:
        parents[f"clavicle_{s}"] = "spine_03"
        parents[f"upperarm_{s}"] = f"clavicle_{s}"
        parents[f"lowerarm_{s}"] = f"upperarm_{s}"
        parents[f"wrist_{s}"] = f"lowerarm_{s}"
        for finger in FINGERS:
            parents[f"hand_{s}_{finger}_1"] = f"wrist_{s}"
            for joint in (2, 3, 4):
                parents[f"hand_{s}_{finger}_{joint}"] = f"hand_{s}_{finger}_{joint - 1}"
        parents[f"thigh_{s}"] = "root"
        parents[f"calf_{s}"] = f"thigh_{s}"
        parents[f"foot_{s}"] = f"calf_{s}"
        parents[f"ball_{s}"] = f"foot_{s}"
    return parents


PARENTS: Mapping[str, str | None] = _parents()
"""Every canonical joint and its parent; parents come before their children."""

JOINTS: tuple[str, ...] = tuple(PARENTS)
INDEX: Mapping[str, int] = {name: i for i, name in enumerate(JOINTS)}

GROUPS: Mapping[str, tuple[str, ...]] = {
    "torso": ("root", "spine_01", "spine_02", "spine_03", "neck", "thigh_l", "thigh_r"),
    "head": ("head",),
    **{
        f"{side}_arm": tuple(f"{n}_{s}" for n in ("clavicle", "upperarm", "lowerarm", "wrist"))
        for s, side in SIDES.items()
    },
    **{
        f"{side}_hand": tuple(n for n in PARENTS if n.startswith(f"hand_{s}_"))
        for s, side in SIDES.items()
    },
    **{
        f"{side}_leg": tuple(f"{joint}_{s}" for joint in ("calf", "foot", "ball"))
        for s, side in SIDES.items()
    },
}
"""The joints by part of the body, for counting what was seen; hips belong to the torso."""

VISIBLE = 0.5
"""Confidence below which a pose landmark is the provider's guess rather than a sighting."""


class JointState(enum.IntEnum):
    """What is known of one joint in one frame; the higher, the nearer to a plain sighting."""

    MISSING = 0
    """Not known; its position is NaN."""
    INFERRED = 1
    """The provider's guess for a point it could hardly see (confidence below `VISIBLE`)."""
    FILLED = 2
    """Interpolated over a short gap."""
    CLAMPED = 3
    """Observed, but held back by the velocity limit."""
    OBSERVED = 4


_JOINT_STATE = np.zeros(len(State), np.uint8)
_JOINT_STATE[State.OBSERVED] = JointState.OBSERVED
_JOINT_STATE[State.FILLED] = JointState.FILLED
_JOINT_STATE[State.CLAMPED] = JointState.CLAMPED


@dataclass(frozen=True, eq=False)
class Motion:
    """The canonical skeleton over T frames and J = ``len(JOINTS)`` joints.

    Attributes:
        timestamps: float64 [T], seconds of the source video.
        positions: float64 [T, J, 3], metres in the avatar's axes; NaN where missing.
        frames: float64 [T, J, 3, 3], anatomical frames (columns x, y, z); NaN where the joint has
            none (spine_01, spine_02, neck, finger tips, ball) or what it is made of is missing.
        state: uint8 [T, J], a `JointState` for each position.
        torso_up: "hips" where the torso's axis is the line from hips to shoulders; "vertical"
            where hips are missing from most of the clip and the chest is assumed upright (its
            turn to the left or right is still measured); "none" without shoulders.
        head_from: "face" or "pose", whichever landmarks the head's orientation comes from in the
            whole clip (a change within it would be seen as a jump), or "none".
        held: joint -> frames in which a flip of its secondary axis was held back.
        flips: joint -> flips of its secondary axis that stayed and were believed; on one side of
            each the palm was probably seen wrongly.
    """

    timestamps: npt.NDArray[np.float64]
    positions: Array
    frames: Array
    state: npt.NDArray[np.uint8]
    torso_up: str
    head_from: str
    held: Mapping[str, int] = field(default_factory=dict)
    flips: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of frames T."""
        return len(self.timestamps)

    @cached_property
    def quaternions(self) -> Array:
        """`frames` as quaternions [T, J, 4] (x, y, z, w), continuous in sign, NaN where unknown."""
        return np.stack(
            [rotations.quaternions(self.frames[:, j]) for j in range(len(JOINTS))], axis=1
        )


def to_avatar_axes(vectors: npt.NDArray[Any]) -> Array:
    """[..., 3] with x right, y down, z away from the camera -> x left, y forward, z up."""
    v = np.asarray(vectors, np.float64)
    return np.stack([v[..., 0], -v[..., 2], -v[..., 1]], axis=-1)


def canonical_motion(tracks: Tracks) -> Motion:
    """The canonical skeleton of tracks in the holistic topology, one frame per frame.

    Body positions come from the pose's world landmarks; hands from the hands' world landmarks,
    whose axes are the camera's too and only whose origin differs, moved to the pose's wrist. What
    is missing stays missing. Of joints with low confidence, arms and torso keep the provider's
    guess and are called inferred, for a sign needs them; legs are missing then, for they do not.

    Raises:
        KeyError: the topology lacks a part or landmark that a joint is made of.
    """
    return _Builder(tracks).build()


HEAD_POINTS = (33, 263, 454, 234, 168, 2)
"""The only points of the face mesh that the skeleton is made of."""


class _Builder:
    def __init__(self, tracks: Tracks) -> None:
        self.tracks = tracks
        self.t = len(tracks)
        self.marks = _JOINT_STATE[tracks.state]
        pose = tracks.topology.part("pose").slice
        # Of filled and clamped points smoothing lowers the confidence, and the state says it.
        observed = tracks.state[:, pose] == State.OBSERVED
        guess = observed & (tracks.confidence[:, pose] < VISIBLE)
        self.marks[:, pose] = np.where(guess, JointState.INFERRED, self.marks[:, pose])
        self.positions = np.full((self.t, len(JOINTS), 3), np.nan)
        self.frames = np.full((self.t, len(JOINTS), 3, 3), np.nan)
        self.state = np.zeros((self.t, len(JOINTS)), np.uint8)
        self.held: dict[str, int] = {}
        self.flips: dict[str, int] = {}

    def build(self) -> Motion:
        torso_up = self.torso()
        head_from = self.head()
        for s in SIDES:
            self.arm(s)
            self.hand(s)
            self.leg(s)
        unknown = ~np.isfinite(self.positions).all(axis=2)
        self.positions[unknown] = np.nan
        return Motion(
            self.tracks.timestamps,
            self.positions,
            self.frames,
            self.state,
            torso_up,
            head_from,
            self.held,
            self.flips,
        )

    # -- reading landmarks

    def columns(self, part: str, names: Iterable[str]) -> list[int]:
        return [self.tracks.topology.index(part, name) for name in names]

    def mean(self, part: str, *names: str) -> Array:
        return np.asarray(self.known(self.tracks.world, self.columns(part, names)).mean(axis=1))

    def face(self, *points: int) -> Array:
        columns = self.columns("face", [f"mesh_{point:03d}" for point in points])
        return np.asarray(self.known(self.tracks.positions, columns).mean(axis=1))

    def known(self, points: npt.NDArray[np.float32], columns: list[int]) -> Array:
        """float64 [T, K, 3] of these landmarks in the avatar's axes; NaN where missing."""
        out = to_avatar_axes(points[:, columns])
        out[self.tracks.state[:, columns] == State.MISSING] = np.nan
        return out

    def at(self, joint: str) -> Array:
        return np.asarray(self.positions[:, INDEX[joint]])

    # -- writing joints

    def place(self, joint: str, position: Array, part: str, *names: str) -> None:
        """Puts the joint at ``position``, as surely as the least sure of its landmarks."""
        state = self.marks[:, self.columns(part, names)].min(axis=1)
        known = np.isfinite(position).all(axis=1)
        self.positions[:, INDEX[joint]] = position
        self.state[:, INDEX[joint]] = np.where(known, state, JointState.MISSING)

    def orient(self, joint: str, primary: Array, secondary: Array) -> None:
        self.frames[:, INDEX[joint]] = rotations.frames(primary, secondary)

    # -- parts of the body

    def torso(self) -> str:
        hips, shoulders = ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")
        root, neck = self.mean("pose", *hips), self.mean("pose", *shoulders)
        self.place("root", root, "pose", *hips)
        self.place("neck", neck, "pose", *shoulders)
        for k in (1, 2, 3):
            # No landmark lies on the spine: its joints divide the straight line evenly.
            between = root + (neck - root) * (k / 4)
            self.place(f"spine_0{k}", between, "pose", *hips, *shoulders)
        self.up = neck - root
        self.lateral = self.mean("pose", "left_shoulder") - self.mean("pose", "right_shoulder")
        with_shoulders = np.asarray(np.isfinite(self.lateral).all(axis=1))
        with_hips = with_shoulders & np.isfinite(self.up).all(axis=1)
        if not with_shoulders.any():
            source = "none"
        elif 2 * with_hips.sum() >= with_shoulders.sum():
            source = "hips"
            hip_line = self.mean("pose", "left_hip") - self.mean("pose", "right_hip")
            self.orient("root", self.up, hip_line)
        else:
            source = "vertical"
            self.up = np.where(with_shoulders[:, None], np.array([0.0, 0.0, 1.0]), np.nan)
        self.orient("spine_03", self.up, self.lateral)
        return source

    def head(self) -> str:
        ears = self.mean("pose", "left_ear", "right_ear")
        self.place("head", ears, "pose", "left_ear", "right_ear")
        # Points that neither jaw nor brows move. In MediaPipe's canonical face the line from the
        # middle of the temples to the middle of nose bridge and nose base is level to 0.6 degrees.
        face_lateral = self.face(454) - self.face(234) + self.face(263) - self.face(33)
        face_forward = self.face(168, 2) - self.face(234, 454)
        pose_lateral = self.mean("pose", "left_ear") - self.mean("pose", "right_ear")
        features = ("left_eye", "right_eye", "mouth_left", "mouth_right")
        pose_forward = self.mean("pose", *features) - ears
        with_face = np.isfinite(face_lateral + face_forward).all(axis=1)
        with_pose = np.isfinite(pose_lateral + pose_forward).all(axis=1)
        if not (with_face | with_pose).any():
            return "none"
        use_face = 2 * with_face.sum() >= with_pose.sum()
        lateral = rotations.unit(face_lateral if use_face else pose_lateral)
        forward = face_forward if use_face else pose_forward
        up = rotations.cross(lateral, forward)
        self.orient("head", up, lateral)
        return "face" if use_face else "pose"

    def arm(self, s: str) -> None:
        side = SIDES[s]
        self.place(f"clavicle_{s}", self.at("neck"), "pose", "left_shoulder", "right_shoulder")
        for joint, name in (("upperarm", "shoulder"), ("lowerarm", "elbow"), ("wrist", "wrist")):
            landmark = f"{side}_{name}"
            self.place(f"{joint}_{s}", self.mean("pose", landmark), "pose", landmark)
        outward = self.lateral if s == "l" else -self.lateral
        self.orient(f"clavicle_{s}", outward, self.up)
        upper = self.at(f"lowerarm_{s}") - self.at(f"upperarm_{s}")
        lower = self.at(f"wrist_{s}") - self.at(f"lowerarm_{s}")
        # An elbow bends forwards, so the hinge of a straight arm is upper × forward.
        hinge = rotations.held_hinge(upper, lower, rotations.cross(upper, self.forward()))
        self.orient(f"upperarm_{s}", upper, hinge)
        self.orient(f"lowerarm_{s}", lower, hinge)

    def hand(self, s: str) -> None:
        part = f"{SIDES[s]}_hand"
        to_wrist = self.at(f"wrist_{s}") - self.mean(part, "wrist")
        points: dict[str, list[Array]] = {}
        for finger, names in FINGERS.items():
            points[finger] = [self.mean(part, f"{finger}_{name}") for name in names]
            for k, name in enumerate(names):
                joint = f"hand_{s}_{finger}_{k + 1}"
                self.place(joint, points[finger][k] + to_wrist, part, f"{finger}_{name}")
        along = points["middle"][0] - self.mean(part, "wrist")
        radial = points["index"][0] - points["pinky"][0]
        across, held, believed = rotations.steady_secondary(along, radial)
        if held:
            self.held[f"wrist_{s}"] = held
        if believed:
            self.flips[f"wrist_{s}"] = believed
        self.orient(f"wrist_{s}", along, across)
        palm = self.frames[:, INDEX[f"wrist_{s}"]]
        # z of the frame is the back of a left hand and the inside of a right one.
        inside = -palm[:, :, 2] if s == "l" else palm[:, :, 2]
        for finger, chain in points.items():
            secondary = inside - palm[:, :, 1] if finger == "thumb" else palm[:, :, 1]
            for k in (0, 1, 2):
                self.orient(f"hand_{s}_{finger}_{k + 1}", chain[k + 1] - chain[k], secondary)

    def leg(self, s: str) -> None:
        side = SIDES[s]
        for joint, name in (
            ("thigh", "hip"), ("calf", "knee"), ("foot", "ankle"), ("ball", "foot_index"),
        ):  # fmt: skip
            landmark = f"{side}_{name}"
            self.place(f"{joint}_{s}", self.mean("pose", landmark), "pose", landmark)
        for joint in GROUPS[f"{side}_leg"]:
            guess = self.state[:, INDEX[joint]] == JointState.INFERRED
            self.positions[guess, INDEX[joint]] = np.nan
            self.state[guess, INDEX[joint]] = JointState.MISSING
        upper = self.at(f"calf_{s}") - self.at(f"thigh_{s}")
        lower = self.at(f"foot_{s}") - self.at(f"calf_{s}")
        # A knee bends backwards.
        hinge = rotations.held_hinge(upper, lower, rotations.cross(upper, -self.forward()))
        self.orient(f"thigh_{s}", upper, hinge)
        self.orient(f"calf_{s}", lower, hinge)
        self.orient(f"foot_{s}", self.at(f"ball_{s}") - self.at(f"foot_{s}"), -lower)

    def forward(self) -> Array:
        """Out of the chest: in these left-handed axes, up × left; the camera's side if unknown."""
        forward = rotations.cross(self.up, self.lateral)
        return np.where(np.isfinite(forward), forward, np.array([0.0, 1.0, 0.0]))
