"""What it costs to read a long video segment by segment, against one reading of the whole.

::

    python -m benchmarks.segments [--segments 40] [--seconds 5] [--keyframes 9999,250,50]

The segments follow each other and make up the whole video. They are read once as jobs that know
nothing of each other, each from a keyframe before it; and once as a run reads them, in order with
the source kept open (`tracker_core.media.decode.keep_open`). One table: how many frames lie
between two keyframes, how the video is read, CPU seconds, and frames decoded.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import imageio_ffmpeg

from tracker_core.media import decode
from tracker_core.media.container import decode_stream
from tracker_core.media.decode import keep_open, read_frames
from tracker_core.media.probe import VideoInfo, probe

FPS, SIZE = 25, "640x480"
READINGS = ("whole", "each segment alone", "segments in order, kept open")


def make_video(path: Path, seconds: float, keyframes: int) -> None:
    """H.264 of FFmpeg's test pattern, with so many frames from one keyframe to the next."""
    pattern = f"testsrc2=size={SIZE}:rate={FPS}:duration={seconds}"
    coding = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-bf", "2")
    gops = ("-g", str(keyframes), "-keyint_min", str(keyframes), "-sc_threshold", "0")
    command = (imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "lavfi", "-i", pattern)
    subprocess.run([*command, *coding, *gops, str(path)], check=True)


@contextmanager
def counted() -> Iterator[list[int]]:
    """One number: how many frames this process decodes within the block."""
    count = [0]

    def counting(*given: Any) -> Iterator[Any]:
        for frame in decode_stream(*given):
            count[0] += 1
            yield frame

    with mock.patch.object(decode, "decode_stream", counting):
        yield count


def read(video: Path, info: VideoInfo, parts: Sequence[range]) -> tuple[float, int]:
    """Read all frames of each part, as the stage `track` does; CPU seconds and frames decoded."""
    with counted() as count:
        started = time.process_time()
        for part in parts:
            frames = sum(1 for _ in read_frames(video, info, indices=part))
            assert frames == len(part)
        return time.process_time() - started, count[0]


def measure(video: Path, segments: int) -> Iterator[tuple[str, float, int]]:
    """How the video is read, CPU seconds, and frames decoded."""
    info = probe(video)
    edges = [info.frame_count * i // segments for i in range(segments + 1)]
    parts = [range(*edges[i : i + 2]) for i in range(segments)]
    whole, alone, kept = READINGS
    yield whole, *read(video, info, [range(info.frame_count)])
    yield alone, *read(video, info, parts)
    keep_open(video)
    try:
        yield kept, *read(video, info, parts)
    finally:
        keep_open(None)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description="Segments against one reading of the whole.")
    parser.add_argument("--segments", type=int, default=40, metavar="N")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each segment")
    parser.add_argument("--keyframes", default="9999,250,50", metavar="N,N,...")
    given = parser.parse_args(arguments)
    titles = ("frames a keyframe", "read", "CPU seconds", "frames decoded")
    sys.stdout.write(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}\n")
    with tempfile.TemporaryDirectory(prefix="tracker-segments-") as folder:
        for keyframes in map(int, given.keyframes.split(",")):
            video = Path(folder) / f"{keyframes}.mp4"
            make_video(video, given.segments * given.seconds, keyframes)
            for how, seconds, frames in measure(video, given.segments):
                sys.stdout.write(f"| {keyframes} | {how} | {seconds:.1f} | {frames:,} |\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
