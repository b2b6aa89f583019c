"""Making sense of stored timestamps: presentation times that increase, and the rate they show."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

_ODD_TIMES = 4  # a run of at most this many wrong timestamps is a glitch; a longer one, a restart
_STANDARD_RATES = tuple(
    Fraction(rate)
    for rate in ("24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60000/1001", "60")
)


def presentation_times(raw: Sequence[int | None], step: Fraction) -> list[Fraction]:
    """Strictly increasing times from stored timestamps that may be absent or out of order.

    True timestamps are kept. A missing one is placed evenly between its neighbours, or `step`
    after the last; so is one that repeats the time before it, as where a clock counts whole
    seconds. Up to four frames that are out of order are placed evenly between the good frames
    around them; a longer run is a clock that started anew and goes on `step` after the last
    frame.

    Args:
        raw: one timestamp per frame, None where it has none; any unit.
        step: the usual distance of two frames in the same unit, above 0.
    """
    given = _filled(_without_repeats(raw, step), step)
    times: list[Fraction] = []
    shift = Fraction(0)
    index = 0
    while index < len(given):
        now = given[index] + shift
        if not times or now > times[-1]:
            times.append(now)
            index += 1
            continue
        last = times[-1]
        ahead = next(
            (
                after
                for after in range(index + 1, min(index + 1 + _ODD_TIMES, len(given)))
                if last < given[after] + shift <= last + 8 * step * (after - index + 1)
            ),
            None,
        )
        behind = next(
            (
                before
                for before in range(len(times) - 2, max(-1, len(times) - 2 - _ODD_TIMES), -1)
                if times[before] < now and given[before] < given[index]
            ),
            None,
        )
        if ahead is not None:
            times += _between(last, given[ahead] + shift, ahead - index)
            index = ahead
        elif behind is not None:
            odd = len(times) - behind - 1
            times[behind + 1 :] = _between(times[behind], now, odd)
        else:
            shift += last + step - now
    return times


def _without_repeats(raw: Sequence[int | None], step: Fraction) -> list[int | None]:
    """None for each time that repeats the one before it, unless a pause follows."""
    cleared = list(raw)
    index = 0
    for pts, run in itertools.groupby(raw):
        count = len(list(run))
        after = raw[index + count] if index + count < len(raw) else None
        if pts is not None and (after is None or pts < after <= pts + 8 * step * count):
            cleared[index + 1 : index + count] = [None] * (count - 1)
        index += count
    return cleared


def _filled(raw: Sequence[int | None], step: Fraction) -> list[Fraction]:
    known = [index for index, pts in enumerate(raw) if pts is not None]
    if not known:
        return [step * index for index in range(len(raw))]
    first = Fraction(raw[known[0]] or 0)
    times = [first - step * (known[0] - index) for index in range(known[0])]
    for index, after in itertools.zip_longest(known, known[1:]):
        here = Fraction(raw[index] or 0)
        times.append(here)
        gap = (after if after is not None else len(raw)) - index - 1
        there = None if after is None else Fraction(raw[after] or 0)
        if there is not None and there > here:
            times += _between(here, there, gap)
        else:
            times += [here + step * (k + 1) for k in range(gap)]
    return times


def _between(start: Fraction, end: Fraction, count: int) -> list[Fraction]:
    return [start + (end - start) * (k + 1) / (count + 1) for k in range(count)]


def whole_ticks(times: Sequence[Fraction]) -> tuple[list[int], int]:
    """Times as whole, strictly increasing numbers of 1/parts, from 0; and parts."""
    parts = math.lcm(*{time.denominator for time in times})
    parts = min(parts, 10_000)  # beyond that nothing is gained: a tick is some nanoseconds
    ticks: list[int] = []
    for time in times:
        tick = round((time - times[0]) * parts)
        ticks.append(max(tick, ticks[-1] + 1) if ticks else tick)
    return ticks, parts


def plausible_rate(rate: Fraction | None) -> Fraction | None:
    return rate if rate is not None and 0 < rate <= 1000 else None


def average_rate(
    pts: Sequence[int],
    base: Fraction,
    stated: Sequence[Fraction | None],
    guess: Fraction,
) -> Fraction:
    """Frames per second over the whole video; the stated or standard rate where it agrees.

    A timestamp is rounded to its tick, so the measured rate is known to two ticks over the whole.
    """
    if len(pts) < 2:
        return guess
    measured = (len(pts) - 1) / (pts[-1] * base)
    tolerance = Fraction(2, pts[-1]) * measured
    candidates = [rate for rate in map(plausible_rate, stated) if rate] + list(_STANDARD_RATES)
    near = [rate for rate in candidates if abs(rate - measured) <= tolerance]
    if near:
        return min(near, key=lambda rate: abs(rate - measured))
    return measured.limit_denominator(1001) or measured
