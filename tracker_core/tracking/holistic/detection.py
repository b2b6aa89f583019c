"""Single-shot detectors: anchors, decoding, and non-maximum suppression.

The scheme is SSD's (Liu et al., "SSD: Single Shot MultiBox Detector", 2016) with BlazeFace's
changes (Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs",
2019): anchors of one fixed size, keypoints beside each box, and suppression that averages
overlapping boxes by their scores instead of dropping them, which keeps still faces still.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from tracker_core.tracking.holistic.region import Region
from tracker_core.tracking.inference import Network
from tracker_core.tracking.provider import Image, View

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Detector:
    """What is known of a detector's network.

    Attributes:
        size: side of its square input in pixels.
        strides: of its output layers, in the order of its boxes.
        per_cell: boxes per cell in each layer.
    """

    size: int
    strides: tuple[int, ...]
    per_cell: int = 2

    @property
    def anchors(self) -> Array:
        """See `_anchors`."""
        return _anchors(self.size, self.strides, self.per_cell)


POSE = Detector(224, (8, 16, 32, 32, 32))
FACE_SHORT = Detector(128, (8, 16, 16, 16))
FACE_FULL = Detector(192, (4,), per_cell=1)


@cache
def _anchors(size: int, strides: tuple[int, ...], per_cell: int) -> Array:
    """float32 [N, 2]: the centre of every box's anchor, in units of the input.

    Layers of one stride lie together: a cell has all its boxes one after the other.
    """
    layers = []
    for stride in dict.fromkeys(strides):
        cells = -(-size // stride)
        centres = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        y, x = np.meshgrid(centres, centres, indexing="ij")
        cell = np.stack([x.ravel(), y.ravel()], axis=1)
        layers.append(np.repeat(cell, per_cell * strides.count(stride), axis=0))
    return np.concatenate(layers)


@dataclass(frozen=True, eq=False)
class Detection:
    """One person or face that a detector found.

    Attributes:
        score: 0..1.
        keypoints: float32 [K, 2], pixels of the frame.
    """

    score: float
    keypoints: Array


def detect(
    network: Network,
    detector: Detector,
    view: View,
    region: Region,
    threshold: float = 0.5,
    overlap: float = 0.5,
) -> list[Detection]:
    """What is seen in a square region of the frame, the surest first.

    Args:
        network: with outputs boxes [1, N, 4 + 2 K] and scores (logits) [1, N, 1].
        detector: its shape.
        view: of a frame.
        region: where to look; black beyond the frame.
        threshold: of the score.
        overlap: intersection over union above which two boxes are one thing.
    """
    crop = region.crop(view, (detector.size, detector.size), replicate=False)
    raw, logits = network(signed_input(crop))
    scores = sigmoid(logits.reshape(-1))
    sure = np.flatnonzero(scores >= threshold)
    if not len(sure):
        return []
    values = raw.reshape(len(scores), -1)[sure] / np.float32(detector.size)
    values[:, :2] += detector.anchors[sure]
    values[:, 4:] += np.tile(detector.anchors[sure], values.shape[1] // 2 - 2)
    return [
        Detection(score, region.project(found[4:].reshape(-1, 2)))
        for score, found in _suppressed(scores[sure], values, overlap)
    ]


def _suppressed(scores: Array, values: Array, overlap: float) -> list[tuple[float, Array]]:
    """Weighted non-maximum suppression: overlapping boxes become their mean, weighted by score."""
    half = values[:, 2:4] / 2
    low, high = values[:, :2] - half, values[:, :2] + half
    area = np.prod(high - low, axis=1)
    left = np.argsort(-scores, kind="stable")
    found = []
    while len(left):
        best = left[0]
        both = np.prod(
            np.clip(np.minimum(high[best], high[left]) - np.maximum(low[best], low[left]), 0, None),
            axis=1,
        )
        same = both > overlap * (area[best] + area[left] - both)
        same[0] = True
        group = left[same]
        weights = scores[group][:, None]
        found.append((float(scores[best]), (values[group] * weights).sum(0) / weights.sum()))
        left = left[~same]
    return found


def sigmoid(logits: Array) -> Array:
    """The logistic function, without overflow."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), np.float32)


def signed_input(crop: Image) -> Array:
    """float32 [1, H, W, 3] in -1..1, which detectors take."""
    return (crop * np.float32(1 / 127.5) - np.float32(1))[None]


def unit_input(crop: Image) -> Array:
    """float32 [1, H, W, 3] in 0..1, which landmark networks take."""
    return (crop * np.float32(1 / 255))[None]
