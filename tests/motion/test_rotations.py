"""Frames and quaternions: proper, continuous, and calm where a direction is vague."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tests.motion.figures import angle_deg
from tracker_core.motion import rotations
from tracker_core.motion.rotations import Array

components = st.floats(-1, 1, allow_nan=False).map(lambda x: round(x, 3))
vectors = st.tuples(components, components, components).map(np.array)


@given(vectors, vectors)
def test_a_frame_is_a_rotation_along_its_primary_or_unknown(
    primary: Array, secondary: Array
) -> None:
    frame = rotations.frames(primary, secondary)
    lengths = np.linalg.norm(primary), np.linalg.norm(secondary)
    if (
        min(lengths) == 0
        or min(angle_deg(primary, secondary), angle_deg(primary, -secondary))
        < rotations.DEGENERATE_DEG - 0.01
    ):
        assert np.isnan(frame).all()
    elif np.isfinite(frame).all():
        assert np.allclose(frame.T @ frame, np.eye(3), atol=1e-9)
        assert np.linalg.det(frame) > 0.999
        assert angle_deg(frame[:, 0], primary) < 1e-5
        assert frame[:, 1] @ secondary > 0


def test_quaternions_never_change_sign_on_the_way_even_over_a_gap() -> None:
    turns = Rotation.from_rotvec(np.outer(np.linspace(0, 720, 100), [0, 0.6, 0.8]), degrees=True)
    matrices = turns.as_matrix()
    matrices[40:45] = np.nan
    q = rotations.quaternions(matrices)
    assert np.isnan(q[40:45]).all()
    known = q[np.isfinite(q).all(axis=1)]
    assert (np.sum(known[1:] * known[:-1], axis=1) > 0).all()
    assert (known[:, 3] < 0).any(), "two whole turns pass through the other sign"
    assert np.allclose(Rotation.from_quat(known).as_matrix(), matrices[np.isfinite(q).all(axis=1)])


def test_transport_is_the_smallest_rotation() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        a, b = rotations.unit(rng.normal(size=(2, 3)))
        assert np.allclose(rotations.transport(a, a, b), b)
        normal = rotations.unit(rotations.cross(a, b))
        assert np.allclose(rotations.transport(normal, a, b), normal)


def arm(bends: Array) -> tuple[Array, Array]:
    """An arm to the left, bent forwards (+y) by the given angles: its hinge is +z."""
    upper = np.tile([1.0, 0.0, 0.0], (len(bends), 1))
    angle = np.radians(bends)
    return upper, np.column_stack([np.cos(angle), np.sin(angle), 0 * angle])


def test_the_hinge_of_a_bent_arm_is_measured_and_signed() -> None:
    upper, lower = arm(np.array([30.0, 90.0, 150.0]))
    hinge = rotations.held_hinge(upper, lower, np.tile([0.0, 0.0, -1.0], (3, 1)))
    assert np.allclose(hinge, [0, 0, 1])


def test_the_hinge_of_a_straight_arm_is_held_against_noise() -> None:
    bends = np.concatenate([np.linspace(60, 0, 30), np.zeros(40), np.linspace(0, 60, 30)])
    upper, lower = arm(bends)
    lower = lower + np.random.default_rng(0).normal(0, 0.02, lower.shape)
    hinge = rotations.held_hinge(upper, lower, np.tile([0.0, 1.0, 0.0], (100, 1)))
    off = [angle_deg(h, np.array([0.0, 0.0, 1.0])) for h in hinge]
    assert max(off) < 20.0
    measured = rotations.unit(rotations.cross(upper, lower))[30:70]
    assert max(angle_deg(h, np.array([0.0, 0.0, 1.0])) for h in measured) > 90, "the noise is real"


def test_the_hinge_is_carried_backwards_to_frames_before_the_first_bend() -> None:
    upper, lower = arm(np.array([0.0, 1.0, 2.0, 40.0]))
    hinge = rotations.held_hinge(upper, lower, np.tile([0.0, 1.0, 0.0], (4, 1)))
    assert np.allclose(hinge, [0, 0, 1], atol=1e-6)


def test_an_arm_that_never_bends_takes_the_fallback_and_an_unknown_one_none() -> None:
    upper, lower = arm(np.zeros(3))
    upper[1] = np.nan
    hinge = rotations.held_hinge(upper, lower, np.tile([0.3, 1.0, 0.0], (3, 1)))
    assert np.allclose(hinge[[0, 2]], [0, 1, 0])
    assert np.isnan(hinge[1]).all()
    nothing = np.full((3, 3), np.nan)
    assert np.isnan(rotations.held_hinge(nothing, lower, lower)).all()


def test_a_flip_that_returns_is_held_and_one_that_stays_is_believed() -> None:
    along = np.tile([1.0, 0.0, 0.0], (30, 1))
    across = np.tile([0.0, 1.0, 0.0], (30, 1))
    across[10:12] *= -1
    steady, held, believed = rotations.steady_secondary(along, across)
    assert (held, believed) == (2, 0)
    assert np.allclose(steady, [0, 1, 0])
    across = np.tile([0.0, 1.0, 0.0], (30, 1))
    across[10:] *= -1
    steady, held, believed = rotations.steady_secondary(along, across)
    assert (held, believed) == (0, 1)
    assert np.allclose(steady, across)


def test_a_fast_true_turn_is_no_flip() -> None:
    angle = np.radians(np.cumsum(np.full(30, 60.0)))  # 1500 degrees per second
    across = np.column_stack([0 * angle, np.cos(angle), np.sin(angle)])
    along = np.tile([1.0, 0.0, 0.0], (30, 1))
    steady, held, believed = rotations.steady_secondary(along, across)
    assert (held, believed) == (0, 0)
    assert np.allclose(steady, across)
