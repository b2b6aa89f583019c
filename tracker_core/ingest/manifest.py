"""Any list of videos -> records: a delimited text file, a folder, a glob, a file or a URL.

::

    manifest = open_manifest("dictionary.csv")
    print(manifest.recognised.describe())
    for item in manifest:
        if isinstance(item, RowProblem): ...   # reported and skipped
        else: ...                              # a Record
"""

from __future__ import annotations

import codecs
import glob
import hashlib
import itertools
import os
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tracker_core.errors import ManifestError
from tracker_core.ingest.columns import Columns, count_known, has_header, recognise
from tracker_core.ingest.dialect import (
    MOST_COLUMNS,
    ONE_COLUMN,
    SAMPLE_ROWS,
    Dialect,
    Row,
    decodes,
    detect_dialect,
    detect_encoding,
    rows,
)
from tracker_core.ingest.fetch import file_system
from tracker_core.ingest.sources import (
    Resolver,
    Source,
    is_url,
    looks_like_video,
    passed_over,
    path_from_file_url,
    videos_in,
    word_from,
)
from tracker_core.ingest.timecode import parse_frame, parse_rate, parse_seconds

_Segment = tuple[float | None, float | None, int | None, int | None]
"""Start and end in seconds, start and end in frames."""
_SEGMENT_ROLES = ("fps", "start", "end", "duration", "start_frame", "end_frame")
_WHOLE: _Segment = (None, None, None, None)
_LONGEST_NAME = 600  # characters of a word or file name: Postgres indexes 2700 bytes at most
_N = TypeVar("_N", int, float)


@dataclass(frozen=True, slots=True)
class Record:
    """One video, or one segment of it, that the manifest asks for.

    Attributes:
        line: line of the manifest, from 1, on which the row starts; 0 without a manifest file.
        word: what is signed, NFC, one space between its parts, otherwise as spelled; the stem of
            the file where the manifest has no word.
        location: absolute local path, or the URL. The file need not exist.
        remote_url: the URL where the manifest gives one. It may stand beside a local `location`;
            the video has to be fetched where the two are equal.
        filename: NFC base name of the file.
        start_s, end_s: segment of the source in seconds; None: from its start, to its end.
        start_frame, end_frame: the same in frames of the source, counted from 0, the end not
            included, where the manifest counts frames. Seconds are given as well where it has the
            frame rate.
        extra: the other columns as they stand.
    """

    line: int
    word: str
    location: str
    remote_url: str | None
    filename: str
    start_s: float | None = None
    end_s: float | None = None
    start_frame: int | None = None
    end_frame: int | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RowProblem:
    """A row that is skipped, and why.

    Attributes:
        line: as in `Record`.
        message: a sentence.
        repeats: it only says again what an earlier row has said, so nothing is lost.
    """

    line: int
    message: str
    repeats: bool = False


