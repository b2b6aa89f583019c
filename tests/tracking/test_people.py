"""People's boxes on real frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.tracking.clips import FRAMES, some_frames, track_whole
from tracker_core.media.decode import read_frames
from tracker_core.media.probe import probe
from tracker_core.preprocess.roi import RoiParameters, find_roi, sample_indices
from tracker_core.tracking.holistic.loading import borrowed
from tracker_core.tracking.holistic.people import PeopleDetector, _tiles
from tracker_core.tracking.holistic.provider import HolisticProvider
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.video import track_video


@pytest.fixture
def detector(models: ModelStore) -> Iterator[PeopleDetector]:
    with borrowed(models, "openvino") as networks:
        yield PeopleDetector(networks, 4)


def test_the_person_is_found(models: ModelStore, detector: PeopleDetector, signer: Path) -> None:
    info = probe(signer)
    samples = sample_indices(info.timestamps, 1.0)
    size = (info.display_width, info.display_height)
    frames = read_frames(signer, info, indices=samples)
    roi = find_roi(frames, info.timestamps, size, detector, RoiParameters())
    assert roi.people >= 1
    tracks = track_whole(HolisticProvider(models), some_frames(signer))
    shoulders = tracks.positions[:, [11, 12], :2].reshape(-1, 2)
    x0, y0, x1, y1 = roi.boxes[info.frame_count // 2]
    inside = (shoulders >= [x0, y0]).all(axis=1) & (shoulders <= [x1, y1]).all(axis=1)
    assert inside.all()


@pytest.mark.parametrize(
    ("size", "side"), [((640, 480), 320), ((1280, 150), 150), ((150, 1280), 150), ((1, 1), 1)]
)
def test_tiles_cover_the_image(size: tuple[int, int], side: int) -> None:
    covered = np.zeros((size[1], size[0]), bool)
    for x, y, tile in _tiles(*size):
        assert tile == side
        assert 0 <= x <= size[0] - side
        assert 0 <= y <= size[1] - side
        covered[y : y + side, x : x + side] = True
    assert covered.all()


def test_a_small_person_in_a_long_picture_is_found(
    models: ModelStore, detector: PeopleDetector, shared_data: Path
) -> None:
    clip = shared_data / "hard" / "synth" / "wide_4096x480.mp4"
    info = probe(clip)
    frames = list(read_frames(clip, info, size=(1280, 150)))
    roi = find_roi(frames, info.timestamps, (1280, 150), detector, RoiParameters())
    assert roi.people == 1
    assert roi.crop
    tracks = track_video(HolisticProvider(models), frames, roi, (1280, 150))
    nose = tracks.positions[:, 0, 0]
    assert np.all((nose > 500) & (nose < 780)), "the signer stands in the middle"


def test_the_detector_keeps_nothing_of_the_image_before(
    detector: PeopleDetector, signer: Path
) -> None:
    first, last = some_frames(signer, 2)[0].image, some_frames(signer, FRAMES)[-1].image
    alone = [box.tolist() for box in detector.detect(first)]
    detector.detect(last)
    assert [box.tolist() for box in detector.detect(first)] == alone
    assert len(alone) >= 1


def test_of_two_signers_one_is_followed(
    models: ModelStore, detector: PeopleDetector, shared_data: Path
) -> None:
    clip = shared_data / "hard" / "synth" / "two_signers_side_by_side.mp4"
    info = probe(clip)
    size = (info.display_width, info.display_height)
    frames = read_frames(clip, info, indices=sample_indices(info.timestamps, 0.5))
    roi = find_roi(frames, info.timestamps, size, detector, RoiParameters())
    assert roi.people == 2
    assert roi.crop
    tracks = track_video(HolisticProvider(models), read_frames(clip, info), roi, size)
    nose = tracks.positions[:, 0, 0]
    assert np.nanmax(nose) - np.nanmin(nose) < 200, "it never jumps to the other one, 400 px away"
