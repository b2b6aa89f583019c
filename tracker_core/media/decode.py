"""Frames of a video as upright RGB pictures with square pixels, counted and timed as by `probe`.

Whoever reads one segment of a source after the other says so with `keep_open`: each reading then
goes on where an earlier one ended, and the frames are those of a reading from the source's start.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
import av.error
import av.filter
import cv2
import numpy as np
import numpy.typing as npt
from av.filter.context import FilterContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from tracker_core.errors import Unreadable
from tracker_core.media.container import decode_stream, open_video
from tracker_core.media.probe import VideoInfo, probe

Image = npt.NDArray[np.uint8]
T = TypeVar("T")

_SEEK_BEYOND_S = 10.0  # below that, decoding from the start is as cheap
_SEEK_MARGINS_S = (2.0, 12.0)  # how far before a frame to look for a keyframe: usual, then long
# Each may hold a dozen decoded pictures. Enough for what roi (which may look twice) and track read
# of two tiers of segments that overlap.
_MOST_OPEN = 6
# FFmpeg's AVColorSpace. The converter refuses a frame with any other label.
_BT709, _UNSPECIFIED, _BT2020, _BT2020_CONSTANT = 1, 2, 9, 10
_KNOWN_SPACES = (0, 1, 2, 4, 5, 6, 7, 9)
_TURNS = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video.

    Attributes:
        index: number of the frame in the source, as `probe` counts it, from 0.
        timestamp_s: seconds since the source's first frame.
        image: uint8 [H, W, 3], RGB, contiguous, upright, square pixels.
    """

    index: int
    timestamp_s: float
    image: Image


def read_frames(
    source: Path,
    info: VideoInfo | None = None,
    *,
    indices: Sequence[int] | None = None,
    size: tuple[int, int] | None = None,
) -> Iterator[Frame]:
    """Decode frames in order; equal calls give equal pictures.

    Only wanted frames are converted to RGB, and decoding stops after the last one. Frames of
    interlaced video are rebuilt from their own first field and its neighbours (bwdif), one per
    frame; HDR is brought to SDR; a frame whose shape differs from the video's is fitted inside
    black borders.

    Args:
        source: the video.
        info: what `probe` said of it; probed here when absent.
        indices: which frames, strictly increasing; all when None.
        size: (width, height) of the upright pictures; the display size when None.

    Raises:
        ValueError: `indices` are not strictly increasing or not in the video.
        Unreadable: the file no longer holds the frames that `info` counted.
        VideoError: see `probe`.
    """
    info = info if info is not None else probe(source)
    wanted = range(info.frame_count) if indices is None else indices
    if any(a >= b for a, b in itertools.pairwise(wanted)):
        raise ValueError("frame indices must be strictly increasing")
    if len(wanted) and not 0 <= wanted[0] <= wanted[-1] < info.frame_count:
        raise ValueError(
            f"frame indices {wanted[0]}..{wanted[-1]} are not within the "
            f"{info.frame_count} frames of {source.name}"
        )
    return _read(source, info, wanted, size or (info.display_width, info.display_height))


def _read(
    source: Path, info: VideoInfo, wanted: Sequence[int], size: tuple[int, int]
) -> Iterator[Frame]:
    if not len(wanted):
        return
    upright = _Upright(info, size)
    decoder = _decoder_before(source, info, wanted[0])
    position = 0
    try:
        for index, frame in decoder:
            if index < wanted[position]:
                continue
            try:
                image = upright.picture(frame)
            except av.error.FFmpegError as error:
                raise Unreadable(
                    f"frame {index} of {source.name} ({frame.format.name}) cannot be converted to "
                    f"RGB: {error.strerror}; convert the video to H.264 with yuv420p"
                ) from error
            yield Frame(index, float(info.timestamps[index]), image)
            position += 1
            if position == len(wanted):
                break
        else:
            raise Unreadable(
                f"{source.name} ended before frame {wanted[position]} of the {info.frame_count} "
                "that were found when it was probed; has the file changed since?"
            )
    except BaseException:
        decoder.close()
        raise
    _kept.put(source, decoder)


# ---------------------------------------------------------------------------- the way to a frame


def keep_open(source: Path | None) -> None:
    """Let readings of this source, in this process, go on where earlier ones ended.

    Their decoders stay open until another source, or None, is named here. Segments that are read
    in the order of their starts are then decoded once by each of the readings that a segment
    needs, however far apart the keyframes lie; where k segments overlap, at most k times. That
    holds while no more than `_MOST_OPEN` decoders are needed, and while the process lives: the
    next one begins at a keyframe again. A file that has changed is opened anew.
    """
    _kept.keep(source)


