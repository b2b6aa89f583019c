"""Damage as copying, cutting off and bad disks do it, and as an enemy of parsers would."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# Sizes and counts that parsers stumble over: nothing, little, the ends of signed and unsigned.
_ODD_NUMBERS = (0, 1, 7, 0xFF, 0x7FFF, 0xFFFF, 0xFF_FFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
# A name of four letters: an atom of MP4 or a chunk of AVI. Its size stands before or after it, and
# counts of what it holds follow.
_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9]{2}[A-Za-z0-9 ]")
_AROUND_A_NAME = (-4, 4, 8, 12, 16, 20)
# What has a meaning in text files.
_TEXT = (
    *(b'"', b'""', b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\0", b"\\", b"\xff", b"\xc3"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"sep=;\n", b"/", b"../", b"://", b"file:///%00", b"%", b"-"),
    *(b"9" * 400, b"x" * 5000, b'"' * 99, b"\n" * 99, b"NaN", b"1e999", b"00:00:99:99", b"*", b" "),
    *("å/".encode() * 3000, b"a," * 9000, b"99999999999", b"\r\n;;;\r\n", b"\x1a", b"\xe2\x80\xa8"),
)


@dataclass(frozen=True)
class Mutant:
    """Damaged bytes, and what makes them again: `source` damaged by `mutants` of one seed."""

    number: int
    source: str
    content: bytes


def mutants(
    wholes: Mapping[str, bytes], seed: int, *, first: int = 0, text: bool = False
) -> Iterator[Mutant]:
    """Damaged files without end, in an order that the seed alone decides.

    Args:
        wholes: files that are not empty, by name.
        seed: equal seeds give equal mutants.
        first: number of the first mutant; each can be made without those before it.
        text: insert what has a meaning in text, too.
    """
    names = sorted(wholes)
    number = first
    while True:
        draw = random.Random(f"{seed} {number}")
        name = draw.choice(names)
        data = bytearray(wholes[name])
        kinds = (*_KINDS, _text, _text) if text else _KINDS
        for _ in range(draw.choice((1, 1, 2, 4))):
            if data:
                draw.choice(kinds)(data, draw)
        yield Mutant(number, name, bytes(data))
        number += 1


def _place(data: bytearray, draw: random.Random) -> int:
    """Anywhere, but every other time in the header."""
    return draw.randrange(len(data) if draw.random() < 0.5 else min(len(data), 2000))


def _span(data: bytearray, draw: random.Random) -> slice:
    begin = _place(data, draw)
    return slice(begin, min(len(data), begin + draw.choice((1, 4, 16, 200, 3000))))


def _flip_bits(data: bytearray, draw: random.Random) -> None:
    for _ in range(draw.choice((1, 3, 20))):
        data[_place(data, draw)] ^= 1 << draw.randrange(8)


def _overwrite(data: bytearray, draw: random.Random) -> None:
    span = _span(data, draw)
    data[span] = draw.randbytes(len(data[span]))


def _zero(data: bytearray, draw: random.Random) -> None:
    span = _span(data, draw)
    data[span] = bytes(len(data[span]))


def _remove(data: bytearray, draw: random.Random) -> None:
    del data[_span(data, draw)]


def _duplicate(data: bytearray, draw: random.Random) -> None:
    place = _place(data, draw)
    data[place:place] = data[_span(data, draw)] * draw.choice((1, 1, 50))


def _truncate(data: bytearray, draw: random.Random) -> None:
    del data[_place(data, draw) :]


def _size_field(data: bytearray, draw: random.Random) -> None:
    names = [match.start() for match in _NAME.finditer(data)]
    place = _place(data, draw)
    if names:
        # Names lie close together in headers, so that they are hit more often than pictures.
        place = max(0, draw.choice(names) + draw.choice(_AROUND_A_NAME))
    number = draw.choice(_ODD_NUMBERS).to_bytes(4, draw.choice(("big", "little")))
    data[place : place + 4] = number


def _text(data: bytearray, draw: random.Random) -> None:
    span = _span(data, draw)
    if draw.random() < 0.5:
        span = slice(span.start, span.start)
    data[span] = draw.choice(_TEXT)


_KINDS = (_flip_bits, _overwrite, _zero, _remove, _duplicate, _truncate, _size_field, _size_field)
