"""Landmarks against ground truth that people marked: body, hands and faces in single pictures.

A picture is shown three times, as three frames of a video that stands still. Of each annotated
person the part of the picture about the person is shown, as the stage `track` would.

Measures: of points that are marked. *Found*: how many of the parts. PCK: share of the points within
a fifth of the hand's size, or a tenth of the person's (the longer side of the box round the marked
points); a point of a part that was not found counts as wrong. NME of faces: mean distance over the
distance of the outer corners of the eyes, a median over those found; "right" where below 0.1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks import seen
from benchmarks.seen import Contestant, see
from benchmarks.speed_tables import markdown
from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.landmarks.tracks import Tracks
from tracker_core.tracking.holistic.graph import OURS, PARITY, HandTracker, Rules
from tracker_core.tracking.holistic.loading import borrowed
from tracker_core.tracking.holistic.networks import Pose
from tracker_core.tracking.holistic.provider import HolisticProvider
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.provider import Image, View

Points = npt.NDArray[np.float64]

STILL_FRAMES = 3
CONTESTANTS: Mapping[str, Contestant] = {
    "reference": seen.reference,
    "reference, as it is": seen.reference_unpadded,
    "parity": seen.parity,
    "ours": seen.ours,
}
TOLERANCE = {"pose": 0.1, "left_hand": 0.2, "right_hand": 0.2}
RIGHT_FACE = 0.1

_COCO_BODY = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
# The 51 points of the 68 (Sagonas et al., "300 Faces in-the-Wild Challenge", 2013) inside the face,
# whose places are anatomical; those of the jaw are wherever its outline is seen.
_INNER = slice(17, 68)
_INNER_ON_MESH = [
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),  # brows
    *(168, 197, 5, 4, 98, 97, 2, 326, 327),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # lips, outside
    *(78, 82, 13, 312, 308, 317, 14, 87),  # and inside
]
# The same 51 among the 98 of WFLW (Wu et al., "Look at Boundary", 2018).
_INNER_OF_98 = [
    *range(33, 38), *range(42, 47), *range(51, 60),
    60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75, *range(76, 96),
]  # fmt: skip
_EYE_CORNERS = 19, 28  # of the 51


@dataclass(frozen=True, eq=False)
class Target:
    """What is marked of one part.

    Attributes:
        part: of the topology.
        landmarks: indices [K] within the part.
        points: [K, 2], pixels of the picture; NaN where not marked.
    """

    part: str
    landmarks: Sequence[int]
    points: Points

    @property
    def size(self) -> float:
        """What errors are measured by, in pixels."""
        if self.part == "face":
            a, b = _EYE_CORNERS
            return float(np.linalg.norm(self.points[a] - self.points[b]))
        return float(np.ptp(self.points[np.isfinite(self.points[:, 0])], axis=0).max())


@dataclass(frozen=True, eq=False)
class Person:
    """A person in a picture, of the data set named, and what is marked of them."""

    source: str
    view: View
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Score:
    """How one target was met.

    Attributes:
        errors: [K], distances by the target's size; NaN where nothing is marked or was found.
        marked: bool [K].
    """

    part: str
    errors: Points
    marked: npt.NDArray[np.bool_]

    @property
    def found(self) -> bool:
        """Whether the part was found at all, right or wrong."""
        return bool(np.isfinite(self.errors).any())


def score(target: Target, tracks: Tracks) -> Score:
    """How the last frame of the tracks meets the target."""
    where = HOLISTIC.part(target.part).start + np.asarray(target.landmarks)
    apart = np.linalg.norm(tracks.positions[-1, where, :2] - target.points, axis=1)
    return Score(target.part, apart / target.size, np.isfinite(target.points[:, 0]))


def pck(scores: Sequence[Score]) -> float:
    """Share of the marked points that lie within the part's tolerance; NaN without any."""
    marked = sum(int(one.marked.sum()) for one in scores)
    near = sum(int((one.errors < TOLERANCE[one.part]).sum()) for one in scores)
    return near / marked if marked else math.nan


# ---------------------------------------------------------------------------- the data sets


def people(folder: Path) -> Iterator[Person]:
    """Everybody marked under the folder of ground truth whose body is seen."""
    yield from _coco(folder / "mmpose_coco", "test_coco_wholebody.json", "COCO-WholeBody")
    yield from _coco(folder / "tiny_coco", "person_keypoints.json", "COCO")
    yield from _posetrack(folder / "mmpose_posetrack18")


