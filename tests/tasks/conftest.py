from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tracker_core import isolation
from tracker_core.ingest.fetch import fingerprint
from tracker_core.settings import Settings, load_settings
from tracker_core.stages import Subject
from tracker_core.store.artifacts import ArtifactStore


@pytest.fixture(scope="module", autouse=True)
def _processes() -> Iterator[None]:
    yield
    isolation.close()


@pytest.fixture(scope="module")
def log_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture
def settings(tmp_path: Path, log_folder: Path) -> Settings:
    """Tests of a module share the stages' processes, and nothing else."""
    return load_settings(
        {
            "workspace_dir": log_folder,
            "artifact_url": str(tmp_path / "artifacts"),
            "database_url": f"sqlite:///{(tmp_path / 'tracker.db').as_posix()}",
            "export_dir": tmp_path / "exports",
            "cache_dir": tmp_path / "cache",
            "workers": 1,
            "retries": 1,
        }
    )


@pytest.fixture
def store(settings: Settings) -> ArtifactStore:
    return ArtifactStore(settings.artifacts, settings.cache)


@pytest.fixture(scope="session")
def content(small_clip: Path) -> str:
    return fingerprint(small_clip).sha256


@pytest.fixture(scope="session")
def subject(small_clip: Path) -> Subject:
    return Subject("0b6e1c1e-7d8c-4a57-8a3a-000000000001", "takk", small_clip.name)
