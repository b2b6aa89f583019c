"""Our graph in parity mode against HolisticLandmarker, on a few real frames.

`python -m benchmarks.accuracy parity` does the same over whole clips, with tables and pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmarks import seen
from benchmarks.parity import difference, one_step, undecided
from tests.tracking.clips import some_frames
from tracker_core.landmarks.tracks import Tracks
from tracker_core.tracking.holistic.graph import PARITY
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.provider import View


@dataclass(frozen=True, eq=False)
class Pair:
    """The same frames as the reference and as our graph saw them, free and in one step."""

    reference: Tracks
    free: Tracks
    step: Tracks
    scale: float


def _pair(clip: Path, models: ModelStore, canvas: str) -> Pair:
    views = [View(frame.image, 0, 0, frame.timestamp_s) for frame in some_frames(clip)]
    size = views[0].image.shape[1], views[0].image.shape[0]
    if canvas == "square":
        square = seen.Squared()
        views = [square(number, view) for number, view in enumerate(views)]
    reference = seen.see(seen.reference_unpadded, models, views)
    free = seen.see(seen.parity, models, views)
    return Pair(reference, free, one_step(models, reference, views), seen.vga(size))


@pytest.fixture(scope="module", params=["square", "as it is"])
def body(request: pytest.FixtureRequest, demo_clips: dict[str, Path], models: ModelStore) -> Pair:
    """A man with both hands in the picture, 1080x1920."""
    return _pair(demo_clips["balance"], models, request.param)


@pytest.fixture(scope="module", params=["square", "as it is"])
def head(request: pytest.FixtureRequest, face: Path, models: ModelStore) -> Pair:
    """A speaking face, 640x360."""
    return _pair(face, models, request.param)


def test_the_body_is_where_the_reference_has_it(body: Pair) -> None:
    apart = difference(body.reference, body.free, "pose", body.scale)
    assert apart.first == apart.frames
    assert apart.agreement == 1
    assert apart.percentile("pixels", 50) < 0.5
    assert apart.percentile("world", 50) < 10


@pytest.mark.parametrize("side", seen.HANDS)
def test_hands_are_where_the_reference_has_them(body: Pair, side: str) -> None:
    apart = difference(body.reference, body.step, side, body.scale)
    assert apart.first > apart.frames / 2, "the clip shows too little of the hand to compare"
    assert apart.agreement > 0.9
    undecided_scores = undecided(body.reference, body.step, side)
    assert np.allclose(undecided_scores, PARITY.take, atol=0.03)
    assert apart.percentile("pixels", 50) < 0.3
    assert apart.percentile("crop", 50) < 0.5
    assert apart.percentile("crop", 95) < 2
    assert apart.percentile("depth", 50) < 0.5
    assert apart.percentile("world", 50) < 2
    free = difference(body.reference, body.free, side, body.scale)
    assert free.agreement >= 0.9
    assert free.percentile("pixels", 50) < 1


def test_the_face_and_its_expression_are_as_the_reference_has_them(head: Pair) -> None:
    for tracks in (head.free, head.step):
        apart = difference(head.reference, tracks, "face", head.scale)
        assert apart.first == apart.frames
        assert apart.agreement == 1
        assert apart.percentile("pixels", 95) < 0.3
        assert apart.percentile("crop", 95) < 1
        assert apart.percentile("depth", 95) < 0.5
    apart = difference(head.reference, head.free, "face", head.scale)
    assert len(apart.blendshapes) == apart.frames
    assert apart.percentile("blendshapes", 95) < 0.02
