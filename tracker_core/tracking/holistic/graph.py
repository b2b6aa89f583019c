"""The graph: body, hands and face of one person, found in one frame after another.

It is MediaPipe Holistic's order of work (Grishchenko and Bazarevsky, "MediaPipe Holistic", 2020):
the body first; from its arms and its face where the hands and the face are; and each looked for
where the frame before had it. `OURS` says where we do otherwise than HolisticLandmarker; `PARITY`
does as it does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from tracker_core.tracking.holistic.detection import FACE_FULL, FACE_SHORT, POSE, Detector, detect
from tracker_core.tracking.holistic.filter import OneEuro
from tracker_core.tracking.holistic.networks import (
    Array,
    Face,
    Hand,
    Pose,
    mix,
    see_blendshapes,
    see_face,
    see_hand,
    see_hand_region,
    see_pose,
)
from tracker_core.tracking.holistic.region import (
    Region,
    angle_of,
    around,
    bounding,
    circle,
    normalized_angle,
    turned,
)
from tracker_core.tracking.inference import Network
from tracker_core.tracking.provider import View

GRAPH_VERSION = 2
"""Counts up with every change of the graph that changes a landmark."""

# Landmarks of the pose: wrist, little finger, index finger of each side.
_ARMS = {"left_hand": (15, 17, 19), "right_hand": (16, 18, 20)}
_POSE_FACE = slice(0, 11)
_POSE_LEFT_EYE, _POSE_RIGHT_EYE = 2, 5
_TRUNK_AND_ARMS = slice(11, 25)
# Landmarks of the hand that hold still when the fingers move, and of them the roots of the index,
# middle and ring finger.
_PALM = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]
_INDEX_ROOT, _MIDDLE_ROOT, _RING_ROOT = 4, 6, 8
_FACE_RIGHT_EYE, _FACE_LEFT_EYE = 33, 263

# How far body and face may move from one looked at frame to the next for the frame between them to
# be interpolated: in widths of the shoulders, and of the face.
_BODY_MOVES = 0.3
_FACE_MOVES = 0.1

# Looks in vain after which a lost hand will probably not be there in the next frame either: hands
# at the threshold come and go from one frame to the next.
_GONE = 5

_ARM_VISIBLE = 0.1  # visibility of the pose's wrist below which no hand is looked for
# Share of a region within the frame below which no hand has been found in it.
_ARM_INSIDE, _HAND_INSIDE = 0.3, 0.2
_UP = math.pi / 2


@dataclass(frozen=True)
class Rules:
    """How the graph follows what it has found.

    Attributes:
        as_original: do as HolisticLandmarker does: look for hands and face anew in every frame and
            compare, filter the body (which then lags), take a face's rectangle as it is.
        take: score from which something is taken up.
        keep: score from which a hand or a face is kept in the next frame.
        still: by how much of its side a region has to move or grow, or by how much of a radian it
            has to turn, before the next frame looks anywhere else than this one did. Between equal
            frames nothing then moves.
        hand_side: metres; the least side of the square in which an arm's hand is looked for. A
            hand that points at the camera looks short, not small.
    """

    as_original: bool = False
    take: float = 0.5
    keep: float = 0.4
    still: float = 0.04
    hand_side: float = 0.3


OURS = Rules()
PARITY = Rules(as_original=True, keep=0.5, still=0.0, hand_side=0.0)


class Networks(Protocol):
    """The networks by name; each is loaded when it is first asked for."""

    def __getitem__(self, name: str) -> Network: ...


@dataclass(frozen=True, eq=False)
class Seen:
    """What was seen in one frame; None where something was not.

    Attributes:
        pose: the body.
        hands: by part, ``left_hand`` and ``right_hand``; their world landmarks begin at the pose's
            wrist.
        face: 478 points, or 468 without irises.
        blendshapes: float32 [52]; None without irises.
        filled: ``pose``, ``face``: what was not looked at but lies between the frames on both
            sides.
    """

    pose: Pose | None
    hands: dict[str, Hand]
    face: Face | None
    blendshapes: Array | None
    filled: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class _Looked:
    """A frame whose body and face are known; the fields are those of `Seen`."""

    view: View
    pose: Pose | None
    face: Face | None
    blendshapes: Array | None
    filled: frozenset[str] = frozenset()

    def with_hands(self, hands: Mapping[str, Hand]) -> Seen:
        """All that was seen in it; the hands' world landmarks go to the pose's wrists."""
        placed: dict[str, Hand] = {}
        if self.pose is not None:
            for side, hand in hands.items():
                world = hand.world - hand.world[0] + self.pose.world[_ARMS[side][0]]
                placed[side] = replace(hand, world=world)
        return Seen(self.pose, placed, self.face, self.blendshapes, self.filled)


class Graph:
    """The graph over the frames of one video. A new one for each video: it remembers frames."""

    def __init__(self, networks: Networks, rules: Rules = OURS, *, irises: bool = True) -> None:
        self._networks = networks
        self._rules = rules
        self._irises = irises
        self._body = BodyTracker(networks, rules)
        self._hands = {side: HandTracker(networks, rules, *arm) for side, arm in _ARMS.items()}
        self._face = FaceTracker(networks, rules, "face" if irises else "face_plain")

    def track(self, views: Iterable[View], *, skip: bool = False) -> Iterator[Seen]:
        """What is in each frame.

        Args:
            views: of the frames, in order.
            skip: look at body and face in every second frame alone. Where they moved little from
                one such frame to the next, the frame between them gets what lies between; where
                they moved far, it is looked at after all. Hands are followed in every frame; one
                that has been gone for a while is looked for in every second, and where it is found,
                in the frame before.
        """
        last: _Looked | None = None
        waiting: View | None = None
        for view in views:
            if skip and last is not None and waiting is None:
                waiting = view
                continue
            looked = self._look(view)
            if last is not None and waiting is not None:
                yield from self._two(self._between(last, waiting, looked), looked)
                waiting = None
            else:
                yield looked.with_hands(self._find_hands(looked, self._hands.values()))
            last = looked
        if waiting is not None:
            looked = self._look(waiting)
            yield looked.with_hands(self._find_hands(looked, self._hands.values()))

    def _look(self, view: View) -> _Looked:
        """The body and the face in the next frame."""
        pose = self._body.see(view)
        face = self._face.see(view, pose)
        return _Looked(view, pose, face, self._expression(face))

    def _between(self, before: _Looked, view: View, after: _Looked) -> _Looked:
        """The body and the face in a frame between two."""
        start, end = before.view.timestamp_s, after.view.timestamp_s
        share = (view.timestamp_s - start) / (end - start)
        filled = set()
        pose, face, shapes = None, None, None
        if before.pose and after.pose and before.pose.moved(after.pose) < _BODY_MOVES:
            pose = before.pose.towards(after.pose, share)
            filled.add("pose")
        else:
            pose = self._body.look(view)
        if before.face and after.face and before.face.moved(after.face) < _FACE_MOVES:
            face = before.face.towards(after.face, share)
            if before.blendshapes is not None and after.blendshapes is not None:
                shapes = mix(before.blendshapes, after.blendshapes, share)
            filled.add("face")
        elif pose is not None:
            face = self._face.look(view)
            shapes = self._expression(face)
        return _Looked(view, pose, face, shapes, frozenset(filled))

    def _expression(self, face: Face | None) -> Array | None:
        if face is None or not self._irises:
            return None
        return see_blendshapes(self._networks["blendshapes"], face)

    def _find_hands(self, looked: _Looked, trackers: Iterable[HandTracker]) -> dict[str, Hand]:
        """The hands in the next frame; only these trackers look for theirs."""
        for tracker in trackers:
            tracker.see(looked.view, looked.pose)
        if looked.pose is not None and not self._rules.as_original:
            self._tell_apart(looked.view, looked.pose)
        return {side: one.hand for side, one in self._hands.items() if one.hand is not None}

    def _two(self, first: _Looked, second: _Looked) -> Iterator[Seen]:
        """The next two frames; a hand that is gone is looked for in the second one first."""
        followed = [tracker for tracker in self._hands.values() if not tracker.gone]
        hands = self._find_hands(first, followed)
        found = self._find_hands(second, self._hands.values())
        for side, tracker in self._hands.items():
            if tracker in followed or side not in found or first.pose is None:
                continue
            hand = tracker.glimpse(first.view, first.pose)
            if hand is not None and not any(_one_place(hand, other) for other in hands.values()):
                hands[side] = hand
        yield first.with_hands(hands)
        yield second.with_hands(found)

    def _tell_apart(self, view: View, pose: Pose) -> None:
        """Where both arms have the same hand, only the nearer one keeps it."""
        left, right = self._hands.values()
        if not _one_place(left.hand, right.hand):
            return
        nearer, farther = sorted((left, right), key=lambda tracker: tracker.away(pose))
        farther.retake(view, pose)
        if _one_place(nearer.hand, farther.hand):
            farther.hand = None


class BodyTracker:
    """Follows the body: the detector looks for it where it is lost, and only then."""

    def __init__(self, networks: Networks, rules: Rules) -> None:
        self._networks = networks
        self._rules = rules
        self._forget()

    def _forget(self) -> None:
        self._region: Region | None = None
        # Where to look is steadied in any case, what was seen only as in the original.
        self._steady = OneEuro(min_cutoff=0.01, beta=10.0)
        self._points = OneEuro(min_cutoff=0.05, beta=80.0)
        self._world = OneEuro(min_cutoff=0.1, beta=40.0)
        self._visibility: Array | None = None

    def see(self, view: View) -> Pose | None:
        """The body in the next frame."""
        pose = self.look(view)
        if pose is None and (self._region is None or not self._rules.as_original):
            pose = self._look(view, self._detect(view))
        if pose is None:
            self._forget()
            return None
        size = pose.circle.width
        centre, rim = self._steady(np.stack([pose.centre, pose.rim]), view.timestamp_s, size)
        self._region = circle(centre, rim, _UP).scaled(1.25)
        return self._filtered(pose, view.timestamp_s, size) if self._rules.as_original else pose

    def look(self, view: View) -> Pose | None:
        """The body where the last frame had it; nothing is remembered of this one."""
        return self._look(view, self._region)

    def _look(self, view: View, region: Region | None) -> Pose | None:
        if region is None:
            return None
        pose = see_pose(self._networks["pose"], view, region)
        # Somebody smaller than a pixel is noise, and no region to look in.
        return pose if pose.score > self._rules.take and pose.circle.width >= 1 else None

    def _detect(self, view: View) -> Region | None:
        height, width = view.image.shape[:2]
        side = max(height, width)
        whole = Region(view.x + width / 2, view.y + height / 2, side, side)
        # Who fills the frame is found more surely when there is room around it.
        regions = [whole] if self._rules.as_original else [whole, whole.scaled(1.5)]
        found = [
            detection
            for region in regions
            for detection in detect(self._networks["pose_detector"], POSE, view, region)[:1]
        ]
        if not found:
            return None
        centre, rim = max(found, key=lambda detection: detection.score).keypoints[:2]
        return circle(centre, rim, _UP).scaled(1.25)

    def _filtered(self, pose: Pose, time_s: float, size: float) -> Pose:
        visible = pose.visibility
        if self._visibility is not None:
            visible = np.float32(0.1) * visible + np.float32(0.9) * self._visibility
        self._visibility = visible
        return replace(
            pose,
            points=self._points(pose.points, time_s, size),
            world=self._world(pose.world, time_s),
            visibility=visible,
        )


class HandTracker:
    """Follows one hand: from the frame before, or from the arm where it is lost.

    Attributes:
        hand: in the last frame; None where there was none.
    """

    def __init__(
        self, networks: Networks, rules: Rules, wrist: int, little: int, index: int
    ) -> None:
        self._networks = networks
        self._rules = rules
        self._wrist, self._little, self._index = wrist, little, index
        self.hand: Hand | None = None
        self._region: Region | None = None
        self._missed = _GONE

    def see(self, view: View, pose: Pose | None) -> None:
        """Look at the next frame, whose body is known."""
        hand = None
        if pose is not None:
            hand = (self._compared if self._rules.as_original else self._followed)(view, pose)
        wanted = self._rules.take if self.hand is None else self._rules.keep
        self.hand = hand if hand is not None and hand.score > wanted else None
        self._missed = 0 if self.hand is not None else self._missed + 1

    @property
    def gone(self) -> bool:
        """Whether it has not been seen in the last looks, nor can be expected in the next."""
        return self._missed >= _GONE

    def retake(self, view: View, pose: Pose) -> None:
        """Look at this frame again, as if there had been no hand before."""
        hand = self._anew(view, pose) if self._visible(pose) else None
        self.hand = hand if hand is not None and hand.score > self._rules.take else None

    def glimpse(self, view: View, pose: Pose) -> Hand | None:
        """The hand at the arm's end in some other frame; nothing is remembered of it."""
        hand, region = self.hand, self._region
        self.retake(view, pose)
        seen, self.hand, self._region = self.hand, hand, region
        return seen

    def away(self, pose: Pose) -> float:
        """Pixels between the hand's wrist and the arm's."""
        assert self.hand is not None
        return float(np.linalg.norm(self.hand.points[0, :2] - pose.points[self._wrist, :2]))

    def _followed(self, view: View, pose: Pose) -> Hand | None:
        """Where it was; where that shows no hand for certain, at the arm's end as well."""
        hand = None
        if self.hand is not None:
            now = hand_region(self.hand.points)
            if self._hangs_on(pose, now.width / 2):
                hand = self._look(view, held(self._region, now, self._rules.still))
        if (hand is None or hand.score <= self._rules.take) and self._visible(pose):
            again = self._anew(view, pose)
            if hand is None or (again is not None and again.score > hand.score):
                hand = again
        return hand

    def _anew(self, view: View, pose: Pose) -> Hand | None:
        """At the arm's end, where that is in the frame."""
        arm = self._at_arm(pose)
        if arm.inside(view) <= _ARM_INSIDE:
            return None
        region = self._refined(view, arm)
        return self._look(view, region) if region.inside(view) > _HAND_INSIDE else None

    def _compared(self, view: View, pose: Pose) -> Hand | None:
        """At the arm's end, unless where it was is much the same."""
        if not self._visible(pose):
            return None
        region = self._refined(view, self._at_arm(pose))
        if self.hand is not None:
            tracked = hand_region(self.hand.points)
            if _agree(tracked, region, self.hand.points, math.radians(40), 0.2, 0.4, -0.1):
                region = tracked
        return self._look(view, region)

    def _look(self, view: View, region: Region) -> Hand:
        self._region = region
        return see_hand(self._networks["hand"], view, region)

    def _visible(self, pose: Pose) -> bool:
        return bool(pose.visibility[self._wrist] > _ARM_VISIBLE)

    def _hangs_on(self, pose: Pose, reach: float) -> bool:
        """Whether the last hand is still this arm's: its wrist within reach of the arm's.

        An arm that cannot be seen contradicts nothing.
        """
        return not self._visible(pose) or self.away(pose) < reach

    def _at_arm(self, pose: Pose) -> Region:
        region = arm_region(pose, self._wrist, self._little, self._index)
        side = max(region.width, self._rules.hand_side * metre(pose))
        return replace(region, width=side, height=side)

    def _refined(self, view: View, region: Region) -> Region:
        return see_hand_region(self._networks["hand_recrop"], view, region)


