from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracker_core import isolation


@pytest.fixture(scope="module", autouse=True)
def _processes() -> Iterator[None]:
    yield
    isolation.close()


def write_manifest(path: Path, *rows: tuple[object, ...], header: str = "word,video") -> str:
    """A manifest of these rows; its path, as the flows take it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(header + "\n")
        csv.writer(file).writerows(rows)
    return str(path)
