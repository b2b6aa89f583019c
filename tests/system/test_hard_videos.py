"""Every hard file through the whole job: each ends as a track or as a named failure."""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
from pathlib import Path

import polars as pl
import pytest

from tests.media.hard_files import LONG, LONG_MULTIBYTE, NAMES, RECIPES, HardFiles
from tests.system.conftest import Tracker, cut

pytestmark = pytest.mark.timeout(900)  # a hundred files

NO_VIDEO = {
    "audio_only.mp4": "no_video_stream",
    "cover_art_only.mp4": "no_video_stream",
    "git_lfs_pointer.mp4": "unreadable",
    "html_404.mp4": "unreadable",
    "jpeg_named.mp4": "unreadable",
    "random_bytes.mp4": "unreadable",
    "truncated_moov_missing.mp4": "unreadable",
    "zero_bytes.mp4": "unreadable",
    "zero_frames.mp4": "no_video_stream",
    "zero_samples_track.mp4": "no_frames",
}
NOBODY = {
    "-video-with-dash-.mp4", "av1_video.mkv", "decord_corrupted.mp4", "decord_unordered.mov",
    "decord_video_0.mov", "decord_video_90.mov", "decord_video_180.mov", "decord_video_270.mov",
    "no_duration.webm", "vp9_alpha_transparent.webm", "black_no_person.mp4",
    "testcard_no_person.mp4", "tiny_16x16.mp4", "h264_10bits.mp4", "h265_10bits.mp4",
}  # fmt: skip
# A cartoon, in which the model takes drawn figures for people: which way it ends is the model's.
EITHER = {"no_person_edit_list.mp4"}


def test_every_collected_file_ends_as_it_should(tracker: Tracker, shared_data: Path) -> None:
    folder = shared_data / "hard"
    done = tracker("run", str(folder), "--set", "target_fps=6", code=1, timeout=900)
    assert "2 files were passed over" in done.stdout, "their names are told"
    unnamed = [str(folder / "synth" / name) for name in ("no_extension", "anim.gif")]
    tracker("track", *unnamed, "--set", "target_fps=6")

    status = tracker.status()
    failed = {_name(f["path"]): f["code"] for f in status["failures"]}
    expected = NO_VIDEO | dict.fromkeys(NOBODY, "no_person")
    assert {n: c for n, c in failed.items() if n not in EITHER} == expected
    assert all(len(f["message"]) > 30 for f in status["failures"])
    files = {_name(path.name) for path in folder.glob("*/*") if path.is_file()}
    assert status["jobs"]["done"] == len(files) - len(failed)

    with sqlite3.connect(tracker.workspace / "tracker.db") as catalog:
        issues = dict(
            catalog.execute("select filename, issues from videos join jobs on videos.id = video_id")
        )
    for name in ("truncated.mkv", "truncated_half_faststart.mp4"):
        assert re.search(r"damaged_source_[567]\d%", issues[name]), "more than half is missing"
    assert "damaged_source_" in issues["bitflips.mp4"]
    assert "several_people_2" in issues["two_signers_side_by_side.mp4"]
    assert "face_missing_100%" in issues["face_masked.mp4"]
    names = {unicodedata.normalize("NFC", name) for name in issues}
    assert {"手話 🤟.mp4", "Ærlig talt – «på øya».mp4", "100% #1 & 'sitat'; $x (kopi).mp4"} <= names


def test_hard_files_made_here_end_as_a_track_or_a_named_failure(
    tracker: Tracker, hard: HardFiles
) -> None:
    """Test cards and noise: nobody is in them, and that is what is said, or what is wrong."""
    for name in RECIPES:
        _ = hard[name]
    tracker("run", str(hard.folder), "--set", "target_fps=6", code=1, timeout=600)
    status = tracker.status()
    assert sum(status["jobs"].values()) > 150
    codes = {_name(f["path"]): f["code"] for f in status["failures"]}
    assert set(codes.values()) == {
        *("no_person", "unreadable", "no_video_stream", "no_frames", "damaged", "too_large")
    }
    assert all(len(f["message"]) > 30 for f in status["failures"])
    assert codes["empty.mp4"] == "unreadable"
    assert codes["sound_only.mp4"] == "no_video_stream"
    assert codes["no_samples.mp4"] == "no_frames"
    assert codes["rotated_90.mp4"] == "no_person"
    assert codes["claims_32768.mp4"] == codes["claims_fragment.mp4"] == "too_large"
    assert codes["claims_100000.mp4"] == "damaged"
    messages = {_name(f["path"]): f["message"] for f in status["failures"]}
    assert "max_pixels" in messages["claims_32768.mp4"]
    assert "max_frames" in messages["claims_60000000.mov"]
    assert status["last_run"]["stages_executed"] > 0


def test_names_go_through_the_whole_job(
    tracker: Tracker, clips: list[Path], tmp_path: Path
) -> None:
    """From the file to the published track and the package, whatever the file is called."""
    assert len(LONG.encode()) == len(LONG_MULTIBYTE.encode()) == 255
    folder = tmp_path / "videos"
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cut(clips[0], folder / name, number, number + 6)
    tracker("run", str(folder), "--set", "target_fps=source", timeout=600)
    assert tracker.status()["jobs"] == {"done": len(NAMES)}

    expected = sorted(unicodedata.normalize("NFC", Path(name).name) for name in NAMES)
    tracks = [pl.read_parquet(path, columns=["filename"]) for path in tracker.tracks()]
    assert sorted(track["filename"][0] for track in tracks) == expected
    assert all(len(track) == 6 for track in tracks)

    exports = tracker.workspace / "exports"
    packages = json.loads((exports / "index.json").read_bytes())["packages"]
    assert sorted(package["filename"] for package in packages) == expected
    folders = {path.parent for path in exports.glob("*/*/tracking_v2.jsonl.gz")}
    assert folders == {exports / package["path"] for package in packages}, "a package for each"
    for package in folders:
        assert (package / "unreal_import.py").is_file()
        assert all(len(part.encode()) <= 255 for part in package.parts)


def _name(path: str) -> str:
    return unicodedata.normalize("NFC", Path(path).name)
