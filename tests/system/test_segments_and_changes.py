"""Segments of one source, changed files, and what the README tells a newcomer to type."""

from __future__ import annotations

import dataclasses
import json
import re
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest

from flows.reference import README
from tests.system.conftest import Tracker
from tracker_core.landmarks.tracks import Tracks

NOTEBOOK = README.parent / "notebooks" / "tracks.ipynb"


def test_segments_are_cut_from_one_source(tracker: Tracker, face: Path) -> None:
    tracker.workspace.mkdir(parents=True)
    manifest = tracker.workspace / "segments.csv"
    manifest.write_text(
        f"Ord;Videofil;Start;Slutt\nfoo;{face};0,2;1,0\nbar;{face};1,2;2,0\n", encoding="utf-8"
    )
    tracker("run", str(manifest))
    assert tracker.status()["jobs"] == {"done": 2}
    assert tracker.stages() == (8 + 7, 1), "the source is probed once for both"
    spans = {}
    for path in tracker.tracks():
        tracks = Tracks.read_parquet(path)
        spans[tuple(tracks.provenance["segment"][:2])] = tracks.timestamps
    assert set(spans) == {(0.2, 1.0), (1.2, 2.0)}
    for (start, end), timestamps in spans.items():
        assert timestamps[0] >= start
        assert timestamps[-1] < end
        assert len(timestamps) == pytest.approx((end - start) * 25, abs=2)


def test_a_segment_is_the_same_alone_as_among_others(tracker: Tracker, face: Path) -> None:
    """Its source stays open between segments, which are read in order whatever the manifest's."""
    alone = dataclasses.replace(tracker, workspace=tracker.workspace.with_name("alone"))
    segments = [("c", "1,6;2,4"), ("b", "0,8;1,6"), ("overlaps", "0,6;1,2"), ("a", "0,2;0,8")]
    for workspace, rows in ((tracker, segments), (alone, segments[:1])):
        workspace.workspace.mkdir(parents=True)
        manifest = workspace.workspace / "segments.csv"
        lines = [f"{word};{face};{span}" for word, span in rows]
        manifest.write_text("\n".join(["Ord;Videofil;Start;Slutt", *lines]), encoding="utf-8")
        workspace("run", str(manifest))
        assert workspace.status()["jobs"] == {"done": len(rows)}
    (path,) = alone.tracks()
    single = Tracks.read_parquet(path)
    (among,) = (track for track in tracker.tracks() if track.name == path.name)
    track = Tracks.read_parquet(among)
    assert len(track) > 10
    for name in ("positions", "confidence", "state", "world", "blendshapes", "timestamps"):
        np.testing.assert_array_equal(getattr(track, name), getattr(single, name))


def test_a_segment_past_the_end_is_a_named_failure(tracker: Tracker, face: Path) -> None:
    tracker.workspace.mkdir(parents=True)
    manifest = tracker.workspace / "segments.csv"
    manifest.write_text(f"word,path,start,end\nlate,{face},60,70\n", encoding="utf-8")
    tracker("run", str(manifest), code=1)
    (failure,) = tracker.status()["failures"]
    assert failure["code"] == "empty_segment"
    assert "60" in failure["message"]


def test_changed_bytes_under_an_old_name_are_tracked_anew(
    tracker: Tracker, clips: list[Path], tmp_path: Path
) -> None:
    clip = tmp_path / f"clip{clips[0].suffix}"
    shutil.copyfile(clips[0], clip)
    manifest = tracker.manifest([("word", clip)])
    tracker("run", manifest)
    (path,) = tracker.tracks()
    before = Tracks.read_parquet(path)
    shutil.copyfile(clips[1], clip)
    tracker("run", manifest)
    assert tracker.stages() == (8, 0)
    assert tracker.tracks() == [path], "the same video, in the same place"
    after = Tracks.read_parquet(path)
    assert after.provenance["source_sha256"] != before.provenance["source_sha256"]


def test_a_copy_under_another_name_reuses_the_video(
    tracker: Tracker, clips: list[Path], tmp_path: Path
) -> None:
    first, copy = (tmp_path / f"{name}{clips[0].suffix}" for name in ("takk", "kopi"))
    for target in (first, copy):
        shutil.copyfile(clips[0], target)
    done = tracker("run", tracker.manifest([("takk", first), ("takk", copy), ("bok", copy)]))
    told = f"line 3: {copy.name} holds the same bytes as {first.name}: its video is reused"
    assert told in done.stderr
    assert tracker.status()["jobs"] == {"done": 2}, "takk, and bok, which is another word"
    assert tracker.stages() == (8 + 2, 6), "only what names the word is computed for bok"
    assert len(tracker.tracks()) == 2
    index = json.loads((tracker.workspace / "exports" / "index.json").read_bytes())
    assert sorted(entry["word"] for entry in index["packages"]) == ["bok", "takk"]
    # A manifest of the copy alone has the video, which is done; its own file is not missed.
    alone = tracker.manifest([("takk", copy)], "alone.csv")
    first.unlink()
    for command in ("run", "ingest"):
        assert "whose video is reused: 1" in tracker(command, alone).stdout
    assert tracker.stages() == (0, 8)
    tracker("show", "takk", "--frames", "2")
    tracker("run", tracker.manifest([("takk", first), ("takk", copy), ("bok", copy)]))
    assert tracker.status()["jobs"] == {"done": 2}
    shutil.copyfile(clips[1], copy)
    tracker("run", alone)
    status = tracker.status()
    assert status["jobs"] == {"done": 2, "missing_file": 1}
    assert f"held the bytes of {first.name}" in status["failures"][0]["message"]


def test_a_segment_of_long_names_with_odd_characters(
    tracker: Tracker, clips: list[Path], tmp_path: Path
) -> None:
    """Names as long as a file system takes, a leading dash, and one name in two folders."""
    long = "ø" * 120 + clips[0].suffix  # 244 bytes
    rows = []
    for number, name in enumerate((long, f"-dash{clips[0].suffix}", "a/same.mp4", "b/same.mp4")):
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(clips[number % 2], target)
        rows.append((f"w{number}" if number < 2 else "same", target))
    tracker("run", tracker.manifest(rows))
    assert tracker.status()["jobs"] == {"done": 4}
    assert len(tracker.tracks()) == 4
    index = json.loads((tracker.workspace / "exports" / "index.json").read_bytes())
    assert len({entry["path"] for entry in index["packages"]}) == 4


def test_what_the_readme_and_the_notebook_say_works(
    tracker: Tracker, face: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tracker("track", str(face))
    monkeypatch.chdir(tracker.workspace.parent)
    monkeypatch.setenv("MPLBACKEND", "agg")
    assert tracker.workspace.name == "workspace"
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    cells = json.loads(NOTEBOOK.read_bytes())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 3
    for number, text in enumerate([*blocks, "\n".join(code)]):
        script = tmp_path / f"block_{number}.py"
        script.write_text(text, encoding="utf-8")
        runpy.run_path(str(script))
