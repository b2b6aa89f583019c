"""One shape of video for all later stages: upright, square pixels, at most 720p, a known rate.

A source whose pixels conform already is not encoded again: later stages read the source itself,
and only the choice of frames is recorded, so no quality is lost. Any other is written once as a
high-quality H.264 MP4. Either way `read_normalized` is how its frames are read.

No frame is ever invented or moved in time: the target rate is a ceiling, and every frame keeps the
timestamp it has in the source.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from tracker_core.errors import EmptySegment, TooLarge
from tracker_core.media.decode import Frame, read_frames, read_stream
from tracker_core.media.encode import VideoWriter
from tracker_core.media.probe import VideoInfo

_VIDEO = "normalized.mp4"
_MARGIN_S = 0.2  # kept around the motion when still ends are cut off
_SAME_RATE = Fraction(102, 100)  # up to 2 % above the target is the target with jitter
_FINEST_TIME_BASE = 10_000_000


@dataclass(frozen=True)
class NormalizeParameters:
    """What is asked for.

    Attributes:
        target_fps: most frames per second, a fraction such as ``"30000/1001"``, or ``"source"``
            to keep every frame.
        max_height: most pixels of the shorter side; the longer side may have 16/9 of it, so 720
            means at most 1280x720 lying or 720x1280 standing. Nothing is ever enlarged.
        equalize: even out the brightness mildly (CLAHE on luma).
        trim: cut off still frames at both ends, but for 0.2 s.
        max_frames: most frames that are tracked, since a track is held in memory whole.
        encode: write the normalized pictures to an MP4 where the source's own do not conform. They
            are read from the source otherwise, which loses nothing and, for 1080p, costs a third
            of the time of encoding them and reading them twice.
        start_s, end_s: the segment, in seconds since the source's first frame; a frame at `end_s`
            is not part of it. None is the video's own start or end.
    """

    target_fps: str = "25"
    max_height: int = 720
    equalize: bool = False
    trim: bool = False
    max_frames: int = 200_000
    encode: bool = False
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True, eq=False)
class NormalizedVideo:
    """Which frames the later stages see. T frames.

    Attributes:
        video: name of the encoded file in the stage's folder; None when the source itself is read.
        width, height: pixels of every frame.
        timestamps: float64 [T], seconds since the source's first frame, strictly increasing.
        source_indices: int64 [T], the frame in the source, as `probe` counts.
        equalize: whether the brightness is evened out as the pictures are read.
        trimmed: still frames cut off before the first and after the last frame, counted at the
            normalized rate.
        notes: sentences about what was done and why.
    """

    video: str | None
    width: int
    height: int
    timestamps: npt.NDArray[np.float64]
    source_indices: npt.NDArray[np.int64]
    equalize: bool
    trimmed: tuple[int, int]
    notes: tuple[str, ...] = ()

    @property
    def frame_count(self) -> int:
        """T."""
        return len(self.timestamps)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NormalizedVideo) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.to_json())

    def to_json(self) -> str:
        """All fields as one JSON object; `from_json` gives back an equal value."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        fields["timestamps"] = self.timestamps.tolist()
        fields["source_indices"] = self.source_indices.tolist()
        return json.dumps(fields, allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> NormalizedVideo:
        """The value that `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        fields["timestamps"] = np.array(fields["timestamps"], np.float64)
        fields["source_indices"] = np.array(fields["source_indices"], np.int64)
        fields["trimmed"] = tuple(fields["trimmed"])
        fields["notes"] = tuple(fields["notes"])
        return cls(**fields)


def normalize(
    source: Path, info: VideoInfo, parameters: NormalizeParameters, out: Path
) -> NormalizedVideo:
    """Choose the frames and their size; encode them into `out` where that is asked for and needed.

    Args:
        source: the video.
        info: what `probe` said of it.
        parameters: what is asked for.
        out: an existing folder for the encoded video; left empty where none is needed.

    Raises:
        ValueError: a parameter makes no sense.
        TooLarge: more than `max_frames` frames are left.
        EmptySegment: no frame lies between `start_s` and `end_s`.
        VideoError: the source cannot be read, see `probe`.
    """
    notes: list[str] = []
    chosen = _in_segment(source, info, parameters)
    chosen = _thin(info, chosen, parameters.target_fps)
    trimmed = (0, 0)
    if parameters.trim:
        chosen, trimmed = _without_still_ends(source, info, chosen, notes)

    if len(chosen) > parameters.max_frames:
        raise TooLarge(
            f"{source.name}: {len(chosen):,} frames would be tracked, more than "
            f"{parameters.max_frames:,}: cut it into segments (columns start and end of the "
            "manifest), or raise MAX_TRACKED_FRAMES where there is memory, 25 kB a frame"
        )

    reasons = _what_is_changed(info, parameters)
    width, height = _fit(info.display_width, info.display_height, parameters.max_height)
    if reasons:
        notes.append("changed: " + "; ".join(reasons))
    encode = parameters.encode and bool(reasons)
    if encode:
        width, height = max(2, width - width % 2), max(2, height - height % 2)
        _encode(
            source, info, chosen, out / _VIDEO, size=(width, height), equalize=parameters.equalize
        )
    return NormalizedVideo(
        video=_VIDEO if encode else None,
        width=width,
        height=height,
        timestamps=info.timestamps[chosen],
        source_indices=chosen,
        equalize=parameters.equalize,
        trimmed=trimmed,
        notes=tuple(notes),
    )


def read_normalized(
    source: Path,
    info: VideoInfo,
    normalized: NormalizedVideo,
    folder: Path,
    rows: Sequence[int] | None = None,
) -> Iterator[Frame]:
    """Frames of the normalized video, with index and timestamp of the source.

    Args:
        source: the source video; not touched where an encoded one exists.
        info: what `probe` said of the source.
        normalized: what `normalize` made of it.
        folder: the folder that `normalize` wrote to.
        rows: which of the T normalized frames, increasing; all when None.

    Raises:
        Unreadable: the file has fewer frames than were recorded.
        VideoError: it cannot be opened, see `probe`.
    """
    wanted = range(normalized.frame_count) if rows is None else rows
    if normalized.video is not None:
        yield from _read_encoded(folder / normalized.video, normalized, frozenset(wanted))
        return
    indices = normalized.source_indices[list(wanted)].tolist()
    size = (normalized.width, normalized.height)
    for frame in read_frames(source, info, indices=indices, size=size):
        image = _equalized(frame.image) if normalized.equalize else frame.image
        yield Frame(frame.index, frame.timestamp_s, image)


def _read_encoded(
    video: Path, normalized: NormalizedVideo, rows: frozenset[int]
) -> Iterator[Frame]:
    images = read_stream(video, normalized.frame_count)
    frames = zip(images, normalized.source_indices, normalized.timestamps, strict=True)
    for row, (image, index, timestamp) in enumerate(frames):
        if row in rows:
            yield Frame(int(index), float(timestamp), image)


# ---------------------------------------------------------------------------- which frames


def _in_segment(
    source: Path, info: VideoInfo, parameters: NormalizeParameters
) -> npt.NDArray[np.int64]:
    start = 0.0 if parameters.start_s is None else parameters.start_s
    end = math.inf if parameters.end_s is None else parameters.end_s
    inside = (info.timestamps >= start) & (info.timestamps < end)
    if not inside.any():
        until = "its end" if math.isinf(end) else f"{end:g} s"
        raise EmptySegment(
            f"no frame of {source.name} lies between {start:g} s and {until}; it has "
            f"{info.frame_count} frames in {info.duration_s:.2f} s"
        )
    return np.asarray(np.flatnonzero(inside), np.int64)


def _thin(info: VideoInfo, chosen: npt.NDArray[np.int64], target_fps: str) -> npt.NDArray[np.int64]:
    """At most `target_fps` frames a second: for each tick of its grid, the nearest frame.

    The ticks are counted from the first chosen frame in whole numbers, so nothing drifts. A frame
    is nearest to a tick if the tick lies between the middles to its neighbours; a frame in a
    stretch slower than the grid always has one, so such stretches stay as they are.
    """
    if target_fps == "source" or len(chosen) < 2:
        return chosen
    target = _rate(target_fps)
    base = Fraction(info.time_base)
    # Twice the ticks of the source's clock, so that middles are whole numbers too.
    times = [2 * (info.pts[index] - info.pts[chosen[0]]) for index in chosen.tolist()]
    usual = statistics.median_low(b - a for a, b in itertools.pairwise(times))
    average = Fraction(times[-1], len(times) - 1)
    if 2 / (min(usual, average) * base) <= target * _SAME_RATE:
        return chosen
    grid = target * base / 2  # grid ticks per unit of `times`
    ends = [(a + b) // 2 for a, b in itertools.pairwise(times)] + [times[-1]]
    passed = [-1] + [end * grid.numerator // grid.denominator for end in ends]
    keep = [after > before for before, after in itertools.pairwise(passed)]
    return np.compress(keep, chosen)


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(
            f"target_fps is {text!r}; give 'source' or a rate such as '25' or '30000/1001'"
        ) from error
    if rate <= 0:
        raise ValueError(f"target_fps is {text!r}; it must be above 0")
    return rate


# ---------------------------------------------------------------------------- still ends


def _without_still_ends(
    source: Path, info: VideoInfo, chosen: npt.NDArray[np.int64], notes: list[str]
) -> tuple[npt.NDArray[np.int64], tuple[int, int]]:
    moving = np.flatnonzero(is_moving(motion_energy(source, info, chosen)))
    if not len(moving):
        notes.append("nothing was trimmed: no motion stands out from the noise")
        return chosen, (0, 0)
    times = info.timestamps[chosen]
    # Energy i lies between the frames i and i + 1.
    first = int(np.searchsorted(times, times[moving[0]] - _MARGIN_S))
    last = int(np.searchsorted(times, times[moving[-1] + 1] + _MARGIN_S, side="right"))
    lead, tail = first, len(chosen) - last
    if lead or tail:
        notes.append(f"trimmed {lead} still frames at the start and {tail} at the end")
    return chosen[first:last], (lead, tail)


def motion_energy(
    source: Path, info: VideoInfo, indices: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """How much the picture changes between each two of the given frames.

    Returns:
        float64 [len(indices) - 1], grey levels (0..255): the mean difference of the twentieth of
        the picture that changes most, in a picture of about 80 x 60 points, where noise has
        averaged out and a single moving hand still counts.
    """
    scale = 80 / max(info.display_width, info.display_height)
    size = tuple(max(1, round(side * scale)) for side in (info.display_width, info.display_height))
    most = max(1, size[0] * size[1] // 20)
    energy: list[float] = []
    before: npt.NDArray[np.float32] | None = None
    for frame in read_frames(source, info, indices=indices.tolist(), size=(size[0], size[1])):
        grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        now = cv2.GaussianBlur(grey, (3, 3), 0).astype(np.float32)
        if before is not None:
            change = np.abs(now - before).ravel()
            energy.append(float(np.partition(change, -most)[-most:].mean()))
        before = now
    return np.array(energy, np.float64)


def is_moving(energy: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """bool [N]: where the energy rises above what this video's stillness looks like.

    The floor is the tenth percentile (noise, codec flicker), though never above three grey
    levels, which would be motion; motion begins a sixth of the way to the ninety-fifth
    percentile, one to two levels over the floor. A median over three keeps a single flash or
    keyframe from counting.
    """
    if not len(energy):
        return np.zeros(0, np.bool_)
    padded = np.pad(energy, 1, mode="edge")
    steady = np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)
    floor, top = np.percentile(steady, [10, 95])
    return np.asarray(steady > min(floor, 3.0) + np.clip((top - floor) / 6, 1.0, 2.0), np.bool_)


# ---------------------------------------------------------------------------- pixels


def _what_is_changed(info: VideoInfo, parameters: NormalizeParameters) -> list[str]:
    reasons = []
    if info.rotation or info.hflip or info.vflip:
        turned = f"turned by {info.rotation} degrees" if info.rotation else "mirrored"
        reasons.append(f"stored {turned}")
    if Fraction(info.sample_aspect_ratio) != 1:
        reasons.append(f"pixels of shape {info.sample_aspect_ratio}")
    display = (info.display_width, info.display_height)
    if _fit(*display, parameters.max_height) != display:
        reasons.append(f"{display[0]}x{display[1]} is more than {parameters.max_height}p")
    if _bits(info.pixel_format) > 8:
        reasons.append(f"{_bits(info.pixel_format)} bits per channel")
    if info.hdr:
        reasons.append(f"HDR ({info.hdr})")
    if info.interlaced:
        reasons.append("interlaced")
    if not info.constant_size:
        reasons.append("its size changes")
    if parameters.equalize:
        reasons.append("brightness evened out")
    return reasons


def _bits(pixel_format: str) -> int:
    components = av.VideoFormat(pixel_format).components
    return max((component.bits for component in components), default=8)


def _fit(width: int, height: int, max_height: int) -> tuple[int, int]:
    """The largest size of the same shape whose shorter side is at most `max_height`."""
    if max_height < 2:
        raise ValueError(f"max_height is {max_height}; it must be at least 2")
    shorter, longer = sorted((width, height))
    scale = min(Fraction(1), Fraction(max_height, shorter), Fraction(max_height * 16, 9 * longer))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _encode(
    source: Path,
    info: VideoInfo,
    chosen: npt.NDArray[np.int64],
    path: Path,
    *,
    size: tuple[int, int],
    equalize: bool,
) -> None:
    base = Fraction(info.time_base)
    # MP4 counts in whole parts of a second; the source's own parts keep timestamps exact.
    fine = Fraction(1, base.denominator)
    exact = base.denominator <= _FINEST_TIME_BASE
    with VideoWriter(path, *size, time_base=fine if exact else Fraction(1, 90_000)) as writer:
        for frame in read_frames(source, info, indices=chosen.tolist(), size=size):
            image = _equalized(frame.image) if equalize else frame.image
            writer.write(image, info.pts[frame.index] * base)


def _equalized(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Contrast-limited adaptive histogram equalization of the luma, colours kept."""
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    luma[..., 0] = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(luma[..., 0])
    return cv2.cvtColor(luma, cv2.COLOR_YCrCb2RGB).astype(np.uint8, copy=False)
