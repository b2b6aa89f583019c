from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker_core.landmarks.draw import contact_sheet, draw_landmarks, evenly_spaced
from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.landmarks.tracks import State, Tracks

Image = npt.NDArray[np.uint8]
LEFT, RIGHT = HOLISTIC.part("left_hand").slice, HOLISTIC.part("right_hand").slice


def grey(width: int, height: int) -> Image:
    return np.full((height, width, 3), 90, np.uint8)


def hands(frames: int = 3, size: tuple[int, int] = (320, 240)) -> Tracks:
    """Left hand around x = 3/4, right around x = 1/4 of the picture; nothing else."""
    tracks = Tracks.empty(HOLISTIC, np.arange(frames) / 25, size)
    for part, x in ((LEFT, 0.75), (RIGHT, 0.25)):
        angle = np.linspace(0, 2 * np.pi, 21)
        tracks.positions[:, part, 0] = size[0] * (x + 0.1 * np.cos(angle))
        tracks.positions[:, part, 1] = size[1] * (0.5 + 0.2 * np.sin(angle))
        tracks.positions[:, part, 2] = 0
        tracks.state[:, part] = State.OBSERVED
        tracks.confidence[:, part] = 1
    return tracks


def changed(image: Image, drawn: Image) -> npt.NDArray[np.bool_]:
    out: npt.NDArray[np.bool_] = (image != drawn).any(axis=2)
    return out


def strength(image: Image, drawn: Image) -> int:
    """How far all pixels together are from what they were."""
    return int(np.abs(image.astype(int) - drawn.astype(int)).sum())


def test_each_hand_has_its_colour_and_place() -> None:
    image = grey(320, 240)
    drawn = draw_landmarks(image, hands(), 0)
    assert (image == 90).all()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    marks = changed(image, drawn)
    assert marks[:, :160].any()
    assert marks[:, 160:].any()
    blue = drawn[:, :160][marks[:, :160]].astype(int)
    orange = drawn[:, 160:][marks[:, 160:]].astype(int)
    assert (blue[:, 2] > blue[:, 0]).all()
    assert (orange[:, 0] > orange[:, 2]).all()
    # A landmark lies where it is said to be.
    x, y = hands().positions[0, LEFT.start, :2].round().astype(int)
    assert tuple(drawn[y, x]) == (230, 159, 0)


def test_missing_landmarks_are_not_drawn() -> None:
    image = grey(320, 240)
    tracks = hands()
    tracks.state[:, RIGHT] = State.MISSING
    tracks.positions[:, RIGHT] = np.nan
    drawn = draw_landmarks(image, tracks, 1)
    assert not changed(image, drawn)[:, :160].any()
    assert changed(image, drawn)[:, 160:].any()
    nothing = Tracks.empty(HOLISTIC, np.zeros(1), (320, 240))
    np.testing.assert_array_equal(draw_landmarks(image, nothing, 0), image)


def test_filled_landmarks_are_paler_and_hollow_and_clamped_ones_rimmed() -> None:
    image = grey(320, 240)
    observed, filled, clamped = hands(), hands(), hands()
    filled.state[:, LEFT] = State.FILLED
    clamped.state[:, LEFT] = State.CLAMPED
    pictures = [draw_landmarks(image, tracks, 0) for tracks in (observed, filled, clamped)]
    left = [strength(image[:, 160:], picture[:, 160:]) for picture in pictures]
    right = [picture[:, :160] for picture in pictures]
    np.testing.assert_array_equal(right[0], right[1])
    np.testing.assert_array_equal(right[0], right[2])
    assert 0 < left[1] < 0.7 * left[0]
    x, y = observed.positions[0, LEFT.start, :2].round().astype(int)
    assert tuple(pictures[0][y, x]) == (230, 159, 0)
    assert pictures[1][y, x, 0] < 180  # hollow
    red = (pictures[2][..., 0] > 150) & (pictures[2][..., 1] < 90)
    assert red.any()
    assert not ((pictures[0][..., 0] > 150) & (pictures[0][..., 1] < 90)).any()


