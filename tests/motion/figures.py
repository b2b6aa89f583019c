"""Invented figures: a mannequin with bones, poses of it, and the tracks a camera would give.

Axes and units are Unreal's component space (centimetres, +x the figure's left, +y forward, +z up).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.landmarks.tracks import State, Tracks

Array = npt.NDArray[np.float64]
Turns = Mapping[str, Array]
"""Bone -> rotation vector in degrees, about the bone's own axes."""

FINGERS = ("index", "middle", "ring", "pinky")
MIRROR = np.diag([-1.0, 1.0, 1.0])


def direction(a: Array, b: Array) -> Array:
    return np.asarray((b - a) / np.linalg.norm(b - a))


def basis(primary: Array, secondary: Array) -> Array:
    x = primary / np.linalg.norm(primary)
    y = secondary - x * (secondary @ x)
    y /= np.linalg.norm(y)
    return np.column_stack([x, y, np.cross(x, y)])


@dataclass(frozen=True)
class Figure:
    """Bones with parents first; tips are points and no bones of a real skeleton."""

    parents: dict[str, str | None]
    positions: dict[str, Array]
    axes: dict[str, Array]

    def without(self, *words: str) -> Figure:
        """Lacking every bone whose name holds one of the words; children move to the parent."""

        def gone(name: str) -> bool:
            return any(word in name for word in words)

        def parent(name: str) -> str | None:
            above = self.parents[name]
            while above is not None and gone(above):
                above = self.parents[above]
            return above

        kept = [name for name in self.parents if not gone(name)]
        return Figure(
            {name: parent(name) for name in kept},
            {name: self.positions[name] for name in kept},
            {name: self.axes[name] for name in kept},
        )

    def posed(self, turns: Turns) -> Figure:
        """The figure with bones turned about their own axes, children carried along."""
        local = {
            name: (self.axes[above].T @ self.axes[name]) if above else self.axes[name]
            for name, above in self.parents.items()
        }
        for name, degrees in turns.items():
            local[name] = local[name] @ Rotation.from_rotvec(degrees, degrees=True).as_matrix()
        return self.with_local(local)

    def with_local(self, local: Mapping[str, Array]) -> Figure:
        """The figure with the given rotations relative to the parents (others as they are)."""
        positions: dict[str, Array] = {}
        axes: dict[str, Array] = {}
        for name, above in self.parents.items():
            if above is None:
                positions[name] = self.positions[name]
                axes[name] = local.get(name, self.axes[name])
                continue
            offset = self.axes[above].T @ (self.positions[name] - self.positions[above])
            positions[name] = positions[above] + axes[above] @ offset
            axes[name] = axes[above] @ local.get(name, self.axes[above].T @ self.axes[name])
        return replace(self, positions=positions, axes=axes)

    def mirrored(self) -> Figure:
        """Left and right changed: the figure in a mirror, its bones named anew."""

        def other(name: str) -> str:
            return f"{name[:-1]}{'r' if name[-1] == 'l' else 'l'}" if name[-2:-1] == "_" else name

        sided = {n for n in self.parents if n.endswith(("_l", "_r"))}
        swap = {n: other(n) if n in sided else n for n in self.parents}
        positions = {n: MIRROR @ self.positions[swap[n]] for n in self.parents}
        # Only the positions of a mirrored figure are ever used.
        return Figure(self.parents, positions, self.axes)


