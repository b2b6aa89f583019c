from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.segments import FPS, READINGS, main, make_video, measure


def test_segments_kept_open_decode_what_the_whole_decodes(tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    make_video(video, 24, 9999)
    decoded = {how: frames for how, _, frames in measure(video, 8)}
    whole, alone, kept = READINGS
    assert decoded[whole] == decoded[kept] == 24 * FPS
    # The first, and the first two, and so on up to all eight of them.
    assert decoded[alone] == 24 * FPS * (1 + 8) / 2


def test_the_table_has_a_row_for_each_reading(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--segments", "2", "--seconds", "1", "--keyframes", "25,5"])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [(row[0].lstrip("| "), row[1]) for row in rows] == [
        (keyframes, how) for keyframes in ("25", "5") for how in READINGS
    ]