class FaceTracker:
    """Follows the face: from the frame before, or from the pose where it is lost."""

    def __init__(self, networks: Networks, rules: Rules, mesh: str) -> None:
        self._networks = networks
        self._rules = rules
        self._mesh = mesh
        self._last: Face | None = None
        self._region: Region | None = None

    def see(self, view: View, pose: Pose | None) -> Face | None:
        """The face in the next frame, whose body is known."""
        face = None
        if pose is not None:
            face = (self._compared if self._rules.as_original else self._followed)(view, pose)
        wanted = self._rules.take if self._last is None else self._rules.keep
        self._last = face if face is not None and face.score > wanted else None
        return self._last

    def look(self, view: View) -> Face | None:
        """The face where the last frame had it; nothing is remembered of this one."""
        if self._region is None or self._last is None:
            return None
        face = see_face(self._networks[self._mesh], view, self._region)
        return face if face.score > self._rules.keep else None

    def _followed(self, view: View, pose: Pose) -> Face | None:
        """Where it was; where that shows no face for certain, where the pose has it.

        The pose's own face points say better where it is than the face detectors do (see README),
        which are asked last.
        """
        face = None
        if self._last is not None:
            now = face_region(self._last.points).scaled(1, square=True)
            face = self._look(view, held(self._region, now, self._rules.still))
        for anew in (self._at_pose, self._short_range, self._full_range):
            if face is not None and face.score > self._rules.take:
                break
            region = anew(view, pose)
            again = self._look(view, region) if region else None
            if face is None or (again is not None and again.score > face.score):
                face = again
        return face

    def _at_pose(self, _view: View, pose: Pose) -> Region:
        return head_region(pose).scaled(2.0, square=True)

    def _short_range(self, view: View, pose: Pose) -> Region | None:
        return self._detect(view, pose, "face_detector", FACE_SHORT)

    def _full_range(self, view: View, pose: Pose) -> Region | None:
        return self._detect(view, pose, "face_detector_full", FACE_FULL)

    def _compared(self, view: View, pose: Pose) -> Face | None:
        """Where the detector finds it, unless where it was is much the same."""
        region = self._short_range(view, pose)
        if region is None:
            return None
        if self._last is not None:
            tracked = face_region(self._last.points)
            if _agree(tracked, region, self._last.points, math.radians(15), 0.1, 0.3, -0.2):
                region = tracked
        return self._look(view, region)

    def _look(self, view: View, region: Region) -> Face:
        self._region = region
        return see_face(self._networks[self._mesh], view, region)

    def _detect(self, view: View, pose: Pose, name: str, detector: Detector) -> Region | None:
        head = head_region(pose).scaled(3.0, square=True)
        found = detect(self._networks[name], detector, view, head, overlap=0.3)
        if not found:
            return None
        eyes = found[0].keypoints
        return turned(around(eyes), angle_of(eyes[0], eyes[1], 0)).scaled(2.0, square=True)