def _coco(folder: Path, file: str, source: str) -> Iterator[Person]:
    for image, mark in _marks(folder / file, folder):
        body = _points(mark["keypoints"])
        if np.isfinite(body[:, 0]).sum() < 8:
            continue
        targets = [Target("pose", _COCO_BODY, body)]
        for side, name in (("left_hand", "lefthand"), ("right_hand", "righthand")):
            if mark.get(f"{name}_valid"):
                targets.append(Target(side, range(21), _points(mark[f"{name}_kpts"])))
        if mark.get("face_valid"):
            face = _points(mark["face_kpts"])[_INNER]
            targets.append(Target("face", _INNER_ON_MESH, face))
        x, y, width, height = mark["bbox"]
        yield Person(source, _window(image, (x, y, x + width, y + height), 0.25), tuple(targets))


def _posetrack(folder: Path) -> Iterator[Person]:
    # Its points 1 and 2, head's bottom and top, have none to be compared with.
    kept = [i for i in range(17) if i not in {1, 2}]
    landmarks = [i for i in _COCO_BODY if i not in {2, 5}]
    for image, mark in _marks(folder / "annotations" / "test_posetrack18_val.json", folder):
        body = _points(mark["keypoints"])[kept]
        if np.isfinite(body[:, 0]).sum() < 8:
            continue
        x, y, width, height = mark["bbox"]
        box = (x, y, x + width, y + height)
        yield Person("PoseTrack18", _window(image, box, 0.25), (Target("pose", landmarks, body),))


def faces(folder: Path) -> Iterator[Person]:
    """Every marked face, with as much of the body below it as the picture has."""
    for source, name, file in (
        ("300W", "mmpose_300w", "test_300w.json"),
        ("300VW", "mmpose_300vw", "anno_300vw.json"),
        ("WFLW", "mmpose_wflw", "test_wflw.json"),
    ):
        for image, mark in _marks(folder / name / file, folder / name):
            points = _points(mark["keypoints"])
            yield _head(source, image, points[_INNER_OF_98 if len(points) == 98 else _INNER])
    root = ElementTree.parse(folder / "dlib_faces" / "training_with_face_landmarks.xml")
    for entry in root.iter("image"):
        image = _read(folder / "dlib_faces" / entry.attrib["file"])
        for box in entry.iter("box"):
            marks = sorted(box.iter("part"), key=lambda part: part.attrib["name"])
            rows = [[float(part.attrib["x"]), float(part.attrib["y"])] for part in marks]
            yield _head("dlib", image, np.array(rows)[_INNER])


def _head(source: str, image: Image, points: Points) -> Person:
    (x0, y0), (x1, y1) = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    size = max(x1 - x0, y1 - y0)
    box = (x0 - 1.5 * size, y0 - size, x1 + 1.5 * size, y1 + 4 * size)
    return Person(source, _window(image, box, 0), (Target("face", _INNER_ON_MESH, points),))


