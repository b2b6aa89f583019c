"""What the boxes of an MP4 or QuickTime file claim, read before FFmpeg believes it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_HEADS = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"})
_NESTED = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"})
_DEEPEST = 5  # moov, trak, mdia, minf, stbl
_OF_EACH_SAMPLE = 0xF00  # flags of a 'trun' box that has a table: duration, size, flags, offset


def unlisted_samples(source: Path) -> int:
    """How many samples the file claims in numbers alone, without a byte for each.

    Where all samples are of one size, or of a fragment's defaults, four bytes claim any number of
    them (ISO/IEC 14496-12, 8.7.3 and 8.8.8), and FFmpeg makes room for them all before it reads
    the first. 0 for other files, and for one that cannot be read.
    """
    try:
        with source.open("rb") as file:
            if file.read(8)[4:] not in _HEADS:
                return 0
            end = file.seek(0, 2)
            return sum(_claims(file, 0, end))
    except OSError:
        return 0


def _claims(file: BinaryIO, begin: int, end: int, depth: int = 0) -> Iterator[int]:
    """The claims of the boxes between two places of the file."""
    while begin + 8 <= end:
        file.seek(begin)
        size, kind = struct.unpack(">I4s", file.read(8))
        inside = begin + 8
        if size == 1:  # too long for four bytes
            size = int.from_bytes(file.read(8), "big")
            inside += 8
        after = min(begin + size, end) if size else end
        if after < inside:
            return
        if kind in _NESTED and depth < _DEEPEST:
            yield from _claims(file, inside, after, depth + 1)
        elif kind in (b"stsz", b"trun") and after >= inside + 12:
            flags, first, second = struct.unpack(">III", file.read(12))
            if kind == b"stsz" and first:
                yield second
            elif kind == b"trun" and not flags & _OF_EACH_SAMPLE:
                yield first
        begin = after
