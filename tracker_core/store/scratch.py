"""Folders that stages write into before their files are published."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracker_core.store.owner import owner_is_dead, owner_name

_SEPARATOR = "+"  # a colon cannot stand in a file name on Windows


@contextmanager
def scratch(cache: Path) -> Iterator[Path]:
    """An empty folder of this process, gone afterwards."""
    folder = cache / "scratch" / owner_name().replace(":", _SEPARATOR) / uuid.uuid4().hex
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep_scratch(cache: Path) -> None:
    """Delete what this machine's dead processes left behind; others may share the folder."""
    top = cache / "scratch"
    for folder in top.iterdir() if top.is_dir() else ():
        if owner_is_dead(folder.name.replace(_SEPARATOR, ":")):
            shutil.rmtree(folder, ignore_errors=True)