# ---------------------------------------------------------------------------- where to look


def arm_region(pose: Pose, wrist: int, little: int, index: int) -> Region:
    """A square that holds the hand at the end of an arm, its fingers up."""
    points = pose.points
    root = (2 * points[index] + points[little]) / 3  # of the middle finger, about
    side = 2 * math.hypot(*(root[:2] - points[wrist, :2]))
    angle = angle_of(points[wrist], root, _UP)
    return Region(float(root[0]), float(root[1]), side, side, angle).scaled(2.7, shift_y=-0.1)


def head_region(pose: Pose) -> Region:
    """What just holds the pose's points of the face, at the angle of the eyes."""
    points = pose.points[_POSE_FACE]
    level = angle_of(points[_POSE_RIGHT_EYE], points[_POSE_LEFT_EYE], 0)
    return turned(around(points), level)


def metre(pose: Pose) -> float:
    """Pixels in a metre at the body: how its points spread in the frame and in the world."""
    frame = pose.points[_TRUNK_AND_ARMS, :2].var(axis=0).sum()
    world = pose.world[_TRUNK_AND_ARMS, :2].var(axis=0).sum()
    return math.sqrt(float(frame) / max(float(world), 1e-9))


def hand_region(points: Array) -> Region:
    """Where the hand will be in the next frame: a square of twice its palm's extent, fingers up."""
    palm = points[_PALM]
    knuckles = (palm[_INDEX_ROOT] + palm[_RING_ROOT]) / 4 + palm[_MIDDLE_ROOT] / 2
    angle = angle_of(palm[0], knuckles, _UP)
    return bounding(palm, angle).scaled(2.0, shift_y=-0.1, square=True)


