"""Video files of the kinds that go wrong, made on the spot by the ffmpeg of imageio-ffmpeg.

``HardFiles(folder)["name"]`` makes a file once and gives its path. The picture is FFmpeg's test
pattern, in which every frame differs, or four coloured corners, from which one sees which way is
up: red top left, lime top right, blue bottom left, white bottom right.
"""

from __future__ import annotations

import random
import re
import struct
import subprocess
import unicodedata
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 160, 96
PATTERN = f"testsrc2=size={WIDTH}x{HEIGHT}:rate=25:duration=1"
SHORT = f"testsrc2=size={WIDTH}x{HEIGHT}:rate=25:duration=0.4"
CORNERS = "color=gray:size=96x64:rate=25:duration=0.2" + "".join(
    f",drawbox=x={x}:y={y}:w=32:h=24:color={color}:t=fill"
    for x, y, color in ((0, 0, "red"), (64, 0, "lime"), (0, 40, "blue"), (64, 40, "white"))
)
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
AV1 = ("-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "lp=1")
RATES = (
    *("1/1", "5/1", "25/2", "15/1", "24000/1001", "24/1", "30/1", "50/1", "60000/1001"),
    *("60/1", "120/1", "240/1", "1000/1"),
)
SIZES = ("16x16", "18x640", "640x18", "2048x16", "4096x64")
# Codec -> what encodes it, in the containers that it is found in. Ten frames each.
ENCODED: dict[str, tuple[str, ...]] = {
    "hevc.mp4": (*HEVC, "-pix_fmt", "yuv420p"),
    "hevc.ts": HEVC,
    "hevc_10_bits.mkv": (*HEVC, "-pix_fmt", "yuv420p10le"),
    "raw.hevc": HEVC,
    "vp8.webm": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"),
    "vp9_alpha.webm": ("-vf", "format=yuva420p", *VP9),
    "av1.mp4": AV1,
    "av1.mkv": AV1,
    "raw.ivf": AV1,
    "xvid.avi": ("-c:v", "libxvid"),
    "msmpeg4.avi": ("-c:v", "msmpeg4"),
    "mpeg1.mpg": ("-c:v", "mpeg1video"),
    "mpeg2.mpg": ("-c:v", "mpeg2video"),
    "mpeg2.vob": ("-c:v", "mpeg2video"),
    "mpeg2.mxf": ("-c:v", "mpeg2video"),
    "raw.m2v": ("-c:v", "mpeg2video"),
    "raw.mjpeg": ("-c:v", "mjpeg"),
    "mjpeg.mov": ("-c:v", "mjpeg"),
    "prores.mov": ("-c:v", "prores_ks"),
    "wmv1.asf": ("-c:v", "wmv1"),
    "wmv2.wmv": ("-c:v", "wmv2"),
    "flv1.flv": ("-c:v", "flv"),
    "h264.flv": H264,
    "h264.m2ts": H264,
    "theora.ogv": ("-c:v", "libtheora"),
    "h263.3gp": ("-vf", "scale=176:144", "-c:v", "h263"),
    "rv20.rm": ("-vf", "scale=176:144", "-c:v", "rv20"),
    "camcorder.dv": ("-vf", "scale=720:576", "-c:v", "dvvideo", "-pix_fmt", "yuv420p"),
    "uncompressed.avi": ("-c:v", "rawvideo", "-pix_fmt", "bgr24"),
    "raw.y4m": ("-pix_fmt", "yuv420p"),
    "ffv1.nut": ("-c:v", "ffv1"),
    "ffv1.avi": ("-c:v", "ffv1"),
}
# One picture, stored in other ranges and by other matrices.
STORED_OTHERWISE = {
    f"{matrix}_{extent}.mp4": (
        *("-vf", f"scale=out_color_matrix={matrix}:out_range={extent},format=yuv444p"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "1", "-pix_fmt", "yuv444p"),
        *("-colorspace", "bt709" if matrix == "bt709" else "smpte170m", "-color_range", extent),
    )
    for matrix in ("bt601", "bt709")
    for extent in ("limited", "full")
}
# The corners graded for HDR, white being the diffuse white of BT.2408 (203 nits).
GRADED = {
    f"{name}.mkv": (
        *("-vf", f"format=gbrp16le,zscale=rin=full:pin=bt709:tin=bt709:p=2020:t={transfer}"
          ":m=2020_ncl:r=limited:npl=203,format=yuv444p10le"),
        *("-c:v", "ffv1"),
    )
    for name, transfer in (("pq_scene", "smpte2084"), ("hlg_scene", "arib-std-b67"))
}  # fmt: skip
# As long as a file system allows: 255 bytes.
LONG = "a" * 251 + ".mp4"
LONG_MULTIBYTE = "手" * 82 + "ø" + "abc" + ".mp4"
NAMES = (
    *("blåbærsyltetøy.mp4", unicodedata.normalize("NFD", "gå på.mp4"), "🤟🏽 takk.mp4"),
    *("to  mellomrom .mp4", "-i.mp4", LONG, LONG_MULTIBYTE),
    *("one folder/same.mp4", "other folder/same.mp4"),
)


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
            path.parent.mkdir(exist_ok=True)
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


def _copied(name: str, *options: str) -> Recipe:
    """The packets of another file, as they are but for the options."""

    def make(files: HardFiles, path: Path) -> None:
        ffmpeg("-i", files[name], "-c", "copy", *options, path)

    return make


def _retimed(ticks: str, *options: str) -> Recipe:
    """Other timestamps, given by an expression of N and PTS in milliseconds."""
    return _copied("plain.mkv", "-bsf:v", f"setts=pts='{ticks}':dts=0", *options)


def _streamed(muxer: str, *options: str) -> Recipe:
    """Written to a pipe, as a live recording is: no length and no index is put in afterwards."""

    def make(_: HardFiles, path: Path) -> None:
        path.write_bytes(ffmpeg(*_source(PATTERN, *options, "-f", muxer, "-")))

    return make


def _hole(files: HardFiles, path: Path) -> None:
    """A download whose middle never came, and was set aside as zeros."""
    data = bytearray(files["faststart.mp4"].read_bytes())
    begin, end = len(data) // 2, len(data) * 3 // 4
    data[begin:end] = bytes(end - begin)
    path.write_bytes(bytes(data))


def _joined(first: str, second: str) -> Recipe:
    def make(files: HardFiles, path: Path) -> None:
        path.write_bytes(files[first].read_bytes() + files[second].read_bytes())

    return make


def _claims_frames(name: str, count: int, size: int = 0) -> Recipe:
    """An index that lists `count` frames; of `size` bytes each, where that is not 0."""

    def make(files: HardFiles, path: Path) -> None:
        data = bytearray(files[name].read_bytes())
        struct.pack_into(">I", data, data.index(b"stts") + 12, count)
        if size:
            struct.pack_into(">II", data, data.index(b"stsz") + 8, size, count)
            struct.pack_into(">I", data, data.index(b"stsc") + 16, count)
        path.write_bytes(bytes(data))

    return make


def _claims_hours(files: HardFiles, path: Path) -> None:
    """A Matroska file of a second that says it lasts a hundred hours, in both of its places."""
    data = files["plain.mkv"].read_bytes()
    data = data.replace(b"00:00:01.000000000", b"100:00:00.00000000")
    path.write_bytes(data.replace(struct.pack(">d", 1000), struct.pack(">d", 360_000_000)))


def _claims_fragment(files: HardFiles, path: Path) -> None:
    """A fragment that lists 60 million frames of the default size in four bytes."""
    data = bytearray(files["fragmented.mp4"].read_bytes())
    begin = data.index(b"trun")
    struct.pack_into(">II", data, begin + 4, 1, 60_000_000)
    path.write_bytes(bytes(data))


def _claims_size(name: str, side: int) -> Recipe:
    """A header that says side x side, where the codec has no header of its own."""

    def make(files: HardFiles, path: Path) -> None:
        data = files[name].read_bytes()
        for order in "<>":
            true = struct.pack(f"{order}II", WIDTH, HEIGHT)
            data = data.replace(true, struct.pack(f"{order}II", side, side))
        path.write_bytes(data)

    return make


def _claims_size_h264(side: int) -> Recipe:
    """Headers of the container and of the codec that both say side x side."""

    def make(files: HardFiles, path: Path) -> None:
        data = files["plain.mp4"].read_bytes()
        begin = data.index(b"avcC")
        (length,) = struct.unpack_from(">H", data, begin + 10)
        claim = _parameter_set(side)
        grown = len(claim) - length
        rest = begin + 12 + length
        data = data[: begin + 10] + struct.pack(">H", len(claim)) + claim + data[rest:]
        patched = bytearray(data)
        index = patched.index(b"moov")
        for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1", b"avcC"):
            at = patched.index(kind, index) - 4
            struct.pack_into(">I", patched, at, struct.unpack_from(">I", patched, at)[0] + grown)
        struct.pack_into(">HH", patched, patched.index(b"avc1", index) + 28, side, side)
        struct.pack_into(">II", patched, patched.index(b"tkhd") + 80, side << 16, side << 16)
        path.write_bytes(bytes(patched))

    return make


def _parameter_set(side: int) -> bytes:
    """An H.264 sequence parameter set of a square picture (ITU-T H.264, 7.3.2.1.1; baseline)."""

    def golomb(value: int) -> str:
        return f"{value + 1:b}".zfill(2 * (value + 1).bit_length() - 1)

    blocks = golomb(side // 16 - 1)
    # id, frame number bits, order type, references, gaps, width, height, frames only, 8x8
    # inference, no cropping, no VUI, end
    bits = golomb(0) + golomb(0) + golomb(2) + golomb(1) + "0" + 2 * blocks + "11" + "00" + "1"
    bits += "0" * (-len(bits) % 8)
    return b"\x67\x42\xc0\x34" + int(bits, 2).to_bytes(len(bits) // 8, "big")


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
    **{name: _source(SHORT, *options) for name, options in ENCODED.items()},
    # names
    **{name: _renamed("plain.mp4") for name in NAMES},
    "Æ ‘手話’ 100% #1.MP4": _source(PATTERN, *H264),
    "-dash.mp4": _renamed("plain.mp4"),
    "webm_named.mov": _renamed("vp9.webm"),
    "mp4_named.avi": _renamed("plain.mp4"),
    "gif_named.mp4": _renamed("animated.gif"),
    "no_extension": _renamed("plain.mp4"),
    "other.extension": _renamed("plain.mkv"),
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
    "sar_8_9.mkv": _source(PATTERN + ",setsar=8/9", *H264),
    "sar_100_1.mkv": _source(PATTERN + ",setsar=100/1", *H264),
    "bottom_first.ts": _source(
        "testsrc2=size=160x96:rate=50:duration=1,tinterlace=interleave_bottom,setfield=bff",
        *("-c:v", "mpeg2video", "-q:v", "2", "-flags", "+ilme+ildct"),
    ),
    "small.h264": _source(SHORT, "-s", "80x48", *H264),
    "resized.h264": _joined("no_timestamps.h264", "small.h264"),
    "odd_161x97.webm": _source(
        "testsrc=size=161x97:rate=25:duration=0.2", "-pix_fmt", "yuv420p", *VP9
    ),
    "odd_161x97.avi": _source("testsrc=size=161x97:rate=25:duration=0.2", "-c:v", "mpeg4"),
    **{
        f"size_{size}.mp4": _source(f"testsrc2=size={size}:rate=25:duration=0.2", *H264)
        for size in SIZES
    },
    **{name: _source(CORNERS, *options) for name, options in STORED_OTHERWISE.items()},
    **{name: _source(CORNERS, *options) for name, options in GRADED.items()},
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
    "rotated_90_sar.mp4": _copied("rotated_90.mp4", "-aspect", "2"),
    # time
    **{
        f"rate_{rate.replace('/', '_')}.mp4": _source(
            f"testsrc2=size=32x32:rate={rate},trim=end_frame=12", *H264
        )
        for rate in RATES
    },
    "jitter.mkv": _retimed("40*N+mod(17*N,23)"),
    "pauses.mp4": _retimed("40*N+if(gte(N,10),10000,0)+if(gte(N,20),60000,0)"),
    "backwards.mkv": _retimed("960-PTS"),
    "turns_back.mkv": _retimed("if(gte(N,12),PTS-400,PTS)"),
    "unordered.mkv": _retimed("PTS+40-80*mod(N,2)"),
    "one_time.mkv": _retimed("0"),
    "far_glitch.mkv": _retimed("if(eq(N,7),100000,PTS)"),
    "clock_wraps.ts": _source(PATTERN, *H264, "-output_ts_offset", "95442"),
    "delayed.mp4": _source(PATTERN, *H264, "-output_ts_offset", "2"),
    "no_duration.webm": _streamed("webm", *VP9),
    "no_duration.flv": _streamed("flv", "-flvflags", "no_duration_filesize", *H264),
    "fragmented.mp4": _streamed("mp4", *H264, "-movflags", "empty_moov+frag_keyframe"),
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
    "film_with_cover.mp4": _source(
        "color=red:size=640x640:rate=25:duration=0.04",
        *_source(PATTERN, "-map", "0", "-map", "1", "-c:v:0", "mjpeg", *("-c:v:1", "libx264")),
        *("-disposition:v:0", "attached_pic"),
    ),
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
    "hole.mp4": _hole,
    **{
        f"cut_{name}": _cut(name, 0.6)
        for name in ("mpeg4.avi", "plain.ts", "vp9.webm", "wmv2.wmv", "flv1.flv", "theora.ogv")
    },
    # headers that claim too much
    "claims_32768.mp4": _claims_size_h264(32768),
    "claims_12000.mp4": _claims_size_h264(12000),
    "claims_32768.avi": _claims_size("ffv1.avi", 32768),
    "gray.mov": _source(
        "color=gray:size=16x16:rate=25:duration=1", "-c:v", "rawvideo", "-pix_fmt", "gray"
    ),
    "claims_100000.mp4": _claims_frames("plain.mp4", 100_000),
    "claims_100000_alike.mov": _claims_frames("gray.mov", 100_000, 256),
    "claims_100_hours.mkv": _claims_hours,
    "claims_60000000.mov": _claims_frames("gray.mov", 60_000_000, 1),
    "claims_100000000.mp4": _claims_frames("plain.mp4", 100_000_000, 10),
    "claims_fragment.mp4": _claims_fragment,
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