def mannequin(  # noqa: PLR0915 - a table of offsets in order
    drop: float = 52.0, bend: float = 12.0, scale: float = 1.0, slim: float = 1.0
) -> Figure:
    """A figure whose arms hang ``drop`` degrees below the horizontal, elbows bent ``bend`` degrees.

    Left bones point along +X, right ones along -X, mirrored, as Unreal's mannequins have them.
    """
    parents: dict[str, str | None] = {}
    positions: dict[str, Array] = {}
    towards: dict[str, str] = {}

    def put(name: str, parent: str | None, *where: float) -> Array:
        parents[name] = parent
        positions[name] = np.array(where, float) * scale
        return np.array(where, float)

    put("root", None, 0, 0, 0)
    put("pelvis", "root", 0, 0.5, 96)
    above = "pelvis"
    for k, (y, z) in enumerate(((0.2, 100), (-0.6, 107), (-1.2, 115), (-1.6, 125), (-1.4, 137)), 1):
        put(f"spine_0{k}", above, 0, y, z)
        towards[above] = f"spine_0{k}"
        above = f"spine_0{k}"
    put("neck_01", "spine_05", 0, -0.8, 149)
    put("neck_02", "neck_01", 0, 0.3, 154.5)
    put("head", "neck_02", 0, 1.5, 160)
    towards |= {"spine_05": "neck_01", "neck_01": "neck_02", "neck_02": "head"}
    a, b = np.radians(drop), np.radians(bend)
    arm = np.array([np.cos(a), 0.04, -np.sin(a)])
    arm /= np.linalg.norm(arm)
    ahead = direction(np.zeros(3), np.array([0, 1.0, 0]) - arm * arm[1])
    fore = np.cos(b) * arm + np.sin(b) * ahead
    lateral = np.cos(b) * ahead - np.sin(b) * arm
    inside = -np.cross(fore, lateral)
    put("clavicle_l", "spine_05", 2.2, 0, 146)
    shoulder = put("upperarm_l", "clavicle_l", 17.5 * slim, -1.5, 144.5)
    elbow = put("lowerarm_l", "upperarm_l", *(shoulder + 28 * arm))
    wrist = put("hand_l", "lowerarm_l", *(elbow + 25.5 * fore))
    towards |= {"clavicle_l": "upperarm_l", "upperarm_l": "lowerarm_l", "lowerarm_l": "hand_l"}
    towards["hand_l"] = "middle_01_l"
    lengths = {
        "index": (4.5, 2.5, 2.1), "middle": (4.9, 2.9, 2.3),
        "ring": (4.6, 2.7, 2.2), "pinky": (3.6, 2.0, 1.9),
    }  # fmt: skip
    for place, finger in enumerate(FINGERS):
        side = 2.7 - 1.9 * place
        put(f"{finger}_metacarpal_l", "hand_l", *(wrist + 3 * fore + 0.5 * side * lateral))
        towards[f"{finger}_metacarpal_l"] = f"{finger}_01_l"
        joint = wrist + (9.2 - 0.4 * place) * fore + side * lateral
        put(f"{finger}_01_l", f"{finger}_metacarpal_l", *joint)
        for k, length in enumerate(lengths[finger], 2):
            curl = np.radians(7.0 * (k - 1))
            joint = joint + length * (np.cos(curl) * fore + np.sin(curl) * inside)
            name = f"{finger}_tip_l" if k == 4 else f"{finger}_0{k}_l"
            put(name, f"{finger}_0{k - 1}_l", *joint)
            towards[f"{finger}_0{k - 1}_l"] = name
    along = direction(np.zeros(3), fore + 0.8 * lateral + 0.3 * inside)
    joint = wrist + 2.4 * fore + 2.0 * lateral + 0.6 * inside
    put("thumb_01_l", "hand_l", *joint)
    for k, length in enumerate((4.3, 3.3, 2.6), 2):
        joint = joint + length * along
        name = "thumb_tip_l" if k == 4 else f"thumb_0{k}_l"
        put(name, f"thumb_0{k - 1}_l", *joint)
        towards[f"thumb_0{k - 1}_l"] = name
    put("thigh_l", "pelvis", 9.5, 0, 93)
    put("calf_l", "thigh_l", 10.5, 0.8, 50)
    put("foot_l", "calf_l", 11, -3, 9)
    put("ball_l", "foot_l", 12, 12, 2.5)
    towards |= {"thigh_l": "calf_l", "calf_l": "foot_l", "foot_l": "ball_l"}

    axes: dict[str, Array] = {"root": np.eye(3)}
    back = np.array([0.1, -1.0, 0.2])
    for name in list(parents):
        if name == "root":
            continue
        if name in towards:
            axes[name] = basis(positions[towards[name]] - positions[name], back)
        elif name == "head":
            axes[name] = basis(np.array([0, 0, 1.0]), back)
        else:  # tips and toes lie on their parent's axes
            axes[name] = axes[str(parents[name])]
    for name in [n for n in parents if n.endswith("_l")]:
        right = f"{name[:-1]}r"
        parent = str(parents[name])
        parents[right] = f"{parent[:-1]}r" if parent.endswith("_l") else parent
        positions[right] = MIRROR @ positions[name]
        axes[right] = -MIRROR @ axes[name]
    return Figure(parents, positions, axes)


def signing(frames: int, seed: int = 0, lively: float = 1.0) -> list[dict[str, Array]]:
    """Turns of smooth, random movements: every bone swings at its own rate, at most 1 Hz."""
    rng = np.random.default_rng(seed)
    reach = {"pelvis": 12.0, "head": 20.0, "upperarm": 45.0, "lowerarm": 40.0, "hand": 35.0}
    reach |= {"thigh": 20.0, "calf": 20.0, "foot": 10.0}
    reach |= {f"{finger}_0{k}": 20.0 for finger in FINGERS for k in (1, 2, 3)}
    reach |= {f"thumb_0{k}": 10.0 for k in (1, 2, 3)}
    bones = [
        (name, size)
        for stem, size in reach.items()
        for name in ([stem] if stem in ("pelvis", "head") else [f"{stem}_l", f"{stem}_r"])
    ]
    swing = {
        name: (
            rng.uniform(-size, size, 3) * lively,
            rng.uniform(0.2, 1.0, 3),
            rng.uniform(0, 6.3, 3),
        )
        for name, size in bones
    }
    return [
        {
            name: amplitude * np.sin(2 * np.pi * rate * k / 25 + phase)
            for name, (amplitude, rate, phase) in swing.items()
        }
        for k in range(frames)
    ]