def _decoder_before(source: Path, info: VideoInfo, wanted: int) -> _Decoder:
    """A decoder that will come to a frame, having as little as possible to decode before it.

    It goes on from where a kept one stands, or from a keyframe if one lies between there and the
    frame, or from the start.
    """
    # A field is rebuilt from its neighbours in time, so two frames more are needed.
    first = max(0, wanted - 2) if info.interlaced else wanted
    kept = _kept.take(source, wanted)
    stands = 0 if kept is None else kept.next
    near_s = _SEEK_BEYOND_S if kept is None else _SEEK_MARGINS_S[0]
    far = info.timestamps[first] - info.timestamps[stands] > near_s
    if far and info.start_pts is not None and not info.damage:
        for margin_s in _SEEK_MARGINS_S:
            decoder = _Decoder(source, info, first)
            if decoder.seek(first, margin_s, beyond=stands):
                if kept is not None:
                    kept.close()
                return decoder
            decoder.close()
    return _Decoder(source, info, first) if kept is None else kept


class _Decoder:
    """Numbered frames of a source from one on, as an iterator; the file stays open until `close`.

    Attributes:
        next: number of the frame that comes next, as `probe` counts it.
        version: which state of the file this is, see `_version`.
    """

    def __init__(self, source: Path, info: VideoInfo, first: int) -> None:
        self._info = info
        self._open = ExitStack()
        self._container, self._stream = self._open.enter_context(open_video(source))
        self.version = _version(source)
        self._start(enumerate(decode_stream(self._container, self._stream)), first)

    def _start(self, frames: Iterator[tuple[int, VideoFrame]], first: int) -> None:
        self.next = first
        frames = itertools.dropwhile(lambda numbered: numbered[0] < first, frames)
        self._frames = _deinterlace(frames) if self._info.interlaced else frames

    def seek(self, first: int, margin_s: float, beyond: int) -> bool:
        """Go to frame `first` from a keyframe at least `margin_s` before it.

        False where that keyframe's number is not above `beyond`, or where timestamps do not tell
        for certain which frame is which; the decoder is of no use then.
        """
        info = self._info
        assert info.start_pts is not None
        ticks = info.start_pts + info.pts[first] - round(margin_s / Fraction(info.time_base))
        try:
            self._container.seek(ticks, stream=self._stream)
            key = next(
                packet for packet in self._container.demux(self._stream) if packet.is_keyframe
            )
            shown = key.dts if key.pts is None else key.pts
            if shown is not None and _number(info, shown) <= beyond:
                return False
            self._container.seek(ticks, stream=self._stream)
        except (av.error.FFmpegError, OSError, StopIteration, IndexError, ValueError):
            return False  # not every container can
        frames = _from_keyframe(decode_stream(self._container, self._stream), info, first)
        if frames is None:
            return False
        self._start(frames, first)
        return True

    def __iter__(self) -> _Decoder:
        return self

    def __next__(self) -> tuple[int, VideoFrame]:
        index, frame = next(self._frames)
        self.next = index + 1
        return index, frame

    @property
    def ended(self) -> bool:
        """Whether no frame is to come."""
        return self.next >= self._info.frame_count

    def close(self) -> None:
        """Close the file."""
        self._frames = iter(())
        self._open.close()


class _Kept:
    """The decoders that wait for the next segment of the source that is kept open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._source: Path | None = None
        self._decoders: list[_Decoder] = []  # the one that was used last is the last

    def keep(self, source: Path | None) -> None:
        with self._lock:
            if source != self._source:
                self._close(self._decoders)
            self._source = source

    def take(self, source: Path, wanted: int) -> _Decoder | None:
        """Of those that have not passed the wanted frame, the one that stands nearest to it."""
        with self._lock:
            if source != self._source:
                return None
            version = _version(source)
            self._close([decoder for decoder in self._decoders if decoder.version != version])
            before = [decoder for decoder in self._decoders if decoder.next <= wanted]
            nearest = max(before, key=lambda decoder: decoder.next, default=None)
            if nearest is not None:
                self._decoders.remove(nearest)
            return nearest

    def put(self, source: Path, decoder: _Decoder) -> None:
        """Take a decoder back, or close it where it is of no further use."""
        with self._lock:
            self._decoders.append(decoder)
            if source != self._source or decoder.ended:
                self._close([decoder])
            self._close(self._decoders[:-_MOST_OPEN])

    def _close(self, decoders: Sequence[_Decoder]) -> None:
        for decoder in list(decoders):
            self._decoders.remove(decoder)
            decoder.close()


_kept = _Kept()


def _version(source: Path) -> tuple[int, int, int] | None:
    """What changes with a file's bytes; None where it is gone."""
    try:
        stat = source.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _number(info: VideoInfo, pts: int) -> int:
    """Number of the first frame that is shown at, or after, this time of the container's."""
    assert info.start_pts is not None
    return bisect.bisect_left(info.pts, pts - info.start_pts)


