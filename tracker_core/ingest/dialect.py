"""Bytes of a delimited text file -> rows of cells with the line each one starts on.

Encoding and delimiter are found here; what the columns mean is `tracker_core.ingest.columns`.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

from tracker_core.errors import ManifestError

DELIMITERS = ("\t", ";", "|", ",")
"""Tried in this order; the earlier wins where two explain a file equally well."""

ONE_COLUMN = "\x1f"
"""Stands for "no delimiter": a character that text does not hold."""

MOST_COLUMNS = 16_384
"""As many as Excel has. A damaged file can have a million, and all of them would be looked at."""

SAMPLE_ROWS = 200
_SAMPLE_CHARACTERS = 256 * 1024
_BLOCK = 1024 * 1024
_LONGEST_LINE = 1024 * 1024
_REPLACED = "\ufffd"

_BOMS = (  # the longer first: UTF-32 LE begins with the mark of UTF-16 LE
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SIGNATURES = (
    (b"PK\x03\x04", "an Excel or OpenDocument workbook (or a ZIP archive); save it as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook of the old kind; save it as CSV UTF-8"),
    (b"PAR1", "a Parquet file; write it as CSV"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"%PDF", "a PDF document; a manifest is a CSV"),
)
_WEB_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head)\b", re.IGNORECASE)
_CONTROLS = bytes({*range(32)} - set(b"\t\n\v\f\r\x1a\x1b"))
"""Bytes that text does not hold."""
_SEPARATOR_HINT = re.compile(r'"?sep=(\\t|[^"\r\n])"?[ \t]*\r?\n?\Z', re.IGNORECASE)

# What ELAN may write above a table: its own file, and each video with its offset.
_ELAN_HEAD = re.compile(r'"?#"?\s*(\S.*(\.eaf|-- offset: *-?[0-9]+))"?\s*\Z', re.IGNORECASE)

_TWICE = 'a quote inside a quoted cell is written twice: ""'
_UNCLOSED = f"a quote is opened and not closed in the same row ({_TWICE})"


class Row(NamedTuple):
    """One row: its cells, or what is wrong with it."""

    line: int
    cells: list[str]
    problem: str | None = None


@dataclass(frozen=True)
class Dialect:
    """How the text of a manifest is written.

    Attributes:
        encoding: a codec name of Python; a byte order mark is taken off by it.
        damaged: some bytes are not of this encoding; rows that hold them are problems.
        delimiter: one character, `ONE_COLUMN` where each line is one cell.
        skips_space: spaces between a delimiter and a quote are not part of the cell.
        skipped_lines: lines before the first row (1 where the file begins with ``sep=;``, more
            where ELAN names its media there).
    """

    encoding: str
    damaged: bool
    delimiter: str
    skips_space: bool = False
    skipped_lines: int = 0

    def open(self, path: Path) -> TextIO:
        # newline="" leaves \r\n inside quoted cells as it stands.
        return path.open(encoding=self.encoding, errors="replace", newline="")


def detect_encoding(path: Path) -> tuple[str, bool]:
    """Return the encoding of the whole file and whether some of its bytes are damaged.

    Every byte is looked at, so a first non-ASCII byte near the end counts as one at the start
    does. Bytes that are not UTF-8 mean Windows-1252, unless most of the file's other characters
    prove to be UTF-8: then single rows are damaged, and the rest is not misread for their sake.

    Raises:
        ManifestError: the file is not text.
    """
    with path.open("rb") as stream:
        head = stream.read(64 * 1024)
    for signature, what in _SIGNATURES:
        if head.startswith(signature):
            raise ManifestError(f"{path} is {what}.")
    if _WEB_PAGE.match(head):
        raise ManifestError(
            f"{path} is a web page; download the table itself (it may need a login first)."
        )
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding, not decodes(path, encoding)
    # UTF-16 without a mark has its zeros in one half of each pair only.
    high, low = head[1::2].count(0), head[0::2].count(0)
    if max(high, low) * 50 > len(head) and max(high, low) > 10 * min(high, low):
        encoding = "utf-16-le" if high > low else "utf-16-be"
        if decodes(path, encoding):
            return encoding, False
    if len(head) - len(head.translate(None, _CONTROLS)) > len(head) // 50:
        raise ManifestError(f"{path} is not text; a manifest is a CSV file, a folder or a URL.")
    if decodes(path, "utf-8"):
        return "utf-8", False
    utf8_characters, other_bytes = _count_utf8(path)
    # In Windows-1252 text a pair of letters that happens to be UTF-8 is very rare.
    if utf8_characters * 4 >= other_bytes:
        return "utf-8", True
    return "cp1252", not decodes(path, "cp1252")


def decodes(path: Path, encoding: str) -> bool:
    """Tell whether every byte of the file is text in `encoding`; a zero is not."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        blocks = (decoder.decode(block) for block in _blocks(path))
        if any("\0" in text for text in blocks):
            return False
        decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def _count_utf8(path: Path) -> tuple[int, int]:
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    valid = invalid = 0
    for block in _blocks(path):
        text = decoder.decode(block)
        bad = len(re.findall("[\udc80-\udcff]", text))
        valid += len(re.findall("[^\x00-\x7f]", text)) - bad
        invalid += bad
    return valid, invalid


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield block


