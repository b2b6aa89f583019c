# ruff: noqa: B905  (Unreal 5.0 to 5.3 bring Python 3.9, whose zip knows no "strict")
"""Makes animation sequences in the Unreal editor from the package this file lies in.

Needs nothing but the editor's own Python (5.2 or later; 5.0 and 5.1 by a fallback) with the plugin
"Python Editor Script Plugin". In the editor's command line, set to "Cmd":

    py "D:/exports/hei/hei_01/unreal_import.py" --body /Game/Characters/SKM_Body --face /Game/...

``--body``  the avatar's body: a skeletal mesh or a skeleton (right-click, Copy Reference).
``--face``  the face's skeletal mesh or skeleton, where the avatar has one of its own, as a
            MetaHuman has. Without it the face curves are put on the body's sequence.
``--folder``, ``--name``  where the sequences go and what they are called, in place of what
            metahuman_mapping.json says.

What it does: reads the skeleton's own reference pose, builds from it the anatomical frames that
tracking_v2.jsonl.gz holds per joint and frame (see ``reference_frames``), and turns each bone by
the difference: R(t) = F(t) · F_ref⁻¹ · R_ref, in component space, then relative to the parent.
Translations stay those of the reference pose, so bone lengths do. An existing sequence of the same
name is filled anew, never deleted. At the end the sequence is read back, raw and compressed, and
unreal_import_report.json is written beside this file; a deviation ends in an error.

Taken for granted about the avatar (see "assumptions" in meta.json): in component space it faces
+Y with its left at +X and up at +Z, and in the reference pose its head looks straight ahead. Which
bones are driven, and how, can be changed in metahuman_mapping.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import pathlib
import sys
from typing import Any

try:
    import unreal
except ImportError:  # outside the editor the mathematics below still works, for tests
    unreal = None

Vector = tuple[float, float, float]
Quat = tuple[float, float, float, float]
"""x, y, z, w"""

UP: Vector = (0.0, 0.0, 1.0)
LEFT: Vector = (1.0, 0.0, 0.0)
IDENTITY: Quat = (0.0, 0.0, 0.0, 1.0)

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
STRAIGHT_DEG = (5.0, 20.0)  # as the exporter's: below, a bent limb's hinge says nothing; above, all
DEGENERATE_DEG = 5.0
MAX_TRANSLATION_CM = 0.05
MAX_QUAT_COMPONENT = 0.003


class PackageError(RuntimeError):
    """The package cannot be imported as it is; the message says what to do."""


# ---------------------------------------------------------------- vectors and quaternions


def add(a: Vector, b: Vector) -> Vector:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def sub(a: Vector, b: Vector) -> Vector:
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


def scaled(a: Vector, k: float) -> Vector:
    return (a[0] * k, a[1] * k, a[2] * k)


def dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def unit(a: Vector) -> Vector:
    length = math.sqrt(dot(a, a))
    return scaled(a, 1.0 / length) if length > 0.0 else (0.0, 0.0, 0.0)


def multiply(a: Quat, b: Quat) -> Quat:
    """The rotation b followed by a."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def inverse(q: Quat) -> Quat:
    return (-q[0], -q[1], -q[2], q[3])


def normalized(q: Quat) -> Quat:
    length = math.sqrt(sum(c * c for c in q))
    return (q[0] / length, q[1] / length, q[2] / length, q[3] / length)


def rotate(q: Quat, v: Vector) -> Vector:
    axis: Vector = (q[0], q[1], q[2])
    twice = scaled(cross(axis, v), 2.0)
    return add(add(v, scaled(twice, q[3])), cross(axis, twice))


def nearer(q: Quat, to: Quat) -> Quat:
    """q or -q, which are one rotation: the one on the side of ``to``."""
    same = q[0] * to[0] + q[1] * to[1] + q[2] * to[2] + q[3] * to[3]
    return q if same >= 0.0 else (-q[0], -q[1], -q[2], -q[3])