def _from_keyframe(
    frames: Iterator[VideoFrame], info: VideoInfo, first: int
) -> Iterator[tuple[int, VideoFrame]] | None:
    """Numbered frames from `first` on; None unless every timestamp up to it is as probed.

    Pictures before the first keyframe in time may lack what they refer to and are passed over.
    """
    key = next((frame for frame in frames if frame.key_frame), None)
    if key is None or key.pts is None or info.start_pts is None:
        return None
    for index, frame in enumerate(itertools.chain([key], frames), _number(info, key.pts)):
        if index > first or frame.pts != info.start_pts + info.pts[index]:
            return None
        if index == first:
            return enumerate(itertools.chain([frame], frames), first)
    return None


def read_stream(source: Path, frame_count: int) -> Iterator[Image]:
    """Every picture of a video that this project wrote: no probing, pixels as they are stored.

    Raises:
        Unreadable: it does not hold exactly `frame_count` frames.
    """
    reformatter = VideoReformatter()
    count = 0
    with open_video(source) as (container, stream):
        for frame in decode_stream(container, stream):
            yield _rgb(reformatter, frame, frame.width, frame.height)
            count += 1
    if count != frame_count:
        raise Unreadable(f"{source.name} holds {count} frames, {frame_count} were written to it")


def _deinterlace(frames: Iterator[tuple[int, VideoFrame]]) -> Iterator[tuple[int, VideoFrame]]:
    """Rebuild interlaced frames, one for one; progressive ones pass as they are."""
    bwdif: _Bwdif | None = None
    for index, frame in frames:
        if bwdif is None or not bwdif.fits(frame):
            if bwdif is not None:
                yield from bwdif.flush()
            bwdif = _Bwdif(frame)
        yield from bwdif.filter(index, frame)
    if bwdif is not None:
        yield from bwdif.flush()


class _Bwdif:
    """FFmpeg's bwdif filter; the index of a frame travels through it as its timestamp."""

    def __init__(self, frame: VideoFrame) -> None:
        self._shape = (frame.width, frame.height, frame.format.name)
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        source = self._graph.add(
            "buffer",
            f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1",
        )
        bwdif: FilterContext = self._graph.add("bwdif", "mode=send_frame:deint=interlaced")
        self._graph.link_nodes(source, bwdif, self._graph.add("buffersink")).configure()

    def fits(self, frame: VideoFrame) -> bool:
        return self._shape == (frame.width, frame.height, frame.format.name)

    def filter(self, index: int, frame: VideoFrame) -> Iterator[tuple[int, VideoFrame]]:
        frame.pts, frame.time_base = index, Fraction(1)
        self._graph.vpush(frame)
        yield from self._pull()

    def flush(self) -> Iterator[tuple[int, VideoFrame]]:
        self._graph.vpush(None)
        yield from self._pull()

    def _pull(self) -> Iterator[tuple[int, VideoFrame]]:
        while True:
            try:
                frame = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            yield round((frame.pts or 0) * (frame.time_base or 1)), frame


class _Upright:
    """Turns decoded frames into upright RGB pictures of one size."""

    def __init__(self, info: VideoInfo, size: tuple[int, int]) -> None:
        self._info = info
        self._size = size
        self._sideways = info.rotation in (90, 270)
        self._reformatter = VideoReformatter()

    def picture(self, frame: VideoFrame) -> Image:
        width, height = self._fit(frame)
        lying = (height, width) if self._sideways else (width, height)
        image = _rgb(self._reformatter, frame, *lying, self._info.hdr)
        if self._info.hflip:
            image = np.fliplr(image)
        if self._info.vflip:
            image = np.flipud(image)
        if self._info.rotation:
            image = cv2.rotate(image, _TURNS[self._info.rotation]).astype(np.uint8, copy=False)
        if (width, height) != self._size:
            image = _centred(image, self._size)
        return np.ascontiguousarray(image)

    def _fit(self, frame: VideoFrame) -> tuple[int, int]:
        """Upright size of this frame's picture: all of `size`, unless its shape is another."""
        info = self._info
        if (frame.width, frame.height) == (info.width, info.height):
            return self._size
        # Its own upright shape, relative to the one the whole picture was made for.
        across, down = frame.width / info.width, frame.height / info.height
        if self._sideways:
            across, down = down, across
        scale = max(across, down)
        return (
            max(1, round(self._size[0] * across / scale)),
            max(1, round(self._size[1] * down / scale)),
        )


