"""The command `tracker`, run as a user runs it, on real clips."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from tests.conftest import DATA
from tracker_core.tracking.models import ModelStore


@dataclass
class Tracker:
    """A workspace, and the command that works in it.

    Attributes:
        workspace: its folder.
        environment: what the command's environment has beside this process's.
    """

    workspace: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "flows.cli", *arguments, "--workspace", str(self.workspace)]

    def full_environment(self) -> dict[str, str]:
        """This process's environment without what Prefect reads from it, and our own."""
        plain = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        return {**plain, **self.environment}

    def __call__(
        self, *arguments: str, code: int = 0, timeout: float = 240
    ) -> subprocess.CompletedProcess[str]:
        """Run it and check its exit code."""
        done = subprocess.run(
            self.command(*arguments),
            env=self.full_environment(),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def status(self) -> dict[str, Any]:
        """What `tracker status --json` says."""
        found: dict[str, Any] = json.loads(self("status", "--json").stdout)
        return found

    def stages(self) -> tuple[int, int]:
        """Stages executed and found done by the last run."""
        last = self.status()["last_run"]
        return last["stages_executed"], last["stages_cached"]

    @property
    def artifacts(self) -> Path:
        return self.workspace / "artifacts"

    def tracks(self) -> list[Path]:
        """The published tracks."""
        return sorted((self.artifacts / "tracks").rglob("*.parquet"))

    def manifest(self, rows: Sequence[tuple[str, Path | str]], name: str = "manifest.csv") -> str:
        """Write a manifest of (word, path) rows."""
        self.workspace.mkdir(parents=True, exist_ok=True)
        path = self.workspace / name
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["word", "path"])
            writer.writerows((word, str(video)) for word, video in rows)
        return str(path)


@pytest.fixture
def tracker(tmp_path: Path, prefect_server: dict[str, str], models: ModelStore) -> Tracker:
    """An empty workspace, against a running Prefect server."""
    models.check()
    return Tracker(tmp_path / "workspace", prefect_server)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory, demo_clips: dict[str, Path]) -> list[Path]:
    """Three short real clips of one person each: signers where there are any, else the demo's."""
    signers = [DATA / "sign" / "intel_asl" / f"{word}.mkv" for word in ("eat", "milk", "thanks")]
    if all(path.is_file() for path in signers):
        return signers
    folder = tmp_path_factory.mktemp("clips")
    return [
        cut(demo_clips["face"], folder / "face_start.mp4", 0, 30),
        cut(demo_clips["face"], folder / "face_end.mp4", 30, 72),
        cut(demo_clips["balance"], folder / "balance.mp4", 0, 50),
    ]


def cut(source: Path, target: Path, start: int, end: int) -> Path:
    """Frames ``start`` to ``end`` of a clip, encoded anew."""
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        shape = given.streams.video[0]
        rate = shape.average_rate or Fraction(25)
        stream = made.add_stream("libx264", rate=rate)
        stream.width, stream.height = shape.width, shape.height
        for number, frame in enumerate(given.decode(video=0)):
            if not start <= number < end:
                continue
            frame.pts, frame.time_base = number - start, Fraction(1) / rate
            made.mux(stream.encode(frame))
        made.mux(stream.encode())
    return target