def slerp(a: Quat, b: Quat, share: float) -> Quat:
    b = nearer(b, a)
    cosine = min(1.0, a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3])
    angle = math.acos(cosine)
    if angle < 1e-6:
        return a if share < 0.5 else b
    one = math.sin((1.0 - share) * angle) / math.sin(angle)
    two = math.sin(share * angle) / math.sin(angle)
    x, y, z, w = (one * p + two * q for p, q in zip(a, b))
    return normalized((x, y, z, w))


def frame(primary: Vector, secondary: Vector) -> Quat | None:
    """Rotation whose columns are x = primary, y = secondary made orthogonal, z = x × y.

    None where the two lie nearly on one line.
    """
    x = unit(primary)
    cosine = abs(dot(x, unit(secondary)))
    if not dot(x, x) > 0.0 or cosine >= math.cos(math.radians(DEGENERATE_DEG)):
        return None
    y = unit(sub(secondary, scaled(x, dot(secondary, x))))
    if dot(y, y) == 0.0:
        return None
    return from_columns(x, y, cross(x, y))


def from_columns(x: Vector, y: Vector, z: Vector) -> Quat:
    """Rotation matrix, given by columns, -> quaternion, by way of its largest component."""
    trace = x[0] + y[1] + z[2]
    if trace > 0.0:
        s = 2.0 * math.sqrt(trace + 1.0)
        q = ((y[2] - z[1]) / s, (z[0] - x[2]) / s, (x[1] - y[0]) / s, 0.25 * s)
    elif x[0] >= y[1] and x[0] >= z[2]:
        s = 2.0 * math.sqrt(1.0 + x[0] - y[1] - z[2])
        q = (0.25 * s, (y[0] + x[1]) / s, (z[0] + x[2]) / s, (y[2] - z[1]) / s)
    elif y[1] >= z[2]:
        s = 2.0 * math.sqrt(1.0 + y[1] - x[0] - z[2])
        q = ((y[0] + x[1]) / s, 0.25 * s, (z[1] + y[2]) / s, (z[0] - x[2]) / s)
    else:
        s = 2.0 * math.sqrt(1.0 + z[2] - x[0] - y[1])
        q = ((z[0] + x[2]) / s, (z[1] + y[2]) / s, 0.25 * s, (x[1] - y[0]) / s)
    return normalized(q)


# ---------------------------------------------------------------- the retarget


class Bone:
    """A bone of the target's reference pose; position (cm) and rotation in component space."""

    def __init__(self, parent: str | None, position: Vector, rotation: Quat) -> None:
        self.parent = parent
        self.position = position
        self.rotation = rotation


