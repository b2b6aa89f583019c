"""Which frames `normalize` chooses, when it encodes, and that nothing is lost or invented."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.media.hard_files import HardFiles, ffmpeg
from tracker_core.errors import EmptySegment, TooLarge, Unreadable
from tracker_core.media.decode import Frame, read_frames
from tracker_core.media.encode import VideoWriter
from tracker_core.media.probe import VideoInfo, probe
from tracker_core.preprocess.normalize import (
    NormalizedVideo,
    NormalizeParameters,
    is_moving,
    normalize,
    read_normalized,
)


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> HardFiles:
    return HardFiles(tmp_path_factory.mktemp("hard"))


@pytest.fixture(scope="module")
def template(hard: HardFiles) -> VideoInfo:
    return probe(hard["plain.mp4"])


def timed(template: VideoInfo, pts: list[int], time_base: str) -> VideoInfo:
    """A video of which only the times matter."""
    return dataclasses.replace(template, pts=tuple(pts), time_base=time_base)


def chosen(info: VideoInfo, out: Path, **parameters: object) -> NormalizedVideo:
    # Nothing is read: the pixels conform and nothing is trimmed.
    return normalize(Path("video.mp4"), info, NormalizeParameters(**parameters), out)  # type: ignore[arg-type]


def run(source: Path, out: Path, **parameters: object) -> tuple[NormalizedVideo, list[Frame]]:
    info = probe(source)
    normalized = normalize(source, info, NormalizeParameters(**parameters), out)  # type: ignore[arg-type]
    return normalized, list(read_normalized(source, info, normalized, out))


# ---------------------------------------------------------------------------- rate


def test_30_to_25_keeps_the_nearest_frame_of_each_tick(template: VideoInfo, tmp_path: Path) -> None:
    info = timed(template, list(range(109)), "1/30")
    result = chosen(info, tmp_path)
    assert result.frame_count == 91
    nearest = [min(range(109), key=lambda i: abs(i / 30 - tick / 25)) for tick in range(91)]
    assert result.source_indices.tolist() == nearest
    assert (result.timestamps == info.timestamps[nearest]).all()


def test_an_hour_does_not_drift(template: VideoInfo, tmp_path: Path) -> None:
    """29.97 to 25 over an hour: never more than half a source frame from the grid."""
    frames = 3600 * 30000 // 1001
    info = timed(template, [1001 * i for i in range(frames)], "1/30000")
    result = chosen(info, tmp_path)
    grid = np.round(result.timestamps * 25) / 25
    assert np.abs(result.timestamps - grid).max() <= 1001 / 30000 / 2 + 1e-9
    assert len(np.unique(grid)) == result.frame_count
    assert result.frame_count == pytest.approx(3600 * 25, abs=2)


@pytest.mark.parametrize("rate", ["12", "24", "25", "24000/1001", "25000/1001"])
def test_sources_that_are_not_faster_keep_every_frame(
    template: VideoInfo, tmp_path: Path, rate: str
) -> None:
    milliseconds = [round(1000 * i / Fraction(rate)) for i in range(500)]
    result = chosen(timed(template, milliseconds, "1/1000"), tmp_path)
    assert result.source_indices.tolist() == list(range(500))


def test_the_rate_of_the_source(template: VideoInfo, tmp_path: Path) -> None:
    info = timed(template, list(range(100)), "1/60")
    assert chosen(info, tmp_path, target_fps="source").frame_count == 100
    assert chosen(info, tmp_path, target_fps="30000/1001").frame_count == 50
    assert chosen(info, tmp_path, target_fps="30").source_indices.tolist() == list(range(0, 99, 2))


def test_gaps_stay_gaps_and_bursts_are_thinned(template: VideoInfo, tmp_path: Path) -> None:
    """Half a second at 100 fps, a pause of two seconds, then ten frames a second."""
    pts = list(range(0, 500, 10)) + list(range(2500, 4500, 100))
    result = chosen(timed(template, pts, "1/1000"), tmp_path)
    assert (result.timestamps >= 2.4).sum() == 20, "slow stretches keep every frame"
    assert (result.timestamps < 1).sum() in (13, 14)
    assert not ((result.timestamps > 0.5) & (result.timestamps < 2.5)).any()


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(st.integers(1, 90), max_size=80), fps=st.integers(1, 60))
def test_a_ceiling_that_invents_nothing(
    template: VideoInfo, tmp_path_factory: pytest.TempPathFactory, steps: list[int], fps: int
) -> None:
    pts = np.cumsum([0, *steps]).tolist()
    info = timed(template, pts, "1/1000")
    result = chosen(info, tmp_path_factory.getbasetemp(), target_fps=str(fps))
    indices = result.source_indices
    assert indices[0] == 0
    assert (np.diff(indices) > 0).all()
    assert (result.timestamps == info.timestamps[indices]).all()
    if len(indices) < len(pts):  # thinned: at most one frame for each tick
        assert len(indices) <= int(pts[-1] * fps / 1000) + 1
        # a frame more than a tick from both its neighbours is never dropped
        for i in range(1, len(pts) - 1):
            if min(pts[i] - pts[i - 1], pts[i + 1] - pts[i]) > 1000 / fps:
                assert i in indices


@pytest.mark.parametrize("rate", ["fast", "0", "-25", "25/0", ""])
def test_a_rate_that_makes_no_sense(template: VideoInfo, tmp_path: Path, rate: str) -> None:
    with pytest.raises(ValueError, match="target_fps"):
        chosen(template, tmp_path, target_fps=rate)


# ---------------------------------------------------------------------------- segment


def test_a_segment(template: VideoInfo, tmp_path: Path) -> None:
    info = timed(template, list(range(100)), "1/25")
    result = chosen(info, tmp_path, start_s=1.0, end_s=2.0)
    assert result.source_indices.tolist() == list(range(25, 50)), "the end is not part of it"
    assert result.timestamps[0] == 1.0
    assert chosen(info, tmp_path, start_s=3.5).source_indices[-1] == 99
    assert chosen(info, tmp_path, end_s=0.1).source_indices.tolist() == [0, 1, 2]


@pytest.mark.parametrize(("start", "end"), [(4.0, None), (2.0, 2.0), (2.0, 1.0), (1.01, 1.03)])
def test_an_empty_segment(
    template: VideoInfo, tmp_path: Path, start: float, end: float | None
) -> None:
    info = timed(template, list(range(100)), "1/25")
    with pytest.raises(EmptySegment, match=r"no frame of video\.mp4 lies between"):
        chosen(info, tmp_path, start_s=start, end_s=end)


# ---------------------------------------------------------------------------- encoding or not


@pytest.mark.parametrize(
    "name", ["plain.mp4", "plain.ts", "vp9.webm", "gray.mkv", "odd_333x251.mp4", "uneven.mp4"]
)
def test_what_conforms_is_read_as_it_is(hard: HardFiles, tmp_path: Path, name: str) -> None:
    normalized, frames = run(hard[name], tmp_path)
    assert normalized.video is None
    assert list(tmp_path.iterdir()) == []
    source = list(read_frames(hard[name], indices=normalized.source_indices.tolist()))
    for frame, original in zip(frames, source, strict=True):
        assert (frame.image == original.image).all()
        assert frame.image.shape == (normalized.height, normalized.width, 3)


@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [
        ("rotated_90.mp4", (64, 96), "stored turned by 270 degrees"),
        ("mirrored.mp4", (96, 64), "stored mirrored"),
        ("sar_4_3.mp4", (212, 96), "pixels of shape 4/3"),
        ("ten_bits.mp4", (160, 96), "10 bits per channel"),
        ("pq.mkv", (160, 96), "HDR (pq)"),
        ("interlaced.mp4", (160, 96), "interlaced"),
        ("two_clocks.ts", (160, 96), "its size changes"),
        ("uhd_8k.mp4", (1280, 720), "7680x4320 is more than 720p"),
    ],
)
@pytest.mark.parametrize("encode", [False, True])
def test_what_does_not_conform_is_changed(
    hard: HardFiles, tmp_path: Path, name: str, size: tuple[int, int], reason: str, encode: bool
) -> None:
    """As it is read, which loses nothing; or in a file, where that is asked for."""
    normalized, frames = run(hard[name], tmp_path, encode=encode)
    assert normalized.video == ("normalized.mp4" if encode else None)
    assert [path.name for path in tmp_path.iterdir()] == (["normalized.mp4"] if encode else [])
    # H.264 has even sizes; what is read needs none.
    assert (normalized.width // 2 * 2, normalized.height // 2 * 2) == size
    assert any(reason in note for note in normalized.notes)
    assert [frame.index for frame in frames] == normalized.source_indices.tolist()
    assert [frame.timestamp_s for frame in frames] == normalized.timestamps.tolist()
    size = (normalized.width, normalized.height)
    source = read_frames(hard[name], indices=normalized.source_indices.tolist(), size=size)
    for frame, original in zip(frames, source, strict=True):
        assert frame.image.shape == (size[1], size[0], 3)
        assert np.abs(frame.image.astype(int) - original.image).mean() < (5 if encode else 1e-9)
    if encode:
        encoded = probe(tmp_path / "normalized.mp4")
        assert np.allclose(encoded.timestamps, normalized.timestamps, rtol=0, atol=1e-9)


@pytest.mark.parametrize("encode", [False, True])
def test_some_rows_are_the_same_as_in_all(hard: HardFiles, tmp_path: Path, encode: bool) -> None:
    source = hard["rotated_90.mp4"]
    info = probe(source)
    parameters = NormalizeParameters(encode=encode, equalize=True)
    normalized = normalize(source, info, parameters, tmp_path)
    every = list(read_normalized(source, info, normalized, tmp_path))
    some = list(read_normalized(source, info, normalized, tmp_path, rows=[0, 3, 4]))
    assert [frame.index for frame in some] == [every[row].index for row in (0, 3, 4)]
    for frame, row in zip(some, (0, 3, 4), strict=True):
        assert (frame.image == every[row].image).all()


def test_timestamps_in_the_file_are_exact(hard: HardFiles, tmp_path: Path) -> None:
    info = probe(hard["ntsc.mp4"])
    normalize(
        hard["ntsc.mp4"], info, NormalizeParameters("source", equalize=True, encode=True), tmp_path
    )
    encoded = probe(tmp_path / "normalized.mp4")
    assert (encoded.pts, encoded.time_base) == (info.pts, info.time_base)


def test_equal_input_gives_equal_bytes(hard: HardFiles, tmp_path: Path) -> None:
    contents = set()
    for _ in range(8):  # an encoder that differs does so only now and then
        run(hard["interlaced.mp4"], tmp_path, encode=True)
        contents.add((tmp_path / "normalized.mp4").read_bytes())
    assert len(contents) == 1


def test_the_parts_of_a_size(template: VideoInfo, tmp_path: Path) -> None:
    """1080p standing, a strip, and what is small already."""
    for display, limit, expected in [
        ((1280, 720), 720, (1280, 720)),
        ((720, 1280), 720, (720, 1280)),
        ((640, 480), 720, (640, 480)),
        ((1, 1), 720, (1, 1)),
    ]:
        info = dataclasses.replace(template, display_width=display[0], display_height=display[1])
        result = chosen(info, tmp_path, max_height=limit)
        assert (result.width, result.height) == expected
    with pytest.raises(ValueError, match="max_height"):
        chosen(template, tmp_path, max_height=0)


@pytest.mark.parametrize(
    ("size", "expected"),
    [("108x192", (72, 128)), ("400x40", (128, 13)), ("100x80", (90, 72)), ("333x251", (96, 72))],
)
def test_larger_pictures_are_reduced(tmp_path: Path, size: str, expected: tuple[int, int]) -> None:
    video = tmp_path / "video.mkv"
    ffmpeg("-f", "lavfi", "-i", f"testsrc=size={size}:rate=25:duration=0.2", "-c:v", "ffv1", video)
    normalized, frames = run(video, tmp_path, max_height=72)
    assert (normalized.width, normalized.height) == expected
    assert frames[0].image.shape == (expected[1], expected[0], 3)


def test_equalizing_evens_out_a_dark_picture(tmp_path: Path) -> None:
    video = tmp_path / "dark.mkv"
    pattern = "testsrc2=size=160x96:rate=25:duration=0.2,format=gray,lutyuv=y=val/5"
    ffmpeg("-f", "lavfi", "-i", pattern, "-c:v", "ffv1", video)
    _, plain = run(video, tmp_path)
    normalized, even = run(video, tmp_path, equalize=True)
    assert normalized.equalize
    assert "brightness evened out" in normalized.notes[0]
    assert even[0].image.std() > 1.1 * plain[0].image.std()


def test_a_short_encoded_file_is_noticed(hard: HardFiles, tmp_path: Path) -> None:
    source = hard["ten_bits.mp4"]
    info = probe(source)
    normalized = normalize(source, info, NormalizeParameters(encode=True), tmp_path)
    with VideoWriter(tmp_path / "normalized.mp4", 160, 96) as writer:
        writer.write(np.zeros((96, 160, 3), np.uint8), 0)
    with pytest.raises(Unreadable, match="1 frames, 25 were written"):
        list(read_normalized(source, info, normalized, tmp_path))


def test_json_is_lossless(hard: HardFiles, tmp_path: Path) -> None:
    normalized, _ = run(hard["rotated_90.mp4"], tmp_path)
    again = NormalizedVideo.from_json(normalized.to_json())
    assert again == normalized
    assert again.timestamps.dtype == np.float64
    assert again.source_indices.dtype == np.int64
    assert again != dataclasses.replace(normalized, width=1)


def test_more_frames_than_memory_has_room_for_are_refused(tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    moving_square(video, (0, 0), 0)
    with pytest.raises(TooLarge, match=r"video\.mp4: 25 frames .* than 24: cut it into segments"):
        run(video, tmp_path, max_frames=24)
    assert run(video, tmp_path, max_frames=24, start_s=0.04)[0].frame_count == 24


# ---------------------------------------------------------------------------- trimming


def moving_square(video: Path, still: tuple[int, int], noise: float, moving: int = 25) -> None:
    """A square that rests, moves and rests again, under noise of the given strength."""
    draw = np.random.default_rng(5)
    before, after = still
    with VideoWriter(video, 320, 240, crf=10) as writer:
        for number in range(before + moving + after):
            image = np.full((240, 320, 3), 90.0)
            x = 40 + 8 * min(max(number - before, 0), moving)
            image[100:140, x : x + 40] = 200
            image += draw.normal(0, noise, image.shape) if noise else 0
            writer.write(image.clip(0, 255).astype(np.uint8), number / 25)


@pytest.mark.parametrize("noise", [0, 8])
def test_still_ends_are_cut_off_but_for_a_margin(tmp_path: Path, noise: float) -> None:
    video = tmp_path / "video.mp4"
    moving_square(video, (40, 60), noise)
    normalized, frames = run(video, tmp_path, trim=True)
    lead, tail = normalized.trimmed
    assert 34 <= lead <= 36, "40 still frames less 0.2 s"
    assert 53 <= tail <= 56
    assert lead + tail + normalized.frame_count == 125
    assert normalized.source_indices.tolist() == list(range(lead, 125 - tail))
    assert normalized.timestamps[0] == pytest.approx(lead / 25)
    assert len(frames) == normalized.frame_count
    assert f"trimmed {lead} still frames at the start" in normalized.notes[0]


@pytest.mark.parametrize(("still", "moving"), [((0, 0), 25), ((30, 0), 0), ((0, 1), 0)])
def test_nothing_is_trimmed_from_all_motion_or_no_motion(
    tmp_path: Path, still: tuple[int, int], moving: int
) -> None:
    video = tmp_path / "video.mp4"
    moving_square(video, still, 5, moving)
    normalized, _ = run(video, tmp_path, trim=True)
    assert normalized.trimmed == (0, 0)
    assert normalized.frame_count == sum(still) + moving
    if not moving:
        assert "nothing was trimmed" in normalized.notes[0]


def test_one_flash_is_no_motion() -> None:
    energy: npt.NDArray[np.float64] = np.full(100, 0.5)
    energy[20] = 80
    assert not is_moving(energy).any()
    energy[60:80] = 12
    assert np.flatnonzero(is_moving(energy)).tolist() == list(range(60, 80))
    assert len(is_moving(np.zeros(0))) == 0
