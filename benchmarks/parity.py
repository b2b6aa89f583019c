"""How far our graph's parity mode is from HolisticLandmarker, and what makes the rest.

*Free*: both follow the clip on their own. Where a score lies at the threshold, or two regions are
almost as unlike as is allowed, a difference of a hundredth of a pixel makes the one look elsewhere
in the next frame than the other, and they part until both look anew. *One step*: our graph is
given the reference's body, and its last hands and face, in every frame, so that nothing can add up.

Frames that are not square, about which HolisticLandmarker warns: both ways are right. Our graph,
which knows a frame's true shape, agrees with the reference in one step there as it does on squares
(1026 frames of 11 clips: presence in 99.8%, median 0.02 px), so the projection warned of is sound.
What a canvas changes is what lies beyond the frame's edge: MediaPipe repeats the border there, a
black square has black, so hidden hips are guessed otherwise (median of the body 3.6 px, 1.5 px on a
canvas that repeats the border) and the body is first found otherwise. Hands found: 1516 on the
square, 1493 without; but for one clip, of palms laid together, 1383 and 1385.
See `frames_table`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import seen
from benchmarks.seen import HANDS, PARTS, Squared, see_clip, see_squared, vga
from benchmarks.speed_tables import markdown
from tracker_core.landmarks.draw import draw_landmarks
from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.landmarks.tracks import Tracks
from tracker_core.tracking.holistic.graph import PARITY, Graph, face_region, hand_region
from tracker_core.tracking.holistic.loading import borrowed
from tracker_core.tracking.holistic.networks import Face, Hand, Pose
from tracker_core.tracking.holistic.provider import HolisticProvider
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.provider import FrameLandmarks, View

Array = npt.NDArray[np.float32]

_CROPS = {"left_hand": 224, "right_hand": 224, "face": 256}  # sides of the networks' inputs


@dataclass
class Difference:
    """How two tracks differ in one part. Every list is over frames in which both have it.

    Attributes:
        frames: of the clips.
        first, second: in how many of them the part is there.
        agree: in how many both have it or neither has.
        pixels: distance of each landmark in pixels of a 640x480 picture.
        crop: the same in pixels of the network's input; hands and face.
        depth: difference in z, in pixels of a 640x480 picture.
        world: millimetres; pose and hands.
        blendshapes: difference of each weight; face.
    """

    frames: int = 0
    first: int = 0
    second: int = 0
    agree: int = 0
    pixels: list[Array] = field(default_factory=list)
    crop: list[Array] = field(default_factory=list)
    depth: list[Array] = field(default_factory=list)
    world: list[Array] = field(default_factory=list)
    blendshapes: list[Array] = field(default_factory=list)

    def __iadd__(self, other: Difference) -> Difference:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self

    @property
    def agreement(self) -> float:
        """0..1; 1 where there are no frames."""
        return self.agree / self.frames if self.frames else 1.0

    def percentile(self, measure: str, percent: float) -> float:
        """Of ``pixels``, ``crop`` and so on; NaN where there is none."""
        values = getattr(self, measure)
        return float(np.percentile(np.concatenate(values), percent)) if values else float("nan")


def difference(first: Tracks, second: Tracks, part: str, scale: float = 1.0) -> Difference:
    """How far the second tracks are from the first in one part.

    Args:
        scale: pixels of a 640x480 picture in a pixel of the tracks' picture.
    """
    where = HOLISTIC.part(part).slice
    one, two = first.part_present(part), second.part_present(part)
    out = Difference(len(first), int(one.sum()), int(two.sum()), int((one == two).sum()))
    for row in np.flatnonzero(one & two):
        a, b = first.positions[row, where], second.positions[row, where]
        apart = np.linalg.norm(a[:, :2] - b[:, :2], axis=1)
        out.pixels.append(apart * scale)
        out.depth.append(np.abs(a[:, 2] - b[:, 2]) * scale)
        if part in _CROPS:
            out.crop.append(apart * _CROPS[part] / _region_side(part, a))
        if part != "face":
            apart = np.linalg.norm(first.world[row, where] - second.world[row, where], axis=1)
            out.world.append(apart * 1000)
        elif np.isfinite(second.blendshapes[row]).all():
            out.blendshapes.append(np.abs(first.blendshapes[row] - second.blendshapes[row]))
    return out


def _region_side(part: str, points: Array) -> float:
    region = face_region(points) if part == "face" else hand_region(points)
    return max(region.width, region.height)


def one_step(models: ModelStore, given: Tracks, views: Iterable[View]) -> Tracks:
    """Hands and face as our graph finds them in each frame after what is given of the last one.

    Args:
        given: the reference's tracks of the same views.

    Returns:
        Tracks without a body. Confidence is the score of what was seen where the part was looked
        for, also where it is too low, and the part so missing.
    """
    engine = HolisticProvider(models).runs_on
    frames: list[FrameLandmarks] = []
    with borrowed(models, engine) as networks:
        graph = Graph(networks, PARITY)
        for row, view in enumerate(views):
            out = FrameLandmarks.missing(HOLISTIC)
            pose = _pose(given, row)
            # The graph's memory is set from outside, which only this comparison has a use for.
            for side, tracker in graph._hands.items():
                where = HOLISTIC.part(side).slice
                tracker.hand = _hand(given, row - 1, side)
                hand = tracker._compared(view, pose) if pose is not None else None
                if hand is not None:
                    out.confidence[where] = hand.score
                    if hand.score > PARITY.take:
                        out.positions[where] = hand.points
                        wrist = given.world[row, where.start]
                        out.world[where] = hand.world - hand.world[0] + wrist
            where = HOLISTIC.part("face").slice
            graph._face._last = _face(given, row - 1)
            face = graph._face._compared(view, pose) if pose is not None else None
            if face is not None:
                out.confidence[where] = face.score
                if face.score > PARITY.take:
                    out.positions[where] = face.points
            frames.append(out)
    return seen.gathered(frames, list(given.timestamps), given.image_size)


def undecided(reference: Tracks, steps: Tracks, part: str) -> list[float]:
    """The scores of one step where only one of both has the part."""
    differ = reference.part_present(part) != steps.part_present(part)
    return [float(score) for score in steps.confidence[differ, HOLISTIC.part(part).start]]


def _pose(given: Tracks, row: int) -> Pose | None:
    where = HOLISTIC.part("pose").slice
    if not given.part_present("pose")[row]:
        return None
    nowhere = np.zeros(3, np.float32)
    return Pose(
        1.0,
        given.positions[row, where],
        given.confidence[row, where],
        given.world[row, where],
        nowhere,
        nowhere,
    )


def _hand(given: Tracks, row: int, side: str) -> Hand | None:
    where = HOLISTIC.part(side).slice
    if row < 0 or not given.part_present(side)[row]:
        return None
    return Hand(1.0, given.positions[row, where], given.world[row, where])


def _face(given: Tracks, row: int) -> Face | None:
    where = HOLISTIC.part("face").slice
    if row < 0 or not given.part_present("face")[row]:
        return None
    return Face(1.0, given.positions[row, where])


# ---------------------------------------------------------------------------- the tables


@dataclass(frozen=True, eq=False)
class ClipTracks:
    """A clip as each saw it; by whether it lay on a black square or was as it is.

    Attributes:
        size: (width, height) of its frames.
        repeated: the reference on a square whose rest repeats the frame's edge.
    """

    clip: Path
    size: tuple[int, int]
    reference: dict[bool, Tracks]
    parity: dict[bool, Tracks]
    steps: dict[bool, Tracks]
    repeated: Tracks

    @property
    def is_square(self) -> bool:
        """Whether a square canvas changes nothing."""
        return self.size[0] == self.size[1]


def look(models: ModelStore, clip: Path) -> ClipTracks:
    """Everything that `report` compares of one clip."""
    reference = {
        True: see_clip(seen.reference, models, clip),
        False: see_clip(seen.reference_unpadded, models, clip),
    }
    square = Squared()
    on_square = (square(number, view) for number, view in enumerate(seen.views_of(clip)))
    return ClipTracks(
        clip,
        reference[True].image_size,
        reference,
        {
            True: see_squared(seen.parity, models, clip),
            False: see_clip(seen.parity, models, clip),
        },
        {
            True: one_step(models, reference[True], on_square),
            False: one_step(models, reference[False], seen.views_of(clip)),
        },
        see_squared(seen.reference_unpadded, models, clip, repeat=True),
    )


def report(models: ModelStore, clips: Sequence[Path], pictures: Path | None) -> list[str]:
    """The tables as lines of Markdown."""
    looked = [look(models, clip) for clip in clips]
    lines = [f"## Parity with HolisticLandmarker, {len(clips)} clips", ""]
    for square in (True, False):
        chosen = [clip for clip in looked if square or not clip.is_square]
        if chosen:
            canvas = "on a square canvas" if square else "frames as they are (clips not square)"
            lines += [f"{canvas}:", "", *parts_table(chosen, square), ""]
    lines += ["Per clip, on a square canvas:", "", *clips_table(looked), ""]
    uneven = [clip for clip in looked if not clip.is_square]
    if uneven:
        lines += ["Frames that are not square:", "", *frames_table(uneven), ""]
    if pictures is not None:
        lines += [disagreements(clip, pictures) for clip in looked]
    return lines


def parts_table(clips: Sequence[ClipTracks], square: bool) -> list[str]:
    """A row for each part, free and in one step."""
    rows = []
    for how in ("free", "one step"):
        for part in PARTS if how == "free" else PARTS[1:]:
            sum_ = Difference()
            scores: list[float] = []
            for clip in clips:
                reference = clip.reference[square]
                other = (clip.parity if how == "free" else clip.steps)[square]
                sum_ += difference(reference, other, part, vga(clip.size))
                if how == "one step":
                    scores += undecided(reference, other, part)
            span = f"{min(scores):.3f}–{max(scores):.3f}" if scores else "–"
            rows.append([how, part, *_figures(sum_), span])
    header = (
        "run, part, frames, found by reference, by ours, presence agrees, px median, px p95, "
        "crop px median, crop px p95, depth px median, world mm median, blendshapes median, p95, "
        "scores where presence differs"
    )
    return markdown(header.split(", "), rows)


def _figures(sum_: Difference) -> list[str]:
    def number(measure: str, percent: float, digits: int = 3) -> str:
        value = sum_.percentile(measure, percent)
        return "–" if np.isnan(value) else f"{value:.{digits}f}"

    return [
        str(sum_.frames),
        str(sum_.first),
        str(sum_.second),
        f"{sum_.agreement:.2%}",
        number("pixels", 50),
        number("pixels", 95, 2),
        number("crop", 50),
        number("crop", 95, 2),
        number("depth", 50, 2),
        number("world", 50, 2),
        number("blendshapes", 50, 4),
        number("blendshapes", 95, 4),
    ]


def clips_table(clips: Sequence[ClipTracks]) -> list[str]:
    """A row for each clip: presence and the median distance, free / in one step."""
    rows = []
    for clip in clips:
        row = [clip.clip.stem, f"{clip.size[0]}x{clip.size[1]}", str(len(clip.reference[True]))]
        for part in PARTS:
            runs = [clip.parity[True]] + ([clip.steps[True]] if part != "pose" else [])
            apart = [difference(clip.reference[True], run, part, vga(clip.size)) for run in runs]
            agree = " / ".join(f"{one.agreement:.1%}" for one in apart)
            pixels = " / ".join(
                f"{one.percentile('pixels', 50):.2f}" if one.pixels else "–" for one in apart
            )
            row.append(f"{agree}; {pixels} px")
        rows.append(row)
    return markdown(["clip", "size", "frames", *PARTS], rows)


def frames_table(clips: Sequence[ClipTracks]) -> list[str]:
    """What the shape of the canvas does, to the reference and to our graph.

    If the original were wrong on frames that are not square, our graph, which is right on any,
    would part from it there alone; and what is found would differ for the original alone.
    """
    pairs: Mapping[str, Callable[[ClipTracks], tuple[Tracks, Tracks]]] = {
        "reference, square and as it is": lambda c: (c.reference[True], c.reference[False]),
        "reference, edge repeated and as it is": lambda c: (c.repeated, c.reference[False]),
        "ours, square and as it is": lambda c: (c.parity[True], c.parity[False]),
        "reference and ours, square": lambda c: (c.reference[True], c.parity[True]),
        "reference and ours, as it is": lambda c: (c.reference[False], c.parity[False]),
        "reference and one step, as it is": lambda c: (c.reference[False], c.steps[False]),
    }
    rows = []
    for name, pair in pairs.items():
        row = [name]
        for part in PARTS:
            if part == "pose" and "step" in name:
                row.append("–")
                continue
            sum_ = Difference()
            for clip in clips:
                sum_ += difference(*pair(clip), part, vga(clip.size))
            counts = f"{sum_.first}, {sum_.second} of {sum_.frames}"
            row.append(f"{counts}; {sum_.agreement:.1%}; {sum_.percentile('pixels', 50):.2f} px")
        rows.append(row)
    return markdown(["pair: found by each; agreement; median distance", *PARTS], rows)


def disagreements(clip: ClipTracks, folder: Path, wanted: int = 12) -> str:
    """A picture of frames in which a hand differs most: the reference's left, ours right."""
    reference, other = clip.reference[True], clip.parity[True]
    worst: dict[int, tuple[float, str]] = {}
    for side in HANDS:
        where = HOLISTIC.part(side).slice
        for row in range(len(reference)):
            a, b = reference.positions[row, where, :2], other.positions[row, where, :2]
            one, two = np.isfinite(a).all(), np.isfinite(b).all()
            if one != two:
                apart = (np.inf, f"{side}: only {'reference' if one else 'ours'}")
            elif one:
                far = float(np.linalg.norm(a - b, axis=1).mean()) * vga(clip.size)
                apart = (far, f"{side}: {far:.1f} px")
            else:
                continue
            worst[row] = max(worst.get(row, (0.0, "")), apart)
    rows = sorted(worst, key=lambda row: -worst[row][0])[:wanted]
    rows = sorted(row for row in rows if worst[row][0] > 1)
    if not rows:
        return f"{clip.clip.stem}: no hand differs by more than a pixel"
    cells = []
    for row, view in enumerate(seen.views_of(clip.clip)):
        if row in rows:
            points = reference.positions[row, :25, :2]
            for tracks, name in ((reference, "reference"), (other, "ours")):
                image = draw_landmarks(view.image, tracks, row)
                cells.append((seen.cut(image, points, 1.3), f"#{row} {name} {worst[row][1]}"))
    seen.save(seen.sheet(cells, 4, 400), folder, f"parity_{clip.clip.stem}")
    return f"{clip.clip.stem}: frames {', '.join(map(str, rows))} drawn"