def reference_frames(bones: dict[str, Bone], torso_up: str) -> dict[str, Quat]:
    """Anatomical frames of the reference pose, by the exporter's recipes; joint -> frame.

    ``torso_up`` is the header's: "vertical" where the clip's chest was assumed upright. A joint
    whose bones the skeleton lacks is left out.
    """
    found: dict[str, Quat | None] = {}

    def at(*names: str) -> Vector | None:
        if not all(name in bones for name in names):
            return None
        total = (0.0, 0.0, 0.0)
        for name in names:
            total = add(total, bones[name].position)
        return scaled(total, 1.0 / len(names))

    def between(start: str, end: str) -> Vector | None:
        if start not in bones or end not in bones:
            return None
        return sub(bones[end].position, bones[start].position)

    def put(joint: str, primary: Vector | None, secondary: Vector | None) -> None:
        if primary is not None and secondary is not None:
            found[joint] = frame(primary, secondary)

    hips = at("thigh_l", "thigh_r") or at("pelvis")
    shoulders = at("upperarm_l", "upperarm_r")
    lateral = between("upperarm_r", "upperarm_l") or LEFT
    up = UP
    if torso_up != "vertical" and hips is not None and shoulders is not None:
        up = sub(shoulders, hips)
    forward = cross(up, lateral)
    put("root", up, between("thigh_r", "thigh_l") or LEFT)
    put("spine_03", up, lateral)
    put("head", UP, LEFT)
    for s, sign in (("l", 1.0), ("r", -1.0)):
        put(f"clavicle_{s}", scaled(lateral, sign), up)
        upper = between(f"upperarm_{s}", f"lowerarm_{s}")
        lower = between(f"lowerarm_{s}", f"hand_{s}")
        if upper is not None and lower is not None:
            hinge = hinge_axis(upper, lower, cross(upper, forward))
            put(f"upperarm_{s}", upper, hinge)
            put(f"lowerarm_{s}", lower, hinge)
        _hand_frames(bones, s, between, put, found)
        upper = between(f"thigh_{s}", f"calf_{s}")
        lower = between(f"calf_{s}", f"foot_{s}")
        if upper is not None and lower is not None:
            hinge = hinge_axis(upper, lower, cross(upper, scaled(forward, -1.0)))
            put(f"thigh_{s}", upper, hinge)
            put(f"calf_{s}", lower, hinge)
            put(f"foot_{s}", between(f"foot_{s}", f"ball_{s}"), scaled(lower, -1.0))
    return {joint: q for joint, q in found.items() if q is not None}


def _hand_frames(bones: dict[str, Bone], s: str, between: Any, put: Any, found: Any) -> None:
    put(
        f"wrist_{s}",
        between(f"hand_{s}", f"middle_01_{s}"),
        between(f"pinky_01_{s}", f"index_01_{s}"),
    )
    palm = found.get(f"wrist_{s}")
    if palm is None:
        return
    across = rotate(palm, (0.0, 1.0, 0.0))
    inside = rotate(palm, (0.0, 0.0, -1.0 if s == "l" else 1.0))
    for finger in FINGERS:
        secondary = sub(inside, across) if finger == "thumb" else across
        one, two, three = (f"{finger}_0{k}_{s}" for k in (1, 2, 3))
        put(f"hand_{s}_{finger}_1", between(one, two), secondary)
        put(f"hand_{s}_{finger}_2", between(two, three), secondary)
        if two in bones and three in bones:
            # No bone ends the last phalanx; it lies along the same axis of its bone as the one
            # before it.
            along = rotate(inverse(bones[two].rotation), between(two, three))
            put(f"hand_{s}_{finger}_3", rotate(bones[three].rotation, along), secondary)


def hinge_axis(upper: Vector, lower: Vector, straight: Vector) -> Vector:
    """Axis about which ``lower`` is bent from ``upper``; ``straight`` where it is not bent."""
    upper, lower = unit(upper), unit(lower)
    bend = math.degrees(math.acos(max(-1.0, min(1.0, dot(upper, lower)))))
    low, high = STRAIGHT_DEG
    share = max(0.0, min(1.0, (min(bend, 180.0 - bend) - low) / (high - low)))
    start = unit(sub(straight, scaled(upper, dot(straight, upper))))
    if share == 0.0:
        return start
    measured = unit(cross(upper, lower))
    turn = share * math.atan2(dot(cross(start, measured), upper), dot(start, measured))
    return add(scaled(start, math.cos(turn)), scaled(cross(upper, start), math.sin(turn)))


class Retargeted:
    """Keys per bone: rotations relative to the parent; how many of them no frame stood behind."""

    def __init__(self) -> None:
        self.keys: dict[str, list[Quat]] = {}
        self.filled: dict[str, int] = {}
        self.skipped: dict[str, str] = {}


