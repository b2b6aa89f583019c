from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.system.conftest import tracker  # noqa: F401 - a fixture

# For a longer campaign set them, or run `python -m tests.fuzz.campaign`.
SECONDS = float(os.environ.get("TRACKER_FUZZ_SECONDS", "8"))
SEED = int(os.environ.get("TRACKER_FUZZ_SEED", "0"))

Campaign = Callable[[str, Sequence[Path]], dict[str, Any]]


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """Runs a campaign in a process of its own, which a crash may end; gives its report."""

    def run(kind: str, also: Sequence[Path] = ()) -> dict[str, Any]:
        command = [sys.executable, "-m", "tests.fuzz.campaign", kind, "--folder", str(tmp_path)]
        command += ["--seconds", str(SECONDS), "--seed", str(SEED), "--also", *map(str, also)]
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=SECONDS + 200,
            check=False,
        )
        left = sorted(tmp_path.glob(f"{SEED}-*"))
        assert done.returncode == 0, f"{left}\n{done.stderr[-6000:]}"
        report: dict[str, Any] = json.loads(done.stdout)
        print(report)  # noqa: T201 - shown by pytest where a test fails
        return report

    return run


@pytest.fixture
def seed() -> int:
    """Of this session's mutants."""
    return SEED
