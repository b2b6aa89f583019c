"""How long a fresh process takes to its first landmarks, and how much memory that needs.

::

    python -m benchmarks.startup [--provider NAME ...] [--set NAME=VALUE] [--repeat 5]
                                 [--clips DIR_OR_GLOB ...]

Import, load (a session opened) and first frame (a picture of a person; in it networks are loaded
that a session loads when it first needs them), in a fresh process; the interpreter's own start is
not counted. *Cold* is the first start on a machine: the models' files are there, but nothing that
the provider or its engine keeps of them; *warm* is every later one. The files lie in the system's
page cache both times.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.clips import count_frames, find_clips
from benchmarks.contestants import ROOT
from benchmarks.loops import views
from benchmarks.provider_loop import assignment
from benchmarks.speed_tables import markdown, spread
from tracker_core.errors import CannotRun, TrackerError
from tracker_core.settings import load_settings
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.provider import Image
from tracker_core.tracking.registry import PROVIDERS

_TARGET_S, _TARGET_MB = 0.5, 250


@dataclass(frozen=True)
class Start:
    """One process's way to its first landmarks.

    Attributes:
        provider: its name.
        cache: ``cold`` or ``warm``.
        import_s, load_s, first_frame_s: seconds of each step.
        peak_bytes: largest resident memory.
        landmarks: how many it saw in the picture.
    """

    provider: str
    cache: str
    import_s: float
    load_s: float
    first_frame_s: float
    peak_bytes: int
    landmarks: int

    @property
    def seconds(self) -> float:
        """All steps together."""
        return self.import_s + self.load_s + self.first_frame_s

    @property
    def peak_mb(self) -> float:
        """Largest resident memory, millions of bytes."""
        return self.peak_bytes / 1e6


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description="Time and memory to a provider's first landmarks.")
    parser.add_argument("--provider", nargs="+", choices=sorted(PROVIDERS), default=list(PROVIDERS))
    parser.add_argument(
        "--set", type=assignment, action="append", default=[], dest="settings", metavar="NAME=VALUE"
    )
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--clips", nargs="+", default=[], metavar="DIR_OR_GLOB")
    given = parser.parse_args(arguments)
    settings = load_settings(dict(given.settings))
    ModelStore(settings.models_dir).pull()
    clip = find_clips(given.clips, ROOT)[0]
    starts = []
    with tempfile.TemporaryDirectory(prefix="tracker-startup-") as folder:
        picture = Path(folder) / "picture.npy"
        np.save(picture, middle_frame(clip))
        for repetition in range(given.repeat):
            for name in given.provider:
                home = Path(folder) / f"{name}-{repetition}"
                models = copy_files(settings.models_dir, home / "tracker" / "models")
                options = settings.model_dump(mode="json") | {"models_dir": str(models)}
                starts += [start(name, cache, options, picture, home) for cache in ("cold", "warm")]
                shutil.rmtree(home)
    sys.stdout.write(table(starts) + "\n")


def copy_files(folder: Path, target: Path) -> Path:
    """A new folder with the same files; folders in it are what was kept from starts before."""
    target.mkdir(parents=True)
    for file in folder.iterdir():
        if file.is_file():
            shutil.copyfile(file, target / file.name)
    return target


def middle_frame(clip: Path) -> Image:
    """The picture in the middle of a clip, where whoever is in it can be expected to be at it."""
    middle = count_frames(clip) // 2
    return next(islice(views(clip), middle, None)).image


def start(
    provider: str, cache: str, options: Mapping[str, object], picture: Path, home: Path
) -> Start:
    """Start one process, and take its report.

    Args:
        provider: its name.
        cache: what the run is to be called.
        options: the settings; ``models_dir`` among them.
        picture: .npy of a uint8 RGB image.
        home: what the process takes for the user's cache folder.

    Raises CannotRun when it fails, with its last words.
    """
    task = {
        "provider": provider,
        "models_dir": options["models_dir"],
        "options": dict(options),
        "picture": str(picture),
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.first_frame"],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(home), "LOCALAPPDATA": str(home)},
    )
    if done.returncode:
        raise CannotRun(f"{provider} did not start: {done.stderr[-800:]}")
    return Start(provider, cache, **json.loads(done.stdout))


def table(starts: Sequence[Start]) -> str:
    """Markdown: a row per provider and state of the cache, medians with their spread."""
    groups: dict[tuple[str, str], list[Start]] = {}
    for one in starts:
        groups.setdefault((one.provider, one.cache), []).append(one)

    def cell(runs: Sequence[Start], of: Callable[[Start], float], digits: int) -> str:
        return spread([of(one) for one in runs], digits)

    rows = [
        [
            provider,
            cache,
            cell(runs, lambda one: one.import_s, 2),
            cell(runs, lambda one: one.load_s, 2),
            cell(runs, lambda one: one.first_frame_s, 2),
            cell(runs, lambda one: one.seconds, 2),
            cell(runs, lambda one: one.peak_mb, 0),
            str(runs[0].landmarks),
            _verdict(runs),
        ]
        for (provider, cache), runs in groups.items()
    ]
    header = [
        "", "cache", "import s", "load s", "first frame s", "together s", "peak MB", "landmarks",
        f"under {_TARGET_S:g} s, {_TARGET_MB} MB",
    ]  # fmt: skip
    return "\n".join(markdown(header, rows))


def _verdict(runs: Sequence[Start]) -> str:
    fast = statistics.median(one.seconds for one in runs) < _TARGET_S
    small = statistics.median(one.peak_mb for one in runs) < _TARGET_MB
    return f"{'yes' if fast else 'no'}, {'yes' if small else 'no'}"


if __name__ == "__main__":
    try:
        main()
    except TrackerError as error:
        raise SystemExit(f"benchmarks.startup: {error}") from None
