from __future__ import annotations

from pathlib import Path

from benchmarks.long_video import STAGES_MEASURED, measure

_TRACK = 553 * (3 + 3 + 1) * 4 + 553 + 52 * 4
"""Bytes of one frame's landmarks, world coordinates, confidences, states and blendshapes."""


def test_memory_grows_by_little_more_than_the_track_itself(tmp_path: Path) -> None:
    """Beyond what is worked on at a time, each stage holds one track and no second copy of it.

    Smoothing alone used to take nine times the track. The lengths lie far apart, since at some
    length in between the allocator begins to ask for each array anew, which is a step of its own.
    """
    peaks = {}
    for frames in (2100, 6300):
        folder = tmp_path / str(frames)
        folder.mkdir()
        peaks[frames] = {stage: peak for stage, _, peak in measure(frames, folder)}
    for stage in STAGES_MEASURED:
        grown = (peaks[6300][stage] - peaks[2100][stage]) / 4200
        assert grown < 4 * _TRACK, f"{stage}: {grown / _TRACK:.1f} tracks for each frame"
