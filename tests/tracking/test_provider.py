"""What stands around every provider: the window on the person, assembly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker_core.errors import NoPerson, SettingsError
from tracker_core.landmarks.topology import HOLISTIC, Topology
from tracker_core.landmarks.tracks import State
from tracker_core.media.decode import Frame
from tracker_core.preprocess.roi import Roi
from tracker_core.settings import Settings
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.provider import FrameLandmarks, View
from tracker_core.tracking.registry import PROVIDERS, provider
from tracker_core.tracking.video import track_video


@dataclass
class FindsTheDot:
    """A provider whose every landmark is the brightest pixel of the view it is given."""

    name: str = "dot"
    topology: Topology = HOLISTIC
    shapes: set[tuple[int, ...]] = field(default_factory=set)
    times: list[float] = field(default_factory=list)

    def model_digest(self) -> str:
        return "0" * 64

    def parameters(self) -> Mapping[str, Any]:
        return {}

    @contextmanager
    def session(self) -> Iterator[FindsTheDot]:
        yield self

    def track(self, views: Iterable[View]) -> Iterator[FrameLandmarks]:
        return map(self._look, views)

    def _look(self, view: View) -> FrameLandmarks:
        self.shapes.add(view.image.shape)
        self.times.append(view.timestamp_s)
        seen = FrameLandmarks.missing(HOLISTIC)
        if view.image.max() == 0:
            return seen
        y, x = np.unravel_index(int(view.image[..., 0].argmax()), view.image.shape[:2])
        seen.positions[:] = (view.x + x, view.y + y, 5)
        seen.confidence[:] = 0.9
        return seen


def _frame(index: int, size: tuple[int, int], dot: tuple[int, int] | None) -> Frame:
    image = np.zeros((size[1], size[0], 3), np.uint8)
    if dot is not None:
        image[dot[1], dot[0]] = 255
    return Frame(index, index / 25, image)


def _roi(box: tuple[float, float, float, float], count: int, *, crop: bool) -> Roi:
    return Roi(np.tile(np.array(box), (count, 1)), people=1, crop=crop)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(8, 90), st.integers(8, 90), st.integers(0, 10**6), st.booleans(),
    st.tuples(*[st.floats(-30, 120, allow_nan=False)] * 2, *[st.floats(2, 80)] * 2),
)  # fmt: skip
def test_positions_are_those_of_the_frame_whatever_was_cut(
    width: int, height: int, seed: int, crop: bool, box: tuple[float, float, float, float]
) -> None:
    x0, y0, w, h = box
    roi = _roi((x0, y0, x0 + w, y0 + h), 1, crop=crop)
    left, top, right, bottom = roi.window(0, (width, height))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    rng = np.random.default_rng(seed)
    dot = (int(rng.integers(left, right)), int(rng.integers(top, bottom)))
    engine = FindsTheDot()
    tracks = track_video(engine, [_frame(0, (width, height), dot)], roi, (width, height))
    assert (tracks.positions[0] == np.array([*dot, 5], np.float32)).all()
    assert engine.shapes == {(bottom - top, right - left, 3)}


def test_the_window_keeps_its_size_while_it_moves() -> None:
    """The person's scale must not flicker with the rounding of the box."""
    start = np.linspace(3.2, 60.7, 50)
    boxes = np.column_stack([start, start / 3, start + 31.5, start / 3 + 20.5])
    roi = Roi(boxes, people=1, crop=True)
    windows = [roi.window(i, (200, 100)) for i in range(50)]
    assert len({(x1 - x0, y1 - y0) for x0, y0, x1, y1 in windows}) == 1


def test_timestamps_and_states() -> None:
    frames = [_frame(i, (20, 10), (3, 4) if i else None) for i in range(4)]
    tracks = track_video(FindsTheDot(), frames, _roi((0, 0, 20, 10), 4, crop=False), (20, 10))
    assert tracks.timestamps.tolist() == [0, 0.04, 0.08, 0.12]
    assert tracks.state[:, 0].tolist() == [0, 1, 1, 1]
    assert np.isnan(tracks.positions[0]).all()
    assert tracks.confidence[0].max() == 0
    assert tracks.image_size == (20, 10)


def test_nobody_is_a_failure_and_not_an_empty_track() -> None:
    frames = [_frame(i, (20, 10), None) for i in range(3)]
    with pytest.raises(NoPerson, match="any of the 3 frames"):
        track_video(FindsTheDot(), frames, _roi((0, 0, 20, 10), 3, crop=False), (20, 10))


@pytest.mark.parametrize(
    ("seen", "found"),
    [("1", True), ("11", True), ("10", False), ("01011", False), ("01110", True), ("00100", False)],
)
def test_a_person_is_seen_in_three_frames_on_end(seen: str, found: bool) -> None:
    """Or in all, where there are fewer: a single frame is a ghost of the model."""
    frames = [_frame(i, (20, 10), (3, 4) if flag == "1" else None) for i, flag in enumerate(seen)]
    roi = _roi((0, 0, 20, 10), len(seen), crop=False)
    if found:
        assert len(track_video(FindsTheDot(), frames, roi, (20, 10))) == len(seen)
    else:
        with pytest.raises(NoPerson, match=rf"more than {seen.count('1')} of the {len(seen)}"):
            track_video(FindsTheDot(), frames, roi, (20, 10))


def test_what_a_provider_filled_is_not_called_observed() -> None:
    class Fills(FindsTheDot):
        def _look(self, view: View) -> FrameLandmarks:
            seen = super()._look(view)
            seen.filled[:33] = view.timestamp_s > 0
            return seen

    frames = [_frame(i, (20, 10), (3, 4)) for i in range(3)]
    tracks = track_video(Fills(), frames, _roi((0, 0, 20, 10), 3, crop=False), (20, 10))
    assert tracks.state[1, :33].tolist() == [State.FILLED] * 33
    assert (tracks.state[1, 33:] == State.OBSERVED).all()
    assert (tracks.state[0] == State.OBSERVED).all()


def test_an_unknown_provider_is_named_with_those_there_are(tmp_path: Any) -> None:
    with pytest.raises(SettingsError, match=r"'opnepose'.*mediapipe"):
        provider("opnepose", ModelStore(tmp_path), {})


def test_every_provider_keeps_the_protocol(tmp_path: Any) -> None:
    for name in PROVIDERS:
        made = provider(name, ModelStore(tmp_path), Settings().model_dump())
        assert made.name == name
        assert made.topology.size > 0
        assert len(made.model_digest()) == 64
        assert dict(made.parameters())
