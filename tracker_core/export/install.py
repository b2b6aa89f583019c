"""Export packages installed under ``exports/<word>/<filename_base>/``."""

from __future__ import annotations

import json
import shutil
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker_core.errors import StorageError
from tracker_core.ingest.words import word_folder
from tracker_core.tracking.models import sha256_file

ENTRY = "index_entry.json"
_lock = threading.Lock()


def install_package(files: Mapping[str, Path], entry: Mapping[str, Any], export_dir: Path) -> Path:
    """Put a package where Unreal users look for it; returns its folder.

    The folder appears whole: it is filled under another name and then renamed. Where another
    video of the same word and file name is there already, this one's folder carries its id too.

    Args:
        files: file name -> local path.
        entry: the package's index entry, which names ``word``, ``filename`` and ``video_id``.
        export_dir: the exports' folder.

    Raises StorageError when a file cannot be written.
    """
    with _lock:  # two videos of one word and file name must not both find the folder free
        return _install(files, entry, export_dir)


def _install(files: Mapping[str, Path], entry: Mapping[str, Any], export_dir: Path) -> Path:
    base = word_folder(Path(entry["filename"]).stem)
    target = export_dir / word_folder(entry["word"]) / base
    if _owner(target) not in (None, entry["video_id"]):
        target = target.with_name(f"{base}-{entry['video_id'][:8]}")
    if _is_installed(files, target):
        return target
    fresh = target.with_name(f".{uuid.uuid4().hex}")
    old = target.with_name(f".{uuid.uuid4().hex}")
    try:
        fresh.mkdir(parents=True)
        for name, source in files.items():
            shutil.copyfile(source, fresh / name)
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    except OSError as error:
        raise StorageError(f"could not write the package {target}: {error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return target


def _owner(folder: Path) -> str | None:
    try:
        entry = json.loads((folder / ENTRY).read_bytes())
    except (OSError, ValueError):
        return None
    owner = entry.get("video_id")
    return owner if isinstance(owner, str) else None


def _is_installed(files: Mapping[str, Path], folder: Path) -> bool:
    return all(
        (folder / name).is_file() and sha256_file(folder / name) == sha256_file(source)
        for name, source in files.items()
    )