@dataclass(frozen=True)
class Recognised:
    """What was found out about a manifest before any of its rows are used.

    Attributes:
        source: the manifest's name.
        kind: "table", "folder", "glob" or "file".
        encoding, delimiter: of a table, otherwise empty.
        header: the first row of the table holds the columns' names.
        columns: role -> name of the column, or its number from 1 in a table without a header.
        extra: the columns without a role.
        notes: sentences about choices that a person may want to know of.
    """

    source: str
    kind: str
    encoding: str = ""
    delimiter: str = ""
    header: bool = False
    columns: Mapping[str, str | int] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return the findings as a few lines of text."""
        lines = [self.source]
        if self.kind == "table":
            delimiter = {"\t": "tab", ONE_COLUMN: "none, one column"}.get(
                self.delimiter, f"'{self.delimiter}'"
            )
            header = "with a header" if self.header else "without a header"
            lines.append(f"  table, {self.encoding}, delimiter {delimiter}, {header}")
            for role, column in self.columns.items():
                name = f"'{column}'" if isinstance(column, str) else f"column {column}"
                lines.append(f"  {role:<11} {name}")
            if self.extra:
                lines.append(f"  kept as extra: {', '.join(self.extra)}")
        else:
            lines.append(f"  {self.kind}; the words are the names of the files")
        lines.extend(f"  note: {note}" for note in self.notes)
        return "\n".join(lines)


class Manifest:
    """A list of videos that can be read any number of times, in memory that does not grow with it.

    (One 16-byte digest per row is kept while it is read, to find rows that repeat another.)

    Attributes:
        recognised: what was found out about it.
        strict: iterating raises `ManifestError` at the first row that would be a `RowProblem` and
            does not only repeat another.
    """

    def __init__(
        self,
        recognised: Recognised,
        read: Callable[[], Iterator[Record | RowProblem]],
        *,
        strict: bool = False,
        keep: object = None,
    ) -> None:
        self.recognised = recognised
        self.strict = strict
        self._read = read
        self._keep = keep  # a temporary folder lives as long as the manifest

    def __iter__(self) -> Iterator[Record | RowProblem]:
        try:
            for item in self._read():
                if self.strict and isinstance(item, RowProblem) and not item.repeats:
                    where = f"{self.recognised.source}, line {item.line}"
                    raise ManifestError(f"{where}: {item.message}.")
                yield item
        except OSError as error:
            raise ManifestError(f"{self.recognised.source} cannot be read: {error}.") from error


def open_manifest(
    source: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    strict: bool = False,
    as_video: bool = False,
) -> Manifest:
    """Look at a manifest and find out how to read it.

    Args:
        source: a delimited text file, local or at a URL that fsspec reads; a folder, which is
            searched for videos, or read by its ``metadata.csv`` where it has one (Hugging Face);
            a glob; a video file.
        root: folder or URL that relative paths start from; the manifest's own folder by default.
        columns: role -> column name, or number from 1, for `tracker_core.ingest.columns.ROLES`;
            wins over what is recognised. Empty: no column has the role.
        encoding: a codec name of Python, instead of the one detected.
        strict: see `Manifest`.
        as_video: a file is a video whatever its name, and never a table.

    Raises:
        ManifestError: there is nothing to read, it is not a manifest, it has no rows, or it leaves
            open which column names the videos.
    """
    text = path_from_file_url(os.fspath(source))
    wanted = dict(columns or {})
    if is_url(text):
        return _open_url(text, root=root, columns=wanted, encoding=encoding, strict=strict)
    path = Path(text)
    try:
        if (path / "metadata.csv").is_file():
            path = path / "metadata.csv"
            text = str(path)
        if path.is_dir():
            return _open_folder(path, wanted, strict)
        if path.is_file():
            if as_video or looks_like_video(text):
                return _open_files([str(path.absolute())], text, "file", wanted, strict)
            return _open_table(
                path, text, root=root, columns=wanted, encoding=encoding, strict=strict
            )
        if glob.has_magic(text):
            return _open_glob(text, wanted, strict)
    except (OSError, ValueError) as error:
        raise ManifestError(f"{text!r} cannot be read: {error}.") from error
    raise ManifestError(f"There is no file or folder {text!r} (looked in {Path.cwd()}).")


# -- files without a table -------------------------------------------------------------------


def _open_folder(folder: Path, columns: Mapping[str, str], strict: bool) -> Manifest:
    _refuse_columns(columns, folder)
    folder = folder.absolute()
    if not any(isinstance(found, Path) for found in videos_in(folder)):
        raise ManifestError(f"The folder {folder} holds no video files.")
    notes = []
    if tables := sorted(path.name for path in folder.glob("*.[ct]sv")):
        notes.append(f"{tables[0]} was not read; give it as the manifest to use its words.")
    if others := [path.name for path in passed_over(folder)]:
        named = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        notes.append(
            f"{len(others)} files were passed over, their names being no video's: {named}. "
            "`tracker track FILE` takes any."
        )

    def read() -> Iterator[Record | RowProblem]:
        for found in videos_in(folder):
            if isinstance(found, OSError):
                yield RowProblem(0, f"a folder cannot be read: {found}")
            else:
                yield _file_record(str(found))

    return Manifest(Recognised(str(folder), "folder", notes=tuple(notes)), read, strict=strict)


def _open_glob(pattern: str, columns: Mapping[str, str], strict: bool) -> Manifest:
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207, absolute patterns
    videos = [os.path.abspath(path) for path in found if looks_like_video(path)]  # noqa: PTH100
    videos = [path for path in videos if Path(path).is_file()]
    if not videos:
        what = f"{len(found)} files, none of them a video" if found else "nothing"
        raise ManifestError(f"The pattern {pattern!r} matches {what} (looked in {Path.cwd()}).")
    return _open_files(videos, pattern, "glob", columns, strict)


def _open_files(
    paths: Iterable[str], name: str, kind: str, columns: Mapping[str, str], strict: bool
) -> Manifest:
    _refuse_columns(columns, name)
    paths = tuple(paths)
    return Manifest(Recognised(name, kind), lambda: map(_file_record, paths), strict=strict)


def _refuse_columns(columns: Mapping[str, str], name: object) -> None:
    if columns:
        raise ManifestError(f"{name} is no table, so it has no columns to choose from.")


def _file_record(path: str) -> Record | RowProblem:
    try:
        path.encode()
    except UnicodeEncodeError:
        return RowProblem(0, f"the name {path!a} is not UTF-8; rename the file")
    if is_url(path):
        source = Resolver("").resolve(path)
        return Record(0, _word("", source.filename), path, path, source.filename)
    filename = unicodedata.normalize("NFC", Path(path).name)
    return Record(0, _word("", filename), path, None, filename)


# -- a table ---------------------------------------------------------------------------------


def _open_url(
    url: str,
    *,
    root: str | os.PathLike[str] | None,
    columns: Mapping[str, str],
    encoding: str | None,
    strict: bool,
) -> Manifest:
    if looks_like_video(url):
        return _open_files([url], url, "file", columns, strict)
    keep = tempfile.TemporaryDirectory(prefix="tracker-manifest-")
    path = Path(keep.name) / "manifest"
    try:
        files, place = file_system(url)
        if url.endswith("/"):
            found = [files.unstrip_protocol(name) for name in sorted(files.find(place))]
        else:
            files.get_file(place, str(path))
    except FileNotFoundError as error:
        raise ManifestError(f"{url} cannot be read: there is nothing of that name.") from error
    except Exception as error:  # each protocol has its own exceptions
        raise ManifestError(
            f"{url} cannot be read: {str(error) or type(error).__name__}"
        ) from error
    if url.endswith("/"):
        videos = [name for name in found if looks_like_video(name)]
        if not videos:
            raise ManifestError(f"{url} holds no video files.")
        return _open_files(videos, url, "folder", columns, strict)
    base = url.split("?", 1)[0].rsplit("/", 1)[0]
    try:
        return _open_table(
            path, url, root=root or base, columns=columns, encoding=encoding, strict=strict,
            keep=keep,
        )  # fmt: skip
    except ManifestError as error:  # the copy's name says nothing to anybody
        raise ManifestError(str(error).replace(str(path), url)) from None


def _open_table(
    path: Path,
    name: str,
    *,
    root: str | os.PathLike[str] | None,
    columns: Mapping[str, str],
    encoding: str | None,
    strict: bool,
    keep: object = None,
) -> Manifest:
    dialect = detect_dialect(
        path, *_encoding(path, encoding), known_names=count_known, is_video=looks_like_video
    )
    resolver = Resolver(path_from_file_url(os.fspath(root)) if root else str(path.parent))
    given = (row for row in rows(path, dialect) if not _is_blank(row))
    start = list(itertools.islice(given, SAMPLE_ROWS))
    sample = [row.cells for row in start if row.problem is None]
    if not start:
        raise ManifestError(f"{name} is empty; a manifest lists one video per row.")
    if not sample:
        raise ManifestError(f"{name}, line {start[0].line}: {start[0].problem}.")
    if len(sample[0]) > MOST_COLUMNS:
        raise ManifestError(
            f"{name} begins with a row of {len(sample[0]):,} cells, and no manifest has more than "
            f"{MOST_COLUMNS:,} columns: the file is damaged, or no table."
        )
    header = has_header(sample, columns, resolver.exists)
    if header and len(start) == 1:
        raise ManifestError(f"{name} has a header ({', '.join(sample[0])}) and no rows.")
    recognition = recognise(sample, columns, resolver.exists, header=header, manifest=name)
    table = _Table(path, dialect, recognition, resolver)
    recognised = Recognised(
        source=name,
        kind="table",
        encoding=dialect.encoding,
        delimiter=dialect.delimiter,
        header=recognition.header,
        columns={
            role: recognition.names[index] if recognition.header else index + 1
            for role, index in recognition.roles.items()
        },
        extra=tuple(recognition.names[index] for index in table.extra),
        notes=(*recognition.notes, *table.notes()),
    )
    return Manifest(recognised, table.read, strict=strict, keep=keep)


def _encoding(path: Path, encoding: str | None) -> tuple[str, bool]:
    if encoding is None:
        return detect_encoding(path)
    try:
        codec = codecs.lookup(encoding)
        "".encode(codec.name)  # refuses codecs that are no text encodings, such as base64
    except LookupError as error:
        raise ManifestError(f"There is no text encoding {encoding!r}.") from error
    return codec.name, not decodes(path, codec.name)


def _is_blank(row: Row) -> bool:
    return row.problem is None and not any(map(str.strip, row.cells))


class _Table:
    """The rows of one table as records."""

    def __init__(self, path: Path, dialect: Dialect, columns: Columns, resolver: Resolver) -> None:
        self._path = path
        self._dialect = dialect
        self._columns = columns
        self._resolver = resolver
        self._roles = columns.roles
        self._width = len(columns.names)
        # Cells that a row may lack: Excel leaves out empty cells at the end of a row.
        self._least = max(self._roles.values()) + 1
        self._segment_columns = tuple(map(self._roles.get, _SEGMENT_ROLES))
        self._is_segmented = any(index is not None for index in self._segment_columns[1:])
        used = set(self._roles.values())
        self.extra = tuple(index for index in range(self._width) if index not in used)
        self._extra_names = [(columns.names[index], index) for index in self.extra]

    def data(self) -> Iterator[Row]:
        """Yield the rows that are neither the header nor blank."""
        video = self._roles["path"]

        def is_record(cells: list[str]) -> bool:
            return len(cells) == self._width and looks_like_video(cells[video])

        found = rows(self._path, self._dialect, width=self._width, is_record=is_record)
        awaits_header = self._columns.header
        for row in found:
            if awaits_header and row.problem is None and not _is_blank(row):
                awaits_header = False
            elif not _is_blank(row):
                yield row

    def read(self) -> Iterator[Record | RowProblem]:
        first_lines: dict[bytes, int] = {}
        for row in self.data():
            if row.problem is not None:
                yield RowProblem(row.line, row.problem)
                continue
            try:
                record = self._record(row)
            except ValueError as error:
                yield RowProblem(row.line, str(error))
                continue
            first = first_lines.setdefault(_digest(record), row.line)
            if first != row.line:
                yield RowProblem(row.line, f"it repeats line {first}", repeats=True)
            else:
                yield record

    def _record(self, row: Row) -> Record:
        cells = row.cells
        if len(cells) != self._width:
            cells = self._evened(cells)
        roles = self._roles
        source = self._source(cells)
        word = _word(cells[roles["word"]] if "word" in roles else "", source.filename)
        for what, text in (("word", word), ("file name", source.filename)):
            if len(text) > _LONGEST_NAME:
                raise ValueError(f"its {what} has {len(text):,} characters: {text[:40]!r}...")
        return Record(
            row.line,
            word,
            source.location,
            source.remote_url,
            source.filename,
            *self._segment(cells),
            {name: cells[index] for name, index in self._extra_names},
        )

    def _evened(self, cells: list[str]) -> list[str]:
        if self._least <= len(cells) < self._width:
            return cells + [""] * (self._width - len(cells))
        if len(cells) > self._width and not any(map(str.strip, cells[self._width :])):
            return cells
        what = "the header has" if self._columns.header else "the first row has"
        raise ValueError(f"it has {len(cells)} cells where {what} {self._width}")

    def _source(self, cells: list[str]) -> Source:
        path = cells[self._roles["path"]]
        if "url" not in self._roles:
            return self._resolver.resolve(path)
        url = cells[self._roles["url"]].strip()
        source = self._resolver.resolve(path if path.strip() else url)
        return source._replace(remote_url=source.remote_url or (url if is_url(url) else None))

    def _segment(self, cells: list[str]) -> _Segment:
        if not self._is_segmented:
            return _WHOLE
        fps, start, end, duration, start_at, end_at = self._segment_columns
        rate = None if fps is None else parse_rate(cells[fps])
        start_s = end_s = start_frame = end_frame = None
        if start is not None:
            start_s = parse_seconds(cells[start], milliseconds=self._columns.start_in_ms, rate=rate)
        if end is not None:
            end_s = parse_seconds(cells[end], milliseconds=self._columns.end_in_ms, rate=rate)
        elif duration is not None and start_s is not None:
            lasts = parse_seconds(cells[duration], milliseconds=self._columns.end_in_ms, rate=rate)
            # Rounded: 0.1 + 0.2 is 0.3, for the id of the segment as for people.
            end_s = None if lasts is None else round(start_s + lasts, 6)
        if start_at is not None:
            start_frame = parse_frame(cells[start_at])
        if end_at is not None:
            end_frame = parse_frame(cells[end_at])
        if self._columns.frames_from_one and start_frame is not None:
            start_frame = max(start_frame - 1, 0)
        start_s, end_s = _whole_or_valid(start_s, end_s)
        start_frame, end_frame = _whole_or_valid(start_frame, end_frame)
        if rate is not None and start_s is None and end_s is None:
            start_s = None if start_frame is None else start_frame / rate
            end_s = None if end_frame is None else end_frame / rate
        return start_s, end_s, start_frame, end_frame

    def notes(self) -> Iterator[str]:
        """Yield what the first records tell: files that are not there, bytes that are damaged."""
        if self._dialect.damaged:
            yield (
                f"Some bytes are not {self._dialect.encoding} text; rows that hold them are "
                "skipped (or give the encoding)."
            )
        local = [
            item.location
            for item in itertools.islice(self.read(), 20)
            if isinstance(item, Record) and item.location != item.remote_url
        ]
        if local and not any(map(os.path.isfile, local)):
            yield (
                f"None of the first {len(local)} files is there ({local[0]}); if the paths start "
                "from another folder, give it as the root."
            )


def _whole_or_valid(start: _N | None, end: _N | None) -> tuple[_N | None, _N | None]:
    """Return the segment, or (None, None) for 0 to 0, which means the whole file.

    Raises:
        ValueError: the end is not after the start.
    """
    if not start and end == 0:
        return None, None
    if end is not None and end <= (start or 0):
        raise ValueError(f"its end ({end:g}) is not after its start ({start or 0:g})")
    return start, end


def _word(text: str, filename: str) -> str:
    """Return the word in NFC with one space between its parts, or the file's stem."""
    word = " ".join(text.split()) or " ".join(word_from(filename).split())
    return word if word.isascii() else unicodedata.normalize("NFC", word)


def _digest(record: Record) -> bytes:
    key = (
        f"{record.word}\0{record.location}\0{record.start_s}\0{record.end_s}"
        f"\0{record.start_frame}\0{record.end_frame}"
    )
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
