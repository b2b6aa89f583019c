"""Video files of the kinds that go wrong, made on the spot by the ffmpeg of imageio-ffmpeg.

``HardFiles(folder)["name"]`` makes a file once and gives its path. The picture is FFmpeg's test
pattern, in which every frame differs, or four coloured corners, from which one sees which way is
up: red top left, lime top right, blue bottom left, white bottom right.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 160, 96
PATTERN = f"testsrc2=size={WIDTH}x{HEIGHT}:rate=25:duration=1"
CORNERS = "color=gray:size=96x64:rate=25:duration=0.2" + "".join(
    f",drawbox=x={x}:y={y}:w=32:h=24:color={color}:t=fill"
    for x, y, color in ((0, 0, "red"), (64, 0, "lime"), (0, 40, "blue"), (64, 40, "white"))
)
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def ffmpeg(*arguments: str | Path) -> bytes:
    """Run ffmpeg; what it wrote to stdout, or its own words in the error."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *arguments]
    done = subprocess.run([str(part) for part in command], capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def true_timestamps(video: Path, stream: int = 0) -> list[Fraction]:
    """Presentation time of every frame in seconds, as the ffmpeg program sees it."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-copyts", "-threads", "1"]
    command += ["-i", str(video), "-map", f"0:{stream}", "-vf", "showinfo"]
    command += ["-fps_mode", "passthrough", "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    text = done.stderr.decode(errors="replace")
    (base,) = re.findall(r"config in time_base: (\d+/\d+)", text)[:1]
    return [int(pts) * Fraction(base) for pts in re.findall(r"\] n: *\d+ pts: *(-?\d+)", text)]


def true_pictures(video: Path, width: int, height: int, *options: str) -> npt.NDArray[np.uint8]:
    """uint8 [T, H, W, 3]: every picture as ffmpeg shows it, upright."""
    reading = ("-threads", "1", "-i", str(video), *options, "-fps_mode", "passthrough")
    raw = ffmpeg(*reading, "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


Recipe = Callable[["HardFiles", Path], None]


class HardFiles:
    """Makes hard files in `folder`, each when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            recipe = RECIPES[name]
            if isinstance(recipe, tuple):
                ffmpeg(*recipe, path)
            else:
                recipe(self, path)
        return path


def _source(pattern: str, *options: str) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", pattern, *options)


def _turned(options: tuple[str, ...]) -> Recipe:
    """The corners with a display matrix; the pixels stay as they are."""

    def make(files: HardFiles, path: Path) -> None:
        ffmpeg(*options, "-i", files["corners.mp4"], "-c", "copy", path)

    return make


def _bytes(content: bytes) -> Recipe:
    def make(_: HardFiles, path: Path) -> None:
        path.write_bytes(content)

    return make


def _cut(name: str, fraction: float) -> Recipe:
    def make(files: HardFiles, path: Path) -> None:
        whole = files[name].read_bytes()
        path.write_bytes(whole[: int(len(whole) * fraction)])

    return make


def _renamed(name: str) -> Recipe:
    return _cut(name, 1.0)


def _flipped(files: HardFiles, path: Path) -> None:
    """Bytes of the pictures changed, the index left whole."""
    data = bytearray(files["faststart.mp4"].read_bytes())
    begin = data.index(b"mdat") + 4
    draw = random.Random(4)
    for _ in range(30):
        data[draw.randrange(begin + (len(data) - begin) // 2, len(data))] ^= 0xFF
    path.write_bytes(bytes(data))


def _two_clocks(files: HardFiles, path: Path) -> None:
    """Two recordings one after the other: the size changes and the clock starts anew."""
    small = path.with_name("small.ts")
    ffmpeg(*_source(PATTERN, "-s", "80x48", *H264), small)
    path.write_bytes(files["plain.ts"].read_bytes() + small.read_bytes())


def _late_sound(files: HardFiles, path: Path) -> None:
    """A recording without sound, then one with: a stream appears that the start knew nothing of."""
    loud = path.with_name("loud.ts")
    sound = _source("sine=duration=1", "-map", "0", "-map", "1")
    ffmpeg(*_source(PATTERN), *sound, *H264, "-output_ts_offset", "1", loud)
    path.write_bytes(files["plain.ts"].read_bytes() * 20 + loud.read_bytes())


def _repeated_times(files: HardFiles, path: Path) -> None:
    """Every fifth frame carries the time of the one before it."""
    ffmpeg(
        *("-i", files["plain.mkv"], "-c", "copy"),
        *("-bsf:v", "setts=ts='if(eq(mod(N,5),4),PTS-40,PTS)'", path),
    )


def _late_start(files: HardFiles, path: Path) -> None:
    """Cut without encoding: what lies before the cut is hidden by an edit list."""
    ffmpeg("-ss", "0.5", "-i", files["plain.mp4"], "-c", "copy", path)


def _no_samples(_: HardFiles, path: Path) -> None:
    """A fragmented file of which only the header arrived."""
    ffmpeg(*_source(PATTERN, *H264, "-movflags", "empty_moov+frag_keyframe"), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"moof") - 4])


RECIPES: dict[str, tuple[str, ...] | Recipe] = {
    # containers and codecs
    "plain.mp4": _source(PATTERN, *H264),
    "plain.mkv": _source(PATTERN, *H264, "-bf", "0"),
    "plain.ts": _source(PATTERN, *H264),
    "faststart.mp4": _source(PATTERN, *H264, "-movflags", "+faststart"),
    "vp9.webm": _source(PATTERN, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
    "mpeg4.avi": _source(PATTERN, "-c:v", "mpeg4"),
    "animated.gif": _source(PATTERN),
    "no_timestamps.h264": _source(PATTERN, *H264),
    "Æ ‘手話’ 100% #1.MP4": _source(PATTERN, *H264),
    "-dash.mp4": _renamed("plain.mp4"),
    "webm_named.mov": _renamed("vp9.webm"),
    # pixels
    "ten_bits.mp4": _source(
        PATTERN, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le"
    ),
    "gray.mkv": _source(PATTERN, "-c:v", "ffv1", "-pix_fmt", "gray"),
    "yuv444.mp4": _source(PATTERN, "-c:v", "libx264", "-pix_fmt", "yuv444p"),
    "odd_333x251.mp4": _source(
        "testsrc=size=333x251:rate=25:duration=0.2", "-c:v", "libx264", "-pix_fmt", "yuv444p"
    ),
    "full_range.avi": _source(PATTERN, "-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p"),
    "alpha.mov": _source(PATTERN + ",format=rgba", "-c:v", "png"),
    "pq.mkv": _source(
        PATTERN + ",setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc",
        *("-c:v", "ffv1", "-pix_fmt", "yuv420p10le"),
    ),
    "interlaced.mp4": _source(
        "testsrc2=size=160x96:rate=50:duration=1,tinterlace=interleave_top",
        *(*H264, "-flags", "+ilme+ildct"),
    ),
    "sar_4_3.mp4": _source(PATTERN + ",setsar=4/3", *H264),
    "uhd_8k.mp4": _source("color=red:size=7680x4320:rate=25:duration=0.08", *H264),
    # which way is up
    "corners.mp4": _source(CORNERS, *H264, "-crf", "1"),
    "rotated_90.mp4": _turned(("-display_rotation", "90")),
    "rotated_180.mp4": _turned(("-display_rotation", "180")),
    "rotated_270.mp4": _turned(("-display_rotation", "270")),
    "mirrored.mp4": _turned(("-display_hflip",)),
    "upside_down.mp4": _turned(("-display_vflip",)),
    "rotated_90_mirrored.mp4": _turned(("-display_rotation", "90", "-display_hflip")),
    "rotated_270_mirrored.mp4": _turned(("-display_rotation", "270", "-display_hflip")),
    "rotated_30.mp4": _turned(("-display_rotation", "30")),
    # time
    "ntsc.mp4": _source("testsrc2=size=160x96:rate=30000/1001:duration=1", *H264),
    "start_5s.mkv": _source(PATTERN, *H264, "-output_ts_offset", "5"),
    "uneven.mp4": _source(PATTERN + ",select='mod(n,10)-3'", *H264, "-fps_mode", "vfr"),
    "edit_list.mp4": _late_start,
    "repeated_times.mkv": _repeated_times,
    "two_clocks.ts": _two_clocks,
    "one_frame.mp4": _source(PATTERN, "-frames:v", "1", *H264),
    # streams
    "two_streams.mp4": _source(
        "testsrc2=size=32x32:rate=25:duration=1",
        *_source(PATTERN, "-map", "0", "-map", "1", *H264),
        *("-disposition:v:0", "0", "-disposition:v:1", "default"),
    ),
    "late_sound.ts": _late_sound,
    "longer_sound.mp4": _source(
        PATTERN, *_source("sine=duration=3", "-map", "0", "-map", "1", *H264)
    ),
    "sound_only.mp4": _source("sine=duration=1"),
    "cover_art.mp4": _source(
        "sine=duration=1",
        *_source(PATTERN, "-map", "0", "-map", "1", "-c:v", "mjpeg", "-frames:v", "1"),
        *("-disposition:v", "attached_pic"),
    ),
    "no_samples.mp4": _no_samples,
    # damage
    "cut_half.mp4": _cut("faststart.mp4", 0.5),
    "cut_tail.mp4": _cut("faststart.mp4", 0.9),
    "cut_half.mkv": _cut("plain.mkv", 0.5),
    "cut_before_index.mp4": _cut("plain.mp4", 0.6),
    "flipped_bytes.mp4": _flipped,
    # no video at all
    "empty.mp4": _bytes(b""),
    "zeros.mp4": _bytes(bytes(5000)),
    "noise.mp4": _bytes(random.Random(1).randbytes(20_000)),
    "page.mp4": _bytes(b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>"),
    "refused.mp4": _bytes(b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"),
    "pointer.mp4": _bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
    "notes.mp4": _bytes(b"Only some words about a video that is elsewhere.\n" * 40),
    "notes.txt": _bytes(b"Only some words about a video that is elsewhere.\n" * 40),
    "playlist.mp4": _bytes(b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n"),
    "picture.mp4": _source(PATTERN, "-frames:v", "1", "-c:v", "mjpeg", "-f", "mjpeg"),
    "archive.mp4": _bytes(b"PK\x03\x04" + bytes(100)),
}
