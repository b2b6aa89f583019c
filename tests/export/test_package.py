"""The five files of a package."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.motion.figures import hide, mannequin, signing, tracks_of
from tracker_core.errors import NoFrames, NoPerson, SettingsError
from tracker_core.export.unreal.package import (
    FILES,
    IMPORTER,
    ExportParameters,
    ExportSubject,
    write_package,
)
from tracker_core.landmarks.tracks import State, Tracks
from tracker_core.motion.skeleton import JOINTS, PARENTS

SUBJECT = ExportSubject("å spise", "Spise 01.mp4", "7f", "spise/Spise 01.mp4", "å spise")
SCORE = {"score": 0.83, "parts": {"hands": 0.7}, "issues": ["low_light"], "nothing": float("nan")}


@pytest.fixture(scope="module")
def tracks() -> Tracks:
    rest = mannequin(drop=20)
    return tracks_of(rest, [rest.posed(turns) for turns in signing(20, seed=2)])


def written(folder: Path, tracks: Tracks, subject: ExportSubject = SUBJECT) -> dict[str, Any]:
    folder.mkdir()
    return write_package(tracks, SCORE, subject, ExportParameters(), folder)


def content(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def lines(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    with gzip.open(folder / "tracking_v2.jsonl.gz", "rt", encoding="utf-8") as file:
        header, *frames = [json.loads(line) for line in file]
    return header, frames


def test_there_are_five_files_and_equal_input_gives_equal_bytes(
    tmp_path: Path, tracks: Tracks
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    entry = written(one, tracks)
    written(two, tracks)
    assert sorted(path.name for path in one.iterdir()) == sorted(FILES)
    for name in FILES:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    assert content(one, "index_entry.json") == entry
    packed = (one / "tracking_v2.jsonl.gz").read_bytes()
    assert packed[3:8] == bytes(5), "no name and no time of writing in the gzip header"
    assert (one / "unreal_import.py").read_bytes() == IMPORTER.read_bytes()


def test_the_header_says_what_the_frames_hold(tmp_path: Path, tracks: Tracks) -> None:
    written(tmp_path / "p", tracks)
    header, frames = lines(tmp_path / "p")
    assert (header["format"], header["version"]) == ("tracker.tracking", 2)
    assert header["fps"] == {"numerator": 25, "denominator": 1}
    assert header["frames"] == len(frames) == 20
    assert {j["name"]: j["parent"] for j in header["joints"]} == dict(PARENTS)
    assert header["provenance"]["model_digest"] == "0" * 64
    for k, frame in enumerate(frames):
        assert frame["frame"] == k
        assert frame["timestamp"] == pytest.approx(k / 25, abs=1e-6)
        assert set(frame["joints"]) == set(JOINTS)
        assert set(frame["face"]) == set(header["face_features"])
        for joint in frame["joints"].values():
            assert joint["state"] in header["states"]


def test_positions_are_centimetres_and_the_left_is_at_plus_x(
    tmp_path: Path, tracks: Tracks
) -> None:
    written(tmp_path / "p", tracks)
    _, frames = lines(tmp_path / "p")
    joints = frames[0]["joints"]
    width = joints["upperarm_l"]["x"] - joints["upperarm_r"]["x"]
    assert width == pytest.approx(35.0, abs=2.0)
    assert joints["head"]["z"] > joints["neck"]["z"] > joints["root"]["z"]
    assert joints["root"]["x"] == pytest.approx(0.0, abs=1e-3)
    for joint in joints.values():
        if joint["q"] is not None:
            assert np.linalg.norm(joint["q"]) == pytest.approx(1.0, abs=1e-5)


def test_what_is_missing_is_null_and_said(tmp_path: Path, tracks: Tracks) -> None:
    partly = hide(hide(tracks, "right_hand", slice(None)), "face", slice(4, 6))
    written(tmp_path / "p", partly)
    _, frames = lines(tmp_path / "p")
    for k, frame in enumerate(frames):
        knuckle = frame["joints"]["hand_r_index_1"]
        assert knuckle == {"x": None, "y": None, "z": None, "q": None, "state": "missing"}
        assert frame["joints"]["hand_l_index_1"]["state"] == "observed"
        assert (frame["face"] is None) == (4 <= k < 6)
        assert frame["face_state"] == ("missing" if 4 <= k < 6 else "observed")
    meta = content(tmp_path / "p", "meta.json")
    assert meta["coverage"]["right_hand"]["missing"] == 1.0
    assert meta["coverage"]["left_hand"]["observed"] == 1.0
    assert meta["coverage"]["face"] == {"observed": 0.9, "filled": 0.0, "missing": 0.1}
    assert any("right hand was seen in no frame" in note for note in meta["notes"])
    assert not any("left hand" in note for note in meta["notes"])
    assert content(tmp_path / "p", "index_entry.json")["seen"]["right_hand"] == 0.0


def test_filled_points_are_counted_as_filled(tmp_path: Path, tracks: Tracks) -> None:
    state = tracks.state.copy()
    state[3:8] = State.FILLED
    written(tmp_path / "p", replace(tracks, state=state))
    meta = content(tmp_path / "p", "meta.json")
    for part in ("torso", "left_hand", "face"):
        assert meta["coverage"][part]["filled"] == 0.25, part
    assert lines(tmp_path / "p")[1][4]["joints"]["wrist_l"]["state"] == "filled"


def test_meta_says_where_it_comes_from_and_what_not_to_trust(
    tmp_path: Path, tracks: Tracks
) -> None:
    entry = written(tmp_path / "p", tracks)
    meta = content(tmp_path / "p", "meta.json")
    assert meta["word"] == entry["word"] == "å spise"
    assert meta["video"] == {
        "id": "7f",
        "filename": "Spise 01.mp4",
        "source": "spise/Spise 01.mp4",
        "width": 640,
        "height": 480,
    }
    assert (meta["provider"], meta["model_digest"]) == ("invented 1.0", "0" * 64)
    assert meta["quality"]["parts"] == {"hands": 0.7}
    assert meta["quality"]["nothing"] is None
    assert (entry["quality"], entry["issues"]) == (0.83, ["low_light"])
    assert {"cheek_puff", "eye_wide_l", "nose_sneer_r"} <= set(meta["unreliable"])
    assert meta["not_included"] and meta["assumptions"]
    assert entry["path"] == "å spise/Spise 01"
    assert entry["duration"] == pytest.approx(19 / 25)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("/home/someone/clips/a.mp4", "a.mp4"),
        ("C:\\Users\\someone\\a.mp4", "a.mp4"),
        ("file:///home/someone/a.mp4", "a.mp4"),
        ("https://user:secret@example.org/v/a.mp4?token=1", "https://example.org/v/a.mp4"),
        ("s3://bucket/v/a.mp4", "s3://bucket/v/a.mp4"),
        ("v/a.mp4", "v/a.mp4"),
    ],
)
def test_no_local_path_and_no_secret_is_published(
    tmp_path: Path, tracks: Tracks, source: str, shown: str
) -> None:
    told = tracks.with_provenance(stages={"probe": [source]})
    written(tmp_path / "p", told, replace(SUBJECT, source=source))
    meta = content(tmp_path / "p", "meta.json")
    assert meta["video"]["source"] == shown
    assert meta["provenance"]["stages"]["probe"] == [shown]
    for name in FILES:
        raw = (tmp_path / "p" / name).read_bytes()
        text = gzip.decompress(raw) if name.endswith(".gz") else raw
        assert b"someone" not in text and b"secret" not in text, name


def test_asset_names_are_plain_and_stay_apart(tmp_path: Path, tracks: Tracks) -> None:
    names = set()
    for k, (folder, package) in enumerate(
        [("hei", "hei_01"), ("å", "1"), ("a", "1"), ("ord med mellomrom", "x" * 80), ("手", "1")]
    ):
        subject = replace(SUBJECT, folder=folder, package=package)
        written(tmp_path / str(k), tracks, subject)
        unreal = content(tmp_path / str(k), "metahuman_mapping.json")["unreal"]
        path = f"{unreal['asset_path']}/{unreal['asset_name']}"
        assert path.startswith("/Game/NSL/Animations/")
        assert set(path) <= set(map(chr, range(48, 58))) | set(map(chr, range(65, 123))) | {"/"}
        assert len(path) < 160
        names.add(path.lower())
    assert len(names) == 5
    assert "/game/nsl/animations/hei/as_hei_01" in names


def test_the_rate_is_a_fraction_and_true_times_count(tmp_path: Path, tracks: Tracks) -> None:
    uneven = replace(tracks, timestamps=tracks.timestamps * 1.7 + 3.0)
    folder = tmp_path / "p"
    folder.mkdir()
    write_package(uneven, SCORE, SUBJECT, ExportParameters("30000/1001"), folder)
    header, frames = lines(folder)
    assert header["fps"] == {"numerator": 30000, "denominator": 1001}
    assert header["start"] == 3.0
    assert len(frames) == int(19 / 25 * 1.7 * 30000 / 1001 + 0.01) + 1


@pytest.mark.parametrize("fps", ["0", "-25", "fast", "1/0", "1000", ""])
def test_a_rate_that_makes_no_sense_is_a_settings_error(fps: str) -> None:
    with pytest.raises(SettingsError, match="EXPORT_FPS"):
        _ = ExportParameters(export_fps=fps).rate
    assert ExportParameters(export_fps=" 29.97 ").rate == Fraction(2997, 100)


@pytest.mark.parametrize("path", ["", "Game/X", "/Game/with space", "/", "D:\\x"])
def test_an_asset_path_that_is_none_is_a_settings_error(path: str) -> None:
    with pytest.raises(SettingsError, match="UNREAL_ASSET_PATH"):
        _ = ExportParameters(unreal_asset_path=path).asset_root
    assert ExportParameters(unreal_asset_path="/Game/X/").asset_root == "/Game/X"


def test_an_empty_result_is_no_success(tmp_path: Path, tracks: Tracks) -> None:
    nobody = Tracks.empty(tracks.topology, tracks.timestamps, tracks.image_size)
    with pytest.raises(NoPerson, match=r"Spise 01\.mp4.*nothing to export"):
        write_package(nobody, SCORE, SUBJECT, ExportParameters(), tmp_path)
    no_frames = Tracks.empty(tracks.topology, np.zeros(0), tracks.image_size)
    with pytest.raises(NoFrames):
        write_package(no_frames, SCORE, SUBJECT, ExportParameters(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_a_face_is_still_a_package(tmp_path: Path, tracks: Tracks) -> None:
    only = tracks
    for part in ("pose", "left_hand", "right_hand"):
        only = hide(only, part, slice(None))
    written(tmp_path / "p", only)
    meta = content(tmp_path / "p", "meta.json")
    assert (meta["torso_up"], meta["head_from"]) == ("none", "face")
    assert meta["coverage"]["face"]["observed"] == 1.0
