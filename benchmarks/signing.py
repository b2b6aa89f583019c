"""Hands and faces that are found, kept and found again in clips of people who sign.

There is no ground truth in them, so the pictures are changed in ways whose truth is known: a hand
is covered for some frames, a picture is made small, one picture is shown with noise. What only one
contestant found is drawn, for people to judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import seen
from benchmarks.seen import HANDS, Contestant, Scaled, hand_size, see_clip
from benchmarks.speed_tables import markdown
from tracker_core.landmarks.draw import draw_landmarks
from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.landmarks.tracks import Tracks
from tracker_core.tracking.holistic.graph import arm_region, metre
from tracker_core.tracking.holistic.networks import Pose
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.provider import Image, View

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

CONTESTANTS: Mapping[str, Contestant] = {"reference": seen.reference, "ours": seen.ours}
EARS = (27.0, 20.0, 16.0)
"""Pixels between the ears in clips that are made small."""

_EVERY, _COVERED = 30, 10  # frames: one cover begins so often, and lasts so long
_STAYS = 5  # frames after a cover in which both contestants must have the hand without covers
_QUIET = 2.0  # levels of 255: mean change of a picture that hardly changes
_SHORT_ARM = (
    0.06  # metres from wrist to knuckles, as seen; a hand that lies in the picture has 0.09
)
_ARMS = {"left_hand": (15, 17, 19), "right_hand": (16, 18, 20)}
_SHEET = 24


# ---------------------------------------------------------------------------- measures


def flips(present: Flags) -> int:
    """How often a part comes or goes from one frame to the next."""
    return int((present[1:] != present[:-1]).sum())


def flickers(present: Flags, longest: int = 2) -> int:
    """Runs of at most so many frames, between others, in which a part is there or is gone."""
    edges = np.flatnonzero(present[1:] != present[:-1]) + 1
    return int((np.diff(edges) <= longest).sum())


def doubled(left: Floats, right: Floats) -> Flags:
    """Frames in which both hands are one: their points lie within a quarter of a hand's size.

    Args:
        left, right: [T, 21, 2]; NaN where missing.
    """
    apart = np.linalg.norm(left - right, axis=2).mean(axis=1)
    return np.asarray(apart < 0.25 * np.ptp(left, axis=1).max(axis=1), np.bool_)


def jitter(points: Floats, still: Flags) -> Floats:
    """Second differences of points that do not move, relative to their size.

    Args:
        points: [T, K, 2]; NaN where missing.
        still: bool [T], whether the picture hardly changed from the frame before.

    Returns:
        One number for each frame that lies between two steps in which nothing moves: the mean over
        the points of ``|p(t+1) - 2 p(t) + p(t-1)|``, by the longer side of their box.
    """
    second = np.linalg.norm(points[2:] - 2 * points[1:-1] + points[:-2], axis=2).mean(axis=1)
    size = np.ptp(points[1:-1], axis=1).max(axis=1)
    known = np.isfinite(second) & still[2:] & still[1:-1]
    return np.asarray(second[known] / size[known], np.float64)


def delays(found: Flags, returns: Sequence[int], within: int) -> list[int]:
    """For each return how many frames later the part is found; `within` where it is not by then."""
    out = []
    for start in returns:
        later = np.flatnonzero(found[start : start + within])
        out.append(int(later[0]) if len(later) else within)
    return out


# ---------------------------------------------------------------------------- changed pictures


@dataclass(frozen=True)
class Covered:
    """Grey boxes over parts of some frames: (first frame, x0, y0, x1, y1), each for `frames`."""

    boxes: tuple[tuple[int, int, int, int, int], ...]
    frames: int = _COVERED

    def __call__(self, number: int, view: View) -> View:
        image = view.image
        for first, x0, y0, x1, y1 in self.boxes:
            if first <= number < first + self.frames:
                image = image.copy() if image is view.image else image
                image[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = 128
        return replace(view, image=image)


@dataclass(frozen=True)
class Noisy:
    """Noise of so many levels (standard deviation), another in each frame."""

    levels: float

    def __call__(self, number: int, view: View) -> View:
        noise = np.random.default_rng(number).normal(0, self.levels, view.image.shape)
        image = (view.image + noise).round().clip(0, 255).astype(np.uint8)
        return replace(view, image=image)


def covers(side: str, tracks: Sequence[Tracks]) -> Covered:
    """Covers of one hand, where somebody found it in every frame that is covered.

    Each hides wherever anybody found it, from the frame before to the frame after.
    """
    where = HOLISTIC.part(side).slice
    boxes = []
    known = np.any([one.part_present(side) for one in tracks], axis=0)
    for first in range(_COVERED, len(tracks[0]) - _COVERED - _STAYS, _EVERY):
        rows = slice(first - 1, first + _COVERED + 1)
        if not known[rows].all():
            continue
        points = np.concatenate([one.positions[rows, where, :2].reshape(-1, 2) for one in tracks])
        low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
        sizes = [hand_size(points[i : i + 21]) for i in range(0, len(points), 21)]
        grow = 0.3 * np.nanmax(sizes)
        box = np.concatenate([low - grow, high + grow]).astype(int).tolist()
        boxes.append((first, box[0], box[1], box[2], box[3]))
    return Covered(tuple(boxes))


# ---------------------------------------------------------------------------- the clips


@dataclass(frozen=True, eq=False)
class Looked:
    """A clip as each contestant saw it.

    Attributes:
        tracks: of the clip as it is.
        covered: by side, its covers and the tracks of the covered clip.
        small: by pixels between the ears.
        noisy: of one picture of the clip, many times with noise.
        still: bool [T]: whether the picture hardly changed from the frame before.
    """

    clip: Path
    tracks: dict[str, Tracks]
    covered: dict[str, tuple[Covered, dict[str, Tracks]]]
    small: dict[float, dict[str, Tracks]]
    noisy: dict[str, Tracks]
    still: Flags


def look(models: ModelStore, clip: Path) -> Looked:
    """Everything `report` counts in one clip."""

    def all_see(change: seen.Change | None = None) -> dict[str, Tracks]:
        return {name: see_clip(one, models, clip, change) for name, one in CONTESTANTS.items()}

    plain = all_see()
    covered = {}
    for side in HANDS:
        cover = covers(side, list(plain.values()))
        if cover.boxes:
            covered[side] = (cover, all_see(cover))
    ears = plain["reference"].positions[:, [7, 8], :2]
    apart = float(np.nanmedian(np.linalg.norm(ears[:, 0] - ears[:, 1], axis=1)))
    small = {wide: all_see(Scaled(wide / apart)) for wide in EARS if wide < apart}
    noisy = {name: see_noisy(one, models, clip) for name, one in CONTESTANTS.items()}
    return Looked(clip, plain, covered, small, noisy, _still(clip))


def see_noisy(contestant: Contestant, models: ModelStore, clip: Path, count: int = 20) -> Tracks:
    """The clip's middle frame so many times, with noise of two levels."""
    views = list(seen.views_of(clip))
    view, noise = views[len(views) // 2], Noisy(2.0)
    return seen.see(
        contestant,
        models,
        (replace(noise(number, view), timestamp_s=number / 25) for number in range(count)),
    )


def _still(clip: Path) -> Flags:
    out = []
    last = None
    for view in seen.views_of(clip):
        now = view.image.astype(np.float32).mean(axis=2)
        out.append(last is not None and float(np.abs(now - last).mean()) < _QUIET)
        last = now
    return np.array(out)


# ---------------------------------------------------------------------------- the tables


def report(models: ModelStore, clips: Sequence[Path], pictures: Path | None) -> list[str]:
    """The tables as lines of Markdown."""
    looked = [look(models, clip) for clip in clips]
    lines = [f"## Signing clips: {len(clips)} of {sum(len(one.still) for one in looked)} frames"]
    lines += ["", *summary(looked), "", *clips_table(looked), ""]
    if pictures is not None:
        lines += draw(looked, pictures)
    return lines


def summary(looked: Sequence[Looked]) -> list[str]:
    """A row for each thing that is counted, before (the reference) and after (ours)."""
    counted = {name: _counts(looked, name) for name in CONTESTANTS}
    rows = [
        [what, *(counted[name][what] for name in CONTESTANTS)]
        for what in next(iter(counted.values()))
    ]
    return markdown(["counted", *CONTESTANTS], rows)


def _counts(looked: Sequence[Looked], name: str) -> dict[str, str]:
    presents = [one.tracks[name].part_present(side) for one in looked for side in HANDS]
    late = [delay for one in looked for delay in _delays(one, name)]
    false, strayed = np.sum([_while_covered(one, name) for one in looked], axis=0)
    hidden = sum(_COVERED * len(cover.boxes) for one in looked for cover, _ in one.covered.values())
    quiet, noisy = [], []
    flipped = 0
    for one in looked:
        for side in HANDS:
            where = HOLISTIC.part(side).slice
            quiet.append(jitter(one.tracks[name].positions[:, where, :2].astype(float), one.still))
            points = one.noisy[name].positions[:, where, :2].astype(float)
            noisy.append(jitter(points, np.ones(len(points), bool)))
            flipped += flips(one.noisy[name].part_present(side))
    out = {
        "hands found": str(sum(int(present.sum()) for present in presents)),
        "presence flips": str(sum(map(flips, presents))),
        "runs of one or two frames, there or gone": str(sum(map(flickers, presents))),
        "frames in which both hands are one": str(
            sum(int(doubled(*_both_hands(one.tracks[name])).sum()) for one in looked)
        ),
        "hands that come back after a cover": str(len(late)),
        "found at once / within 1 / within 2 frames": " / ".join(
            str(sum(delay <= most for delay in late)) for most in (0, 1, 2)
        ),
        f"found while covered, of {hidden}: there (false) / elsewhere": f"{false} / {strayed}",
        "jitter where the picture hardly changes, median, p95": _spread(quiet),
        "jitter of one picture with noise, median, p95": _spread(noisy),
        "presence flips in one picture with noise": str(flipped),
    }
    for ears in EARS:
        tracks = [one.small[ears][name] for one in looked if ears in one.small]
        frames = sum(map(len, tracks))
        for part, what in (("face", "faces"), ("left_hand", "left hands")):
            found = sum(int(one.part_present(part).sum()) for one in tracks)
            out[f"{what} found, ears {ears:.0f} px apart (of {frames})"] = str(found)
    short = [_short(one, side) for one in looked for side in HANDS]
    found = sum(int((rows & there).sum()) for rows, there in zip(short, presents, strict=True))
    out[f"foreshortened hands found (of {sum(int(rows.sum()) for rows in short)})"] = str(found)
    return out


def _spread(values: Sequence[Floats]) -> str:
    every = np.concatenate(values)
    if not len(every):
        return "–"
    return f"{np.median(every):.4f}, {np.percentile(every, 95):.4f} ({len(every)} frames)"


def _delays(one: Looked, name: str) -> list[int]:
    """Frames until a hand is found that is there again, and was found by all without covers."""
    out: list[int] = []
    for side, (cover, tracks) in one.covered.items():
        every = np.all([plain.part_present(side) for plain in one.tracks.values()], axis=0)
        ends = [box[0] + cover.frames for box in cover.boxes]
        returns = [end for end in ends if every[end : end + _STAYS].all()]
        out += delays(tracks[name].part_present(side), returns, _STAYS)
    return out


def _while_covered(one: Looked, name: str) -> tuple[int, int]:
    """Frames in which a covered hand was found: behind its cover, and elsewhere.

    What is found elsewhere may be the other hand, or one that no contestant had found there.
    """
    there = elsewhere = 0
    for side, (cover, tracks) in one.covered.items():
        where = HOLISTIC.part(side).slice
        for first, x0, y0, x1, y1 in cover.boxes:
            rows = slice(first, first + cover.frames)
            points = tracks[name].positions[rows, where, :2]
            within = ((points > (x0, y0)) & (points < (x1, y1))).all(axis=2).mean(axis=1)
            found = tracks[name].part_present(side)[rows]
            there += int((found & (within > 0.5)).sum())
            elsewhere += int((found & (within <= 0.5)).sum())
    return there, elsewhere


def _both_hands(tracks: Tracks) -> tuple[Floats, Floats]:
    left, right = (tracks.positions[:, HOLISTIC.part(side).slice, :2] for side in HANDS)
    return left.astype(np.float64), right.astype(np.float64)


def _short(one: Looked, side: str) -> Flags:
    """Frames in which the arm ends in a hand that is seen shortened."""
    tracks = one.tracks["reference"]
    where = HOLISTIC.part("pose").slice
    nowhere = np.zeros(3, np.float32)
    out = np.zeros(len(tracks), bool)
    for row in np.flatnonzero(tracks.part_present("pose")):
        sure = tracks.confidence[row, where]
        pose = Pose(
            1.0, tracks.positions[row, where], sure, tracks.world[row, where], nowhere, nowhere
        )
        wrist = _ARMS[side][0]
        height, width = tracks.image_size[::-1]
        x, y = pose.points[wrist, :2]
        # A hand that is not in the picture cannot be found in it.
        inside = 0 <= x < width and 0 <= y < height
        reach = arm_region(pose, *_ARMS[side]).width / 2.7 / 2 / metre(pose)
        out[row] = inside and sure[wrist] > 0.5 and reach < _SHORT_ARM
    return out


def clips_table(looked: Sequence[Looked]) -> list[str]:
    """A row for each clip: hands found, flips and faces."""
    rows = []
    for one in looked:
        row = [one.clip.stem, str(len(one.still))]
        for part in (*HANDS, "face"):
            presents = [one.tracks[name].part_present(part) for name in CONTESTANTS]
            row.append(" → ".join(f"{present.sum()} ({flips(present)})" for present in presents))
        rows.append(row)
    header = f"{' → '.join(CONTESTANTS)}: found (flips)"
    return markdown([f"clip; {header}", "frames", *HANDS, "face"], rows)


# ---------------------------------------------------------------------------- pictures


def draw(looked: Sequence[Looked], folder: Path) -> list[str]:
    """Sheets of hands that one contestant alone found, and of hands seen shortened."""
    chosen: dict[str, list[tuple[Looked, str, int]]] = {
        "only_ours": [],
        "only_reference": [],
        "short": [],
        "while_covered": [],
    }
    for one in looked:
        for side in HANDS:
            before, after = (one.tracks[name].part_present(side) for name in CONTESTANTS)
            for key, rows in (
                ("only_ours", after & ~before),
                ("only_reference", before & ~after),
                ("short", _short(one, side) & (before | after)),
            ):
                chosen[key] += [(one, side, int(row)) for row in np.flatnonzero(rows)]
            for box in one.covered[side][0].boxes if side in one.covered else ():
                rows = one.covered[side][1]["ours"].part_present(side)
                rows = rows[box[0] : box[0] + _COVERED]
                chosen["while_covered"] += [
                    (one, side, box[0] + int(row)) for row in np.flatnonzero(rows)
                ]
    lines = []
    for key, entries in chosen.items():
        if entries:
            picked = np.linspace(0, len(entries) - 1, min(_SHEET, len(entries))).round()
            sample = [entries[int(number)] for number in picked]
            seen.save(_hands_sheet(sample, key), folder, f"hands_{key}")
        lines.append(f"{key}: {len(entries)} hands, a sample drawn")
    return lines


def _hands_sheet(sample: Sequence[tuple[Looked, str, int]], key: str) -> Image:
    cells = []
    for one, side, row in sample:
        view = next(view for number, view in enumerate(seen.views_of(one.clip)) if number == row)
        tracks = one.tracks
        if key == "while_covered":
            cover, tracks = one.covered[side]
            view = cover(row, view)
        where = HOLISTIC.part(side).slice
        name = "reference" if key == "only_reference" else "ours"
        if not tracks[name].part_present(side)[row]:
            name = "reference"
        points = tracks[name].positions[row, where, :2]
        alone = _alone(tracks[name], side)
        picture = np.concatenate(
            [
                seen.cut(image, points, 2.5)
                for image in (view.image, draw_landmarks(view.image, alone, row))
            ],
            axis=1,
        )
        score = tracks[name].confidence[row, where.start]
        size = hand_size(points)
        cells.append((picture, f"{one.clip.stem[:14]} #{row} {side[0]} {score:.2f} {size:.0f}px"))
    return seen.sheet(cells, 4, 400, 200)


def _alone(tracks: Tracks, side: str) -> Tracks:
    """Only this hand of the tracks."""
    state = tracks.state.copy()
    where = HOLISTIC.part(side).slice
    state[:, : where.start], state[:, where.stop :] = 0, 0
    return replace(tracks, state=state)
