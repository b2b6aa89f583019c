"""The One Euro filter, as HolisticLandmarker has it on the body (parity with it only).

Casiez, Roussel and Vogel, "1 € Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
Interactive Systems", 2012. It only looks back, so it lags; where the future is known, the smoothing
stage does better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

_FIRST_RATE = 30.0  # frames per second, until two frames have been seen


@dataclass
class OneEuro:
    """The filter on an array of any shape.

    Attributes:
        min_cutoff: hertz, of what stands still.
        beta: how much the cutoff grows with speed.
        speed_cutoff: hertz, of the speed itself.
    """

    min_cutoff: float
    beta: float
    speed_cutoff: float = 1.0
    _value: npt.NDArray[np.float64] | None = None
    _raw: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    _speed: npt.NDArray[np.float64] | None = None
    _time: float | None = None

    def __call__(self, values: Array, time_s: float, scale: float = 1.0) -> Array:
        """The filtered values.

        Args:
            values: to be filtered.
            time_s: seconds, strictly increasing.
            scale: size of the thing in the unit of the values; speeds are relative to it.
        """
        rate = _FIRST_RATE if self._time is None else 1 / (time_s - self._time)
        self._time = time_s
        now = values.astype(np.float64)
        change = np.zeros_like(now) if self._value is None else (now - self._raw) / scale * rate
        weight = _weight(self.speed_cutoff, rate)
        self._speed = (
            change if self._speed is None else weight * change + (1 - weight) * self._speed
        )
        weights = _weight(self.min_cutoff + self.beta * np.abs(self._speed), rate)
        self._value = now if self._value is None else weights * now + (1 - weights) * self._value
        self._raw = now
        return self._value.astype(np.float32)


def _weight(cutoff: npt.NDArray[np.float64] | float, rate: float) -> npt.NDArray[np.float64]:
    """The weight of a new value in a low-pass filter of this cutoff."""
    return np.asarray(1 / (1 + rate / (2 * math.pi * cutoff)))