def retarget(
    bones: dict[str, Bone],
    mapping: dict[str, Any],
    joints: dict[str, list[Quat | None]],
    torso_up: str,
) -> Retargeted:
    """Rotations of every driven bone that the skeleton has.

    Args:
        bones: the reference pose; parents before children.
        mapping: contents of metahuman_mapping.json.
        joints: joint -> its anatomical frame per key, None where unknown.
        torso_up: see `reference_frames`.
    """
    count = len(next(iter(joints.values()))) if joints else 0
    out = Retargeted()
    turns = turns_of(joints, reference_frames(bones, torso_up))
    driven = driven_bones(bones, mapping, turns, count, out.skipped)
    component: dict[str, list[Quat]] = {}
    for name, bone in bones.items():
        if bone.parent is None:
            above, rest = [IDENTITY] * count, bone.rotation
        else:
            above = component[bone.parent]
            rest = multiply(inverse(bones[bone.parent].rotation), bone.rotation)
        keys = [rest] * count
        if name in driven:
            local = [
                None if turn is None else multiply(inverse(up), multiply(turn, bone.rotation))
                for turn, up in zip(driven[name], above)
            ]
            keys = out.keys[name] = fill(local)
            if None in local:
                out.filled[name] = local.count(None)
        component[name] = [multiply(up, q) for up, q in zip(above, keys)]
    return out


def turns_of(
    joints: dict[str, list[Quat | None]], reference: dict[str, Quat]
) -> dict[str, list[Quat | None]]:
    """Joint -> turn from the reference pose to each key, in component space: F(t) · F_ref⁻¹.

    Joints that are known in no key, or whose bones the skeleton lacks, are left out.
    """
    turns: dict[str, list[Quat | None]] = {}
    for joint, track in joints.items():
        if joint in reference and any(q is not None for q in track):
            back = inverse(reference[joint])
            turns[joint] = [None if q is None else multiply(q, back) for q in track]
    return turns


def driven_bones(
    bones: dict[str, Bone],
    mapping: dict[str, Any],
    turns: dict[str, list[Quat | None]],
    count: int,
    skipped: dict[str, str],
) -> dict[str, list[Quat | None]]:
    """Bone -> its turn per key, for the bones there are and have something to follow."""
    still: list[Quat | None] = [IDENTITY] * count
    driven: dict[str, list[Quat | None]] = {}
    for name, drive in mapping["bones"].items():
        if name not in bones:
            skipped[name] = "the skeleton has no such bone"
        elif drive["frame"] in turns:
            driven[name] = turns[drive["frame"]]
        elif drive.get("unknown") == "upright" and "root" in turns:
            driven[name] = still
        else:
            skipped[name] = f"the orientation of {drive['frame']} is known in no frame"
    for chain in mapping["chains"].values():
        present = [name for name in chain["bones"] if name in bones]
        steps = len(present) + (0 if chain["reaches_end"] else 1)
        first, last = (turns.get(joint) for joint in chain["between"])
        for place, name in enumerate(present):
            if last is None:  # nothing to turn towards: the bone follows its parent
                skipped[name] = f"the orientation of {chain['between'][1]} is known in no frame"
                continue
            driven[name] = [
                None if a is None or b is None else slerp(a, b, (place + 1) / steps)
                for a, b in zip(first or still, last)
            ]
    return driven


def fill(track: list[Quat | None]) -> list[Quat]:
    """Gaps closed: turned evenly from the last known to the next, held before and after.

    Signs are made continuous, since q and -q are one rotation but not on the way between keys.
    """
    known = [(k, q) for k, q in enumerate(track) if q is not None]
    out: list[Quat] = []
    place = 0
    for k in range(len(track)):
        while place + 1 < len(known) and known[place + 1][0] <= k:
            place += 1
        start, q = known[place]
        if k > start and place + 1 < len(known):
            end, following = known[place + 1]
            q = slerp(q, following, (k - start) / (end - start))
        q = normalized(q)
        out.append(nearer(q, out[-1]) if out else q)
    return out