def _rgb(
    reformatter: VideoReformatter,
    frame: VideoFrame,
    width: int,
    height: int,
    hdr: str | None = None,
) -> Image:
    _say_colors(frame)
    smaller = width < frame.width or height < frame.height
    rgb = reformatter.reformat(
        frame,
        width,
        height,
        "rgb48le" if hdr else "rgb24",
        interpolation=Interpolation.AREA if smaller else Interpolation.BICUBIC,
        dst_color_range=ColorRange.JPEG,
        threads=1,
    )
    if hdr:
        return tone_map(rgb.to_ndarray().astype(np.uint16, copy=False), hdr)
    return np.ascontiguousarray(rgb.to_ndarray(), np.uint8)


def _say_colors(frame: VideoFrame) -> None:
    """Leave only colour labels that the converter knows, and give HD that has none its own.

    BT.709 is what players take HD for that does not say; SD stays with the converter's BT.601.
    """
    space = int(frame.colorspace)
    if space == _BT2020_CONSTANT:
        space = _BT2020
    elif space not in _KNOWN_SPACES:
        space = _UNSPECIFIED
    if space == _UNSPECIFIED and frame.height >= 720 and not frame.format.is_rgb:
        space = _BT709
    frame.colorspace = space
    if int(frame.color_range) not in (0, 1, 2):
        frame.color_range = 0


def _centred(image: Image, size: tuple[int, int]) -> Image:
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    height, width = image.shape[:2]
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    canvas[top : top + height, left : left + width] = image
    return canvas


# ---------------------------------------------------------------------------- high dynamic range

_WHITE_NITS = 203.0  # what HDR grades as diffuse white (ITU-R BT.2408)
_KNEE = 0.75  # of SDR white; below it nothing changes, above it highlights are pressed together
_BRIGHTEST = 4.0  # times diffuse white; nothing can be told from it above that
# Linear BT.2020 to linear BT.709 primaries (ITU-R BT.2087).
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    np.float32,
)


def tone_map(image: npt.NDArray[np.uint16], transfer: str) -> Image:
    """Bring an HDR picture to SDR: diffuse white stays near white, highlights are pressed in.

    Args:
        image: uint16 [H, W, 3], RGB of BT.2020 primaries, 0..65535.
        transfer: ``pq`` (SMPTE ST 2084) or ``hlg`` (ITU-R BT.2100).

    Returns:
        uint8 [H, W, 3], RGB of BT.709 primaries for a display gamma of 2.4.
    """
    light = np.clip(cv2.transform(_light(transfer)[image], _TO_BT709), 0, _BRIGHTEST)
    # Roots are spaced as finely as dark tones need.
    shown: Image = _shown()[(np.sqrt(light / _BRIGHTEST) * 65535).astype(np.uint16)]
    return shown


@functools.cache
def _light(transfer: str) -> npt.NDArray[np.float32]:
    """float32 [65536]: the light of each code value, 1 being diffuse white."""
    code = np.arange(65536) / 65535
    if transfer == "pq":
        m1, m2, c1, c2, c3 = 1305 / 8192, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
        root = code ** (1 / m2)
        nits = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
        nits = 1000 * scene**1.2  # the system gamma of a 1000 nit display, on each channel
    return (nits / _WHITE_NITS).astype(np.float32)


@functools.cache
def _shown() -> Image:
    """uint8 [65536]: the SDR code of the light ``_BRIGHTEST * (i / 65535) ** 2``."""
    light = _BRIGHTEST * (np.arange(65536) / 65535) ** 2
    room = 1 - _KNEE
    pressed = _KNEE + room * (1 - np.exp(-(np.maximum(light, _KNEE) - _KNEE) / room))
    return np.rint(255 * np.where(light < _KNEE, light, pressed) ** (1 / 2.4)).astype(np.uint8)


# ---------------------------------------------------------------------------- overlap


def prefetch(items: Iterator[T], depth: int = 8) -> Iterator[T]:
    """Run `items` in a background thread, at most `depth` items ahead.

    Decoding then overlaps with what the consumer does. An error in `items` is raised here, after
    the items that came before it. When the consumer stops early (``close``, or the last reference
    goes), the thread ends before control returns; `items` is closed in that thread.
    """
    if depth < 1:
        raise ValueError("prefetch needs a depth of at least 1")
    return _prefetched(items, depth)


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def _prefetched(items: Iterator[T], depth: int) -> Iterator[T]:
    ready: queue.Queue[T | _End] = queue.Queue(depth)
    stop = threading.Event()

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                ready.put(item)
                if stop.is_set():
                    break
        except BaseException as caught:
            error = caught  # raised again where the items are consumed
        finally:
            close: Callable[[], None] | None = getattr(items, "close", None)
            if close is not None:
                close()
            ready.put(_End(error))

    worker = threading.Thread(target=work, name="prefetch", daemon=True)
    worker.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stop.set()
        while worker.is_alive():  # make room until the worker has seen the signal
            try:
                ready.get(timeout=0.05)
            except queue.Empty:
                continue
        worker.join()
