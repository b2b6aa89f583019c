"""The canonical skeleton of figures whose every joint is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.motion.figures import (
    FINGERS,
    Figure,
    angle_deg,
    direction,
    head_turn,
    hide,
    mannequin,
    signing,
    tracks_of,
)
from tracker_core.landmarks.tracks import State, Tracks
from tracker_core.motion.skeleton import (
    GROUPS,
    INDEX,
    JOINTS,
    PARENTS,
    JointState,
    Motion,
    canonical_motion,
)

SEGMENTS = {
    f"{joint}_{s}": (f"{start}_{s}", f"{end}_{s}")
    for s in "lr"
    for joint, start, end in (
        ("upperarm", "upperarm", "lowerarm"),
        ("lowerarm", "lowerarm", "hand"),
        ("wrist", "hand", "middle_01"),
        ("thigh", "thigh", "calf"),
        ("calf", "calf", "foot"),
        ("foot", "foot", "ball"),
    )
} | {
    f"hand_{s}_{finger}_{k}": (
        f"{finger}_0{k}_{s}",
        f"{finger}_tip_{s}" if k == 3 else f"{finger}_0{k + 1}_{s}",
    )
    for s in "lr"
    for finger in ("thumb", *FINGERS)
    for k in (1, 2, 3)
}


@pytest.fixture(scope="module")
def clip() -> tuple[list[Figure], Tracks]:
    rest = mannequin(drop=10)
    poses = [rest.posed(turns) for turns in signing(40, seed=3)]
    return poses, tracks_of(rest, poses)


def test_parents_come_first_and_every_joint_is_in_one_group() -> None:
    seen: set[str] = set()
    for joint, parent in PARENTS.items():
        assert parent is None or parent in seen
        seen.add(joint)
    grouped = [joint for group in GROUPS.values() for joint in group]
    assert sorted(grouped) == sorted(JOINTS)


def test_positions_are_the_figures_in_metres_from_between_the_hips(
    clip: tuple[list[Figure], Tracks],
) -> None:
    poses, tracks = clip
    motion = canonical_motion(tracks)
    for t, figure in enumerate(poses):
        p = figure.positions
        hips = (p["thigh_l"] + p["thigh_r"]) / 2
        for joint, bone in (("wrist_l", "hand_l"), ("hand_r_index_2", "index_02_r")):
            expected = (p[bone] - hips) / 100
            assert np.allclose(motion.positions[t, INDEX[joint]], expected, atol=1e-5)
    assert (motion.state == JointState.OBSERVED).all()


def test_every_frame_points_along_its_segment_and_is_a_rotation(
    clip: tuple[list[Figure], Tracks],
) -> None:
    poses, tracks = clip
    motion = canonical_motion(tracks)
    for t, figure in enumerate(poses):
        for joint, (start, end) in SEGMENTS.items():
            frame = motion.frames[t, INDEX[joint]]
            along = direction(figure.positions[start], figure.positions[end])
            assert angle_deg(frame[:, 0], along) < 0.01, joint
            assert np.allclose(frame.T @ frame, np.eye(3), atol=1e-6)
            assert np.linalg.det(frame) > 0.99
    assert motion.torso_up == "hips"
    assert motion.head_from == "face"


def test_in_a_neutral_pose_the_axes_are_the_bodys() -> None:
    rest = mannequin()
    motion = canonical_motion(tracks_of(rest, [rest, rest]))

    def axis(joint: str, column: int) -> np.ndarray:
        return motion.frames[0, INDEX[joint], :, column]

    up, left, forward = np.array([0, 0, 1.0]), np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    for joint in ("root", "spine_03", "head"):
        assert angle_deg(axis(joint, 0), up) < 3.0
        assert angle_deg(axis(joint, 1), left) < 0.1
        assert angle_deg(axis(joint, 2), forward) < 3.0
    for s in "lr":
        # Index before pinky, palms down and inwards: the radial side is in front.
        assert axis(f"wrist_{s}", 1) @ forward > 0.8
        # The forearm folds towards the front about the hinge.
        hinge, upper = axis(f"upperarm_{s}", 1), axis(f"upperarm_{s}", 0)
        assert np.cross(hinge, upper) @ forward > 0.8


def test_a_mirrored_clip_gives_the_mirrored_skeleton(clip: tuple[list[Figure], Tracks]) -> None:
    poses, tracks = clip
    rest = mannequin(drop=10)
    seen = [figure.mirrored() for figure in poses]
    # Only the head is read from bone axes; it is turned as in the mirror.
    flip = np.diag([-1.0, 1, 1])
    seen = [
        replace(
            mirrored,
            axes={**rest.axes, "head": flip @ head_turn(rest, pose) @ flip @ rest.axes["head"]},
        )
        for mirrored, pose in zip(seen, poses, strict=True)
    ]
    one, other = canonical_motion(tracks), canonical_motion(tracks_of(rest, seen))
    for joint in JOINTS:
        swapped = joint
        for a, b in (("_l", "_r"), ("_r", "_l")):
            if joint.endswith(a) or f"{a}_" in joint:
                swapped = joint.replace(f"{a}_", f"{b}_") if f"{a}_" in joint else joint[:-2] + b
                break
        there = one.positions[:, INDEX[joint]] * [-1, 1, 1]
        assert np.allclose(other.positions[:, INDEX[swapped]], there, atol=1e-5), joint
        for column in (0, 1):
            here = one.frames[:, INDEX[joint], :, column] * [-1, 1, 1]
            reflected = other.frames[:, INDEX[swapped], :, column]
            lateral = joint in ("root", "spine_03", "head") and column == 1
            hinge = column == 1 and joint[:-2] in ("upperarm", "lowerarm", "thigh", "calf")
            # What points to the left, and a hinge (a cross product), turn round in a mirror.
            sign = -1.0 if lateral or hinge else 1.0
            assert np.allclose(sign * here, reflected, atol=1e-4, equal_nan=True), (joint, column)


def test_missing_parts_stay_missing_and_nothing_else_does(
    clip: tuple[list[Figure], Tracks],
) -> None:
    tracks = hide(clip[1], "left_hand", slice(5, 9))
    motion = canonical_motion(tracks)
    hand = [INDEX[joint] for joint in GROUPS["left_hand"]]
    assert (motion.state[5:9, hand] == JointState.MISSING).all()
    assert np.isnan(motion.positions[5:9, hand]).all()
    assert np.isnan(motion.frames[5:9, INDEX["wrist_l"]]).all()
    others = [j for j in range(len(JOINTS)) if j not in hand]
    assert (motion.state[:, others] == JointState.OBSERVED).all()
    assert np.isfinite(motion.frames[5:9, INDEX["lowerarm_l"]]).all()


def test_a_hand_without_its_arm_keeps_its_orientation_but_has_no_place(
    clip: tuple[list[Figure], Tracks],
) -> None:
    motion = canonical_motion(hide(clip[1], "pose", slice(None), "left_wrist"))
    assert np.isnan(motion.positions[:, INDEX["hand_l_index_1"]]).all()
    assert np.isfinite(motion.frames[:, INDEX["wrist_l"]]).all()
    assert np.isnan(motion.frames[:, INDEX["lowerarm_l"]]).all()


def test_without_hips_the_chest_is_upright_but_turns(clip: tuple[list[Figure], Tracks]) -> None:
    poses, tracks = clip
    motion = canonical_motion(hide(tracks, "pose", slice(0, 30), "left_hip", "right_hip"))
    assert motion.torso_up == "vertical"
    assert np.isnan(motion.frames[:, INDEX["root"]]).all()
    assert np.allclose(motion.frames[:, INDEX["spine_03"], :, 0], [0, 0, 1])
    for t, figure in enumerate(poses):
        line = figure.positions["upperarm_l"] - figure.positions["upperarm_r"]
        line[2] = 0
        assert angle_deg(motion.frames[t, INDEX["spine_03"], :, 1], line) < 0.01
    assert (motion.state[:30, INDEX["root"]] == JointState.MISSING).all()


def test_unsure_arms_are_inferred_unsure_legs_missing_and_filled_points_filled(
    clip: tuple[list[Figure], Tracks],
) -> None:
    tracks = clip[1]
    topology = tracks.topology
    confidence, state = tracks.confidence.copy(), tracks.state.copy()
    for name in ("left_elbow", "left_knee"):
        confidence[:, topology.index("pose", name)] = 0.3
    wrist = topology.index("pose", "right_wrist")
    state[4, wrist], confidence[4, wrist] = State.FILLED, 0.3
    motion = canonical_motion(replace(tracks, confidence=confidence, state=state))
    assert (motion.state[:, INDEX["lowerarm_l"]] == JointState.INFERRED).all()
    assert np.isfinite(motion.positions[:, INDEX["lowerarm_l"]]).all()
    assert (motion.state[:, INDEX["calf_l"]] == JointState.MISSING).all()
    assert np.isnan(motion.frames[:, INDEX["thigh_l"]]).all()
    assert motion.state[4, INDEX["wrist_r"]] == JointState.FILLED
    assert motion.state[3, INDEX["wrist_r"]] == JointState.OBSERVED


def test_the_head_comes_from_the_pose_where_the_face_is_rare(
    clip: tuple[list[Figure], Tracks],
) -> None:
    tracks = clip[1]
    from_face = canonical_motion(tracks)
    from_pose = canonical_motion(hide(tracks, "face", slice(0, 30)))
    assert (from_face.head_from, from_pose.head_from) == ("face", "pose")
    j = INDEX["head"]
    for t in range(len(tracks)):
        assert angle_deg(from_face.frames[t, j, :, 1], from_pose.frames[t, j, :, 1]) < 0.1
    nothing = Tracks.empty(tracks.topology, tracks.timestamps, tracks.image_size)
    assert canonical_motion(nothing).head_from == "none"


def test_the_heads_turn_is_the_figures(clip: tuple[list[Figure], Tracks]) -> None:
    poses, tracks = clip
    rest = mannequin(drop=10)
    still = canonical_motion(tracks_of(rest, [rest])).frames[0, INDEX["head"]]
    motion = canonical_motion(tracks)
    for t, figure in enumerate(poses):
        turn = motion.frames[t, INDEX["head"]] @ still.T
        off = turn @ head_turn(rest, figure).T
        assert np.degrees(np.arccos(np.clip((np.trace(off) - 1) / 2, -1, 1))) < 0.1


def seen_from_behind(tracks: Tracks) -> Tracks:
    """The left palm turned inside out for two frames: index and pinky knuckles changed."""
    world = tracks.world.copy()
    index, pinky = (tracks.topology.index("left_hand", f"{n}_mcp") for n in ("index", "pinky"))
    world[10:12, [index, pinky]] = world[10:12, [pinky, index]]
    return replace(tracks, world=world)


def test_a_palm_that_flips_for_two_frames_is_held(clip: tuple[list[Figure], Tracks]) -> None:
    plain = canonical_motion(clip[1])
    motion = canonical_motion(seen_from_behind(clip[1]))
    assert dict(motion.held) == {"wrist_l": 2}
    assert dict(plain.held) == {}
    for t in (10, 11):
        off = angle_deg(
            motion.frames[t, INDEX["wrist_l"], :, 1], plain.frames[t, INDEX["wrist_l"], :, 1]
        )
        assert off < 40, "the hand moved on a little meanwhile"


@pytest.mark.parametrize("change", [lambda t: t, seen_from_behind])
def test_quaternions_are_continuous(
    clip: tuple[list[Figure], Tracks], change: Callable[[Tracks], Tracks]
) -> None:
    motion: Motion = canonical_motion(change(clip[1]))
    q = motion.quaternions
    steps = np.nansum(q[1:] * q[:-1], axis=2)
    with_frame = np.isfinite(q[0, :, 0])
    assert (steps[:, with_frame] > 0.5).all()
    assert np.allclose(np.linalg.norm(q[:, with_frame], axis=2), 1)