def face_keys(
    mapping: dict[str, Any], frames: list[dict[str, float] | None]
) -> dict[str, list[tuple[int, float]]]:
    """Curve -> (key, value) for every key at which a face was seen; values in 0..1."""
    face = mapping["face"]
    out: dict[str, list[tuple[int, float]]] = {}
    seen = [(k, features) for k, features in enumerate(frames) if features]
    for curve, sources in face["curves"].items():
        out[curve] = [
            (k, clamp(sum(weight * features.get(name, 0.0) for name, weight in sources.items())))
            for k, features in seen
        ]
    lips = face["lips_together"]
    for curve in lips["curves"]:
        out[curve] = []
        for k, features in seen:
            opening = features.get(lips["denominator"], 0.0)
            # Over a closed jaw the ratio means nothing, and closed lips need no closing.
            share = features.get(lips["numerator"], 0.0) / opening if opening > 0.02 else 0.0
            out[curve].append((k, clamp(share)))
    if seen:
        for curve, value in face["constants"].items():
            out[curve] = [(0, value)]
    return {curve: keys for curve, keys in out.items() if keys}


def clamp(value: float) -> float:
    return max(0.0, min(1.0, value))


# ---------------------------------------------------------------- the package


class Package:
    """The files beside this script, read."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.mapping: dict[str, Any] = json.loads(
            (folder / "metahuman_mapping.json").read_text(encoding="utf-8")
        )
        track = folder / "tracking_v2.jsonl.gz"
        with gzip.open(track, "rt", encoding="utf-8") as lines:
            self.header: dict[str, Any] = json.loads(next(lines))
            self.frames: list[dict[str, Any]] = [json.loads(line) for line in lines]
        if self.header.get("format") != "tracker.tracking" or self.header.get("version") != 2:
            raise PackageError(f"{track} is no tracking_v2 file; export the package again")
        if len(self.frames) != self.header["frames"]:
            raise PackageError(
                f"{track} holds {len(self.frames)} of its {self.header['frames']} frames: the "
                "copy is incomplete; copy or export the package again"
            )
        if len(self.frames) == 1:  # a sequence needs two keys; one pose stands still
            self.frames = self.frames * 2
        rate = self.header["fps"]
        self.rate: tuple[int, int] = (rate["numerator"], rate["denominator"])

    def seconds(self, key: int) -> float:
        return key * self.rate[1] / self.rate[0]

    def joints(self) -> dict[str, list[Quat | None]]:
        """Joint -> its anatomical frame per key, None where unknown."""
        out: dict[str, list[Quat | None]] = {}
        for joint in self.header["joints"]:
            track: list[Quat | None] = []
            for entry in self.frames:
                q = entry["joints"][joint["name"]]["q"]
                track.append(None if q is None else normalized((q[0], q[1], q[2], q[3])))
            out[joint["name"]] = track
        return out


# ---------------------------------------------------------------- the editor


def load_target(path: str) -> tuple[Any, Any]:
    """(skeleton, preview mesh or None) of a skeletal mesh's or skeleton's asset path."""
    # "Copy Reference" gives SkeletalMesh'/Game/x.x'
    plain = path.split("'")[1] if "'" in path else path
    asset = unreal.EditorAssetLibrary.load_asset(plain)
    if isinstance(asset, unreal.SkeletalMesh):
        return asset.skeleton, asset
    if isinstance(asset, unreal.Skeleton):
        return asset, None
    raise PackageError(
        f"{path} is no skeletal mesh and no skeleton; right-click the avatar's in the content "
        "browser, choose Copy Reference and pass what it gives"
    )


def open_sequence(path: str, skeleton: Any, mesh: Any, rate: tuple[int, int]) -> Any:
    """The animation sequence at a content path, new or emptied."""
    if unreal.EditorAssetLibrary.does_asset_exist(path):
        sequence = unreal.EditorAssetLibrary.load_asset(path)
        if not isinstance(sequence, unreal.AnimSequence):
            raise PackageError(f"{path} exists and is no animation sequence; pass another --name")
        if sequence.get_editor_property("skeleton") != skeleton:
            raise PackageError(f"{path} exists for another skeleton; pass another --name")
        controller = sequence.controller
        controller.remove_all_bone_tracks(False)
        controller.remove_all_curves_of_type(unreal.RawCurveTrackTypes.RCT_FLOAT, False)
        return sequence
    factory = unreal.AnimSequenceFactory()
    factory.set_editor_property("target_skeleton", skeleton)
    if mesh is not None:
        factory.set_editor_property("preview_skeletal_mesh", mesh)
    # 5.8 makes new sequences at the project's rate and may refuse another one afterwards.
    settings = unreal.get_default_object(unreal.AnimationSettings)
    usual = settings.get_editor_property("default_frame_rate")
    settings.set_editor_property("default_frame_rate", unreal.FrameRate(rate[0], rate[1]))
    try:
        tools = unreal.AssetToolsHelpers.get_asset_tools()
        folder, _, name = path.rpartition("/")
        sequence = tools.create_asset(name, folder, unreal.AnimSequence, factory)
    finally:
        settings.set_editor_property("default_frame_rate", usual)
    if sequence is None:
        raise PackageError(f"the editor could not create {path}; is the folder writable?")
    return sequence


def read_reference(skeleton: Any, sequence: Any) -> tuple[dict[str, Bone], dict[str, Any]]:
    """The reference pose, parents first, and its transforms relative to the parents."""
    poses = unreal.AnimPoseExtensions
    pose = poses.get_reference_pose(skeleton)
    names = [str(name) for name in poses.get_bone_names(pose)]
    bones: dict[str, Bone] = {}
    local: dict[str, Any] = {}
    for name in names:
        path = [
            str(step) for step in unreal.AnimationLibrary.find_bone_path_to_root(sequence, name)
        ]
        if path and path[0] != name:
            path.reverse()
        whole = poses.get_bone_pose(pose, name, unreal.AnimPoseSpaces.WORLD)
        local[name] = poses.get_bone_pose(pose, name, unreal.AnimPoseSpaces.LOCAL)
        t, q = whole.translation, whole.rotation
        parent = path[1] if len(path) > 1 and path[1] in names else None
        bones[name] = Bone(parent, (t.x, t.y, t.z), normalized((q.x, q.y, q.z, q.w)))
    ordered: dict[str, Bone] = {}

    def visit(name: str) -> None:
        if name not in ordered:
            parent = bones[name].parent
            if parent is not None:
                visit(parent)
            ordered[name] = bones[name]

    for name in names:
        visit(name)
    return ordered, local


def write_bones(
    sequence: Any, keys: dict[str, list[Quat]], local: dict[str, Any], problems: list[str]
) -> None:
    controller = sequence.controller
    for name, rotations in keys.items():
        rest = local[name]
        # add_bone_curve came with 5.2, in place of add_bone_track.
        if hasattr(controller, "add_bone_curve"):
            added = controller.add_bone_curve(name, False)
        else:
            added = controller.add_bone_track(name, False) >= 0
        translations = [unreal.Vector(*_xyz(rest.translation)) for _ in rotations]
        scales = [unreal.Vector(*_xyz(rest.scale3d)) for _ in rotations]
        quats = [unreal.Quat(q[0], q[1], q[2], q[3]) for q in rotations]
        if not added or not controller.set_bone_track_keys(
            name, translations, quats, scales, False
        ):
            problems.append(f"the editor refused the keys of bone {name}")


def _xyz(vector: Any) -> Vector:
    return (vector.x, vector.y, vector.z)


def write_curves(
    sequence: Any, curves: dict[str, list[tuple[int, float]]], package: Package
) -> None:
    library = unreal.AnimationLibrary
    for name, keys in curves.items():
        library.add_curve(sequence, name, unreal.RawCurveTrackTypes.RCT_FLOAT, False)
        times = [package.seconds(k) for k, _ in keys]
        library.add_float_curve_keys(sequence, name, times, [value for _, value in keys])


def fill_sequence(
    sequence: Any,
    package: Package,
    keys: dict[str, list[Quat]],
    local: dict[str, Any],
    curves: dict[str, list[tuple[int, float]]],
) -> dict[str, Any]:
    """Writes keys and curves, reads them back; returns the sequence's part of the report."""
    problems: list[str] = []
    count = len(package.frames)
    controller = sequence.controller
    controller.open_bracket("Import of a tracked clip", False)
    try:
        controller.set_frame_rate(unreal.FrameRate(package.rate[0], package.rate[1]), False)
        controller.set_number_of_frames(unreal.FrameNumber(count - 1), False)
        write_bones(sequence, keys, local, problems)
    finally:
        controller.close_bracket(False)
    write_curves(sequence, curves, package)
    unreal.AnimationLibrary.finalize_bone_animation(sequence)
    report: dict[str, Any] = {
        "keys": {
            "expected": count,
            "found": unreal.AnimationLibrary.get_num_keys(sequence),
        },
        "bones_keyed": len(keys),
        "curves": len(curves),
        "readback": read_back(sequence, keys, local, problems),
    }
    if report["keys"]["found"] != count:
        problems.append(f"the sequence has {report['keys']['found']} keys in place of {count}")
    check_curves(sequence, curves, problems)
    if not unreal.EditorAssetLibrary.save_loaded_asset(sequence):
        problems.append("the sequence could not be saved")
    report["problems"] = problems
    return report


