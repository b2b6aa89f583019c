"""pose-format in an environment of its own: it needs packages that ours must not have."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import platformdirs

from tracker_core.errors import CannotRun

REQUIREMENTS = ("pose-format==0.15.0", "mediapipe==0.10.21", "numpy<2")
_NEWEST_PYTHON = (3, 12)


def cache_folder() -> Path:
    """Where environments of peers are kept from one benchmark to the next."""
    return Path(platformdirs.user_cache_dir("tracker", appauthor=False)) / "benchmarks"


def pose_format_command(cache: Path | None = None) -> Path:
    """Path of the command ``videos_to_poses``; installed first where it is not there yet.

    Raises CannotRun without a Python that it runs on, or when the packages cannot be had.
    """
    return _program("videos_to_poses", cache)


def pose_format_python(cache: Path | None = None) -> Path:
    """Path of the interpreter that has pose-format's packages; installed first, as above."""
    return _program("python", cache)


def _program(name: str, cache: Path | None) -> Path:
    folder = (cache or cache_folder()) / "pose-format-0.15.0"
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    ready = folder / "ready"
    if not (ready.is_file() and ready.read_text(encoding="utf-8") == "\n".join(REQUIREMENTS)):
        _run([_python(), "-m", "venv", "--clear", str(folder)], "make an environment")
        pip = [str(scripts / "python"), "-m", "pip", "install", "--quiet"]
        _run([*pip, "--disable-pip-version-check", *REQUIREMENTS], "install pose-format")
        ready.write_text("\n".join(REQUIREMENTS), encoding="utf-8")
    program = shutil.which(name, path=str(scripts))
    if program is None:
        raise CannotRun(f"{scripts} has no {name}: delete {folder} and run this again")
    return Path(program)


def _python() -> str:
    """An interpreter that mediapipe 0.10.21 has a wheel for."""
    if sys.version_info[:2] <= _NEWEST_PYTHON:
        return sys.executable
    for name in ("python3.12", "python3.11", "python3.10"):
        found = shutil.which(name)
        if found:
            return found
    raise CannotRun(
        "pose-format's mediapipe 0.10.21 needs Python 3.10 to 3.12, and none is installed: "
        "install one, or leave the peers out with --only tracker,landmarker"
    )


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise CannotRun(f"could not {what} for the benchmark: {last}")