def shrunk(person: Person, ears: float) -> Person:
    """The person in a picture made so small that the ears are so many pixels apart.

    A face is 1.6 times as wide as the outer corners of its eyes are apart.
    """
    (target,) = person.targets
    factor = ears / (1.6 * target.size)
    image = cv2.resize(person.view.image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    corner = np.array([person.view.x, person.view.y])
    points = (target.points - corner) * factor
    view = View(image.astype(np.uint8), 0, 0, 0.0)
    return Person(person.source, view, (replace(target, points=points),))


@dataclass(frozen=True, eq=False)
class MarkedHand:
    """A hand in a picture, without the body it belongs to. Points [21, 2], NaN where not marked."""

    source: str
    image: Image
    points: Points

    @property
    def length(self) -> float:
        """Pixels from the wrist along the longest finger to its tip."""
        fingers = [[0, *range(first, first + 4)] for first in range(1, 21, 4)]
        steps = [np.diff(self.points[finger], axis=0) for finger in fingers]
        lengths = [float(np.linalg.norm(step, axis=1).sum()) for step in steps]
        known = [length for length in lengths if math.isfinite(length)]
        size = np.nanmax(self.points, axis=0) - np.nanmin(self.points, axis=0)
        return max(known) if known else float(size.max())


def hands(folder: Path) -> Iterator[MarkedHand]:
    """Every marked hand of which the arm's end can be told: the roots of two fingers."""
    for source, name, file in (
        ("FreiHAND", "mmpose_freihand", "test_freihand.json"),
        ("OneHand10K", "mmpose_onehand10k", "test_onehand10k.json"),
        ("Panoptic", "mmpose_panoptic", "test_panoptic.json"),
    ):
        for image, mark in _marks(folder / name / file, folder / name):
            points = _points(mark["keypoints"])
            if _has_arm(points):
                yield MarkedHand(source, image, points)
    coco = folder / "mmpose_coco"
    for image, mark in _marks(coco / "test_coco_wholebody.json", coco):
        for name in ("lefthand", "righthand"):
            points = _points(mark[f"{name}_kpts"])
            if mark[f"{name}_valid"] and _has_arm(points):
                yield MarkedHand("COCO-WholeBody", image, points)


def _has_arm(points: Points) -> bool:
    """Whether the roots of two fingers are marked, and the wrist or the thumb's root."""
    return bool(np.isfinite(points[[5, 17], 0]).all() and np.isfinite(points[:2, 0]).any())


def _marks(file: Path, folder: Path) -> Iterator[tuple[Image, dict[str, Any]]]:
    """Each annotation of a file in COCO's format, with its picture."""
    data = json.loads(file.read_text())
    names = {image["id"]: image["file_name"] for image in data["images"]}
    for mark in data["annotations"]:
        if any(mark["keypoints"][2::3]):
            yield _read(folder / names[mark["image_id"]]), mark


def _read(path: Path) -> Image:
    picture = cv2.imread(str(path))
    if picture is None:
        raise FileNotFoundError(f"{path} is no picture that can be read")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8)


def _points(flat: Sequence[float]) -> Points:
    """[K, 2] of x, y and whether it is marked; NaN where not."""
    rows = np.array(flat, np.float64).reshape(-1, 3)
    return np.where(rows[:, 2:] > 0, rows[:, :2], np.nan)


