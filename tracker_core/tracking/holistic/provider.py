"""The provider ``holistic``: our own graph over MediaPipe's networks."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tracker_core.landmarks.topology import HOLISTIC, Topology
from tracker_core.tracking.holistic.graph import GRAPH_VERSION, OURS, PARITY, Graph, Seen
from tracker_core.tracking.holistic.loading import FILES, NetworkSet, borrowed
from tracker_core.tracking.inference import (
    chosen_engine,
    engine_version,
    fast_precision,
    quantized_file,
)
from tracker_core.tracking.models import HOLISTIC_NETWORKS, ModelStore, sha256_file
from tracker_core.tracking.provider import FrameLandmarks, View


@dataclass(frozen=True)
class HolisticProvider:
    """Our graph: pose, hands and face from MediaPipe's networks, without MediaPipe's runtime.

    Pose: 33 landmarks with visibility and world coordinates; hands: 2 x 21 with world coordinates;
    face: 478 landmarks and 52 blendshapes, or with the plain mesh 468 and none. Left and right are
    the subject's, for video that is not mirrored.

    Confidence: for the pose, the network's visibility of each landmark; for hands and face, the
    network's own score that it sees one.

    Attributes:
        engine: key of `ENGINES`, or ``auto``.
        speed: ``full``, or ``fast`` (see `Graph.track`).
        face_mesh: ``attention`` or ``plain``.
        parity: do as HolisticLandmarker does, to compare with it.
    """

    models: ModelStore
    engine: str = "auto"
    speed: str = "full"
    face_mesh: str = "attention"
    parity: bool = False
    name: str = "holistic"
    topology: Topology = HOLISTIC

    def model_digest(self) -> str:
        """sha256 over the bundle of networks and `parameters`: what a landmark depends on."""
        made_of = json.dumps([HOLISTIC_NETWORKS.sha256, self.parameters()], sort_keys=True)
        return hashlib.sha256(made_of.encode()).hexdigest()

    def parameters(self) -> Mapping[str, Any]:
        """The graph's version, the engine and its version, and the options."""
        return {
            "graph": GRAPH_VERSION,
            "engine": self.runs_on,
            "engine_version": engine_version(self.runs_on),
            "speed": self.speed,
            "precision": self._precision,
            "face_mesh": self.face_mesh,
            "parity": self.parity,
        }

    @property
    def runs_on(self) -> str:
        """Key of `ENGINES`: the engine that runs the networks."""
        return chosen_engine(self.engine, self.speed)

    @contextmanager
    def session(self) -> Iterator[HolisticSession]:
        """A fresh session. Raises ModelError when the networks are not there."""
        with borrowed(self.models, self.runs_on, self._precision.split()[0]) as networks:
            yield HolisticSession(networks, self)

    @cached_property
    def _precision(self) -> str:
        """What the networks compute in, and for eight bits of which file."""
        if self.speed == "full":
            return "f32"
        hand = self.models.members(HOLISTIC_NETWORKS) / f"{FILES['hand'][0]}.tflite"
        precision = fast_precision(self.runs_on, hand)
        return f"int8 {sha256_file(quantized_file(hand))}" if precision == "int8" else precision


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
        rules = PARITY if provider.parity else OURS
        graph = Graph(self._networks, rules, irises=provider.face_mesh == "attention")
        return map(_landmarks, graph.track(views, skip=provider.speed == "fast"))


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
    for name in seen.filled:
        out.filled[HOLISTIC.part(name).slice] = True
    return out
