"""Anatomical frames from directions: orientations that neither flip nor jump where they are vague.

A frame is a 3x3 rotation matrix whose columns are x (along a segment), y (a secondary axis made
orthogonal to it) and z = x × y. Unknown values are NaN throughout, and stay so.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

Array = npt.NDArray[np.float64]

DEGENERATE_DEG = 5.0
"""Two directions closer than this to one line make no frame."""
STRAIGHT_DEG = (5.0, 20.0)
"""A joint bent less than the first angle says nothing of its hinge; more than the second, all."""
FLIP_DEG = 100.0
"""A secondary axis cannot turn further than this about its segment between two frames at 25 Hz
(that were 2500 degrees per second), unless it was seen wrongly in one of them."""
FLIP_FRAMES = 5
"""A flip that returns within this many frames was an error; one that stays is believed."""


def unit(vectors: Array) -> Array:
    """Vectors [..., 3] made of length 1; NaN where the length is 0."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(length > 0, vectors / length, np.nan))


def orthogonal(vectors: Array, axis: Array) -> Array:
    """The part of ``vectors`` [..., 3] orthogonal to the unit ``axis``, made unit length."""
    along = np.sum(vectors * axis, axis=-1, keepdims=True)
    return unit(vectors - along * axis)


def cross(a: Array, b: Array) -> Array:
    """Cross products of [..., 3] vectors."""
    # numpy's own, which serves any axis, takes three times as long for a few vectors.
    (ax, ay, az), (bx, by, bz) = np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0)
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)


def frames(primary: Array, secondary: Array) -> Array:
    """Frames [..., 3, 3] of directions [..., 3]; NaN where the two lie nearly on one line."""
    x = unit(primary)
    cosine = np.abs(np.sum(x * unit(secondary), axis=-1))
    y = orthogonal(secondary, x)
    out = np.stack([x, y, cross(x, y)], axis=-1)
    clear = cosine < np.cos(np.radians(DEGENERATE_DEG))
    return np.where(clear[..., None, None], out, np.nan)


def quaternions(matrices: Array) -> Array:
    """Matrices [T, 3, 3] -> unit quaternions [T, 4] as x, y, z, w, without changes of sign.

    q and -q are one rotation, but whoever interpolates between keys of opposite sign turns the
    long way round: each is given the sign nearer to the last known one.
    """
    out = np.full((len(matrices), 4), np.nan)
    known = np.isfinite(matrices).all(axis=(1, 2))
    if known.any():
        found = Rotation.from_matrix(matrices[known]).as_quat(canonical=True)
        turns = np.sign(np.sum(found[1:] * found[:-1], axis=1))
        found[1:] *= np.cumprod(np.where(turns < 0, -1.0, 1.0))[:, None]
        out[known] = found
    return out


def transport(vector: Array, start: Array, end: Array) -> Array:
    """``vector`` [3] carried along by the smallest rotation from direction ``start`` to ``end``.

    Where the two are opposite there is no smallest rotation, and the vector stays as it is.
    """
    cosine = float(start @ end)
    if cosine < -0.9999:
        return vector
    axis = cross(start, end)
    # Rodrigues' formula, with sin = |axis| and (1 - cos) / sin^2 = 1 / (1 + cos).
    turned: Array = (
        vector * cosine + cross(axis, vector) + axis * (float(axis @ vector) / (1.0 + cosine))
    )
    return turned


def angle_about(axis: Array, start: Array, end: Array) -> float:
    """Signed angle in radians from ``start`` to ``end``, both orthogonal to the unit ``axis``."""
    return float(np.arctan2(cross(start, end) @ axis, start @ end))


def held_hinge(upper: Array, lower: Array, fallback: Array) -> Array:
    """Hinge axis [T, 3] of an elbow or knee, unit length, orthogonal to ``upper``.

    The hinge is the normal of the plane of ``upper`` and ``lower`` [T, 3], the directions of the
    two segments. A straight limb has no such plane, so below `STRAIGHT_DEG` the last hinge is
    carried along with the upper segment, and between its two angles the hinge turns from the
    carried to the measured one by a share that grows with the bend. Before the first bend the
    first measured hinge is carried backwards; where there never is one, ``fallback`` [T, 3] (any
    vector the hinge should point along) stands in.
    """
    upper, lower = unit(upper), unit(lower)
    with np.errstate(invalid="ignore"):
        bend = np.degrees(np.arccos(np.clip(np.sum(upper * lower, axis=1), -1.0, 1.0)))
    # At full flexion the segments lie on one line again.
    clarity = np.minimum(bend, 180.0 - bend)
    low, high = STRAIGHT_DEG
    share = np.clip((clarity - low) / (high - low), 0.0, 1.0)
    measured = unit(cross(upper, lower))
    known = np.asarray(np.isfinite(upper).all(axis=1))
    clear = np.flatnonzero(known & (share >= 1.0))
    anchor = clear[0] if len(clear) else (np.flatnonzero(known)[0] if known.any() else 0)
    out = np.full_like(upper, np.nan)
    if not known.any():
        return out
    start = measured[anchor] if len(clear) else fallback[anchor]
    for order in (range(anchor, -1, -1), range(anchor, len(upper))):
        held = orthogonal(start, upper[anchor])
        if not np.isfinite(held).all():
            held = orthogonal(np.array([0.0, 0.6, 0.8]), upper[anchor])
        previous = upper[anchor]
        for t in order:
            if not known[t]:
                continue
            held = orthogonal(transport(held, previous, upper[t]), upper[t])
            if share[t] > 0:
                turn = share[t] * angle_about(upper[t], held, measured[t])
                held = np.cos(turn) * held + np.sin(turn) * cross(upper[t], held)
            out[t], previous = held, upper[t]
    return out


def steady_secondary(primary: Array, secondary: Array) -> tuple[Array, int, int]:
    """Secondary axes [T, 3] without flips that return; the frames held; the flips believed.

    Estimators now and then see a palm from behind for a frame or two. Where the axis turns about
    its segment by more than `FLIP_DEG` from one known frame to the next, and is back within
    `FLIP_FRAMES`, the frames between keep the earlier axis, carried along with the segment. A flip
    that stays is believed, for nothing here tells which side of it is wrong, but it is counted.
    """
    x = unit(primary)
    y = orthogonal(secondary, x)
    known = np.flatnonzero(np.isfinite(y).all(axis=1))
    out = y.copy()
    held = believed = 0
    last = -1
    for place, t in enumerate(known):
        if last >= 0 and t - last <= FLIP_FRAMES and _flipped(out[last], x[last], y[t], x[t]):
            returns = any(
                not _flipped(out[last], x[last], y[later], x[later])
                for later in known[place + 1 : place + 1 + FLIP_FRAMES]
            )
            if returns:
                out[t] = orthogonal(transport(out[last], x[last], x[t]), x[t])
                held += 1
            else:
                believed += 1
        last = t
    return out, held, believed


def _flipped(y0: Array, x0: Array, y1: Array, x1: Array) -> bool:
    carried = orthogonal(transport(y0, x0, x1), x1)
    return abs(angle_about(x1, carried, y1)) > math.radians(FLIP_DEG)
