"""What a video file really holds: every frame that decodes, when it is shown, and how to see it.

Containers say wrong things (frame counts, durations, rates, sizes), so `probe` decodes the whole
stream once, on one thread, without converting a picture, and believes only what came out. All
later reading counts frames through the same `decode_stream`, so an index means the same frame
everywhere.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import statistics
import struct
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tracker_core.errors import Damaged, NoFrames, TooLarge
from tracker_core.media.boxes import unlisted_samples
from tracker_core.media.container import DecodeCount, decode_stream, open_video, refused_size
from tracker_core.media.timing import (
    average_rate,
    plausible_rate,
    presentation_times,
    whole_ticks,
)

_COLOR_RANGES = {1: "limited", 2: "full"}
_COLOR_SPACES = {
    0: "rgb",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
}
_HDR_TRANSFERS = {16: "pq", 18: "hlg"}


@dataclass(frozen=True)
class ProbeLimits:
    """What is refused, so that one strange file cannot take all memory or time.

    Attributes:
        max_frames: most frames of one video.
        max_pixels: most pixels of one frame, width times height, as stored and as displayed.
        max_duration_s: longest video in seconds.
        max_damaged_fraction: 0..1, the largest part of the frames that may be lost or corrupt.
    """

    max_frames: int = 1_000_000
    max_pixels: int = 64_000_000
    max_duration_s: float = 6 * 3600.0
    max_damaged_fraction: float = 0.8


@dataclass(frozen=True)
class Damage:
    """One damaged stretch of a video.

    Attributes:
        start_s, end_s: seconds on the same clock as `VideoInfo.timestamps`.
        kind: ``corrupt`` (decoded, but parts of the picture are made up), ``undecodable`` (lost
            between the frames around it) or ``missing`` (not in the file, which breaks off).
        message: what was found there.
    """

    start_s: float
    end_s: float
    kind: str
    message: str


@dataclass(frozen=True)
class VideoInfo:
    """One video stream as it decodes. T frames.

    The clock of a video starts at its first presented frame: ``timestamps[0] == 0``, and
    ``start_s`` holds what the container itself called that moment. Adding the two gives the
    container's own time.

    A stored picture becomes upright by flipping it (`hflip`, `vflip`) and then turning it
    clockwise by `rotation` degrees; `display_width` x `display_height` is its size after that,
    with square pixels.

    Attributes:
        container, codec, pixel_format: FFmpeg's names, of what was found and not of the file name.
        width, height: pixels as stored.
        display_width, display_height: pixels when upright with square pixels.
        sample_aspect_ratio: width of one stored pixel over its height, ``"4/3"``.
        rotation: 0, 90, 180 or 270 degrees clockwise.
        hflip, vflip: mirrored left to right, top to bottom, before turning; never both.
        rate: average frames per second as a fraction, ``"30000/1001"``.
        pts: T whole numbers, strictly increasing from 0, in units of `time_base` seconds.
        time_base: a fraction, ``"1/15360"``.
        start_s: the container's time of the first frame, in seconds.
        start_pts: the same in ticks; ``start_pts + pts[i]`` is what the container calls frame i.
            None where timestamps had to be put in order, so that frames cannot be looked up.
        duration_s: seconds from the first frame's start to the last frame's end.
        has_audio: whether the file has sound.
        stream_index: the stream that was read.
        interlaced: a frame is woven from two fields of different moments.
        constant_size: every frame is stored as `width` x `height`.
        color_range: ``limited``, ``full`` or ``unspecified``.
        color_space: the matrix (``bt709``, ``smpte170m``, ``bt2020nc``...) or ``unspecified``.
        hdr: ``pq``, ``hlg`` or None.
        size_bytes: length of the file.
        frames_claimed: the container's own count, None where it has none.
        damage: damaged stretches in order.
        notes: sentences about whatever was unusual.
    """

    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    display_width: int
    display_height: int
    sample_aspect_ratio: str
    rotation: int
    hflip: bool
    vflip: bool
    rate: str
    pts: tuple[int, ...]
    time_base: str
    start_s: float
    start_pts: int | None
    duration_s: float
    has_audio: bool
    stream_index: int
    interlaced: bool
    constant_size: bool
    color_range: str
    color_space: str
    hdr: str | None
    size_bytes: int
    frames_claimed: int | None
    damage: tuple[Damage, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def frame_count(self) -> int:
        """T, the number of frames that decode."""
        return len(self.pts)

    @cached_property
    def timestamps(self) -> npt.NDArray[np.float64]:
        """float64 [T], read-only: seconds since the first frame, strictly increasing."""
        base = Fraction(self.time_base)
        seconds = np.array([p * base.numerator / base.denominator for p in self.pts], np.float64)
        seconds.flags.writeable = False
        return seconds

    def to_json(self) -> str:
        """All fields as one JSON object; `from_json` gives back an equal value."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> VideoInfo:
        """The value that `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        fields["pts"] = tuple(fields["pts"])
        fields["damage"] = tuple(Damage(**damage) for damage in fields["damage"])
        fields["notes"] = tuple(fields["notes"])
        return cls(**fields)


def probe(source: Path, limits: ProbeLimits = ProbeLimits()) -> VideoInfo:
    """Decode `source` once and say what it holds.

    Memory stays flat: one number per frame is kept and no picture is converted.

    Raises:
        MissingFile: there is no such file.
        Unreadable: not a video, or one whose container or codec cannot be opened.
        NoVideoStream: no moving picture in it (sound only, cover art only).
        NoFrames: a video stream of which not one frame decodes.
        Damaged: more than ``limits.max_damaged_fraction`` of the frames is lost or corrupt.
        TooLarge: over one of the other limits.
    """
    claimed = unlisted_samples(source)
    # A sample has a byte at least, so a long film and its sound pass.
    if claimed > limits.max_frames and claimed > source.stat().st_size:
        raise TooLarge(
            f"{source.name} claims {claimed} frames in {source.stat().st_size} bytes, more than "
            f"the {limits.max_frames} allowed; get a better copy, or raise max_frames"
        )
    with open_video(source) as (container, stream):
        return _Probe(source, container, stream, limits).run()


class _Probe:
    """One pass over one stream; holds what is gathered on the way."""

    def __init__(
        self, source: Path, container: InputContainer, stream: VideoStream, limits: ProbeLimits
    ) -> None:
        self.source = source
        self.container = container
        self.stream = stream
        self.limits = limits
        self.raw = array("q")  # presentation timestamps as stored
        self.untimed: set[int] = set()  # frames without one
        self.corrupt: list[int] = []  # frame indices
        self.lost: list[tuple[int, str]] = []  # (index of the frame that follows, message)
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.interlaced = 0
        self.base = Fraction(stream.time_base or Fraction(1, 1_000_000))
        self.longest = limits.max_duration_s / self.base
        self.overlong = 0

    def run(self) -> VideoInfo:
        self._check_size(self.stream.width or 0, self.stream.height or 0)
        count = DecodeCount()
        first: VideoFrame | None = None
        last_duration = 0
        frames = decode_stream(
            self.container,
            self.stream,
            lambda message: self.lost.append((len(self.raw), message)),
            count,
        )
        for frame in frames:
            if first is None:
                first = frame
            self._take(frame)
            last_duration = frame.duration
        if first is None:
            if size := refused_size(self.source):
                self._check_size(*size)
                raise TooLarge(
                    f"the frames of {self.source.name} are {size[0]}x{size[1]}, more than FFmpeg "
                    "decodes; scale it down"
                )
            reason = f": {self.lost[0][1]}" if self.lost else ""
            raise NoFrames(
                f"not one frame of the {self.stream.codec_context.name} video in "
                f"{self.source.name} could be decoded ({count.packets} packets read{reason})"
            )
        return self._describe(first, last_duration, count)

    def _take(self, frame: VideoFrame) -> None:
        index = len(self.raw)
        pts = frame.pts
        if pts is None:
            self.untimed.add(index)
        self.raw.append(0 if pts is None else pts)
        size = (frame.width, frame.height)
        if size not in self.sizes:
            self._check_size(*size)
        self.sizes[size] += 1
        self.interlaced += frame.interlaced_frame
        if frame.is_corrupt:
            self.corrupt.append(index)
        # A single odd timestamp may lie far off; a hundred frames beyond the limit are no accident.
        self.overlong += pts is not None and pts - self.raw[0] > self.longest
        if self.overlong > 100:
            raise TooLarge(
                f"{self.source.name} lasts more than the {self.limits.max_duration_s:.0f} s "
                "allowed; cut it, or raise max_duration_s"
            )
        if index >= self.limits.max_frames:
            raise TooLarge(
                f"{self.source.name} has more than {self.limits.max_frames} frames; cut it, or "
                "raise max_frames"
            )

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self.limits.max_pixels:
            raise TooLarge(
                f"the frames of {self.source.name} are {width}x{height}, more than the "
                f"{self.limits.max_pixels} pixels allowed; scale it down, or raise max_pixels"
            )

    def _describe(self, first: VideoFrame, last_duration: int, count: DecodeCount) -> VideoInfo:
        stream, notes = self.stream, list[str]()
        guess = (
            plausible_rate(stream.guessed_rate)
            or plausible_rate(stream.average_rate)
            or Fraction(25)
        )
        raw = [None if i in self.untimed else pts for i, pts in enumerate(self.raw)]
        pts, time_base, start = self._times(raw, guess, notes)
        rate = average_rate(pts, time_base, [stream.guessed_rate, stream.average_rate], guess)
        steps = [later - earlier for earlier, later in itertools.pairwise(pts)]
        typical = time_base * statistics.median_low(steps) if steps else 1 / rate
        last = last_duration * self.base
        duration = time_base * pts[-1] + (last if 0 < last < 10 * typical else typical)
        if duration > self.limits.max_duration_s:
            raise TooLarge(
                f"{self.source.name} lasts {float(duration):.0f} s, more than the "
                f"{self.limits.max_duration_s:.0f} s allowed; cut it, or raise max_duration_s"
            )

        width, height = self.sizes.most_common(1)[0][0]
        ratio = _pixel_shape(stream.sample_aspect_ratio, notes)
        rotation, hflip, vflip = _orientation(first, notes)
        display = (max(1, round(width * ratio)), height)
        self._check_size(*display)
        if rotation in (90, 270):
            display = (display[1], display[0])

        claimed = stream.frames or None
        start_s = float(start * self.base)
        seconds = [float(tick * time_base) for tick in pts] + [float(duration)]
        damage = self._damage(seconds, rate, start_s, count)
        self._add_notes(notes, claimed, count, raw)
        return VideoInfo(
            container=self.container.format.name,
            codec=stream.codec_context.codec.canonical_name,
            pixel_format=first.format.name,
            width=width,
            height=height,
            display_width=display[0],
            display_height=display[1],
            sample_aspect_ratio=_fraction(ratio),
            rotation=rotation,
            hflip=hflip,
            vflip=vflip,
            rate=_fraction(rate),
            pts=tuple(pts),
            time_base=_fraction(time_base),
            start_s=start_s,
            start_pts=start if isinstance(start, int) else None,
            duration_s=float(duration),
            has_audio=bool(self.container.streams.audio),
            stream_index=stream.index,
            interlaced=self.interlaced * 10 > len(pts),
            constant_size=len(self.sizes) == 1,
            color_range=_COLOR_RANGES.get(int(first.color_range), "unspecified"),
            color_space=_COLOR_SPACES.get(int(first.colorspace), "unspecified"),
            hdr=_HDR_TRANSFERS.get(int(first.color_trc)),
            size_bytes=self.source.stat().st_size,
            frames_claimed=claimed,
            damage=damage,
            notes=tuple(notes),
        )

    def _times(
        self,
        raw: Sequence[int | None],
        guess: Fraction,
        notes: list[str],
    ) -> tuple[list[int], Fraction, int | Fraction]:
        """Strictly increasing ticks from 0, the length of a tick, and where the first frame was.

        The last is in the stream's own ticks, an int if the stored timestamps are used as they
        are.
        """
        base = self.base
        known = [pts for pts in raw if pts is not None]
        if len(known) == len(raw) and all(a < b for a, b in itertools.pairwise(known)):
            return [pts - known[0] for pts in known], base, known[0]
        if len(known) < len(raw):
            notes.append(
                f"{len(raw) - len(known)} of {len(raw)} frames carry no timestamp; theirs follow "
                f"from a rate of {_fraction(guess)} frames per second"
            )
        ascending = all(a < b for a, b in itertools.pairwise(known))
        if not ascending:
            notes.append("timestamps repeat or go backwards; they were put in order")
        times = presentation_times(raw, 1 / guess / base)
        ticks, parts = whole_ticks(times)
        return ticks, base / parts, times[0]

    def _damage(
        self,
        seconds: Sequence[float],
        rate: Fraction,
        start: float,
        count: DecodeCount,
    ) -> tuple[Damage, ...]:
        """Damaged stretches; `seconds` are the frames' times and the end of the last one."""
        *_, duration = seconds
        frames = len(seconds) - 1
        claimed = self.stream.frames or None

        found = [
            Damage(seconds[max(0, index - 1)], seconds[index], "undecodable", message)
            for index, message in self.lost
        ]
        for first, last in _runs(self.corrupt):
            found.append(
                Damage(
                    seconds[first],
                    seconds[last + 1],
                    "corrupt",
                    f"{_frames(last - first + 1)} decoded with made-up parts",
                )
            )
        if claimed is not None:
            missing = max(0, claimed - count.packets)
            message = f"its index lists {claimed} frames, {count.packets} are in it"
            end = duration + float(missing / rate)
        else:
            end = self._claimed_end(start, float(2 / rate))
            missing = max(0, round((end - duration) * rate) - 1)  # rounding is no loss
            message = f"it should last {end:.2f} s, and {duration:.2f} s are in it"
        if missing:
            message = f"the file breaks off: {message}"
            found.append(Damage(seconds[-2], max(end, duration), "missing", message))
        bad = len(self.lost) + missing + len(self.corrupt)
        total = frames + len(self.lost) + missing
        if bad > self.limits.max_damaged_fraction * total:
            raise Damaged(
                f"{bad} of the {total} frames of {self.source.name} are lost or corrupt, more than "
                f"the {self.limits.max_damaged_fraction:.0%} allowed ({found[-1].message}); get a "
                "better copy, or raise max_damaged_fraction"
            )
        return tuple(sorted(found, key=lambda damage: (damage.start_s, damage.end_s)))

    def _claimed_end(self, start: float, slack_s: float) -> float:
        """When the video should end on our clock by Matroska's own account; 0 where it has none.

        Matroska counts no frames, but says how long the file and each stream in it last, from
        time 0 of its own clock; both must say so, since tags outlive what they describe. A stored
        time that reaches the end, in its place or not, shows that nothing was cut off.
        """
        tag = self.stream.metadata.get("DURATION", "")
        whole = self.container.duration
        if not self.container.format.name.startswith("matroska") or whole is None:
            return 0.0
        try:
            hours, minutes, seconds = (float(part) for part in tag.split(":"))
        except ValueError:
            return 0.0
        end = min(3600 * hours + 60 * minutes + seconds, whole / av.time_base)
        return 0.0 if max(self.raw) * self.base >= end - slack_s else end - start

    def _add_notes(
        self,
        notes: list[str],
        claimed: int | None,
        count: DecodeCount,
        raw: Sequence[int | None],
    ) -> None:
        if claimed is not None and claimed != len(raw):
            hidden = f" ({count.hidden} are hidden by an edit list)" if count.hidden else ""
            notes.append(f"{claimed} frames claimed, {len(raw)} decoded{hidden}")
        if len(self.sizes) > 1:
            sizes = ", ".join(f"{w}x{h} ({n} frames)" for (w, h), n in self.sizes.items())
            notes.append(f"the size changes mid-stream: {sizes}")
        if len(self.container.streams.video) > 1:
            notes.append(
                f"{len(self.container.streams.video)} video streams; number {self.stream.index} "
                "is read"
            )


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def _runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive numbers."""
    runs: list[tuple[int, int]] = []
    for index in indices:
        if runs and runs[-1][1] == index - 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return runs


def _pixel_shape(stated: Fraction | None, notes: list[str]) -> Fraction:
    if not stated or stated <= 0:
        return Fraction(1)
    if not Fraction(1, 8) <= stated <= 8:
        notes.append(f"the pixel aspect ratio {_fraction(stated)} cannot be meant; 1/1 is used")
        return Fraction(1)
    return stated


def _orientation(frame: VideoFrame, notes: list[str]) -> tuple[int, bool, bool]:
    """Rotation (degrees clockwise), hflip and vflip that make the picture upright."""
    sides = cast("Iterable[SideData]", frame.side_data)  # the stub says another type
    data = next((side for side in sides if side.type == SideDataType.DISPLAYMATRIX), None)
    if data is None:
        return 0, False, False
    rotation, hflip, vflip, exact = orientation(struct.unpack("=9i", bytes(data)[:36]))
    if not exact:
        notes.append(f"the display matrix is askew; the nearest quarter turn ({rotation}) is used")
    return rotation, hflip, vflip


def orientation(matrix: Sequence[int]) -> tuple[int, bool, bool, bool]:
    """Read a display matrix: (rotation, hflip, vflip, whether a quarter turn describes it).

    The nine numbers are a, b, u, c, d, v, x, y, w row by row, a point becoming
    x' = a x + c y, y' = b x + d y with y down (ISO/IEC 14496-12, 6.2.2). A mirror image has a
    negative determinant; the angle is where the x axis goes once the mirroring is undone.
    """
    a, b, _, c, d, *_ = matrix
    determinant = a * d - b * c
    if determinant == 0:
        return 0, False, False, a == b == c == d == 0
    mirrored = determinant < 0
    if mirrored:
        a, b = -a, -b  # flip left to right first; what remains is a pure turn
    angle = math.degrees(math.atan2(b, a)) % 360
    rotation = round(angle / 90) * 90 % 360
    exact = abs((angle - rotation + 180) % 360 - 180) < 0.5
    if mirrored and rotation == 180:
        return 0, False, True, exact
    return rotation, mirrored, False, exact


def _fraction(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"
