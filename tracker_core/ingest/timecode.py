"""Times and frame numbers as manifests write them -> seconds and frames."""

from __future__ import annotations

import re

_NOT_GIVEN = frozenset({"", "-", "–", "-1", "-1.0", "-1,0", "nan", "none", "null", "na", "n/a"})
_NUMBER = re.compile(
    r"((?:[0-9]{1,15}(?:[.,][0-9]*)?|[.,][0-9]+)(?:e-[0-9]{1,2})?)\s*(ms|s|sec|sek)?\.?\Z",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"(?:0 days )?(?:([0-9]{1,6}):)?([0-9]{1,6}):([0-9]{1,2}(?:[.,][0-9]*)?)\Z")
_FRAME_CLOCK = re.compile(r"([0-9]{1,6}):([0-9]{2}):([0-9]{2})([:;])([0-9]{1,3})\Z")
_FRAME = re.compile(r"([0-9]{1,12})(?:[.,]0*)?\Z")
_LAST_FRAME = 2**31 - 1  # what a column of the catalog holds; a year of video at 60 a second
_FRACTION = re.compile(r"([0-9]{1,9})\s*/\s*([0-9]{1,9})\Z")


def is_given(text: str) -> bool:
    """Tell whether a cell holds a time at all: empty, ``-1`` and the like mean "not given"."""
    return text.strip().lower() not in _NOT_GIVEN


def parse_seconds(
    text: str, *, milliseconds: bool = False, rate: float | None = None
) -> float | None:
    """Return the time in seconds, None where the cell gives none (`is_given`).

    Understands plain numbers with a decimal point or comma (``1.7``, ``1,7``, ``300 ms``), which
    are seconds unless `milliseconds`; ``MM:SS``, ``HH:MM:SS`` and ``HH:MM:SS.mmm``; ``5e-05`` and
    ``0 days 00:00:01.5``, as pandas writes; and the SMPTE
    timecode ``HH:MM:SS:FF``, or ``HH:MM:SS;FF`` with dropped frame numbers (SMPTE ST 12-1), which
    needs the frame `rate` per second.

    Raises:
        ValueError: with a sentence, where it is none of these.
    """
    text = text.strip()
    if number := _NUMBER.match(text):
        unit = (number[2] or "").lower()
        value = float(number[1].replace(",", "."))
        return value / 1000 if unit == "ms" or (milliseconds and not unit) else value
    if clock := _CLOCK.match(text):
        hours, minutes = int(clock[1] or 0), int(clock[2])
        seconds = float(clock[3].replace(",", "."))
        if seconds >= 60 or (clock[1] is not None and minutes >= 60):
            raise ValueError(f"{text!r} has more than 59 minutes or seconds")
        return hours * 3600 + minutes * 60 + seconds
    if frames := _FRAME_CLOCK.match(text):
        return _smpte_seconds(text, frames, rate)
    if not is_given(text):
        return None
    raise ValueError(f"{text!r} is not a time (use seconds, MM:SS or HH:MM:SS.mmm)")


def _smpte_seconds(text: str, match: re.Match[str], rate: float | None) -> float:
    if rate is None:
        raise ValueError(f"{text!r} counts frames; add a column fps, or write HH:MM:SS.mmm")
    hours, minutes, seconds, frame = (int(match[group]) for group in (1, 2, 3, 5))
    nominal = round(rate)
    if minutes >= 60 or seconds >= 60 or frame >= nominal:
        raise ValueError(f"{text!r} is not a timecode at {rate:g} frames per second")
    number = (hours * 3600 + minutes * 60 + seconds) * nominal + frame
    if match[4] == ";":
        # Numbers 0 and 1 (0 to 3 at 60) are left out each minute that is no multiple of ten.
        total = hours * 60 + minutes
        number -= round(nominal / 15) * (total - total // 10)
    return number / rate


def parse_frame(text: str) -> int | None:
    """Return a frame number, None where the cell gives none (`is_given`).

    Raises:
        ValueError: with a sentence, where it is not a whole number, or too large for one.
    """
    if match := _FRAME.match(text.strip()):
        if (frame := int(match[1])) > _LAST_FRAME:
            raise ValueError(f"{text.strip()!r} is a frame number that no video has")
        return frame
    if not is_given(text):
        return None
    raise ValueError(f"{text.strip()!r} is not a frame number")


def parse_rate(text: str) -> float | None:
    """Return frames per second from ``25``, ``29,97`` or ``30000/1001``; None if not given.

    Raises:
        ValueError: with a sentence, where it is none of these or zero.
    """
    if not is_given(text):
        return None
    text = text.strip()
    rate = 0.0
    if fraction := _FRACTION.match(text):
        rate = int(fraction[1]) / int(fraction[2]) if int(fraction[2]) else 0.0
    elif number := _NUMBER.match(text):
        rate = float(number[1].replace(",", ".")) if number[2] is None else 0.0
    if not 0.01 <= rate <= 100_000:
        raise ValueError(f"{text!r} is not a number of frames per second")
    return rate
