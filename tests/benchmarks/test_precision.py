"""What `benchmarks.precision` counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.precision import Read, compare


def hand(score: float) -> Read:
    points = np.zeros((4, 2), np.float32)
    return Read(points, np.ones(4, bool), 50.0, score, np.zeros((4, 3), np.float32))


def test_distances_are_in_percent_of_the_size_and_in_millimetres() -> None:
    full = hand(0.9)
    shift, turn = np.array([0.6, 0.8], np.float32), np.array([0.003, 0, 0.004], np.float32)
    moved = replace(full, points=full.points + shift, world=full.world + turn)
    assert compare([full], [moved]).split() == "2.00 2.00 0.0000 0 5.0 5.0".split()


def test_a_score_that_changes_sides_counts_and_what_nobody_saw_does_not() -> None:
    unseen = hand(0.2)
    away = replace(unseen, points=unseen.points + 40, score=0.6)
    assert (
        compare([hand(0.9), unseen], [hand(0.9), away]).split()[:4] == "0.00 0.00 0.2000 1".split()
    )
    assert compare([unseen], [away]) == "nothing to be seen in the clips"