def _one_place(hand: Hand | None, other: Hand | None) -> bool:
    """Whether two hands lie on each other as no two hands of one person do."""
    if hand is None or other is None:
        return False
    apart = np.linalg.norm(hand.points[:, :2] - other.points[:, :2], axis=1).mean()
    return bool(apart < 0.25 * max(np.ptp(hand.points[:, 0]), np.ptp(hand.points[:, 1])))


def face_region(points: Array) -> Region:
    """Where the face will be in the next frame: half as much again as its extent, eyes level."""
    level = angle_of(points[_FACE_RIGHT_EYE], points[_FACE_LEFT_EYE], 0)
    return turned(around(points), level).scaled(1.5)


def held(before: Region | None, now: Region, still: float) -> Region:
    """The region before, where the one now differs from it by less than `still`."""
    if before is None:
        return now
    moved = max(abs(now.x - before.x), abs(now.y - before.y))
    grown = max(abs(now.width - before.width), abs(now.height - before.height))
    turn = abs(normalized_angle(now.angle - before.angle))
    return before if max(moved, grown) < still * before.width and turn < still else now


def _agree(
    tracked: Region,
    found: Region,
    points: Array,
    turn: float,
    translation: float,
    scale: float,
    margin: float,
) -> bool:
    """Whether the region from the last landmarks is near the one found now and that holds them.

    Args:
        turn: radians by which they may differ.
        translation, scale: by how much of the sides of the one found.
        margin: by how much of its sides the one found is grown before it must hold the points.
    """
    dx, dy = found.local(np.array([[tracked.x, tracked.y]], np.float32))[0]
    reach = np.array([found.width, found.height]) * (1 + margin) / 2
    return bool(
        abs(normalized_angle(tracked.angle - found.angle)) <= turn
        and abs(dx) <= found.width * translation
        and abs(dy) <= found.height * translation
        and abs(tracked.width - found.width) <= found.width * scale
        and abs(tracked.height - found.height) <= found.height * scale
        and (np.abs(found.local(points[:, :2])) < reach).all()
    )