def _window(image: Image, box: tuple[float, float, float, float], margin: float) -> View:
    """The part of the picture that holds the box, grown by this share of its longer side."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = box
    grow = margin * max(x1 - x0, y1 - y0)
    left, top = max(0, int(x0 - grow)), max(0, int(y0 - grow))
    right, bottom = min(width, int(x1 + grow)), min(height, int(y1 + grow))
    return View(image[top:bottom, left:right], left, top, 0.0)


# ---------------------------------------------------------------------------- the contest


def still(view: View) -> list[View]:
    """The view as frames of a video at 25 frames a second."""
    return [replace(view, timestamp_s=number / 25) for number in range(STILL_FRAMES)]


def contest(
    models: ModelStore, persons: Sequence[Person]
) -> dict[tuple[str, str], dict[str, list[Score]]]:
    """Scores of each contestant by data set and part."""
    out: dict[tuple[str, str], dict[str, list[Score]]] = {}
    for person in persons:
        for name, contestant in CONTESTANTS.items():
            tracks = see(contestant, models, still(person.view))
            for target in person.targets:
                part = "hands" if target.part.endswith("hand") else target.part
                row = out.setdefault((person.source, part), {key: [] for key in CONTESTANTS})
                row[name].append(score(target, tracks))
    return out


def people_table(scores: Mapping[tuple[str, str], Mapping[str, Sequence[Score]]]) -> list[str]:
    """A row for each data set and part: found, PCK or NME, and of faces how many right."""
    rows = []
    for (source, part), by_name in scores.items():
        row = [source, part, str(len(next(iter(by_name.values()))))]
        for name in CONTESTANTS:
            row.append(_face_cell(by_name[name]) if part == "face" else _cell(by_name[name]))
        rows.append(row)
    return markdown(["data", "part", "marked", *CONTESTANTS], rows)


def _cell(scores: Sequence[Score]) -> str:
    errors = np.concatenate([one.errors for one in scores])
    found = sum(one.found for one in scores)
    middle = np.nanmedian(errors) if found else math.nan
    return f"{found} found, PCK {pck(scores):.3f}, error {middle:.3f}"


def _face_cell(scores: Sequence[Score]) -> str:
    means = [float(np.nanmean(one.errors)) for one in scores if one.found]
    right = sum(mean < RIGHT_FACE for mean in means)
    middle = float(np.median(means)) if means else math.nan
    return f"{len(means)} found, {right} right, NME {middle:.3f}"


# What the arm's end is like, as the body's network sees it: its name, the length of the hand's root
# as a share of what it is, and by how much of it and by how many degrees it is off.
ARMS: tuple[tuple[str, float, float, float], ...] = (
    ("as marked", 1.0, 0.0, 0.0),
    ("off by 20%, 20°", 1.0, 0.2, 20.0),
    ("foreshortened to 60%, off", 0.6, 0.2, 20.0),
    ("foreshortened to 40%, off", 0.4, 0.2, 20.0),
    ("foreshortened to 25%, off", 0.25, 0.2, 20.0),
)
_TRIES = 4
_HAND_LENGTH = 0.19  # metres, an adult's


def arm_pose(hand: MarkedHand, shrink: float, off: float, degrees: float, seed: int) -> Pose:
    """A body whose left arm ends in the hand, seen shortened, and wrongly.

    Args:
        shrink: by how much wrist and fingers' roots are drawn together, as of an arm that points
            at the camera.
        off: by how much of the length of the hand's root they are off, at most.
        degrees: by how much they are turned, at most.
        seed: of the random numbers.
    """
    random = np.random.default_rng(seed)
    wrist = hand.points[0] if np.isfinite(hand.points[0, 0]) else hand.points[1]
    ends = np.array([wrist, hand.points[17], hand.points[5]])
    root = (2 * ends[2] + ends[1]) / 3
    reach = float(np.linalg.norm(root - wrist))
    angle = math.radians(degrees) * random.uniform(-1, 1)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    ends = root + shrink * (ends - root) @ turn.T + off * reach * random.uniform(-1, 1, 2)
    metre = hand.length / _HAND_LENGTH
    points = np.zeros((33, 3), np.float32)
    points[:, :2] = root + metre * random.normal(0, 0.3, (33, 2))
    points[[15, 17, 19], :2] = ends
    world = points / np.float32(metre)
    sure, nowhere = np.ones(33, np.float32), np.zeros(3, np.float32)
    return Pose(1.0, points, sure, world, nowhere, nowhere)


def hands_table(models: ModelStore, marked: Sequence[MarkedHand]) -> list[str]:
    """A row for each data set and kind of arm: found, PCK and median error, parity and ours.

    HolisticLandmarker cannot be shown a hand without a body; parity stands for it, which finds the
    same in one step.
    """
    rules: Mapping[str, Rules] = {"parity": PARITY, "ours": OURS}
    engine = HolisticProvider(models).runs_on
    rows = []
    with borrowed(models, engine) as networks:
        for source in dict.fromkeys(hand.source for hand in marked):
            chosen = [hand for hand in marked if hand.source == source]
            for name, shrink, off, degrees in ARMS:
                tries = _TRIES if off else 1
                row = [source, name, str(len(chosen) * tries)]
                for rule in rules.values():
                    scores = []
                    for hand in chosen:
                        for seed in range(tries):
                            pose = arm_pose(hand, shrink, off, degrees, seed)
                            tracker = HandTracker(networks, rule, 15, 17, 19)
                            scores.append(_hand_score(tracker, hand, pose))
                    row.append(_cell(scores))
                rows.append(row)
    return markdown(["data", "arm", "hands", *rules], rows)


def _hand_score(tracker: HandTracker, hand: MarkedHand, pose: Pose) -> Score:
    for view in still(View(hand.image, 0, 0, 0.0)):
        tracker.see(view, pose)
    found = tracker.hand
    points = np.full((21, 2), np.nan) if found is None else found.points[:, :2]
    size = Target("left_hand", range(21), hand.points).size
    errors = np.linalg.norm(points - hand.points, axis=1) / size
    return Score("left_hand", errors, np.isfinite(hand.points[:, 0]))


def report(models: ModelStore, folder: Path) -> list[str]:
    """The tables as lines of Markdown."""
    heads = list(faces(folder))
    sections: dict[str, Callable[[], list[str]]] = {
        "People": lambda: people_table(contest(models, list(people(folder)))),
        "Faces": lambda: people_table(contest(models, heads)),
        **{
            f"Small faces, ears {ears} pixels apart": lambda ears=ears: people_table(  # type: ignore[misc]
                contest(models, [shrunk(head, ears) for head in heads])
            )
            for ears in (27, 20, 16)
        },
        "Hands without a body": lambda: hands_table(models, list(hands(folder))),
    }
    lines = ["## Against ground truth", ""]
    for title, table in sections.items():
        lines += [f"{title}:", "", *table(), ""]
    return lines
