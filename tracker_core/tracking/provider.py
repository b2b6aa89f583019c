"""What a tracking provider is: it finds the landmarks of one person in one frame after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tracker_core.landmarks.topology import Topology

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class View:
    """The part of a frame in which the person is looked for.

    Attributes:
        image: uint8 [H, W, 3], RGB; nobody writes to it.
        x, y: of its top left corner in the normalized frame, whole pixels.
        timestamp_s: seconds; they strictly increase from view to view.
    """

    image: Image
    x: int
    y: int
    timestamp_s: float


@dataclass(frozen=True, eq=False)
class FrameLandmarks:
    """What a provider saw in one frame. N landmarks of its topology, B blendshapes.

    Attributes:
        positions: float32 [N, 3], pixels of the frame, z in the same unit; NaN where missing.
        confidence: float32 [N] in 0..1; 0 where missing.
        world: float32 [N, 3], metres; NaN where there is none.
        blendshapes: float32 [B]; NaN where no face was found.
        filled: bool [N]; not seen here but interpolated between the frames on both sides.
    """

    positions: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    world: npt.NDArray[np.float32]
    blendshapes: npt.NDArray[np.float32]
    filled: npt.NDArray[np.bool_]

    @classmethod
    def missing(cls, topology: Topology) -> FrameLandmarks:
        """Nothing seen."""
        return cls(
            np.full((topology.size, 3), np.nan, np.float32),
            np.zeros(topology.size, np.float32),
            np.full((topology.size, 3), np.nan, np.float32),
            np.full(len(topology.blendshapes), np.nan, np.float32),
            np.zeros(topology.size, np.bool_),
        )


class TrackingSession(Protocol):
    """The provider at work on one video. It knows nothing of any other video."""

    def track(self, views: Iterable[View]) -> Iterator[FrameLandmarks]:
        """One result per view, in order. It may look some views ahead."""
        ...


class TrackingProvider(Protocol):
    """A landmark engine.

    Attributes:
        name: as in ``TRACKING_PROVIDER``.
        topology: layout of the landmarks it returns.
    """

    @property
    def name(self) -> str: ...

    @property
    def topology(self) -> Topology: ...

    def model_digest(self) -> str:
        """sha256 over the model files; part of every stage key and every track's provenance."""
        ...

    def parameters(self) -> Mapping[str, Any]:
        """All else that changes its output (versions, thresholds), as JSON values."""
        ...

    def session(self) -> AbstractContextManager[TrackingSession]:
        """A fresh session, closed on leaving the context."""
        ...
