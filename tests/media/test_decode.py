"""Pictures against those of the ffmpeg program, and against each other."""

from __future__ import annotations

import gc
import itertools
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import psutil
import pytest

from tests.media.hard_files import (
    ENCODED,
    GRADED,
    NAMES,
    RATES,
    SIZES,
    STORED_OTHERWISE,
    HardFiles,
    ffmpeg,
    true_pictures,
)
from tracker_core.errors import Unreadable
from tracker_core.media import decode
from tracker_core.media.container import decode_stream
from tracker_core.media.decode import Frame, keep_open, prefetch, read_frames, tone_map
from tracker_core.media.probe import ProbeLimits, VideoInfo, probe

ANY_DAMAGE = ProbeLimits(max_damaged_fraction=1.0)


def difference(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Mean absolute difference in grey levels."""
    return float(np.abs(a.astype(np.int16) - b.astype(np.int16)).mean())


OBLONG_PIXELS = {"h263.3gp": (240, 144), "camcorder.dv": (768, 576)}
SHOWN = [
    *("plain.mp4", "plain.mkv", "plain.ts", "vp9.webm", "mpeg4.avi", "no_timestamps.h264"),
    *("ten_bits.mp4", "gray.mkv", "yuv444.mp4", "odd_333x251.mp4", "full_range.avi", "alpha.mov"),
    *("start_5s.mkv", "uneven.mp4", "edit_list.mp4", "one_frame.mp4", "-dash.mp4"),
    *("Æ ‘手話’ 100% #1.MP4", "flipped_bytes.mp4", "cut_tail.mp4"),
    *("rotated_90.mp4", "rotated_180.mp4", "rotated_270.mp4", "mirrored.mp4", "upside_down.mp4"),
    *("rotated_90_mirrored.mp4", "rotated_270_mirrored.mp4"),
    *(name for name in ENCODED if name not in OBLONG_PIXELS),
    *NAMES,
    *("mp4_named.avi", "gif_named.mp4", "no_extension", "other.extension"),
    *("odd_161x97.webm", "odd_161x97.avi", "sar_100_1.mkv"),
    *(f"size_{size}.mp4" for size in SIZES),
    *(f"rate_{rate.replace('/', '_')}.mp4" for rate in RATES),
    *("jitter.mkv", "pauses.mp4", "backwards.mkv", "turns_back.mkv", "unordered.mkv"),
    *("one_time.mkv", "far_glitch.mkv", "clock_wraps.ts", "delayed.mp4"),
    *("no_duration.webm", "no_duration.flv", "fragmented.mp4", "gray.mov"),
    *("film_with_cover.mp4", "cut_mpeg4.avi", "cut_plain.ts", "cut_vp9.webm", "cut_wmv2.wmv"),
    *("cut_flv1.flv", "cut_theora.ogv", "hole.mp4"),
]


@pytest.mark.parametrize("name", SHOWN)
def test_pictures_are_those_of_ffmpeg(hard: HardFiles, name: str) -> None:
    info = probe(hard[name], ANY_DAMAGE)
    # An absolute path, since a name that begins with a dash is an option to the program.
    true = true_pictures(hard[name].absolute(), info.display_width, info.display_height)
    frames = list(read_frames(hard[name], info))
    assert len(frames) == info.frame_count == len(true)
    for frame, picture in zip(frames, true, strict=True):
        assert frame.image.shape == picture.shape
        assert frame.image.dtype == np.uint8
        assert frame.image.flags.c_contiguous
        assert difference(frame.image, picture) < 4  # chroma is enlarged with another filter
    assert [frame.index for frame in frames] == list(range(info.frame_count))
    assert [frame.timestamp_s for frame in frames] == info.timestamps.tolist()


# Where the red, lime, blue and white corners of the stored picture come to lie, clockwise from
# the top left: a positive display rotation turns against the clock.
CORNERS = {
    "corners.mp4": "red lime white blue",
    "rotated_90.mp4": "lime white blue red",
    "rotated_180.mp4": "white blue red lime",
    "rotated_270.mp4": "blue red lime white",
    "mirrored.mp4": "lime red blue white",
    "upside_down.mp4": "blue white lime red",
}
COLORS = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


@pytest.mark.parametrize("name", CORNERS)
def test_the_right_way_up(hard: HardFiles, name: str) -> None:
    image = next(read_frames(hard[name])).image
    spots = [image[8, 8], image[8, -8], image[-8, -8], image[-8, 8]]
    for spot, color in zip(spots, CORNERS[name].split(), strict=True):
        assert np.abs(spot.astype(int) - COLORS[color]).max() < 30


def test_square_pixels(hard: HardFiles) -> None:
    image = next(read_frames(hard["sar_4_3.mp4"])).image
    plain = next(read_frames(hard["plain.mp4"])).image
    assert image.shape == (96, 213, 3)
    assert difference(cv2.resize(image, (160, 96)).astype(np.uint8), plain) < 10


def test_pixels_that_are_narrow_or_wide(hard: HardFiles) -> None:
    plain = next(read_frames(hard["plain.mp4"])).image
    for name, size in {**OBLONG_PIXELS, "sar_8_9.mkv": (142, 96)}.items():
        image = next(read_frames(hard[name])).image
        assert image.shape == (size[1], size[0], 3)
        assert difference(cv2.resize(image, (160, 96)).astype(np.uint8), plain) < 12, name


def test_oblong_pixels_are_made_square_before_the_picture_is_turned(hard: HardFiles) -> None:
    turned = next(read_frames(hard["rotated_90_sar.mp4"])).image
    square = next(read_frames(hard["rotated_90.mp4"])).image
    assert turned.shape == (128, 64, 3)
    assert difference(cv2.resize(turned, (64, 96)).astype(np.uint8), square) < 10


@pytest.mark.parametrize("name", [*STORED_OTHERWISE, *GRADED])
def test_one_picture_stored_otherwise_looks_the_same(hard: HardFiles, name: str) -> None:
    """Limited or full range, BT.601 or BT.709, PQ or HLG: the corners and the grey between."""
    info = probe(hard[name])
    image = next(read_frames(hard[name], info)).image
    spots = [image[8, 8], image[8, -8], image[-8, -8], image[-8, 8]]
    # Graded colours pass through BT.2020, whose nearest ones are not quite pure.
    allowed = 4 if info.hdr is None else 32
    for spot, color in zip(spots, ("red", "lime", "white", "blue"), strict=True):
        assert np.abs(spot.astype(int) - COLORS[color]).max() <= allowed
    assert np.abs(image[32, 48].astype(int) - 128).max() <= 2


def test_only_wanted_frames_and_equal_ones(hard: HardFiles) -> None:
    for name in (
        *("plain.mp4", "interlaced.mp4", "two_clocks.ts", "flipped_bytes.mp4", "backwards.mkv"),
        *("resized.h264", "hole.mp4", "bottom_first.ts"),
    ):
        info = probe(hard[name])
        every = list(read_frames(hard[name], info))
        again = list(read_frames(hard[name], info))
        some = list(read_frames(hard[name], info, indices=[0, 3, 7, 8, info.frame_count - 1]))
        for a, b in zip(every, again, strict=True):
            assert (a.image == b.image).all()
        assert [frame.index for frame in some] == [0, 3, 7, 8, info.frame_count - 1]
        for frame in some:
            assert (frame.image == every[frame.index].image).all()
            assert frame.timestamp_s == info.timestamps[frame.index]


def test_no_frame_wanted_none_read(hard: HardFiles) -> None:
    assert list(read_frames(hard["plain.mp4"], indices=[])) == []


@pytest.mark.parametrize("indices", [[3, 3], [4, 2], [-1, 2], [25]])
def test_indices_that_make_no_sense(hard: HardFiles, indices: list[int]) -> None:
    with pytest.raises(ValueError, match="indices"):
        read_frames(hard["plain.mp4"], indices=indices)


def test_another_size(hard: HardFiles) -> None:
    for name in ("plain.mp4", "rotated_90.mp4", "sar_4_3.mp4", "interlaced.mp4"):
        for frame in itertools.islice(read_frames(hard[name], size=(50, 70)), 3):
            assert frame.image.shape == (70, 50, 3)


def test_8k_is_read_small(hard: HardFiles) -> None:
    frames = list(read_frames(hard["uhd_8k.mp4"], size=(64, 36)))
    assert len(frames) == 2
    assert (frames[1].image[:, :, 0] > 240).all()
    assert frames[1].image.shape == (36, 64, 3)


def test_a_size_that_changes_becomes_one(hard: HardFiles) -> None:
    frames = list(read_frames(hard["two_clocks.ts"]))
    assert {frame.image.shape for frame in frames} == {(96, 160, 3)}
    assert difference(frames[10].image, frames[35].image) < 20  # the same picture, from a small one


def test_another_shape_is_fitted_inside_borders(tmp_path: Path) -> None:
    parts = []
    for name, size in (("wide.ts", "160x80"), ("tall.ts", "80x160")):
        ffmpeg("-f", "lavfi", "-i", f"color=white:size={size}:rate=25:duration=1", tmp_path / name)
        parts.append((tmp_path / name).read_bytes())
    video = tmp_path / "turned.ts"
    video.write_bytes(parts[0] + parts[0] + parts[1])
    info = probe(video)
    assert (info.display_width, info.display_height) == (160, 80)
    last = list(read_frames(video, info))[-1].image
    assert last.shape == (80, 160, 3)
    assert (last[:, 60:100] > 240).all()
    assert (last[:, :58] == 0).all()
    assert (last[:, 102:] == 0).all()


@pytest.mark.parametrize("name", ["interlaced.mp4", "bottom_first.ts"])
def test_a_rebuilt_picture_shows_the_moment_of_its_first_field(
    hard: HardFiles, tmp_path: Path, name: str
) -> None:
    """Of the fifty pictures a second that were woven into 25, the first of each two."""
    smooth = tmp_path / "smooth.mkv"
    source = "testsrc2=size=160x96:rate=50:duration=1"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "ffv1", "-pix_fmt", "yuv420p", smooth)
    moments = true_pictures(smooth, 160, 96)
    frames = list(read_frames(hard[name]))
    assert len(frames) == 25
    for frame in frames[1:-1]:
        first, second = moments[2 * frame.index : 2 * frame.index + 2]
        assert difference(frame.image, first) < difference(frame.image, second)


def test_woven_fields_are_taken_apart(hard: HardFiles) -> None:
    """Combing is what neighbouring lines differ by beyond what lines two apart do."""

    def combing(image: npt.NDArray[np.uint8]) -> float:
        lines = image.mean(axis=2)
        return float(np.abs(lines[1:-1] - (lines[:-2] + lines[2:]) / 2).mean())

    video = hard["interlaced.mp4"]
    info = probe(video)
    woven = true_pictures(video, 160, 96)
    frames = list(read_frames(video, info))
    assert len(frames) == 25
    assert [frame.index for frame in frames] == list(range(25))
    assert np.mean([combing(frame.image) for frame in frames]) < 0.8 * np.mean(
        [combing(image) for image in woven]
    )
    # Each rebuilt picture is of its own moment: nearest to the woven one of the same number.
    for number in (5, 12, 20):
        distances = [difference(frames[number].image, image) for image in woven]
        assert int(np.argmin(distances)) == number


def test_tone_mapping_keeps_diffuse_white_and_order() -> None:
    ramp = np.repeat(np.arange(65536, dtype=np.uint16)[None, :, None], 3, axis=2)
    for transfer, white in (("pq", 0.5807), ("hlg", 0.75)):
        shown = tone_map(ramp, transfer)[0].astype(int)
        assert shown[0].tolist() == [0, 0, 0]
        assert shown[-1].min() >= 254
        assert (np.diff(shown, axis=0) >= 0).all()
        assert np.ptp(shown, axis=1).max() <= 1, "grey stays grey"
        assert 240 <= shown[round(white * 65535)].min() <= 250
    # SMPTE ST 2084: code 0.508 is 100 nits, half of diffuse white.
    assert (
        abs(int(tone_map(ramp, "pq")[0, round(0.508 * 65535), 0]) - 255 * (100 / 203) ** (1 / 2.4))
        < 2
    )


def test_hdr_is_shown_as_sdr(hard: HardFiles) -> None:
    images = [frame.image for frame in read_frames(hard["pq.mkv"])]
    assert len(images) == 25
    assert images[0].dtype == np.uint8
    assert 60 < images[0].mean() < 220


def test_odd_colour_labels_do_not_stop_it(tmp_path: Path, hard: HardFiles) -> None:
    """Bytes in a header may claim a colour space that no converter knows."""
    video = tmp_path / "labels.mp4"
    ffmpeg(
        *("-i", hard["plain.mp4"], "-c", "copy", "-bsf:v"),
        *(
            "h264_metadata=matrix_coefficients=8:colour_primaries=3:transfer_characteristics=3",
            video,
        ),
    )
    info = probe(video)
    assert info.color_space == "ycgco"
    assert len(list(read_frames(video, info))) == 25


@pytest.fixture(scope="module")
def long_videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("long")
    pattern = ("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=40")
    codecs = {
        "long.mp4": ("-c:v", "libx264", "-preset", "superfast", "-g", "50"),
        "open_gop.ts": ("-c:v", "libx264", "-x264-params", "open-gop=1:keyint=40:bframes=3"),
        "one_keyframe.mkv": ("-c:v", "mpeg4", "-g", "9999"),
        "no_timestamps.h264": ("-c:v", "libx264", "-preset", "superfast"),
        "fields.mpg": ("-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-q:v", "4"),
    }
    for name, options in codecs.items():
        ffmpeg(*pattern, *options, folder / name)
    return {name: folder / name for name in codecs}


def test_a_late_segment_is_the_same_and_cheap(long_videos: dict[str, Path]) -> None:
    for video in long_videos.values():
        info = probe(video)
        whole = {f.index: f.image for f in read_frames(video, info) if f.index % 83 == 0}
        for index, image in whole.items():
            (frame,) = read_frames(video, info, indices=[index])
            assert frame.index == index
            assert (frame.image == image).all(), f"{video.name}, frame {index}"
    video = long_videos["long.mp4"]
    info = probe(video)

    def cost(index: int) -> float:
        started = time.process_time()
        list(read_frames(video, info, indices=[index]))
        return time.process_time() - started

    assert min(cost(990) for _ in range(3)) < 3 * min(cost(240) for _ in range(3))


def test_a_file_that_changed_since_it_was_probed(hard: HardFiles, tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    shutil.copy(hard["plain.mp4"], video)
    info = probe(video)
    shutil.copy(hard["edit_list.mp4"], video)
    with pytest.raises(Unreadable, match="changed since"):
        list(read_frames(video, info))


# ---------------------------------------------------------------------------- kept open


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """One number: how many frames have been decoded. Nothing is kept open afterwards."""
    count = [0]

    def counted(*given: Any) -> Iterator[Any]:
        for frame in decode_stream(*given):
            count[0] += 1
            yield frame

    monkeypatch.setattr(decode, "decode_stream", counted)
    yield count
    keep_open(None)


def is_open(video: Path) -> bool:
    return str(video) in {file.path for file in psutil.Process().open_files()}


def read(video: Path, info: VideoInfo, start: int, end: int) -> list[Frame]:
    return list(read_frames(video, info, indices=range(start, end)))


@pytest.mark.parametrize(
    "name", ["long.mp4", "open_gop.ts", "one_keyframe.mkv", "no_timestamps.h264", "fields.mpg"]
)
def test_kept_open_segments_are_the_same_and_no_frame_is_decoded_twice(
    long_videos: dict[str, Path], name: str, decoded: list[int]
) -> None:
    video = long_videos[name]
    info = probe(video)
    whole = [frame.image for frame in read_frames(video, info)]
    # Some follow each other at once, some after a pause shorter or longer than to a keyframe.
    spans = [(3, 60), (60, 61), (61, 200), (230, 300), (600, 640), (640, 700), (960, 990)]
    decoded[0] = 0
    keep_open(video)
    for span in spans:
        frames = read(video, info, *span)
        assert [frame.index for frame in frames] == list(range(*span))
        assert all((frame.image == whole[frame.index]).all() for frame in frames)
        assert [frame.timestamp_s for frame in frames] == info.timestamps[slice(*span)].tolist()
    ahead = 2 if info.interlaced else 0  # what the deinterlacer looks at
    if name in ("one_keyframe.mkv", "no_timestamps.h264"):
        assert decoded[0] == spans[-1][1]
    else:  # what lies before a keyframe in the long pause is not decoded
        assert decoded[0] < spans[-1][1] + ahead - 100
    assert is_open(video)
    keep_open(None)
    assert not is_open(video)


def test_readings_go_on_each_for_itself_and_overlaps_take_turns(
    long_videos: dict[str, Path], decoded: list[int]
) -> None:
    video = long_videos["one_keyframe.mkv"]
    info = probe(video)
    keep_open(video)
    decoded[0] = 0
    for start in range(0, 1000, 100):  # two stages, of which the first looks at some frames only
        list(read_frames(video, info, indices=[start, start + 50, start + 99]))
        read(video, info, start, start + 100)
    assert decoded[0] == 2 * 1000
    keep_open(None)
    keep_open(video)
    decoded[0] = 0
    for start in range(0, 900, 100):  # each begins before its forerunner ends
        read(video, info, start, start + 120)
    assert decoded[0] <= 2 * 920
    decoded[0] = 0
    read(video, info, 0, 100)
    assert decoded[0] == 100, "what has been passed is read anew"


def test_no_more_than_a_few_stay_open(long_videos: dict[str, Path]) -> None:
    video = long_videos["long.mp4"]
    info = probe(video)
    keep_open(video)
    for _ in range(3):
        for end in range(20, 2, -1):  # whatever is open has passed the first frame
            read(video, info, 0, end)
    files = [file.path for file in psutil.Process().open_files()]
    assert 1 < files.count(str(video)) <= decode._MOST_OPEN
    keep_open(long_videos["one_keyframe.mkv"])
    assert not is_open(video)
    read(video, info, 0, 5)
    assert not is_open(video), "another source is not kept"
    keep_open(None)


def test_what_is_broken_off_or_at_its_end_is_not_kept(hard: HardFiles) -> None:
    video = hard["plain.mp4"]
    info = probe(video)
    keep_open(video)
    broken_off = read_frames(video, info)
    next(broken_off)
    assert is_open(video)
    broken_off.close()  # type: ignore[attr-defined]
    assert not is_open(video)
    read(video, info, 0, info.frame_count)
    assert not is_open(video)
    keep_open(None)


def test_a_file_that_changes_between_segments_is_opened_anew(
    hard: HardFiles, tmp_path: Path
) -> None:
    video = tmp_path / "video.mp4"
    shutil.copy(hard["plain.mp4"], video)
    info = probe(video)
    keep_open(video)
    read(video, info, 0, 2)
    video.unlink()
    video.write_bytes(hard["rotated_180.mp4"].read_bytes())
    turned = probe(video)
    (frame,) = read(video, turned, 2, 3)
    (true,) = read(hard["rotated_180.mp4"], turned, 2, 3)
    assert (frame.image == true.image).all()
    keep_open(None)


def test_damaged_video_is_passed_through_once(hard: HardFiles, decoded: list[int]) -> None:
    video = hard["flipped_bytes.mp4"]
    info = probe(video, ANY_DAMAGE)
    assert info.damage
    whole = [frame.image for frame in read_frames(video, info)]
    decoded[0] = 0
    keep_open(video)
    for start in range(0, info.frame_count - 5, 5):
        for frame in read(video, info, start, start + 5):
            assert (frame.image == whole[frame.index]).all()
    assert decoded[0] <= info.frame_count


# ---------------------------------------------------------------------------- prefetch


def prefetching() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_prefetch_gives_the_same_items_in_order() -> None:
    assert list(prefetch(iter(range(1000)), depth=3)) == list(range(1000))
    assert list(prefetch(iter([]))) == []
    assert prefetching() == []


def test_prefetch_overlaps(hard: HardFiles) -> None:
    def slow() -> Iterator[int]:
        for item in range(10):
            time.sleep(0.02)
            yield item

    started = time.monotonic()
    for _ in prefetch(slow()):
        time.sleep(0.02)
    assert time.monotonic() - started < 0.35, "one after the other would take 0.4 s"
    frames: list[Frame] = list(prefetch(read_frames(hard["plain.mp4"])))
    assert len(frames) == 25


def test_prefetch_stays_within_its_depth() -> None:
    made: list[int] = []
    ahead = prefetch((made.append(item) or item for item in range(100)), depth=4)  # type: ignore[func-returns-value]
    next(ahead)
    time.sleep(0.1)
    assert len(made) <= 6
    ahead.close()  # type: ignore[attr-defined]


def test_prefetch_raises_what_went_wrong_after_what_went_well() -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise Unreadable("broken off")

    seen: list[int] = []
    with pytest.raises(Unreadable, match="broken off"):
        seen.extend(prefetch(broken()))
    assert seen == [1, 2]
    assert prefetching() == []


@pytest.mark.parametrize("leave", ["close", "drop"])
def test_prefetch_leaves_no_thread_behind(leave: str) -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.set()

    ahead = prefetch(endless(), depth=2)
    assert [next(ahead), next(ahead)] == [0, 1]
    assert len(prefetching()) == 1
    if leave == "close":
        ahead.close()  # type: ignore[attr-defined]
    del ahead
    gc.collect()
    assert prefetching() == []
    assert closed.is_set(), "the inner iterator is closed too"


def test_prefetch_never_started_starts_nothing() -> None:
    ahead = prefetch(iter(range(5)))
    assert prefetching() == []
    del ahead
    with pytest.raises(ValueError, match="depth"):
        prefetch(iter([]), depth=0)
