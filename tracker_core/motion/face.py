"""Canonical face features from the expression weights (blendshapes) of a track.

A feature is an ARKit shape under a name of its own kind: ``eyeBlinkLeft`` is ``eye_blink_l``,
``jawOpen`` is ``jaw_open``. Where "Left" is a direction and no side it stays a word
(``jaw_left``). Left is the subject's. Five features more are made of them, see `DERIVED`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from tracker_core.landmarks.tracks import Tracks

_DIRECTIONS = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")

UNRELIABLE = MappingProxyType(
    {
        "cheek_puff": "MediaPipe's blendshape model leaves it near zero",
        "eye_wide_l": "MediaPipe's blendshape model leaves it near zero",
        "eye_wide_r": "MediaPipe's blendshape model leaves it near zero",
        "nose_sneer_l": "MediaPipe's blendshape model leaves it near zero",
        "nose_sneer_r": "MediaPipe's blendshape model leaves it near zero",
    }
)
"""Features not to be trusted, and why."""

DERIVED = MappingProxyType(
    {
        "look_left": "mean of eye_look_out_l and eye_look_in_r",
        "look_right": "mean of eye_look_in_l and eye_look_out_r",
        "look_up": "mean of eye_look_up_l and eye_look_up_r",
        "look_down": "mean of eye_look_down_l and eye_look_down_r",
        "mouth_open": "jaw_open less mouth_close, at least 0: how far the lips are apart",
    }
)
"""Features that are no ARKit shapes, and what each is made of."""


def feature_name(blendshape: str) -> str:
    """``eyeBlinkLeft`` -> ``eye_blink_l``; ``jawLeft`` -> ``jaw_left``."""
    name = blendshape
    if blendshape not in _DIRECTIONS:
        name = re.sub(r"Left$", "L", re.sub(r"Right$", "R", blendshape))
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


@dataclass(frozen=True, eq=False)
class FaceMotion:
    """Features over T frames.

    Attributes:
        features: the F names, derived ones last.
        values: float64 [T, F] in 0..1, NaN in every feature where no face was found.
    """

    features: tuple[str, ...]
    values: npt.NDArray[np.float64]

    def __getitem__(self, feature: str) -> npt.NDArray[np.float64]:
        """float64 [T]: one feature. Raises KeyError."""
        if feature not in self.features:
            raise KeyError(f"no face feature {feature!r}")
        column: npt.NDArray[np.float64] = self.values[:, self.features.index(feature)]
        return column

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """bool [T]: whether a face was found."""
        return np.asarray(np.isfinite(self.values).any(axis=1))


def face_motion(tracks: Tracks) -> FaceMotion:
    """The features of tracks; without blendshapes in the topology there are none (F = 0)."""
    shapes = [name for name in tracks.topology.blendshapes if name != "_neutral"]
    if not shapes:
        return FaceMotion((), np.zeros((len(tracks), 0)))
    columns = [tracks.topology.blendshapes.index(name) for name in shapes]
    weights = np.clip(tracks.blendshapes[:, columns].astype(np.float64), 0.0, 1.0)
    names = [feature_name(name) for name in shapes]

    def mean(features: Sequence[str]) -> npt.NDArray[np.float64]:
        return np.asarray(weights[:, [names.index(name) for name in features]].mean(axis=1))

    derived = {
        "look_left": mean(("eye_look_out_l", "eye_look_in_r")),
        "look_right": mean(("eye_look_in_l", "eye_look_out_r")),
        "look_up": mean(("eye_look_up_l", "eye_look_up_r")),
        "look_down": mean(("eye_look_down_l", "eye_look_down_r")),
        "mouth_open": np.maximum(mean(("jaw_open",)) - mean(("mouth_close",)), 0.0),
    }
    values = np.column_stack([weights, *derived.values()])
    return FaceMotion((*names, *derived), values)
