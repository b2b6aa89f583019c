"""Writing RGB pictures as an H.264 MP4 that any player and browser shows."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import (
    ColorRange,
    Colorspace,
    Interpolation,
    VideoReformatter,
)
from av.video.stream import VideoStream

_BT709 = 1  # AVCOL_SPC_BT709, AVCOL_PRI_BT709 and AVCOL_TRC_BT709 alike


class VideoWriter:
    """An MP4 (H.264, yuv420p, BT.709) written one RGB picture at a time.

    A context manager: the file is complete when the block ends. If the block ends with an error,
    a broken file is left behind, so write to a temporary name and rename it afterwards. Equal
    pictures give equal bytes (one thread, no clock).

    H.264 in yuv420p needs even sizes; an odd width or height gets its last column or row twice.

    Args:
        path: where to write; the container is MP4 whatever the name's ending.
        width, height: pixels of every picture.
        time_base: the tick of the timestamps; a timestamp is rounded to the nearest.
        crf: quality, 0 (lossless) to 51; 14 cannot be told from the original by eye.
        preset: x264's, from ``ultrafast`` to ``placebo``.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        *,
        time_base: Fraction = Fraction(1, 90_000),
        crf: int = 14,
        preset: str = "veryfast",
    ) -> None:
        if width < 1 or height < 1:
            raise ValueError(f"a video cannot be {width}x{height}")
        self.width = width + width % 2
        self.height = height + height % 2
        self.frame_count = 0
        self._given = (height, width, 3)
        self._time_base = time_base
        self._last_pts = -1
        self._reformatter = VideoReformatter()
        self._container: OutputContainer = av.open(
            str(path.absolute()), "w", format="mp4", options={"movflags": "+faststart"}
        )
        stream: VideoStream = self._container.add_stream("libx264")
        stream.width, stream.height = self.width, self.height
        stream.pix_fmt = "yuv420p"
        stream.time_base = time_base
        context = stream.codec_context
        context.time_base = time_base
        context.thread_count = 1
        context.color_range = 1
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        # On processors with AVX-512, x264's macroblock tree gives other bytes from run to run.
        context.options = {"crf": str(crf), "preset": preset, "x264-params": "mbtree=0"}
        self._stream = stream

    def write(self, image: npt.NDArray[np.uint8], timestamp_s: float | Fraction) -> None:
        """Append one picture.

        Args:
            image: uint8 [H, W, 3], RGB.
            timestamp_s: seconds, above the previous picture's.

        Raises:
            ValueError: the picture has another size or type, or the time does not advance.
        """
        if image.shape != self._given or image.dtype != np.uint8:
            raise ValueError(
                f"expected a uint8 picture of shape {self._given}, got {image.dtype} {image.shape}"
            )
        if not math.isfinite(timestamp_s):
            raise ValueError(f"{timestamp_s} is not a time")
        pts = round(Fraction(timestamp_s) / self._time_base)
        if pts <= self._last_pts:
            raise ValueError(
                f"timestamp {float(timestamp_s)} s does not come after the previous picture's"
            )
        below, right = self.height - image.shape[0], self.width - image.shape[1]
        if below or right:
            image = np.pad(image, ((0, below), (0, right), (0, 0)), mode="edge")
        frame = self._reformatter.reformat(
            VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24"),
            format="yuv420p",
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            dst_colorspace=Colorspace.ITU709,
            interpolation=Interpolation.AREA,
            threads=1,
        )
        frame.pts, frame.time_base = pts, self._time_base
        self._container.mux(self._stream.encode(frame))
        self._last_pts = pts
        self.frame_count += 1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()
