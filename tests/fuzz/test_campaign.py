"""The campaigns themselves: their mutants can be made again, and they see what they look for."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import IO

import pytest

from tests.fuzz.campaign import campaign
from tests.fuzz.mutation import mutants

WHOLES = {"a": bytes(range(256)) * 20, "b": b"word,video\ntakk,a.mp4\n" * 9, "c": b"ftypmoov"}


def test_a_mutant_can_be_made_again_alone() -> None:
    several = list(itertools.islice(mutants(WHOLES, 3, text=True), 60))
    assert [next(mutants(WHOLES, 3, first=n, text=True)) for n in range(60)] == several
    assert several[:5] != list(itertools.islice(mutants(WHOLES, 4, text=True), 5))


def test_most_mutants_are_damaged_and_of_every_source() -> None:
    several = list(itertools.islice(mutants(WHOLES, 0), 300))
    assert {mutant.source for mutant in several} == set(WHOLES)
    assert sum(mutant.content != WHOLES[mutant.source] for mutant in several) > 250
    assert len({mutant.content for mutant in several}) > 200


def test_files_that_stay_open_are_seen(tmp_path: Path) -> None:
    kept: list[IO[bytes]] = []
    numbers = itertools.count()

    def leaks(path: Path) -> str:
        # Every fifth, so that some are left for after the warm-up however fast the machine is.
        if next(numbers) % 5 == 0 and len(kept) < 900:
            kept.append(path.open("rb"))
        return "open"

    report = campaign(WHOLES, leaks, tmp_path, seconds=0.2, seed=0)
    for file in kept:
        file.close()
    assert report.files > 0
    closed = campaign(WHOLES, lambda path: str(len(path.read_bytes()) > 9), tmp_path,
                      seconds=0.2, seed=0)  # fmt: skip
    assert closed.files == 0
    assert closed.mutants > 20


def test_what_went_wrong_is_kept_and_named(tmp_path: Path) -> None:
    def breaks(path: Path) -> str:
        if path.name.startswith("5-7-"):
            raise ZeroDivisionError
        return "fine"

    with pytest.raises(ZeroDivisionError) as caught:
        campaign(WHOLES, breaks, tmp_path, seconds=60, seed=5)
    (left,) = tmp_path.iterdir()
    assert caught.value.__notes__ == [f"mutant 7 of seed 5, kept as {left}"]
    assert left.read_bytes() == next(mutants(WHOLES, 5, first=7)).content