# Centimetres from the head's bone, in its anatomical axes: left, forward, up.
HEAD_POINTS = {
    "nose": (0, 10, 2), "left_eye_inner": (1.5, 8, 5), "left_eye": (3, 8, 5),
    "left_eye_outer": (4.5, 7, 5), "right_eye_inner": (-1.5, 8, 5), "right_eye": (-3, 8, 5),
    "right_eye_outer": (-4.5, 7, 5), "left_ear": (7.5, 0, 3), "right_ear": (-7.5, 0, 3),
    "mouth_left": (2.5, 9, 1), "mouth_right": (-2.5, 9, 1),
}  # fmt: skip
FACE_POINTS = {
    234: (-7.5, 0, 3), 454: (7.5, 0, 3), 33: (-4.5, 7, 5), 263: (4.5, 7, 5),
    168: (0, 8.5, 6), 2: (0, 9.5, 0),
}  # fmt: skip
BODY_POINTS = {
    "shoulder": "upperarm", "elbow": "lowerarm", "wrist": "hand", "pinky": "pinky_01",
    "index": "index_01", "thumb": "thumb_02", "hip": "thigh", "knee": "calf", "ankle": "foot",
    "heel": "foot", "foot_index": "ball",
}  # fmt: skip


def head_turn(rest: Figure, posed: Figure) -> Array:
    """Rotation of the head from the reference pose, in component space."""
    return np.asarray(posed.axes["head"] @ rest.axes["head"].T)


def to_camera(points: Array) -> Array:
    """Component space (cm) -> x right, y down, z away from the camera (m)."""
    return np.stack([points[..., 0], -points[..., 2], -points[..., 1]], axis=-1) / 100.0


def tracks_of(rest: Figure, poses: Sequence[Figure], fps: float = 25.0) -> Tracks:
    """What a provider without error sees of the poses, everything observed."""
    tracks = Tracks.empty(HOLISTIC, np.arange(len(poses)) / fps, (640, 480))
    world = tracks.world.astype(np.float64)
    for t, figure in enumerate(poses):
        p = figure.positions
        hips = (p["thigh_l"] + p["thigh_r"]) / 2
        turn = head_turn(rest, figure)
        points = {n: p["head"] + turn @ np.array(v, float) for n, v in HEAD_POINTS.items()}
        for side in ("left", "right"):
            for landmark, bone in BODY_POINTS.items():
                points[f"{side}_{landmark}"] = p[f"{bone}_{side[0]}"]
            hand = [p[f"hand_{side[0]}"]] + [
                p[f"{finger}_{joint}_{side[0]}"]
                for finger in ("thumb", *FINGERS)
                for joint in ("01", "02", "03", "tip")
            ]
            part = HOLISTIC.part(f"{side}_hand")
            # The hands' world coordinates have an origin of their own.
            world[t, part.slice] = to_camera(np.array(hand) - np.mean(hand, axis=0))
        pose = HOLISTIC.part("pose")
        world[t, pose.slice] = to_camera(np.array([points[n] for n in pose.names]) - hips)
        face = HOLISTIC.part("face").slice
        tracks.positions[t, face] = 0.0
        for index, offset in FACE_POINTS.items():
            pixel = to_camera(turn @ np.array(offset, float)) * 500 + [320, 200, 0]
            tracks.positions[t, face.start + index] = pixel
    body = slice(0, HOLISTIC.part("face").start)
    tracks.positions[:, body] = world[:, body] * 400 + [320, 240, 0]
    shapes = 0.5 + 0.4 * np.sin(
        np.arange(len(HOLISTIC.blendshapes)) + np.arange(len(poses))[:, None]
    )
    return replace(
        tracks,
        world=world.astype(np.float32),
        confidence=np.ones_like(tracks.confidence),
        state=np.full_like(tracks.state, State.OBSERVED),
        blendshapes=shapes.astype(np.float32),
        provenance={
            "provider": "invented 1.0",
            "model_digest": "0" * 64,
            "source_sha256": "1" * 64,
        },
    )


def hide(tracks: Tracks, part: str, frames: slice, *names: str) -> Tracks:
    """The tracks with a part, or some of its landmarks, missing in some frames."""
    found = HOLISTIC.part(part)
    columns = np.array([HOLISTIC.index(part, name) for name in (names or found.names)])
    rows = np.arange(len(tracks))[frames]
    at = (rows[:, None], columns)
    world, positions = tracks.world.copy(), tracks.positions.copy()
    confidence, state = tracks.confidence.copy(), tracks.state.copy()
    blendshapes = tracks.blendshapes.copy()
    world[at], positions[at], confidence[at], state[at] = np.nan, np.nan, 0, State.MISSING
    if part == "face":
        blendshapes[rows] = np.nan
    return replace(
        tracks,
        world=world,
        positions=positions,
        confidence=confidence,
        state=state,
        blendshapes=blendshapes,
    )


def angle_deg(a: Array, b: Array) -> float:
    """Angle between two vectors, in degrees."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))