def read_back(
    sequence: Any, keys: dict[str, list[Quat]], local: dict[str, Any], problems: list[str]
) -> dict[str, Any]:
    """Largest deviations of the sequence from what was written, over at most 25 of its keys."""
    out: dict[str, Any] = {}
    count = len(next(iter(keys.values()))) if keys else 0
    checked = sorted({round(k * (count - 1) / 24) for k in range(25)}) if count else []
    poses = unreal.AnimPoseExtensions
    for label in ("RAW", "COMPRESSED"):
        options = unreal.AnimPoseEvaluationOptions()
        options.evaluation_type = getattr(unreal.AnimDataEvalType, label)
        shift = turn = 0.0
        worst = ""
        for k in checked:
            pose = poses.get_anim_pose_at_frame(sequence, k, options)
            for name, rotations in keys.items():
                found = poses.get_bone_pose(pose, name, unreal.AnimPoseSpaces.LOCAL)
                moved = max(
                    abs(a - b)
                    for a, b in zip(_xyz(found.translation), _xyz(local[name].translation))
                )
                r = found.rotation
                q = nearer((r.x, r.y, r.z, r.w), rotations[k])
                off = max(abs(a - b) for a, b in zip(q, rotations[k]))
                if off > turn:
                    worst = name
                shift, turn = max(shift, moved), max(turn, off)
        out[label.lower()] = {
            "keys_checked": len(checked),
            "max_translation_cm": round(shift, 6),
            "max_quaternion_component": round(turn, 6),
            "worst_bone": worst,
        }
        if shift > MAX_TRANSLATION_CM or turn > MAX_QUAT_COMPONENT:
            problems.append(
                f"read back {label.lower()}, the sequence deviates by {shift:.3f} cm and "
                f"{turn:.4f} per quaternion component (most at {worst})"
            )
    return out


