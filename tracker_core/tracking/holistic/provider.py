"""The provider ``holistic``: our own graph over MediaPipe's networks."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker_core.landmarks.topology import HOLISTIC, Topology
from tracker_core.tracking.holistic.graph import GRAPH_VERSION, OURS, PARITY, Graph, Seen
from tracker_core.tracking.inference import ENGINES, Network, engine_version
from tracker_core.tracking.models import HOLISTIC_NETWORKS, ModelStore
from tracker_core.tracking.provider import FrameLandmarks, View

# Each network's file in the bundle, and which of its outputs the graph reads.
_FILES: dict[str, tuple[str, tuple[int, ...]]] = {
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


class NetworkSet:
    """The networks of one session, each loaded when it is first asked for.

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
            file, outputs = _FILES[name]
            self._loaded[name] = ENGINES[self._engine](
                self._folder / f"{file}.tflite",
                outputs,
                self._precision,
                self._folder / "compiled",
            )
        return self._loaded[name]


@dataclass(frozen=True)
class HolisticProvider:
    """Our graph: pose, hands and face from MediaPipe's networks, without MediaPipe's runtime.

    Pose: 33 landmarks with visibility and world coordinates; hands: 2 x 21 with world coordinates;
    face: 478 landmarks and 52 blendshapes, or with the plain mesh 468 and none. Left and right are
    the subject's, for video that is not mirrored.

    Confidence: for the pose, the network's visibility of each landmark; for hands and face, the
    network's own score that it sees one.

    Attributes:
        engine: key of `ENGINES`.
        speed: ``full``, or ``fast`` (see `Graph.track`).
        face_mesh: ``attention`` or ``plain``.
        parity: do as HolisticLandmarker does, to compare with it.
    """

    models: ModelStore
    engine: str = "openvino"
    speed: str = "full"
    face_mesh: str = "attention"
    parity: bool = False
    name: str = "holistic"
    topology: Topology = HOLISTIC

    def model_digest(self) -> str:
        """sha256 of the bundle of networks."""
        return HOLISTIC_NETWORKS.sha256

    def parameters(self) -> Mapping[str, Any]:
        """The graph's version, the engine and its version, and the options."""
        return {
            "graph": GRAPH_VERSION,
            "engine": self.engine,
            "engine_version": engine_version(self.engine),
            "speed": self.speed,
            "face_mesh": self.face_mesh,
            "parity": self.parity,
        }

    @contextmanager
    def session(self) -> Iterator[HolisticSession]:
        """A fresh session. Raises ModelError when the networks are not there."""
        folder = self.models.members(HOLISTIC_NETWORKS)
        key = (os.getpid(), folder, self.engine, self._precision)
        with _lock:
            free = _free.setdefault(key, [])
            networks = free.pop() if free else NetworkSet(*key[1:])
        networks.calls.clear()
        yield HolisticSession(networks, self)
        # A network remembers nothing, so the next session may have it; after an error nobody does.
        with _lock:
            free.append(networks)

    @property
    def _precision(self) -> str:
        return "bf16" if self.speed == "fast" else "f32"


_lock = threading.Lock()
# What is loaded and not in use. A network serves one thread at a time, and not another process.
_free: dict[tuple[int, Path, str, str], list[NetworkSet]] = {}


class HolisticSession:
    """The graph over the frames of one video."""

    def __init__(self, networks: NetworkSet, provider: HolisticProvider) -> None:
        self._networks = networks
        self._provider = provider

    @property
    def calls(self) -> Counter[str]:
        """How often each network has run."""
        return self._networks.calls

    def track(self, views: Iterable[View]) -> Iterator[FrameLandmarks]:
        """One result per view."""
        provider = self._provider
        graph = Graph(
            self._networks,
            PARITY if provider.parity else OURS,
            irises=provider.face_mesh == "attention",
        )
        for view in views:
            yield _landmarks(graph.see(view))


def _landmarks(seen: Seen) -> FrameLandmarks:
    """What the graph saw, laid out by the topology."""
    out = FrameLandmarks.missing(HOLISTIC)
    if seen.pose is None:
        return out
    pose, face = HOLISTIC.part("pose").slice, HOLISTIC.part("face").slice
    out.positions[pose] = seen.pose.points
    out.confidence[pose] = seen.pose.visibility
    out.world[pose] = seen.pose.world
    for side, hand in seen.hands.items():
        part = HOLISTIC.part(side).slice
        out.positions[part] = hand.points
        out.confidence[part] = hand.score
        out.world[part] = hand.world
    if seen.face is not None:
        known = slice(face.start, face.start + len(seen.face.points))
        out.positions[known] = seen.face.points
        out.confidence[known] = seen.face.score
    if seen.blendshapes is not None:
        out.blendshapes[:] = seen.blendshapes
    if seen.filled:
        out.filled[pose], out.filled[face] = True, True
    return out
