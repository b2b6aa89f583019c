"""What `VideoWriter` writes is what was given to it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.media.hard_files import true_pictures, true_timestamps
from tracker_core.media.decode import read_frames
from tracker_core.media.encode import VideoWriter
from tracker_core.media.probe import probe


def picture(number: int, width: int = 96, height: int = 64) -> npt.NDArray[np.uint8]:
    """A coloured slope that moves."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 2 + number, y * 3, 255 - x - y], axis=2).clip(0, 255).astype(np.uint8)


def test_pictures_and_times_come_back(tmp_path: Path) -> None:
    times = [Fraction(k, 30_000) for k in (0, 1001, 2002, 2500, 2501, 90_000, 91_001)]
    video = tmp_path / "video.mp4"
    with VideoWriter(video, 96, 64, time_base=Fraction(1, 30_000)) as writer:
        for number, time in enumerate(times):
            writer.write(picture(number), time)
    assert writer.frame_count == 7
    assert true_timestamps(video) == times
    info = probe(video)
    assert [pts * Fraction(info.time_base) for pts in info.pts] == times
    assert (info.codec, info.pixel_format, info.color_space) == ("h264", "yuv420p", "bt709")
    assert info.color_range == "limited"
    assert not info.notes
    shown = true_pictures(video, 96, 64)
    for number, frame in enumerate(read_frames(video, info)):
        assert np.abs(frame.image.astype(int) - picture(number)).mean() < 2
        assert np.abs(shown[number].astype(int) - picture(number)).mean() < 3


def test_equal_pictures_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        with VideoWriter(tmp_path / name, 96, 64) as writer:
            for number in range(20):
                writer.write(picture(number), number / 25)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_the_index_is_at_the_front(tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    with VideoWriter(video, 96, 64) as writer:
        writer.write(picture(0), 0)
    data = video.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat"), "a browser can show it while it loads"


@pytest.mark.parametrize(("width", "height"), [(95, 63), (1, 1), (96, 63), (3, 64)])
def test_odd_sizes_gain_a_line(tmp_path: Path, width: int, height: int) -> None:
    video = tmp_path / "odd.mp4"
    with VideoWriter(video, width, height) as writer:
        writer.write(picture(0, width, height), 0)
    info = probe(video)
    assert (info.width, info.height) == (width + width % 2, height + height % 2)
    image = next(read_frames(video, info)).image
    assert np.abs(image[:height, :width].astype(int) - picture(0, width, height)).mean() < 6


def test_wrong_use_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0x64"):
        VideoWriter(tmp_path / "no.mp4", 0, 64)
    with VideoWriter(tmp_path / "video.mp4", 96, 64) as writer:
        writer.write(picture(0), 0.5)
        with pytest.raises(ValueError, match="does not come after"):
            writer.write(picture(1), 0.5)
        with pytest.raises(ValueError, match="shape"):
            writer.write(picture(1, 64, 64), 1)
        with pytest.raises(ValueError, match="uint8"):
            writer.write(picture(1).astype(np.float32), 1)
        with pytest.raises(ValueError, match="not a time"):
            writer.write(picture(1), float("nan"))


def test_an_error_in_the_block_is_the_one_that_is_raised(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="mine"), VideoWriter(tmp_path / "x.mp4", 96, 64) as writer:
        writer.write(picture(0), 0)
        raise KeyError("mine")
