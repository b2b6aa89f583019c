"""Folders that stages write into before their files are published."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def scratch(cache: Path) -> Iterator[Path]:
    """An empty folder of this process, gone afterwards."""
    folder = cache / "scratch" / str(os.getpid()) / uuid.uuid4().hex
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep_scratch(cache: Path) -> None:
    """Delete what processes that no longer run left behind."""
    top = cache / "scratch"
    for folder in top.iterdir() if top.is_dir() else ():
        if folder.name.isdigit() and not psutil.pid_exists(int(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)
