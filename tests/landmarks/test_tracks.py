from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.landmarks.tracks import FIELDS, FORMAT_VERSION, State, Tracks


def random_tracks(frames: int, seed: int, **provenance: Any) -> Tracks:
    rng = np.random.default_rng(seed)
    tracks = Tracks.empty(HOLISTIC, np.cumsum(rng.uniform(0.001, 2, frames)), (640, 480))
    tracks.state[:] = rng.integers(0, 4, tracks.state.shape)
    present = tracks.state != State.MISSING
    tracks.positions[present] = rng.normal(300, 200, (present.sum(), 3))
    tracks.confidence[present] = rng.random(present.sum())
    tracks.world[present] = rng.normal(0, 1, (present.sum(), 3))
    tracks.world[:, HOLISTIC.part("face").slice] = np.nan
    tracks.blendshapes[::2] = rng.random((len(tracks.blendshapes[::2]), 52))
    return tracks.with_provenance(**provenance)


ARRAYS = ("timestamps", "positions", "confidence", "state", "world", "blendshapes")


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_parquet_gives_back_every_bit(tmp_path: Path, frames: int, seed: int) -> None:
    tracks = random_tracks(frames, seed, source="abc", word="på øya 🤟", stage={"a": [1, 2.5]})
    path = tmp_path / "track.parquet"
    tracks.write_parquet(path)
    back = Tracks.read_parquet(path)
    for name in ARRAYS:
        array, same = getattr(tracks, name), getattr(back, name)
        assert array.dtype == same.dtype
        np.testing.assert_array_equal(array, same)
    assert back.topology is HOLISTIC
    assert back.image_size == (640, 480)
    assert back.provenance == tracks.provenance


def test_a_long_track_is_written_in_row_groups_and_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker_core.landmarks.tracks.ROW_GROUP_FRAMES", 7)
    tracks, path = random_tracks(20, 4, a=1), tmp_path / "track.parquet"
    tracks.write_parquet(path, {"word": "hus"})
    assert pq.ParquetFile(path).num_row_groups == 3
    assert pl.read_parquet(path)["frame"].to_list() == list(range(20))
    back = Tracks.read_parquet(path)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(tracks, name), getattr(back, name))
    assert back.provenance == tracks.provenance


def test_some_landmarks_may_be_read_alone(tmp_path: Path) -> None:
    tracks, path = random_tracks(5, 2), tmp_path / "track.parquet"
    tracks.write_parquet(path)
    few = HOLISTIC.only("face", ["mesh_263", "mesh_033", "no_such"])
    assert few.part("face").names == ("mesh_033", "mesh_263")
    some = Tracks.read_parquet(path, few)
    face = HOLISTIC.part("face").start
    columns = [*range(face), face + 33, face + 263]
    for name in ("positions", "confidence", "state", "world"):
        np.testing.assert_array_equal(getattr(some, name), getattr(tracks, name)[:, columns])
    np.testing.assert_array_equal(some.blendshapes, tracks.blendshapes)


@pytest.mark.parametrize("wanted", [("positions", "confidence", "state"), ("state",), ()])
def test_some_arrays_may_be_read_alone(tmp_path: Path, wanted: tuple[str, ...]) -> None:
    tracks, path = random_tracks(5, 2), tmp_path / "track.parquet"
    tracks.write_parquet(path)
    read = Tracks.read_parquet(path, fields=wanted)
    blank = Tracks.empty(HOLISTIC, tracks.timestamps, tracks.image_size)
    for name in FIELDS:
        expected = tracks if name in wanted else blank
        np.testing.assert_array_equal(getattr(read, name), getattr(expected, name))
        assert getattr(read, name).flags.writeable == (name in wanted)


def test_a_slice_of_frames() -> None:
    tracks = random_tracks(9, 3, a=1)
    part = tracks.frames(slice(2, 6))
    assert part.provenance == tracks.provenance
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(part, name), getattr(tracks, name)[2:6])


def test_equal_tracks_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        random_tracks(20, 5, b=1, a=2).write_parquet(tmp_path / name, {"word": "hus"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_other_tools_read_the_columns(tmp_path: Path) -> None:
    tracks = random_tracks(7, 1)
    path = tmp_path / "track.parquet"
    tracks.write_parquet(path, {"word": "hus", "provider": "mediapipe"})
    frame = pl.read_parquet(path)
    assert frame["word"].to_list() == ["hus"] * 7
    assert frame["frame"].to_list() == list(range(7))
    np.testing.assert_array_equal(frame["timestamp"].to_numpy(), tracks.timestamps)
    left = np.array(frame["left_hand_y"].to_list())
    np.testing.assert_array_equal(left, tracks.positions[:, 33:54, 1])
    assert np.array(frame["face_state"].to_list()).shape == (7, 478)
    assert "face_world_x" not in frame.columns
    assert "right_hand_world_z" in frame.columns
    metadata = pq.read_schema(path).metadata[b"tracker"].decode()
    assert f'"format_version": "{FORMAT_VERSION}"' in metadata


def test_other_parquet_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(ValueError, match=r"other\.parquet is no track"):
        Tracks.read_parquet(path)


def test_empty_tracks_miss_everything() -> None:
    tracks = Tracks.empty(HOLISTIC, np.array([0.0, 0.5]), (64, 48))
    assert len(tracks) == 2
    assert (tracks.state == State.MISSING).all()
    assert np.isnan(tracks.positions).all()
    assert not any(tracks.part_present(part.name).any() for part in HOLISTIC.parts)


@pytest.mark.parametrize("state", [State.OBSERVED, State.FILLED, State.CLAMPED])
def test_a_part_is_present_when_one_landmark_is(state: State) -> None:
    tracks = Tracks.empty(HOLISTIC, np.arange(3) / 25, (64, 48))
    tracks.state[1, HOLISTIC.index("left_hand", "index_tip")] = state
    assert tracks.part_present("left_hand").tolist() == [False, True, False]
    assert not tracks.part_present("right_hand").any()
    with pytest.raises(KeyError, match="no part 'foot'"):
        tracks.part_present("foot")


@pytest.mark.parametrize("name", ARRAYS[1:])
def test_wrong_shapes_and_types_are_named(name: str) -> None:
    tracks = random_tracks(4, 0)
    array = getattr(tracks, name)
    with pytest.raises(ValueError, match=rf"Tracks\.{name} must be"):
        replace(tracks, **{name: array[:3]})
    with pytest.raises(ValueError, match=rf"Tracks\.{name} must be"):
        replace(tracks, **{name: array.astype(np.float16)})


@pytest.mark.parametrize("times", [[0.0, 0.0], [1.0, 0.5], [0.0, np.nan]])
def test_timestamps_must_increase(times: list[float]) -> None:
    with pytest.raises(ValueError, match="strictly increase"):
        Tracks.empty(HOLISTIC, np.array(times), (64, 48))


def test_provenance_is_added_to_a_copy() -> None:
    tracks = random_tracks(2, 0, source="abc", provider="x")
    more = tracks.with_provenance(provider="y", model="m")
    assert more.provenance == {"source": "abc", "provider": "y", "model": "m"}
    assert tracks.provenance == {"source": "abc", "provider": "x"}
