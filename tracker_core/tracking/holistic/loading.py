"""MediaPipe's networks, loaded for one video at a time and lent again for the next."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracker_core.tracking.inference import ENGINES, Network
from tracker_core.tracking.models import HOLISTIC_NETWORKS, ModelStore

# Each network's file in the bundle, and which of its outputs the graph reads.
FILES: dict[str, tuple[str, tuple[int, ...]]] = {
    "pose_detector": ("pose_detector", (0, 1)),
    "pose": ("pose_landmarks_detector", (0, 1, 3, 4)),
    "hand_recrop": ("hand_roi_refinement", (0,)),
    "hand": ("hand_landmarks_detector", (0, 1, 3)),
    "face_detector": ("face_detector", (0, 1)),
    "face_detector_full": ("face_detector_full", (0, 1)),
    "face": ("face_landmarks_detector", (0, 1)),
    "face_plain": ("face_landmarks_plain", (0, 1)),
    "blendshapes": ("face_blendshapes", (0,)),
}
# Coarse arithmetic moves their outputs visibly and saves next to nothing.
_DELICATE = {"blendshapes", "face", "face_plain", "hand_recrop"}


class NetworkSet:
    """The networks, each loaded when it is first asked for.

    Attributes:
        calls: how often each was asked for.
    """

    def __init__(self, folder: Path, engine: str, precision: str) -> None:
        self.calls: Counter[str] = Counter()
        self._folder = folder
        self._engine = engine
        self._precision = precision
        self._loaded: dict[str, Network] = {}

    def __getitem__(self, name: str) -> Network:
        self.calls[name] += 1
        if name not in self._loaded:
            file, outputs = FILES[name]
            self._loaded[name] = ENGINES[self._engine](
                self._folder / f"{file}.tflite",
                outputs,
                "f32" if name in _DELICATE else self._precision,
                self._folder / "compiled",
            )
        return self._loaded[name]


@contextmanager
def borrowed(models: ModelStore, engine: str, precision: str = "f32") -> Iterator[NetworkSet]:
    """The networks, for one thread; loaded ones where some are free.

    Raises ModelError when they are not there.
    """
    key = (os.getpid(), models.members(HOLISTIC_NETWORKS), engine, precision)
    with _lock:
        free = _free.setdefault(key, [])
        networks = free.pop() if free else NetworkSet(*key[1:])
    networks.calls.clear()
    yield networks
    # A network remembers nothing, so the next may have it; after an error nobody does.
    with _lock:
        free.append(networks)


_lock = threading.Lock()
# What is loaded and not in use: no network serves two threads at a time, nor another process.
_free: dict[tuple[int, Path, str, str], list[NetworkSet]] = {}
