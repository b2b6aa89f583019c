"""Damaged videos: each ends as a track, or as an error that has a name."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.fuzz.conftest import SECONDS, Campaign
from tests.fuzz.mutation import mutants
from tests.fuzz.videos import NAMED, VideoFuzz
from tests.media.hard_files import ffmpeg
from tests.system.conftest import Tracker, cut

pytestmark = pytest.mark.timeout(SECONDS + 400)

LEAKED_MB = 80  # half of it is the allocator's; a container that stays open takes 0.2 a mutant


def test_any_bytes_end_as_frames_or_as_a_named_error(campaign: Campaign) -> None:
    report = campaign("video", ())
    assert {"frames", "unreadable", "no_frames", "damaged"} <= set(report["outcomes"])
    assert report["mutants"] > SECONDS
    assert report["files"] <= 0
    assert report["threads"] <= 0
    assert report["memory_mb"] < LEAKED_MB * max(1.0, SECONDS / 60)


def test_the_command_makes_tracks_and_named_failures_of_a_folder_of_them(
    tracker: Tracker, signer: Path, tmp_path: Path, seed: int
) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    fuzz = VideoFuzz(tmp_path)
    nobody = fuzz.wholes()
    person = cut(signer, tmp_path / "person.mp4", 10, 30)
    people = {person.name: person.read_bytes()}
    for suffix in (".mkv", ".avi", ".ts"):
        copy = person.with_suffix(suffix)
        ffmpeg("-i", person, "-c", "copy", copy)
        people[copy.name] = copy.read_bytes()
    for wholes, count in ((people, 20), (nobody, 16)):
        for mutant in itertools.islice(mutants(wholes, seed), count):
            (folder / f"{mutant.number} {mutant.source}").write_bytes(mutant.content)

    tracker("run", str(folder), "--set", "target_fps=6", code=1, timeout=400)

    status = tracker.status()
    found = len([path for path in folder.iterdir() if path.suffix not in (".gif",)])
    assert status["jobs"]["done"] + status["jobs"]["failed"] == found
    assert status["jobs"]["done"] == len(tracker.tracks()) >= 5, "people who are still to be seen"
    codes = {failure["code"] for failure in status["failures"]}
    assert codes <= {*NAMED, "no_person"}
    assert {"unreadable", "no_person"} <= codes
    assert all(len(failure["message"]) > 20 for failure in status["failures"])
