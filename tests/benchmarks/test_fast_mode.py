"""What `benchmarks.fast_mode` makes of what was seen."""

from __future__ import annotations

import numpy as np

from benchmarks.fast_mode import table
from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.tracking.provider import FrameLandmarks

HAND, FACE = HOLISTIC.part("left_hand").slice, HOLISTIC.part("face").slice


def seen(shift: float = 0.0, *, hand: bool = True, filled: bool = False) -> FrameLandmarks:
    """A hand 40 pixels long, a body with shoulders 100 apart, and a face 50 wide."""
    out = FrameLandmarks.missing(HOLISTIC)
    pose = HOLISTIC.part("pose").slice
    out.positions[pose] = 0
    out.positions[[11, 12], 0] = 50, -50
    out.confidence[pose] = 0.9
    out.positions[FACE] = np.linspace(0, 50, 478)[:, None]
    out.filled[FACE] = filled
    if hand:
        out.positions[HAND] = np.linspace(0, 40, 21)[:, None]
        out.world[HAND] = 0, 0, shift / 1000
    out.positions[:, 0] += shift
    return out


def cells(text: str, row: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {row} "))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_each_part_is_measured_by_its_own_size() -> None:
    text = table([(seen(), seen(2, filled=True)), (seen(), seen(2, hand=False))])
    assert cells(text, "left_hand")[:7] == ["2", "2", "1", "50.0", "5.00", "5.00", "2.0"]
    assert cells(text, "pose")[:6] == ["2", "2", "2", "100.0", "2.00", "2.00"]
    assert cells(text, "face")[:6] == ["2", "2", "2", "100.0", "4.00", "4.00"]
    assert cells(text, "face, filled")[:4] == ["1", "1", "1", "100.0"]
    assert cells(text, "right_hand")[:6] == ["2", "0", "0", "100.0", "–", "–"]
    assert "right_hand, filled" not in text


def test_legs_and_what_cannot_be_seen_do_not_count() -> None:
    far = seen()
    far.positions[[14, 15, 16, 27, 28]] += 90
    hidden = seen()
    hidden.confidence[[14, 15, 16]] = 0.1
    assert cells(table([(hidden, far)]), "pose")[4:6] == ["0.00", "0.00"]
    assert float(cells(table([(seen(), far)]), "pose")[5]) > 50