def detect_dialect(
    path: Path,
    encoding: str,
    damaged: bool,
    *,
    known_names: Callable[[list[str]], int],
    is_video: Callable[[str], bool],
) -> Dialect:
    """Return the dialect whose first rows make the most sense.

    Judged in this order: column names recognised in the first row (`known_names`), rows with a
    cell that names a video (`is_video`), and how many rows are as wide as the first.
    """
    with Dialect(encoding, damaged, ONE_COLUMN).open(path) as stream:
        lines = _sample(stream)
    hint = _SEPARATOR_HINT.match(lines[0]) if lines else None
    skipped = 1 if hint else sum(1 for _ in itertools.takewhile(_ELAN_HEAD.match, lines))
    delimiters: tuple[str, ...] = (*DELIMITERS, ONE_COLUMN)
    if hint:
        delimiters = (hint[1].replace("\\t", "\t"),)

    def merit(dialect: Dialect) -> tuple[int, int, bool, bool, float, int]:
        found = [
            row
            for row in parse(iter(lines[skipped:]), dialect)
            if row.problem is not None or any(map(str.strip, row.cells))
        ]
        width = len(found[0].cells) if found else 0
        # Blank is a better reading than broken.
        if not found or found[0].problem is not None or width > MOST_COLUMNS:
            return (0, 0, not found, not found, 0.0, 0)
        alike = sum(row.problem is None and len(row.cells) == width for row in found) / len(found)
        splits = dialect.delimiter != ONE_COLUMN and width > 1
        videos = sum(any(map(is_video, row.cells)) for row in found)
        return (known_names(found[0].cells), videos, alike >= 0.5, splits, alike, width)

    candidates = [
        Dialect(encoding, damaged, delimiter, skips_space, skipped)
        for delimiter in delimiters
        for skips_space in (False, True)
        if delimiter == ONE_COLUMN or hint or any(delimiter in line for line in lines)
    ]
    return max(candidates, key=merit)


def _sample(stream: TextIO) -> list[str]:
    lines = []
    size = 0
    for line in itertools.islice(iter(lambda: stream.readline(_LONGEST_LINE), ""), SAMPLE_ROWS):
        lines.append(line)
        size += len(line)
        if size > _SAMPLE_CHARACTERS:
            break
    return lines


def rows(
    path: Path,
    dialect: Dialect,
    *,
    width: int | None = None,
    is_record: Callable[[list[str]], bool] | None = None,
) -> Iterator[Row]:
    """Stream the rows of the file; a blank line is a row without cells. See `parse`."""
    with dialect.open(path) as stream:
        for _ in range(dialect.skipped_lines):
            stream.readline(_LONGEST_LINE)
        yield from parse(
            iter(lambda: stream.readline(_LONGEST_LINE), ""),
            dialect,
            width=width,
            is_record=is_record,
        )


def parse(
    lines: Iterator[str],
    dialect: Dialect,
    *,
    width: int | None = None,
    is_record: Callable[[list[str]], bool] | None = None,
) -> Iterator[Row]:
    """Parse lines (with their ends) into rows, in bounded memory.

    A row with a broken quote is a problem of one line, and reading goes on with the next line: a
    quote that is opened and never closed, or closed only by swallowing further rows. The latter is
    seen where a row of several lines has not `width` cells, or where one of the lines it takes in
    is a row by itself (`is_record`).
    """
    source = _Lines(lines, dialect.skipped_lines)
    # strict: text after a closing quote is an error, not a guess.
    reader = csv.reader(
        source, delimiter=dialect.delimiter, skipinitialspace=dialect.skips_space, strict=True
    )
    taken = source.taken
    while True:
        taken.clear()
        problem: str | None = None
        cells: list[str] = []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = _explain(error, len(taken))
        else:
            if len(taken) > 1 and _swallows(cells, taken[1:], dialect.delimiter, width, is_record):
                problem = _UNCLOSED
        if problem is not None:
            source.give_back()
        line = source.number - len(taken) + 1
        if problem is None and dialect.damaged and any(map(_is_damaged, cells)):
            problem = f"it holds bytes that are not {dialect.encoding} text"
        if source.too_long:
            source.too_long = False
            problem = f"it is longer than {_LONGEST_LINE} characters"
        yield Row(line, cells, problem)


def _is_damaged(cell: str) -> bool:
    return _REPLACED in cell or "\0" in cell


def _swallows(
    cells: list[str],
    further: Iterable[str],
    delimiter: str,
    width: int | None,
    is_record: Callable[[list[str]], bool] | None,
) -> bool:
    if width is not None and (len(cells) < width or any(cells[width:])):
        return True
    if is_record is None:
        return False
    return any(
        is_record(alone) for line in further for alone in csv.reader([line], delimiter=delimiter)
    )


def _explain(error: csv.Error, lines: int) -> str:
    text = str(error)
    if "unexpected end of data" in text:
        return "a quote is opened and never closed"
    if "expected after" in text:
        return _UNCLOSED if lines > 1 else f"text follows a closing quote ({_TWICE})"
    if "field limit" in text:
        return f"a cell is longer than {csv.field_size_limit()} characters"
    return text


class _Lines:
    """Lines with a way back: those a broken row took in are read again."""

    def __init__(self, lines: Iterator[str], number: int) -> None:
        self._lines = lines
        self._given_back: list[str] = []
        self.taken: list[str] = []
        self.number = number
        self.too_long = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._given_back:
            line = self._given_back.pop()
        else:
            line = next(self._lines)
            if len(line) == _LONGEST_LINE and not line.endswith(("\n", "\r")):
                self._skip_rest()
        self.number += 1
        self.taken.append(line)
        return line

    def _skip_rest(self) -> None:
        self.too_long = True
        for part in self._lines:
            if len(part) < _LONGEST_LINE or part.endswith(("\n", "\r")):
                return

    def give_back(self) -> None:
        """Return all lines taken for this row except its first."""
        self._given_back.extend(reversed(self.taken[1:]))
        self.number -= len(self.taken) - 1
        del self.taken[1:]
