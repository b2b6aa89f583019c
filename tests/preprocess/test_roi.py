"""The person's box: sampled, chosen, steadied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker_core.media.decode import Frame
from tracker_core.preprocess.roi import Box, Roi, RoiParameters, find_roi, sample_indices

SIZE = (640, 480)


class Scripted:
    """A detector that says what it is told."""

    def __init__(self, sightings: Sequence[Sequence[tuple[float, ...]]]) -> None:
        self._sightings = iter(sightings)

    def detect(self, image: npt.NDArray[np.uint8]) -> list[Box]:
        assert image.shape == (2, 2, 3)
        return [np.array(box, np.float64) for box in next(self._sightings)]


def _find(
    sightings: Sequence[Sequence[tuple[float, ...]]], **parameters: object
) -> tuple[Roi, npt.NDArray[np.float64]]:
    timestamps = np.arange(len(sightings) * 10) / 10
    frames = [Frame(i * 10, float(i), np.zeros((2, 2, 3), np.uint8)) for i in range(len(sightings))]
    options = RoiParameters(**parameters)  # type: ignore[arg-type]
    return find_roi(frames, timestamps, SIZE, Scripted(sightings), options), timestamps


def test_nobody_gives_the_whole_frame() -> None:
    roi, _ = _find([[], [], []])
    assert roi.people == 0
    assert not roi.crop
    assert roi.window(3, SIZE) == (0, 0, 640, 480)


def test_one_large_person_is_not_cropped() -> None:
    roi, _ = _find([[(150, 20, 500, 480)]] * 3)
    assert not roi.crop
    assert roi.window(0, SIZE) == (0, 0, 640, 480)


def test_one_small_person_is_cropped() -> None:
    roi, _ = _find([[(300, 200, 360, 330)]] * 3)
    assert roi.crop
    x0, y0, x1, y1 = roi.window(0, SIZE)
    assert (x0, y0) < (300, 200)
    assert x1 > 360
    assert y1 > 330


def test_cropping_can_be_forced_and_forbidden() -> None:
    assert not _find([[(300, 200, 360, 330)]] * 3, crop="never")[0].crop
    assert _find([[(150, 20, 500, 480)]] * 3, crop="always")[0].crop


def test_of_several_the_largest_and_most_central_is_followed() -> None:
    large, small = (250, 60, 420, 460), (20, 150, 90, 300)
    for order in ([large, small], [small, large]):
        roi, _ = _find([order] * 4)
        assert roi.people == 2
        x0, _, x1, _ = roi.boxes[20]
        assert x0 < 250
        assert x1 > 420
        assert (x0 + x1) / 2 == pytest.approx(335)


def test_the_main_person_is_followed_past_another() -> None:
    """Two cross: the box stays with the one whose chain is the larger overall."""
    sightings = [
        [(100 + 60 * i, 100, 220 + 60 * i, 460), (560 - 60 * i, 250, 600 - 60 * i, 380)]
        for i in range(6)
    ]
    roi, timestamps = _find(sightings, steady_s=0.2)
    middle = (roi.boxes[:, 0] + roi.boxes[:, 2]) / 2
    assert np.all(np.diff(middle) > -1)
    assert middle[-1] - middle[0] > 200
    assert len(roi.boxes) == len(timestamps)


def test_one_bad_sighting_does_not_jerk_the_box() -> None:
    still = (200.0, 100.0, 400.0, 470.0)
    sightings = [[still]] * 4 + [[(230.0, 100.0, 430.0, 470.0)]] + [[still]] * 4
    roi, _ = _find(sightings)
    middle = (roi.boxes[:, 0] + roi.boxes[:, 2]) / 2
    assert np.ptp(middle) < 15
    assert np.abs(np.diff(middle)).max() < 2


def test_json_round_trip() -> None:
    roi, _ = _find([[(300, 200, 360, 330)]] * 3)
    again = Roi.from_json(roi.to_json())
    assert again.people == roi.people
    assert again.crop == roi.crop
    assert np.allclose(again.boxes, roi.boxes, atol=0.05)


@given(
    st.lists(st.floats(0.001, 5), min_size=0, max_size=50), st.floats(0.05, 3),
)  # fmt: skip
def test_samples_are_frames_in_order_with_both_ends(steps: list[float], interval: float) -> None:
    timestamps = np.concatenate([[0.0], np.cumsum(steps)])
    samples = sample_indices(timestamps, interval)
    assert samples == sorted(set(samples))
    assert samples[0] == 0
    assert samples[-1] == len(timestamps) - 1
