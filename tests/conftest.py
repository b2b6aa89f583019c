"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real evaluation clips; skips, saying so, where it is absent."""
    folder = Path(os.environ.get("TRACKER_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "MANIFEST.md").is_file():
        pytest.skip(f"needs the real clips, and {folder} is absent (set TRACKER_DATA)")
    return folder
