"""What this machine has of what the project needs, and how to mend what it lacks."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tracker_core.errors import TrackerError
from tracker_core.settings import Settings
from tracker_core.store.artifacts import ArtifactStore
from tracker_core.store.catalog import Catalog
from tracker_core.tracking.models import MODELS, ModelStore

_PACKAGES = (
    "prefect", "fastapi", "ai-edge-litert", "openvino", "mediapipe", "opencv-contrib-python", "av",
    "numpy", "scipy", "polars", "pyarrow", "sqlmodel", "alembic", "psycopg", "fsspec", "s3fs",
    "pebble",
)  # fmt: skip
# What MediaPipe's library is linked against, and the Debian package that holds it.
_LIBRARIES = {"EGL": "libegl1", "GLESv2": "libgles2"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    what: str
    ok: bool
    found: str
    remedy: str = ""


def examine(settings: Settings) -> list[Check]:
    """Look at everything; nothing is changed, but for empty folders and a catalog made."""
    return [
        Check("Python", (3, 11) <= sys.version_info < (3, 14), sys.version.split()[0],
              "install Python 3.11, 3.12 or 3.13"),
        *_packages(),
        *_libraries(),
        *_models(settings),
        _folder("WORKSPACE_DIR", settings.workspace_dir),
        _folder("EXPORT_DIR", settings.exports),
        _try("ARTIFACT_URL", settings.artifacts, lambda: _artifacts(settings), "make the "
             "bucket or folder, or set ARTIFACT_URL and the credentials in the environment"),
        _try("DATABASE_URL", "", lambda: _catalog(settings), "run `tracker init-db`"),
        *_prefect(),
    ]  # fmt: skip


def _packages() -> Iterator[Check]:
    for name in _PACKAGES:
        try:
            yield Check(name, True, version(name))
        except PackageNotFoundError:
            yield Check(name, False, "not installed", "run `make setup`")
    try:
        found = version("opencv-python")
    except PackageNotFoundError:
        return
    yield Check(
        "opencv-python", False, f"{found}, beside opencv-contrib-python, whose files it overwrites",
        "pip uninstall opencv-python, then reinstall opencv-contrib-python",
    )  # fmt: skip


def _libraries() -> Iterator[Check]:
    if not sys.platform.startswith("linux"):
        return
    for name, package in _LIBRARIES.items():
        path = ctypes.util.find_library(name)
        yield Check(
            f"lib{name}", path is not None, path or "not found",
            f"apt-get install {package} (Debian, Ubuntu)",
        )  # fmt: skip


def _models(settings: Settings) -> Iterator[Check]:
    store = ModelStore(settings.models_dir)
    for model in MODELS.values():
        status = store.status(model)
        yield Check(model.name, status == "ready", status, "run `tracker models pull`")


def _folder(name: str, path: Path) -> Check:
    try:
        path.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path).free
        writable = os.access(path, os.W_OK)
    except OSError as error:
        return Check(name, False, f"{path}: {error.strerror}", f"set {name} to another folder")
    found = f"{path}, {free / 1e9:.0f} GB free"
    return Check(name, writable and free > 1e9, found, f"free some space, or set {name} elsewhere")


def _artifacts(settings: Settings) -> str:
    return ArtifactStore(settings.artifacts, settings.cache).checked().url


def _catalog(settings: Settings) -> str:
    catalog = Catalog(settings.database).open()
    where = catalog.engine.url.render_as_string(hide_password=True)
    count = sum(catalog.counts().values())
    catalog.close()
    return f"{where}, {count} jobs"


def _try(what: str, where: str, look: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(what, True, look())
    except TrackerError as error:
        return Check(what, False, f"{where} {error}".strip(), remedy)


def _prefect() -> Iterator[Check]:
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        yield Check("Prefect server", True, "none set: a run starts one for itself")
        return
    try:
        with urlopen(f"{url.rstrip('/')}/health", timeout=5) as answer:
            yield Check("Prefect server", answer.status == 200, url)
    except (URLError, OSError, ValueError) as error:
        yield Check(
            "Prefect server", False, f"{url}: {error}",
            "start it (`prefect server start`), or unset PREFECT_API_URL",
        )  # fmt: skip
