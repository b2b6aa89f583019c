"""What `probe` finds in hard files, against expectations and against the ffmpeg program."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.media.hard_files import (
    ENCODED,
    H264,
    NAMES,
    PATTERN,
    RATES,
    SIZES,
    STORED_OTHERWISE,
    HardFiles,
    ffmpeg,
    true_timestamps,
)
from tracker_core.errors import (
    Damaged,
    MissingFile,
    NoFrames,
    NoVideoStream,
    TooLarge,
    Unreadable,
    VideoError,
)
from tracker_core.media.boxes import unlisted_samples
from tracker_core.media.probe import ProbeLimits, VideoInfo, orientation, probe
from tracker_core.media.timing import average_rate, presentation_times, whole_ticks

ANY_DAMAGE = ProbeLimits(max_damaged_fraction=1.0)

EXPECTED: dict[str, dict[str, object]] = {
    "plain.mp4": {"frame_count": 25, "rate": "25/1", "codec": "h264", "duration_s": 1.0},
    "plain.mkv": {"frame_count": 25, "rate": "25/1", "frames_claimed": None},
    "plain.ts": {"frame_count": 25, "start_s": 1.4},
    "vp9.webm": {"frame_count": 25, "codec": "vp9", "frames_claimed": None},
    "mpeg4.avi": {"frame_count": 25, "container": "avi"},
    "animated.gif": {"frame_count": 25, "codec": "gif"},
    "no_timestamps.h264": {"frame_count": 25, "rate": "25/1", "start_pts": None},
    "Æ ‘手話’ 100% #1.MP4": {"frame_count": 25},
    "-dash.mp4": {"frame_count": 25},
    "webm_named.mov": {"frame_count": 25, "codec": "vp9"},
    **{name: {"frame_count": 10, "rate": "25/1", "duration_s": 0.4} for name in ENCODED},
    "vp9_alpha.webm": {"frame_count": 10, "codec": "vp9"},
    "hevc_10_bits.mkv": {"codec": "hevc", "pixel_format": "yuv420p10le"},
    "camcorder.dv": {"codec": "dvvideo", "display_width": 768, "interlaced": True},
    "raw.mjpeg": {"frame_count": 10, "container": "mjpeg", "color_range": "full"},
    **{name: {"frame_count": 25, "duration_s": 1.0} for name in NAMES},
    "mp4_named.avi": {"frame_count": 25, "container": "mov,mp4,m4a,3gp,3g2,mj2"},
    "gif_named.mp4": {"frame_count": 25, "container": "gif"},
    "no_extension": {"frame_count": 25, "codec": "h264"},
    "other.extension": {"frame_count": 25, "codec": "h264"},
    "ten_bits.mp4": {"frame_count": 25, "pixel_format": "yuv420p10le"},
    "gray.mkv": {"frame_count": 25, "pixel_format": "gray"},
    "odd_333x251.mp4": {"frame_count": 5, "width": 333, "height": 251},
    "full_range.avi": {"frame_count": 25, "color_range": "full"},
    "pq.mkv": {"frame_count": 25, "hdr": "pq", "color_space": "bt2020nc"},
    "pq_scene.mkv": {"hdr": "pq"},
    "hlg_scene.mkv": {"hdr": "hlg"},
    **{name: {"color_range": "full" if "full" in name else "limited"} for name in STORED_OTHERWISE},
    "interlaced.mp4": {"frame_count": 25, "interlaced": True},
    "bottom_first.ts": {"frame_count": 25, "interlaced": True},
    "resized.h264": {"frame_count": 35, "width": 160, "constant_size": False},
    "odd_161x97.webm": {"frame_count": 5, "width": 161, "height": 97},
    "odd_161x97.avi": {"frame_count": 5, "width": 161, "height": 97},
    **{
        f"size_{size}.mp4": {"frame_count": 5, "width": width, "height": height}
        for size in SIZES
        for width, height in [tuple(map(int, size.split("x")))]
    },
    "sar_8_9.mkv": {"sample_aspect_ratio": "8/9", "display_width": 142, "display_height": 96},
    "sar_100_1.mkv": {"sample_aspect_ratio": "1/1", "display_width": 160},
    "rotated_90_sar.mp4": {"rotation": 270, "display_width": 64, "display_height": 128},
    "sar_4_3.mp4": {"sample_aspect_ratio": "4/3", "display_width": 213, "display_height": 96},
    "uhd_8k.mp4": {"frame_count": 2, "width": 7680, "height": 4320},
    "rotated_90.mp4": {"rotation": 270, "display_width": 64, "display_height": 96},
    "rotated_180.mp4": {"rotation": 180, "hflip": False, "vflip": False},
    "rotated_270.mp4": {"rotation": 90, "display_width": 64, "display_height": 96},
    "mirrored.mp4": {"rotation": 0, "hflip": True, "vflip": False},
    "upside_down.mp4": {"rotation": 0, "hflip": False, "vflip": True},
    **{
        f"rate_{rate.replace('/', '_')}.mp4": {
            **{"frame_count": 12, "rate": rate, "duration_s": float(12 / Fraction(rate))}
        }
        for rate in RATES
    },
    "jitter.mkv": {"frame_count": 25},
    "pauses.mp4": {"frame_count": 25, "duration_s": 71.0},
    "backwards.mkv": {"frame_count": 25, "rate": "25/1", "duration_s": 1.0, "start_pts": None},
    "turns_back.mkv": {"frame_count": 25, "rate": "25/1", "duration_s": 1.0, "start_pts": None},
    "unordered.mkv": {"frame_count": 25, "rate": "25/1", "duration_s": 1.0, "start_pts": None},
    "one_time.mkv": {"frame_count": 25, "rate": "25/1", "duration_s": 1.0, "start_pts": None},
    "far_glitch.mkv": {"frame_count": 25, "rate": "25/1", "duration_s": 1.0, "damage": ()},
    "clock_wraps.ts": {"frame_count": 25, "rate": "25/1", "duration_s": 1.0},
    "delayed.mp4": {"frame_count": 25, "start_s": 2.0, "duration_s": 1.0},
    "no_duration.webm": {"frame_count": 25, "rate": "25/1", "duration_s": 1.0, "damage": ()},
    "no_duration.flv": {"frame_count": 25, "rate": "25/1", "duration_s": 1.0, "damage": ()},
    "fragmented.mp4": {"frame_count": 25, "rate": "25/1", "duration_s": 1.0, "damage": ()},
    "ntsc.mp4": {"frame_count": 30, "rate": "30000/1001", "duration_s": 1.001},
    "start_5s.mkv": {"frame_count": 25, "start_s": 5.0, "duration_s": 1.0},
    "uneven.mp4": {"frame_count": 22},
    "edit_list.mp4": {"frame_count": 12, "frames_claimed": 25},
    "repeated_times.mkv": {"frame_count": 25, "start_pts": None},
    "two_clocks.ts": {"frame_count": 50, "constant_size": False, "duration_s": 2.0},
    "one_frame.mp4": {"frame_count": 1, "rate": "25/1"},
    "two_streams.mp4": {"frame_count": 25, "stream_index": 1, "width": 160},
    "film_with_cover.mp4": {"frame_count": 25, "width": 160, "has_audio": False},
    "gray.mov": {"frame_count": 25, "codec": "rawvideo"},
    "cut_mpeg4.avi": {"frames_claimed": 25},
    "cut_plain.ts": {"rate": "25/1"},
    "cut_vp9.webm": {"rate": "25/1"},
    "cut_wmv2.wmv": {"rate": "25/1"},
    "cut_flv1.flv": {"rate": "25/1"},
    "cut_theora.ogv": {"rate": "25/1"},
    "hole.mp4": {"frames_claimed": 25},
    "late_sound.ts": {"frame_count": 525, "duration_s": 21.0},
    "longer_sound.mp4": {"frame_count": 25, "has_audio": True, "duration_s": 1.0},
    "cut_half.mp4": {"frames_claimed": 25},
    "cut_half.mkv": {"frames_claimed": None},
    "flipped_bytes.mp4": {"frame_count": 25},
}

REFUSED: dict[str, tuple[type[VideoError], str]] = {
    "empty.mp4": (Unreadable, "0 bytes"),
    "zeros.mp4": (Unreadable, "zeros"),
    "noise.mp4": (Unreadable, "no known video format"),
    "page.mp4": (Unreadable, "a web page saved as video; download it again"),
    "refused.mp4": (Unreadable, "XML"),
    "pointer.mp4": (Unreadable, "git lfs pull"),
    "notes.mp4": (Unreadable, "text that starts with 'Only some words"),
    "notes.txt": (Unreadable, "not a video"),
    "playlist.mp4": (Unreadable, "playlist"),
    "picture.mp4": (Unreadable, "JPEG picture"),
    "archive.mp4": (Unreadable, "ZIP"),
    "cut_before_index.mp4": (Unreadable, "'moov'"),
    "sound_only.mp4": (NoVideoStream, "1 audio"),
    "cover_art.mp4": (NoVideoStream, "1 cover art"),
    "no_samples.mp4": (NoFrames, "not one frame"),
    "cut_half.mp4": (Damaged, "breaks off"),
    "cut_half.mkv": (Damaged, "breaks off"),
    "claims_32768.mp4": (TooLarge, "32768x32768, more than the 64000000 pixels allowed"),
    "claims_12000.mp4": (TooLarge, "12000x12000, more than the 64000000 pixels allowed"),
    "claims_32768.avi": (TooLarge, "or raise max_pixels"),
    "claims_100000.mp4": (Damaged, "its index lists 100000 frames, 25 are in it"),
    "claims_100000_alike.mov": (Damaged, "its index lists 100000 frames, 25 are in it"),
    "claims_100_hours.mkv": (Damaged, "it should last 360000.00 s, and 1.00 s are in it"),
    "claims_60000000.mov": (TooLarge, "claims 60000000 frames in"),
    "claims_100000000.mp4": (TooLarge, "or raise max_frames"),
    "claims_fragment.mp4": (TooLarge, "claims 60000000 frames in"),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_probe_finds_what_is_in_the_file(hard: HardFiles, name: str) -> None:
    info = probe(hard[name], ANY_DAMAGE)
    found = {field: getattr(info, field) for field in EXPECTED[name]}
    assert found == {
        field: pytest.approx(value, abs=1e-9) if isinstance(value, float) else value
        for field, value in EXPECTED[name].items()
    }
    assert info.timestamps[0] == 0
    assert (np.diff(info.timestamps) > 0).all()
    assert info.size_bytes == hard[name].stat().st_size


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_video_ends_in_a_sentence(hard: HardFiles, name: str) -> None:
    kind, words = REFUSED[name]
    with pytest.raises(kind) as caught:
        probe(hard[name], ProbeLimits(max_damaged_fraction=0.4))
    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_a_file_that_is_not_there_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"gone\.mp4"):
        probe(tmp_path / "gone.mp4")
    with pytest.raises(Unreadable):
        probe(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows such names")
def test_a_name_that_is_no_text(hard: HardFiles, tmp_path: Path) -> None:
    video = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    shutil.copy(hard["plain.mp4"], video)
    assert probe(video).frame_count == 25


# Raw streams, and times that repeat or go backwards, are told otherwise by ffmpeg itself.
TIMED = sorted(
    set(EXPECTED)
    - {"no_timestamps.h264", "resized.h264", "raw.hevc", "raw.m2v", "repeated_times.mkv"}
    - {"two_clocks.ts", "late_sound.ts", "backwards.mkv", "turns_back.mkv", "unordered.mkv"}
    - {"one_time.mkv", "far_glitch.mkv"}
)


@pytest.mark.parametrize("name", TIMED)
def test_timestamps_are_those_of_ffmpeg(hard: HardFiles, name: str) -> None:
    info = probe(hard[name], ANY_DAMAGE)
    # An absolute path, since a name that begins with a dash is an option to the program.
    true = true_timestamps(hard[name].absolute(), info.stream_index)
    assert [pts * Fraction(info.time_base) for pts in info.pts] == [t - true[0] for t in true]
    assert info.start_s == pytest.approx(float(true[0]), abs=1e-12)


def test_damage_is_located(hard: HardFiles) -> None:
    info = probe(hard["cut_tail.mp4"])
    kinds = {damage.kind for damage in info.damage}
    assert "missing" in kinds
    assert info.frame_count < 25
    assert f"25 frames claimed, {info.frame_count} decoded" in info.notes
    flipped = probe(hard["flipped_bytes.mp4"])
    assert flipped.damage
    for damage in flipped.damage:
        assert 0 <= damage.start_s <= damage.end_s <= flipped.duration_s
    assert min(damage.start_s for damage in flipped.damage) > 0.3  # the first half is whole


def test_what_is_unusual_is_noted(hard: HardFiles) -> None:
    def notes(name: str) -> str:
        return " ".join(probe(hard[name]).notes)

    assert notes("plain.mp4") == ""
    assert "no timestamp" in notes("no_timestamps.h264")
    assert "go backwards" in notes("repeated_times.mkv")
    assert "160x96 (25 frames), 80x48 (25 frames)" in notes("two_clocks.ts")
    assert "13 are hidden by an edit list" in notes("edit_list.mp4")
    assert "2 video streams; number 1 is read" in notes("two_streams.mp4")
    assert "askew" in notes("rotated_30.mp4")


def test_times_as_they_were_stored(hard: HardFiles) -> None:
    """What was written is what is read, however unevenly the frames follow each other."""
    jitter = [40 * n + 17 * n % 23 for n in range(25)]
    assert (probe(hard["jitter.mkv"]).timestamps * 1000).round(9).tolist() == jitter
    pauses = [40 * n + 10_000 * (n >= 10) + 60_000 * (n >= 20) for n in range(25)]
    assert (probe(hard["pauses.mp4"]).timestamps * 1000).round(9).tolist() == pauses


@pytest.mark.parametrize(
    "name",
    ["backwards.mkv", "turns_back.mkv", "unordered.mkv", "one_time.mkv", "far_glitch.mkv"],
)
def test_times_that_cannot_be_true_become_even(hard: HardFiles, name: str) -> None:
    info = probe(hard[name])
    assert np.allclose(info.timestamps, np.arange(25) * 0.04, atol=0.001)
    assert "go backwards" in " ".join(info.notes)


def test_an_hour_at_a_fractional_rate_does_not_drift(tmp_path: Path) -> None:
    exact, rounded = tmp_path / "hour.mp4", tmp_path / "hour.mkv"
    hour = "color=gray:size=16x16:rate=30000/1001:duration=3600"
    ffmpeg("-f", "lavfi", "-i", hour, "-c:v", "mpeg4", "-g", "9999", exact)
    ffmpeg("-i", exact, "-c", "copy", rounded)
    for video, tick in ((exact, Fraction(0)), (rounded, Fraction(1, 1000))):
        info = probe(video)
        assert info.rate == "30000/1001"
        assert info.frame_count == 107_893
        for frame in (1, 1000, 50_000, 107_892):
            true = frame * Fraction(1001, 30000)
            assert abs(info.pts[frame] * Fraction(info.time_base) - true) <= tick / 2
            assert abs(info.timestamps[frame] - true) < 1e-9 + tick / 2


def test_a_clock_that_starts_anew_goes_on(hard: HardFiles) -> None:
    info = probe(hard["two_clocks.ts"])
    assert np.allclose(np.diff(info.timestamps), 0.04)


def test_repeated_times_are_spread(hard: HardFiles) -> None:
    info = probe(hard["repeated_times.mkv"])
    steps = np.diff(info.timestamps)
    assert steps.min() >= 0.019
    assert info.duration_s == pytest.approx(1.0, abs=0.05)


def test_json_is_lossless(hard: HardFiles) -> None:
    for name in ("plain.mp4", "flipped_bytes.mp4", "start_5s.mkv", "two_clocks.ts"):
        info = probe(hard[name])
        again = VideoInfo.from_json(info.to_json())
        assert again == info
        assert (again.timestamps == info.timestamps).all()
        assert set(json.loads(info.to_json())) == {f.name for f in dataclasses.fields(info)}


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (ProbeLimits(max_frames=24), "more than 24 frames"),
        (ProbeLimits(max_pixels=160 * 96 - 1), "160x96"),
        (ProbeLimits(max_duration_s=0.9), "lasts 1 s"),
    ],
)
def test_limits(hard: HardFiles, limits: ProbeLimits, words: str) -> None:
    with pytest.raises(TooLarge, match=words):
        probe(hard["plain.mp4"], limits)
    exact = ProbeLimits(max_frames=25, max_pixels=160 * 96, max_duration_s=1.0)
    assert probe(hard["plain.mp4"], exact).frame_count == 25


def test_8k_is_refused_before_it_is_decoded(hard: HardFiles) -> None:
    started = time.process_time()
    with pytest.raises(TooLarge, match="7680x4320"):
        probe(hard["uhd_8k.mp4"], ProbeLimits(max_pixels=8_000_000))
    assert time.process_time() - started < 0.5


# Everything in one child process each, so that its peak is its own.
CHILD = """
import resource, sys
from pathlib import Path
from tracker_core.errors import VideoError
from tracker_core.media.probe import probe
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in sys.argv[1:]:
    try:
        print(probe(Path(name)).frame_count)
    except VideoError as error:
        print(error.code)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_what_headers_claim_costs_no_memory_and_no_time(hard: HardFiles) -> None:
    names = [name for name in REFUSED if name.startswith("claims_")]
    assert len(names) == 9
    command = [sys.executable, "-c", CHILD, *(str(hard[name]) for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    *codes, grown = done.stdout.split()
    assert codes == [REFUSED[name][0].code for name in names]
    assert int(grown) < 100_000, "KiB; 60 million frames took 4 GB"


def test_a_raised_limit_on_pixels_still_ends_in_a_sentence(hard: HardFiles) -> None:
    with pytest.raises(TooLarge, match="32768x32768, more than FFmpeg decodes"):
        probe(hard["claims_32768.mp4"], ProbeLimits(max_pixels=1 << 32))


def test_a_large_honest_count_of_samples_passes(tmp_path: Path) -> None:
    """Uncompressed sound has more samples than a film may have frames, all of one size."""
    video = tmp_path / "long_sound.mov"
    sound = ("-f", "lavfi", "-i", "sine=sample_rate=96000:duration=12", "-c:a", "pcm_u8")
    ffmpeg("-f", "lavfi", "-i", PATTERN, *sound, *H264, video)
    assert unlisted_samples(video) > 1_000_000
    assert probe(video).frame_count == 25


@given(st.binary(max_size=200))
def test_any_boxes_are_counted_or_passed_over(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for head in (b"\0\0\0\x08ftyp", b"\0\0\0\0moov", b"\0\0\0\0moov" * 2000):
            video = Path(folder) / "video"
            video.write_bytes(head + data)
            assert unlisted_samples(video) >= 0


def test_the_allowed_damage_is_a_limit(hard: HardFiles) -> None:
    with pytest.raises(Damaged, match="10%"):
        probe(hard["flipped_bytes.mp4"], ProbeLimits(max_damaged_fraction=0.1))


def test_memory_stays_flat(tmp_path: Path) -> None:
    video = tmp_path / "long.mp4"
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=size=640x480:rate=25:duration=32"),
        *("-c:v", "mpeg4", "-q:v", "20", video),
    )
    process = psutil.Process()
    probe(video, ProbeLimits())
    before = process.memory_info().rss
    info = probe(video)
    grown = process.memory_info().rss - before
    assert info.frame_count == 800
    assert grown < 20e6, "800 frames of 640x480 are 370 MB when they are kept"


# ---------------------------------------------------------------------------- pure parts


@given(
    st.sampled_from([0, 90, 180, 270]),
    st.sampled_from(["", "hflip", "vflip"]),
    st.integers(1, 3),
)
def test_orientation_undoes_its_matrix(degrees: int, flip: str, scale: int) -> None:
    """A picture turned point by point, by the matrix, equals the one turned as it was read."""
    turns = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
    mirror = {"": (1, 0, 0, 1), "hflip": (-1, 0, 0, 1), "vflip": (1, 0, 0, -1)}[flip]
    a, b, c, d = (
        np.array(mirror).reshape(2, 2) @ np.array(turns[degrees]).reshape(2, 2) * scale * 65536
    ).ravel()
    rotation, hflip, vflip, exact = orientation(
        [int(a), int(b), 0, int(c), int(d), 0, 0, 0, 1 << 30]
    )
    assert exact
    assert not (hflip and vflip)

    picture = np.arange(6).reshape(2, 3)
    points = {
        (x * int(np.sign(a)) + y * int(np.sign(c)), x * int(np.sign(b)) + y * int(np.sign(d))): int(
            picture[y, x]
        )
        for y in range(2)
        for x in range(3)
    }
    left, top = min(x for x, _ in points), min(y for _, y in points)
    expected = np.zeros((3, 2) if degrees in (90, 270) else (2, 3), int)
    for (x, y), value in points.items():
        expected[y - top, x - left] = value

    upright = np.fliplr(picture) if hflip else np.flipud(picture) if vflip else picture
    upright = np.rot90(upright, -rotation // 90)
    assert (upright == expected).all()


def test_a_matrix_of_zeros_is_no_turn() -> None:
    assert orientation([0] * 9) == (0, False, False, True)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, unique=True), st.integers(1, 10**6))
def test_good_timestamps_are_kept(raw: list[int], step: int) -> None:
    ordered = sorted(raw)
    assert presentation_times(ordered, Fraction(step)) == ordered


@given(
    st.lists(st.none() | st.integers(-500, 500) | st.integers(-(2**63), 2**63 - 1), min_size=1),
    st.fractions(Fraction(1, 50), 5000, max_denominator=1001),
)
def test_any_timestamps_become_increasing(raw: list[int | None], step: Fraction) -> None:
    times = presentation_times(raw, step)
    assert len(times) == len(raw)
    assert all(a < b for a, b in itertools.pairwise(times))
    ticks, parts = whole_ticks(times)
    assert ticks[0] == 0
    assert all(a < b for a, b in itertools.pairwise(ticks))
    drift = max(
        abs(Fraction(tick, parts) - (t - times[0])) for tick, t in zip(ticks, times, strict=True)
    )
    assert drift <= Fraction(len(raw), parts)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ([None, None, None], [0, 2, 4]),
        ([10, None, 14], [10, 12, 14]),
        ([None, 10, 12, None], [8, 10, 12, 14]),
        ([0, 2, 2, 6], [0, 2, 4, 6]),  # repeated
        ([0, 2, 1, 6], [0, 2, 4, 6]),  # one goes back
        ([0, 2, 4, 900, 8, 10], [0, 2, 4, 6, 8, 10]),  # one leaps ahead
        ([6, 8, 10, 12, 14, 0, 2, 4, 6, 8], [6, 8, 10, 12, 14, 16, 18, 20, 22, 24]),  # anew
        ([0, 2, 400, 402], [0, 2, 400, 402]),  # a pause is a pause
        ([0, 2, 2, 400], [0, 1, 2, 400]),  # after a repeated time too
        ([7] * 6, [7, 9, 11, 13, 15, 17]),  # a clock that stands
        ([0] * 5 + [10] * 5, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]),  # a clock with coarse ticks
        ([12, 10, 8, 6, 4, 2], [12, 14, 16, 18, 20, 22]),  # backwards all the way
    ],
)
def test_how_timestamps_are_put_in_order(raw: list[int | None], expected: list[int]) -> None:
    assert presentation_times(raw, Fraction(2)) == expected


@given(
    st.sampled_from(["24000/1001", "25", "30000/1001", "30", "60", "12", "15000/1001"]),
    st.integers(100, 2000),
)
def test_the_rate_is_found_through_rounded_ticks(rate: str, frames: int) -> None:
    """Milliseconds, as Matroska stores them, hide neither 29.97 nor 30."""
    true = Fraction(rate)
    pts = [round(Fraction(1000 * i) / true) for i in range(frames)]
    found = average_rate(pts, Fraction(1, 1000), [true], Fraction(25))
    assert found == true
    alone = average_rate(pts, Fraction(1, 1000), [None], Fraction(25))
    assert math.isclose(float(alone), float(true), rel_tol=2e-3)