def test_the_face_is_drawn_by_contours_and_the_pose_by_bones() -> None:
    image = grey(400, 400)
    rng = np.random.default_rng(0)
    for name in ("face", "pose"):
        tracks = Tracks.empty(HOLISTIC, np.zeros(1), (400, 400))
        part = HOLISTIC.part(name).slice
        tracks.positions[0, part] = rng.uniform(20, 380, (part.stop - part.start, 3))
        tracks.state[0, part] = State.OBSERVED
        assert changed(image, draw_landmarks(image, tracks, 0)).sum() > 1000


def test_landmarks_are_scaled_to_the_image() -> None:
    tracks = hands(size=(640, 480))
    drawn = draw_landmarks(grey(320, 240), tracks, 0)
    x, y = (tracks.positions[0, LEFT.start, :2] / 2).round().astype(int)
    assert drawn[y, x, 0] > 150


def test_landmarks_far_outside_do_no_harm() -> None:
    tracks = hands()
    tracks.positions[0, LEFT] = 1e12
    tracks.positions[0, RIGHT] = -400
    image = grey(320, 240)
    np.testing.assert_array_equal(draw_landmarks(image, tracks, 0), image)


@pytest.mark.parametrize("count", [1, 2, 5, 12, 40])
@pytest.mark.parametrize("size", [(640, 480), (360, 640), (900, 100), (16, 16)])
def test_a_sheet_fits_any_number_and_shape_of_frames(count: int, size: tuple[int, int]) -> None:
    tracks = hands(count, size)
    frames = [(i, i / 25, grey(*size)) for i in range(count)]
    sheet = contact_sheet(frames, tracks)
    assert sheet.shape[1:] == (1600, 3)
    assert 40 < sheet.shape[0] < 1600 * count + 200
    assert sheet.dtype == np.uint8
    found = (sheet == 90).all(axis=2).sum()
    assert found > count * 100  # pixels of the frames themselves, all of them shown


def test_a_sheet_puts_frames_in_columns_with_captions() -> None:
    tracks = hands(6)
    tracks.state[3, LEFT] = State.FILLED
    tracks.state[4, LEFT] = State.MISSING
    sheet = contact_sheet(((i, i / 25, grey(320, 240)) for i in range(6)), tracks, columns=3)
    cell = (1600 - 8 * 4) // 3
    rows = [
        (sheet[:, 8 + k * (cell + 8) + cell // 2] == 90).all(axis=1).astype(int) for k in range(3)
    ]
    assert all((np.diff(row, prepend=0) == 1).sum() >= 2 for row in rows)  # two frames a column
    captions = [caption(sheet, column) for column in range(3)]
    differing = [(captions[a] != captions[b]).any() for a, b in ((0, 1), (0, 2), (1, 2))]
    assert all(differing)  # filled, missing, observed


def caption(sheet: Image, column: int) -> Image:
    """The presence line under a frame of the second row."""
    cell = (1600 - 8 * 4) // 3
    x = 8 + column * (cell + 8)
    return sheet[-8 - 20 : -8, x : x + cell]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(IndexError, match="no frame 3: the tracks have 3"):
        draw_landmarks(grey(20, 20), hands(3), 3)
    with pytest.raises(IndexError, match="no frame -1"):
        draw_landmarks(grey(20, 20), hands(3), -1)
    with pytest.raises(ValueError, match="must be uint8 RGB"):
        draw_landmarks(np.zeros((20, 20), np.uint8), hands(), 0)
    with pytest.raises(ValueError, match="at least one frame"):
        contact_sheet([], hands())
    with pytest.raises(ValueError, match="columns is 0"):
        contact_sheet([(0, 0.0, grey(20, 20))], hands(), columns=0)


@given(st.integers(0, 500), st.integers(0, 60))
def test_evenly_spaced_frames(count: int, wanted: int) -> None:
    indices = evenly_spaced(count, wanted)
    assert len(indices) == min(count, wanted)
    assert indices == sorted(set(indices))
    assert all(0 <= i < count for i in indices)
    if len(indices) > 1:
        assert (indices[0], indices[-1]) == (0, count - 1)
        steps = np.diff(indices)
        assert steps.max() - steps.min() <= 1
