"""A manifest goes in; tracks, scores, catalog rows and packages come out: what must hold."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import duckdb
import numpy as np
import polars as pl
import pytest

from tests.system.conftest import Tracker
from tracker_core.landmarks.tracks import State, Tracks
from tracker_core.media.probe import probe
from tracker_core.tracking.models import ModelStore

BROKEN = (7, 15)


def test_without_a_server_a_manifest_becomes_tracks_and_packages(
    tmp_path: Path, clips: list[Path], models: ModelStore
) -> None:
    """The whole job with nothing prepared, and everything it leaves behind."""
    models.check()
    tracker = Tracker(tmp_path / "work space ø", {"PREFECT_HOME": str(tmp_path / "prefect")})
    words = ["spise", "å lære", "takk"]
    done = tracker("run", tracker.manifest(list(zip(words, clips, strict=True))))
    assert "'path'" in done.stdout, "what was recognised is printed"
    assert tracker.status()["jobs"] == {"done": 3}
    assert tracker.stages() == (24, 0)

    paths = tracker.tracks()
    assert len(paths) == 3
    for path in paths:
        tracks = Tracks.read_parquet(path)
        assert (tracks.state != State.MISSING).any()
        assert set(tracks.provenance["stage_keys"]) >= {"probe", "normalize", "roi", "track"}
        assert len(tracks.provenance["source_sha256"]) == 64
        assert 0 <= tracks.provenance["quality"]["score"] <= 1

    dataset = str(tracker.artifacts / "tracks")
    frame = pl.read_parquet(f"{dataset}/**/*.parquet", hive_partitioning=True)
    assert set(frame["word"].unique()) == set(words)
    assert frame["provider"].unique().to_list() == ["holistic"]
    assert frame.select(pl.col("pose_x").arr.get(0).is_not_null().all()).item()
    relation = f"read_parquet('{dataset}/**/*.parquet', hive_partitioning = true)"
    counted = duckdb.execute(
        f"select word, count(*), avg(pose_confidence[1]) from {relation} group by 1 order by 1"
    ).fetchall()
    assert [row[0] for row in counted] == sorted(words)
    assert all(row[2] > 0.5 for row in counted)

    index = json.loads((tracker.workspace / "exports" / "index.json").read_bytes())
    assert len(index["packages"]) == 3
    for entry in index["packages"]:
        package = tracker.workspace / "exports" / entry["path"]
        assert {p.name for p in package.iterdir()} == {
            "tracking_v2.jsonl.gz", "meta.json", "metahuman_mapping.json", "unreal_import.py",
            "index_entry.json",
        }  # fmt: skip
        with gzip.open(package / "tracking_v2.jsonl.gz", "rt", encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        assert len(lines) == entry["frames"] + 1

    with sqlite3.connect(tracker.workspace / "tracker.db") as catalog:
        rows = catalog.execute(
            "select word, duration_s, fps, width, height, sha1, frames, jobs.quality_score,"
            " data_path"
            " from videos join jobs on jobs.video_id = videos.id"
            " join tracks on tracks.video_id = videos.id"
        ).fetchall()
    assert len(rows) == 3
    assert all(value is not None for row in rows for value in row)

    sheet = tracker.workspace / "sheet.png"
    tracker("show", "takk", "--output", str(sheet))
    picture = cv2.imdecode(np.fromfile(sheet, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape[1] > 1000
    overlay = tracker.workspace / "overlay.mp4"
    tracker("show", "takk", "--video", "--output", str(overlay))
    lengths = {len(Tracks.read_parquet(path)) for path in paths}
    assert probe(overlay).frame_count in lengths

    begun = time.monotonic()
    tracker("run", tracker.manifest(list(zip(words, clips, strict=True))))
    assert tracker.stages() == (0, 24), "a second run executes nothing"
    assert time.monotonic() - begun < 20


def test_only_what_changed_runs_again(tracker: Tracker, clips: list[Path]) -> None:
    manifest = tracker.manifest([("a", clips[0]), ("b", clips[1])])
    tracker("run", manifest)
    assert tracker.stages() == (16, 0)
    raw = _bytes(tracker.artifacts / "track")

    tracker("run", manifest, "--set", "ema_alpha_wrist=0.5")
    assert tracker.stages() == (8, 8), "smooth, score, persist, export"
    assert _bytes(tracker.artifacts / "track") == raw

    tracker("run", manifest, "--provider", "mediapipe")
    assert tracker.stages() == (10, 6), "another engine: track and what follows"
    versions = {path.parent.name for path in tracker.tracks()}
    assert len(versions) == 2, "both engines' tracks are published"

    tracker("run", manifest, "--set", "export_fps=30")
    assert tracker.stages()[0] == 2 + 2, "persist went back to the first engine's track, and export"

    tracker("run", manifest, "--force-stage", "score")
    assert tracker.stages() == (6, 10)
    tracker("export", "--word", "a")
    assert tracker.stages() == (1, 7)


def test_what_was_deleted_is_made_again(tracker: Tracker, clips: list[Path]) -> None:
    """A name in the catalog is not taken for the file."""
    manifest = tracker.manifest([("a", clips[0])])
    tracker("run", manifest)
    shutil.rmtree(tracker.workspace / "exports" / "a")
    tracker("run", manifest)
    assert (tracker.workspace / "exports" / "a" / clips[0].stem / "meta.json").is_file()
    assert tracker.stages() == (0, 8), "the package was still in the artifact store"

    (path,) = tracker.tracks()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    tracker("run", manifest)
    assert path.read_bytes() == whole
    assert tracker.stages() == (1, 7)


def test_equal_bytes_are_computed_once(tracker: Tracker, clips: list[Path], tmp_path: Path) -> None:
    twin = tmp_path / "en annen æøå.mkv"
    shutil.copyfile(clips[0], twin)
    tracker("run", tracker.manifest([("a", clips[0]), ("b", twin)]))
    assert tracker.status()["jobs"] == {"done": 2}
    assert tracker.stages() == (8 + 2, 6), "the twin's own are its row in the dataset and package"
    first, second = (Tracks.read_parquet(path) for path in tracker.tracks())
    assert first.positions.tobytes() == second.positions.tobytes()
    assert (tracker.workspace / "exports" / "a").is_dir()
    assert (tracker.workspace / "exports" / "b").is_dir()


def test_bad_files_cost_no_other(tracker: Tracker, clips: list[Path], tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("<!DOCTYPE html><html>not found</html>", encoding="utf-8")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    black = _black(tmp_path / "black.mp4", 12)
    rows = [
        ("text", text), ("good", clips[0]), ("empty", empty), ("gone", tmp_path / "gone.mp4"),
        ("black", black), ("also good", clips[1]),
    ]  # fmt: skip
    manifest = tracker.manifest(rows)
    done = tracker("run", manifest, code=1)
    status = tracker.status()
    assert status["jobs"] == {"done": 2, "failed": 3, "missing_file": 1}
    codes = {Path(f["path"]).name: f["code"] for f in status["failures"]}
    assert codes == {
        "text.mp4": "unreadable", "empty.mp4": "unreadable", "gone.mp4": "missing_file",
        "black.mp4": "no_person",
    }  # fmt: skip
    assert all(len(f["message"]) > 20 for f in status["failures"])
    assert "no_person" in done.stdout
    assert len(tracker.tracks()) == 2, "nothing is published of a video without a person"

    tracker("run", manifest, code=1)
    assert tracker.stages()[0] == 0, "what has failed for good is not tried again"

    shutil.copyfile(clips[2], tmp_path / "gone.mp4")
    tracker("run", manifest, code=1)
    assert tracker.status()["jobs"] == {"done": 3, "failed": 3}, "a file that came back is due"

    shutil.copyfile(black, tmp_path / "gone.mp4")
    tracker("run", manifest, code=1)
    assert tracker.status()["jobs"] == {"done": 2, "failed": 4}
    assert len(tracker.tracks()) == 2, "the old bytes' track is withdrawn"


def test_a_killed_run_goes_on_where_it_was(tracker: Tracker, clips: list[Path]) -> None:
    manifest = tracker.manifest([(f"w{i}", clip) for i, clip in enumerate(clips)])
    run = subprocess.Popen(
        tracker.command("run", manifest, "--workers", "1"),
        env=tracker.full_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _wait(lambda: len(_records(tracker, "track")) >= 1, run)
    before = {name: set(_records(tracker, name)) for name in ("probe", "roi", "track")}
    run.send_signal(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
    run.wait(30)
    times = {path: path.stat().st_mtime_ns for paths in before.values() for path in paths}

    tracker("run", manifest)
    assert tracker.status()["jobs"] == {"done": 3}
    executed, cached = tracker.stages()
    assert executed + cached == 24
    assert cached >= sum(len(paths) for paths in before.values())
    assert all(path.stat().st_mtime_ns == at for path, at in times.items()), "none was redone"
    for path in tracker.tracks():
        Tracks.read_parquet(path)
    assert not list((tracker.artifacts / ".parts").iterdir())


def test_order_does_not_matter(
    tmp_path: Path, prefect_server: dict[str, str], clips: list[Path]
) -> None:
    """Bit for bit the same track, whichever clips ran before it in the same process."""
    made = []
    for name, order in (("one", [0, 1, 2]), ("two", [2, 1, 0])):
        tracker = Tracker(tmp_path / name, prefect_server)
        rows = [(f"w{i}", clips[i]) for i in order]
        tracker("run", tracker.manifest(rows), "--workers", "1")
        made.append({path.name: path.read_bytes() for path in tracker.tracks()})
    assert len(made[0]) == 3
    assert made[0] == made[1]


def test_frames_that_do_not_decode_are_not_there(
    tracker: Tracker, clips: list[Path], tmp_path: Path
) -> None:
    """64 frames said by the container and 62 decoded are 62, with their true timestamps."""
    clip = tmp_path / "said_64.mp4"
    said = _with_two_broken_frames(clips[0], clip)
    info = probe(clip)
    assert info.frames_claimed == said
    assert info.frame_count == said - 2
    tracker("track", str(clip), "--set", "target_fps=source")
    (path,) = tracker.tracks()
    tracks = Tracks.read_parquet(path)
    assert len(tracks) == said - 2
    assert tracks.timestamps.tolist() == info.timestamps.tolist()
    shown = [number / 25 for number in range(said) if number not in BROKEN]
    assert np.allclose(tracks.timestamps, shown, atol=1e-6)


def test_target_rate_thins_and_never_invents(tracker: Tracker, clips: list[Path]) -> None:
    tracker("track", str(clips[0]))
    (path,) = tracker.tracks()
    tracks = Tracks.read_parquet(path)
    info = probe(clips[0])
    assert len(tracks) == pytest.approx(info.duration_s * 25, abs=2)
    assert set(tracks.timestamps) <= set(info.timestamps)


def test_what_cannot_run_says_why(tracker: Tracker, tmp_path: Path) -> None:
    done = tracker("run", str(tmp_path / "nothing.csv"), code=2)
    assert "nothing.csv" in done.stderr
    (tmp_path / "empty.csv").touch()
    assert "empty.csv" in tracker("run", str(tmp_path / "empty.csv"), code=2).stderr
    manifest = tracker.manifest([("a", "a.mp4")])
    assert "TARGET_FPS" in tracker("run", manifest, "--set", "target_fps=often", code=2).stderr
    assert "mediapipe" in tracker("run", manifest, "--provider", "magic", code=2).stderr
    elsewhere = Tracker(tracker.workspace, {"MODELS_DIR": str(tmp_path / "none")})
    assert "tracker models pull" in elsewhere("run", manifest, code=2).stderr
    assert "no video is called" in tracker("show", "nobody", code=2).stderr
    assert "tracker status" in tracker("export", code=2).stderr


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _records(tracker: Tracker, stage: str) -> list[Path]:
    return [p for p in (tracker.artifacts / "records" / stage).rglob("*") if p.is_file()]


def _wait(ready: object, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    assert callable(ready)
    end = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.02)


def _black(path: Path, frames: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = 320, 240
        for _ in range(frames):
            picture = av.VideoFrame.from_ndarray(np.zeros((240, 320, 3), np.uint8), "rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def _with_two_broken_frames(source: Path, target: Path) -> int:
    """The clip's first 24 frames without references between them, two of which hold no picture.

    Returns the number of frames that the container says it has.
    """
    count = 24
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        stream = made.add_stream("mjpeg", rate=25)
        size = given.streams.video[0]
        stream.width, stream.height, stream.pix_fmt = size.width, size.height, "yuvj420p"
        for number, frame in enumerate(islice(given.decode(video=0), count)):
            plain = frame.reformat(format="yuvj420p")
            plain.pts, plain.time_base = number, Fraction(1, 25)
            made.mux(stream.encode(plain))
        made.mux(stream.encode())
    with av.open(str(target)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(target.read_bytes())
    for index in BROKEN:
        position, length = places[index]
        assert position is not None
        data[position : position + length] = bytes(length)
    target.write_bytes(data)
    return count
