"""Fixtures of the export tests."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.motion.figures import Figure


@pytest.fixture(scope="session")
def unreal_facts() -> Path:
    """The folder of published names and signatures; skips, saying so, where it is absent."""
    shared = Path(os.environ.get("TRACKER_SHARED", REPOSITORY.parent / "shared"))
    folder = shared / "facts" / "unreal"
    if not (folder / "unreal_api_sigs.json").is_file():
        pytest.skip(f"needs the published signatures, and {folder} is absent (set TRACKER_SHARED)")
    return folder


@pytest.fixture(scope="session")
def shared_skeleton(unreal_facts: Path) -> Figure:
    """A skeleton with the axis layout of the vendor's, and invented numbers (no legs)."""
    content: dict[str, Any] = json.loads((unreal_facts / "synthetic_ue_skeleton.json").read_text())
    parents = {name: bone["parent"] for name, bone in content.items()}
    positions = {name: np.array(bone["pos_cm"], float) for name, bone in content.items()}
    axes: dict[str, Any] = {}
    for name, bone in content.items():
        rows = bone["axes_rows_xyz"]  # the bone's axes as rows; tips have none
        if rows is None:
            axes[name] = axes[str(bone["parent"])]
            continue
        # Six digits are no rotation yet: the nearest one.
        u, _, v = np.linalg.svd(np.array(rows, float).T)
        axes[name] = u @ v
    return Figure(parents, positions, axes)
