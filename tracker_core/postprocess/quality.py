"""How well one person was tracked: a score in 0..1, its parts, and the named issues behind it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_core.landmarks.tracks import State, Tracks
from tracker_core.postprocess.smoothing import shoulder_width

FORMULA = 1
"""Version of the formulas below; whoever changes one raises it."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

HANDS = ("left_hand", "right_hand")

# What of the pose is judged for stability: the rest moves little or is out of the picture.
_BODY_POINTS = ("nose", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow")
# Where the pose puts a hand: at the mean of those of its points that the topology has.
_HAND_POINTS = ("wrist", "index", "pinky")
# Three frames further apart than this tell of motion, not of jitter.
_JITTER_SPAN_S = 0.3
_FRAMES_AT_A_TIME = 4096


@dataclass(frozen=True)
class QualityParameters:
    """Weights and thresholds. Widths and jitter are in shoulder widths, shares in 0..1.

    Attributes:
        weight_hand_visibility, weight_stability, weight_face_coverage, weight_resolution: weights
            of the four parts; their sum is 1.
        min_confidence: a landmark less certain than this was not seen.
        jitter_hands, jitter_body, jitter_face: the jitter up to which a frame is stable, at the
            upper end of what was measured on clips of real signers; above it the issue is named.
        jitter_unstable: how many times that jitter makes a frame wholly unstable.
        full_resolution_px: shoulder width in pixels from which more pixels add nothing. Landmark
            models look at a hand through a window of about one shoulder width, scaled to 224 px.
        small_person_px: shoulder width below which ``person_small`` is named.
        low_resolution_px: shorter side of the video below which ``low_resolution`` is named.
        short_clip_s: duration below which ``short_clip`` is named.
        issue_share: smallest share that is named, for issues that end in a percentage.
    """

    weight_hand_visibility: float = 0.4
    weight_stability: float = 0.3
    weight_face_coverage: float = 0.2
    weight_resolution: float = 0.1
    min_confidence: float = 0.60
    jitter_hands: float = 0.045
    jitter_body: float = 0.007
    jitter_face: float = 0.006
    jitter_unstable: float = 5.0
    full_resolution_px: float = 224.0
    small_person_px: float = 60.0
    low_resolution_px: int = 360
    short_clip_s: float = 0.5
    issue_share: float = 0.01

    def __post_init__(self) -> None:
        weights = [value for name, value in asdict(self).items() if name.startswith("weight_")]
        if min(weights) < 0 or abs(sum(weights) - 1) > 1e-9:
            raise ValueError(f"the quality weights are {weights}; they must be >= 0 and sum to 1")
        for name in ("jitter_hands", "jitter_body", "jitter_face", "full_resolution_px"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, and must be above 0")
        if not self.jitter_unstable > 1:
            raise ValueError(f"jitter_unstable is {self.jitter_unstable}, and must be above 1")


@dataclass(frozen=True)
class Quality:
    """The verdict on one track.

    Attributes:
        score: 0..1, the weighted sum of the parts.
        parts: ``hand_visibility``, ``stability``, ``face_coverage`` and ``resolution``, each 0..1.
        issues: machine-readable names, worst matters first in a fixed order, e.g.
            ``left_hand_missing_30%``; see `score`.
        signature: how it was computed: ``quality-{formula}:{digest of the parameters}``.
        details: the measurements behind it, as JSON values; None where nothing was measured.
    """

    score: float
    parts: Mapping[str, float]
    issues: tuple[str, ...]
    signature: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "score": self.score,
            "parts": dict(self.parts),
            "issues": list(self.issues),
            "signature": self.signature,
            "details": dict(self.details),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Quality:
        """What `to_json` gave."""
        return cls(
            score=value["score"],
            parts=dict(value["parts"]),
            issues=tuple(value["issues"]),
            signature=value["signature"],
            details=dict(value["details"]),
        )


def signature(parameters: QualityParameters) -> str:
    """``quality-{formula version}:{first 8 hex digits of the parameters' sha256}``."""
    blob = json.dumps(asdict(parameters), sort_keys=True)
    return f"quality-{FORMULA}:{hashlib.sha256(blob.encode()).hexdigest()[:8]}"


def score(
    raw: Tracks, smoothed: Tracks, info: Mapping[str, Any], parameters: QualityParameters
) -> Quality:
    """Score a track. All is measured on the raw observations, except what smoothing had to repair.

    **A frame's presence** of a part is the share of its landmarks that were observed with at least
    ``min_confidence``.

    **Hand visibility.** A one-handed sign is whole with one hand, and resting hands hang below the
    picture before and after a sign. A hand is *expected* in a frame unless the pose puts it outside
    the picture (no pose: expected). One hand is taken to be the signing hand, and counts in every
    frame from the first to the last in which either hand is expected; the other counts in the
    frames in which it is expected::

        visibility = (sum of signing hand's presence + sum of other hand's presence, where each
                      counts) / (number of frames in which each counts)

    and the better of both choices is taken. 0 where neither hand is ever seen.

    **Stability.** The jitter of a landmark in a frame is its second difference in the image,
    ``2 |x[t] - line from x[t-1] to x[t+1], at the true time of t|``, over the shoulder width. The
    landmark's stability is 1 up to the part's threshold and falls linearly to 0 at
    ``jitter_unstable`` times it; it is 0 where the landmark was not seen in all three frames, since
    flicker is no stability. A part's stability is the mean over its landmarks and the frames in
    which it is expected (face and body: in all) and whose neighbours lie within 0.3 s; the result
    is the mean of hands (twice), body and face, without the hands where they are never expected.
    Where there are no three such frames it is 0, and ``stability_not_measured`` is named.

    **Face coverage.** The mean presence of the face.

    **Resolution.** The shoulder width in pixels over ``full_resolution_px``, at most 1. Where the
    source has fewer pixels than the tracked frame, the source's count.

    Monotone by construction, the shoulders given: taking away hand or face observations never
    raises the score, nor does more jitter about the same path.

    **Issues**, in this order; n% is a share of frames, 0 or 100 only where it is exactly that:
    ``person_missing_n%`` (no pose), ``left_hand_missing_n%``, ``right_hand_missing_n%`` (not seen,
    for whatever reason, expected or not), ``face_missing_n%``; ``jitter_hands_high``,
    ``jitter_body_high``, ``jitter_face_high`` (the median of a frame's median over the landmarks is
    above the threshold), ``stability_not_measured``; ``clamped_n%``, ``filled_n%`` (frames in which
    at least one landmark was); ``person_small``, ``low_resolution``, ``short_clip``,
    ``damaged_source_n%``, ``trimmed_lead_n%``, ``trimmed_tail_n%`` (frames cut off at either end,
    of all there were), ``several_people_n`` (n people), and the notes.

    Args:
        raw: what the provider saw.
        smoothed: the same after smoothing.
        info: of the source, every key optional: ``width`` and ``height`` in pixels,
            ``damaged_fraction`` in 0..1, ``person_count``, ``trimmed`` (frames cut off before the
            first and after the last), ``notes`` (names of further issues).
        parameters: see `QualityParameters`.

    Raises:
        ValueError: the two tracks are not of the same frames and landmarks.
    """
    if raw.topology != smoothed.topology or not np.array_equal(raw.timestamps, smoothed.timestamps):
        raise ValueError(
            f"raw and smoothed tracks differ in frames ({len(raw)}, {len(smoothed)}) or topology "
            f"({raw.topology.name}, {smoothed.topology.name}): score what was smoothed"
        )
    presence = {
        part.name: _seen(raw, part.slice, parameters.min_confidence).mean(axis=1)
        for part in raw.topology.parts
    }
    expected = {hand: _hand_expected(raw, hand) for hand in HANDS}
    somebody = any(share.any() for share in presence.values())
    width = _shoulder_px(raw, info) if somebody else 0.0
    jitter = _jitter(raw, expected, parameters)

    parts = {
        "hand_visibility": _hand_visibility(presence, expected),
        "stability": _stability(jitter),
        "face_coverage": _mean(presence.get("face")),
        "resolution": min(1.0, width / parameters.full_resolution_px),
    }
    total = sum(getattr(parameters, f"weight_{name}") * value for name, value in parts.items())
    medians = {
        "hands": _median([jitter[hand].medians for hand in HANDS]),
        "body": _median([jitter["body"].medians]),
        "face": _median([jitter["face"].medians]),
    }
    missing = {name: 1 - float((share > 0).mean()) for name, share in presence.items()}
    repaired = {
        "clamped": _frames_with(smoothed, State.CLAMPED),
        "filled": _frames_with(smoothed, State.FILLED),
    }
    details = {
        "frames": len(raw),
        "duration_s": _duration(raw.timestamps),
        "shoulder_width_px": width,
        "jitter": medians,
        "missing": missing,
        "expected": {hand: float(frames.mean()) for hand, frames in expected.items()},
        **repaired,
    }
    return Quality(
        score=float(np.clip(total, 0, 1)),
        parts=parts,
        issues=tuple(_issues(raw, info, details, parameters)),
        signature=signature(parameters),
        details=details,
    )


def _seen(tracks: Tracks, where: slice | list[int], min_confidence: float) -> Bools:
    """bool [T, K]: which of these landmarks were observed, and certain enough."""
    measured = np.isin(tracks.state[:, where], (State.OBSERVED, State.CLAMPED))
    certain: Bools = tracks.confidence[:, where] >= np.float32(min_confidence)
    return measured & certain & np.isfinite(tracks.positions[:, where, :2]).all(axis=2)


def _hand_expected(raw: Tracks, hand: str) -> Bools:
    """bool [T]: the hand may be in the picture: the pose does not put it outside."""
    side = hand.removesuffix("_hand")
    names = raw.topology.landmark_names
    wanted = [f"pose.{side}_{point}" for point in _HAND_POINTS]
    points = [names.index(name) for name in wanted if name in names]
    if not points:
        return np.ones(len(raw), np.bool_)
    # However uncertain the pose is here, since it is least certain of what lies outside.
    x, y = raw.positions[:, points, :2].mean(axis=1).astype(np.float64).T
    width, height = raw.image_size
    outside: Bools = (x < 0) | (x >= width) | (y < 0) | (y >= height)  # False where NaN
    return ~outside


def _hand_visibility(presence: Mapping[str, Floats], expected: Mapping[str, Bools]) -> float:
    """See `score`."""
    if not all(hand in presence for hand in HANDS):
        return 0.0
    signing = _span(expected["left_hand"] | expected["right_hand"])
    choices = []
    for hand, other in (HANDS, HANDS[::-1]):
        counted = signing.sum() + expected[other].sum()
        there = presence[hand][signing].sum() + presence[other][expected[other]].sum()
        choices.append(float(there / counted))
    return max(choices)


def _span(frames: Bools) -> Bools:
    """bool [T]: from the first True to the last; everywhere where there is none."""
    if not frames.any():
        return np.ones_like(frames)
    first, last = np.flatnonzero(frames)[[0, -1]]
    span = np.zeros_like(frames)
    span[first : last + 1] = True
    return span


@dataclass(frozen=True, eq=False)
class _Jitter:
    """The jitter of some landmarks.

    Attributes:
        medians: float64 [T - 2], shoulder widths per frame, over the landmarks; row 0 is frame 1.
            NaN where none was seen, and where the neighbours are too far away in time.
        steadiness: sum over the landmarks of the frames that count, see `_steadiness`.
        count: number of those.
    """

    medians: Floats
    steadiness: float
    count: int


def _jitter(
    raw: Tracks, expected: Mapping[str, Bools], parameters: QualityParameters
) -> dict[str, _Jitter]:
    """For ``body``, each hand and ``face``; of what the topology lacks there is none."""
    names = raw.topology.landmark_names
    body = [names.index(f"pose.{point}") for point in _BODY_POINTS if f"pose.{point}" in names]
    parts: dict[str, slice | list[int]] = {part.name: part.slice for part in raw.topology.parts}
    scale = shoulder_width(raw, parameters.min_confidence)
    always = np.ones(len(raw), np.bool_)
    kinds: tuple[tuple[str, slice | list[int], float, Bools], ...] = (
        ("body", body, parameters.jitter_body, always),
        *((h, parts.get(h, []), parameters.jitter_hands, expected[h]) for h in HANDS),
        ("face", parts.get("face", []), parameters.jitter_face, always),
    )
    return {
        name: _jitter_of(raw, where, scale, stable, counts, parameters)
        for name, where, stable, counts in kinds
    }


def _jitter_of(
    raw: Tracks, where: slice | list[int], scale: float, stable: float, counts: Bools,
    parameters: QualityParameters,
) -> _Jitter:  # fmt: skip
    """Of landmarks that are stable up to the jitter ``stable``; ``counts`` is bool [T]."""
    medians: list[Floats] = [np.zeros(0)]
    total, count = 0.0, 0
    # So many frames at a time, for a long video is large.
    for start in range(0, len(raw) - 2, _FRAMES_AT_A_TIME):
        rows = slice(start, start + _FRAMES_AT_A_TIME + 2)
        frames = raw.frames(rows)
        times, close = frames.timestamps, _close(frames.timestamps)
        seen = _seen(frames, where, parameters.min_confidence)
        points = frames.positions[:, where, :2].astype(np.float64)
        points[~seen] = np.nan
        share = ((times[1:-1] - times[:-2]) / (times[2:] - times[:-2]))[:, None, None]
        line = points[:-2] + share * (points[2:] - points[:-2])
        jitter = 2 * np.linalg.norm(points[1:-1] - line, axis=2) / scale
        jitter[~close] = np.nan
        medians.append(_row_median(jitter))
        steady = _steadiness(jitter[close & counts[rows][1:-1]], stable, parameters)
        total, count = total + float(steady.sum()), count + steady.size
    return _Jitter(np.concatenate(medians), total, count)


def _close(times: Floats) -> Bools:
    """bool [T - 2]: both neighbours of a frame lie close enough for jitter to be measured."""
    close: Bools = times[2:] - times[:-2] <= _JITTER_SPAN_S
    return close


def _stability(jitter: Mapping[str, _Jitter]) -> float:
    """See `score`."""
    weighted = (
        (2.0, [jitter[hand] for hand in HANDS]),
        (1.0, [jitter["body"]]),
        (1.0, [jitter["face"]]),
    )
    means = [
        (weight, sum(kind.steadiness for kind in kinds) / count)
        for weight, kinds in weighted
        if (count := sum(kind.count for kind in kinds))
    ]
    if not means:
        return 0.0
    return sum(weight * mean for weight, mean in means) / sum(weight for weight, _ in means)


def _steadiness(jitter: Floats, stable: float, parameters: QualityParameters) -> Floats:
    """1 up to ``stable``, falling to 0 at ``jitter_unstable`` times it; 0 where not measured."""
    unstable = stable * parameters.jitter_unstable
    out: Floats = np.clip((unstable - jitter) / (unstable - stable), 0, 1)
    return np.nan_to_num(out)


def _shoulder_px(raw: Tracks, info: Mapping[str, Any]) -> float:
    """Shoulder width in pixels of whichever has fewer, the tracked frame or its source."""
    width = shoulder_width(raw)
    tracked = max(raw.image_size)
    source = max(info.get("width") or 0, info.get("height") or 0) or tracked
    return width * min(1.0, source / tracked)


def _issues(
    raw: Tracks,
    info: Mapping[str, Any],
    details: Mapping[str, Any],
    parameters: QualityParameters,
) -> list[str]:
    """See `score`."""

    def shares(named: Sequence[tuple[str, float]]) -> list[str]:
        return [
            f"{name}_{_percent(share)}%"
            for name, share in named
            if share > 0 and share >= parameters.issue_share
        ]

    label = {"pose": "person"}
    issues = shares(
        [(f"{label.get(name, name)}_missing", share) for name, share in details["missing"].items()]
    )
    for name, median in details["jitter"].items():
        if median is not None and median > getattr(parameters, f"jitter_{name}"):
            issues.append(f"jitter_{name}_high")
    if not _close(raw.timestamps).any():
        issues.append("stability_not_measured")
    issues += shares([("clamped", details["clamped"]), ("filled", details["filled"])])
    if 0 < details["shoulder_width_px"] < parameters.small_person_px:
        issues.append("person_small")
    size = (info.get("width") or raw.image_size[0], info.get("height") or raw.image_size[1])
    if min(size) < parameters.low_resolution_px:
        issues.append("low_resolution")
    if details["duration_s"] < parameters.short_clip_s:
        issues.append("short_clip")
    issues += shares([("damaged_source", float(info.get("damaged_fraction") or 0.0))])
    lead, tail = info.get("trimmed") or (0, 0)
    frames = lead + len(raw) + tail
    issues += shares([("trimmed_lead", lead / frames), ("trimmed_tail", tail / frames)])
    people = int(info.get("person_count") or 0)
    if people > 1:
        issues.append(f"several_people_{people}")
    issues += [str(note) for note in info.get("notes") or ()]
    return list(dict.fromkeys(issues))


def _frames_with(tracks: Tracks, state: State) -> float:
    """Share of frames in which a landmark has the state."""
    return float((tracks.state == state).any(axis=1).mean())


def _percent(share: float) -> int:
    """Whole percent; 0 and 100 only where it is exactly that."""
    percent = round(share * 100)
    return min(99, max(1, percent)) if 0 < share < 1 else percent


def _duration(times: Floats) -> float:
    """Seconds from the first frame to the last one's end; 0 where one frame is all there is."""
    if len(times) < 2:
        return 0.0
    return float(times[-1] - times[0] + np.median(np.diff(times)))


def _mean(values: Floats | None) -> float:
    return 0.0 if values is None else float(values.mean())


def _median(rows: Sequence[Floats]) -> float | None:
    """Median over all that is not NaN; None where all is."""
    values = np.concatenate(rows)
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def _row_median(values: Floats) -> Floats:
    """Median [T] over the columns of [T, K], NaN left out; NaN for a row of NaN."""
    out = np.full(len(values), np.nan)
    some = np.isfinite(values).any(axis=1)
    out[some] = np.nanmedian(values[some], axis=1)
    return out