def check_curves(
    sequence: Any, curves: dict[str, list[tuple[int, float]]], problems: list[str]
) -> None:
    for name, keys in curves.items():
        _, values = unreal.AnimationLibrary.get_float_keys(sequence, name)
        wanted = [value for _, value in keys]
        if len(values) != len(wanted) or any(abs(a - b) > 1e-4 for a, b in zip(values, wanted)):
            problems.append(f"curve {name} reads back otherwise than it was written")


def run(
    folder: pathlib.Path,
    body: str,
    face: str | None = None,
    asset_folder: str | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """Imports the package in ``folder``; returns the report, which is also written there.

    Raises:
        PackageError: something could not be imported, or reads back otherwise than written.
    """
    if unreal is None:
        raise PackageError("this script runs inside the Unreal editor; its first lines say how")
    package = Package(folder)
    target = package.mapping["unreal"]
    path = f"{asset_folder or target['asset_path']}/{name or target['asset_name']}"
    joints = package.joints()
    with_body = any(q is not None for track in joints.values() for q in track)
    curves = face_keys(package.mapping, [entry["face"] for entry in package.frames])
    if not with_body and not curves:
        raise PackageError("the package holds neither a body nor a face in any frame")
    sequences: dict[str, Any] = {}
    notes: list[str] = []
    if not with_body:
        notes.append("no joint was seen, so no bone is keyed")
    if not curves:
        notes.append("no face was seen, so there are no face curves")
    elif face is None:
        notes.append("without --face the face curves are on the body's sequence")
    if with_body or face is None:
        sequences[f"{path}_Body"] = import_body(
            package, f"{path}_Body", body, joints, curves if face is None else {}
        )
    if curves and face is not None:
        skeleton, mesh = load_target(face)
        sequence = open_sequence(f"{path}_Face", skeleton, mesh, package.rate)
        sequences[f"{path}_Face"] = fill_sequence(sequence, package, {}, {}, curves)
    problems = [problem for part in sequences.values() for problem in part["problems"]]
    report = {
        "package": folder.name,
        "engine": unreal.SystemLibrary.get_engine_version(),
        "status": "failed" if problems else "ok",
        "sequences": sequences,
        "notes": notes,
    }
    where = write_report(folder, report)
    if problems:
        raise PackageError(f"{'; '.join(problems[:5])}. Report: {where}")
    unreal.log(f"Imported {', '.join(sequences)}. Report: {where}")
    return report


def import_body(
    package: Package,
    path: str,
    target: str,
    joints: dict[str, list[Quat | None]],
    curves: dict[str, list[tuple[int, float]]],
) -> dict[str, Any]:
    """Makes the body's sequence; returns its part of the report."""
    skeleton, mesh = load_target(target)
    sequence = open_sequence(path, skeleton, mesh, package.rate)
    bones, local = read_reference(skeleton, sequence)
    result = retarget(bones, package.mapping, joints, package.header["torso_up"])
    part = fill_sequence(sequence, package, result.keys, local, curves)
    part["bones_skipped"] = result.skipped
    part["keys_without_data"] = result.filled
    if not result.keys and any(q is not None for track in joints.values() for q in track):
        part["problems"].append(
            "the skeleton has no bone that metahuman_mapping.json names; edit the names there"
        )
    return part


def write_report(folder: pathlib.Path, report: dict[str, Any]) -> pathlib.Path:
    """Beside the package, or in the project's Saved folder where that cannot be written."""
    text = json.dumps(report, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    path = folder / "unreal_import_report.json"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError:
        path = pathlib.Path(unreal.Paths.project_saved_dir()) / f"{folder.name}_import_report.json"
        path.write_text(text, encoding="utf-8")
    return path


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Imports a tracked clip into Unreal.")
    parser.add_argument("--body", required=True, help="the body's skeletal mesh or skeleton")
    parser.add_argument("--face", help="the face's skeletal mesh or skeleton, if it has its own")
    parser.add_argument("--folder", help="content folder of the sequences")
    parser.add_argument("--name", help="name of the sequences, before _Body and _Face")
    chosen = parser.parse_args(arguments)
    here = pathlib.Path(__file__).resolve().parent
    run(here, chosen.body, chosen.face, chosen.folder, chosen.name)


if __name__ == "__main__":
    main(sys.argv[1:])
