"""Memory of a process that tracks one video after the other does not pile up."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tracker_core.tracking.models import ModelStore

# In a process of its own: what other tests freed or kept would hide it.
_SESSIONS = """
import sys
from pathlib import Path
import numpy as np
import psutil
from tracker_core.tracking.mediapipe import MediaPipeProvider
from tracker_core.tracking.models import ModelStore

noise = np.random.default_rng(0).integers(0, 255, (320, 320, 3), np.uint8)
for _ in range(6):
    with MediaPipeProvider(ModelStore(Path(sys.argv[1]))).session() as session:
        session.look(noise, 0.0)
    print(psutil.Process().memory_info().rss // 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps what a graph has freed")
def test_a_closed_session_leaves_no_memory_behind(models: ModelStore) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SESSIONS, str(models.folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    mebibytes = [int(line) for line in done.stdout.split()]
    assert len(mebibytes) == 6
    assert max(mebibytes[1:]) < mebibytes[0] + 40
