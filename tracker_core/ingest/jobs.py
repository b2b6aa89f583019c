"""Records of a manifest become videos and jobs of the catalog."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from operator import attrgetter, itemgetter
from pathlib import Path
from stat import S_ISREG
from types import SimpleNamespace
from typing import Any, TypeVar
from uuid import UUID, uuid5

from sqlalchemy import Row

from tracker_core.errors import ManifestError
from tracker_core.ingest.fetch import Versions, fingerprint
from tracker_core.ingest.manifest import Record, RowProblem
from tracker_core.store.catalog import Catalog
from tracker_core.store.schema import NAMESPACE, Status, content_id, segment_of

T = TypeVar("T")

_BATCH = 10_000
_FILES_PER_TASK = 50


@dataclass
class Ingested:
    """What became of a manifest.

    Attributes:
        scope: the id that its videos carry; the same for the same manifest, whoever ingests it.
        videos: rows that have a video of their own.
        missing: videos that have no file.
        reused: rows whose bytes another row's video holds, under the same word and segment: that
            video is theirs.
        skipped: rows that could not be used.
        repeated: rows that say again what an earlier one has said.
        problems: the first of those two kinds.
        notes: sentences about the first files that are copies, or are made up for by copies.
        noted: how many there are in all.
    """

    scope: str
    videos: int = 0
    missing: int = 0
    reused: int = 0
    skipped: int = 0
    repeated: int = 0
    problems: list[RowProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    noted: int = 0


def rows_of(manifests: Iterable[Iterable[Record | RowProblem]]) -> Iterator[Record | RowProblem]:
    """The rows of several manifests, one after the other."""
    return chain.from_iterable(manifests)


def scope_of(rows: Iterable[Record | RowProblem], name: str) -> str:
    """The scope of a manifest: the same for the same content under the same name.

    So two runs of one manifest at the same time share it, and a row that was taken out is left
    out of the next run.
    """
    sums = hashlib.sha256(name.encode())
    for row in rows:
        sums.update(repr(row).encode())
    return sums.hexdigest()[:32]


def video_id(record: Record) -> UUID:
    """The id of a video: the same for the same word, place and segment."""
    segment = segment_of(record)
    text = f"{record.word}\0{record.location}"
    return uuid5(NAMESPACE, text if segment == (None,) * 4 else f"{text}\0{segment}")


def ingest(
    rows: Iterable[Record | RowProblem],
    scope: str,
    manifest: str,
    catalog: Catalog,
    progress: Callable[[int], None] = lambda _: None,
    max_problems: int = 1000,
) -> Ingested:
    """Bring the catalog up to date with the rows, in batches, in bounded memory.

    Each file's checksum is taken, unless its size and time are those the catalog knows. A file
    that is not there makes its job ``missing_file``; one that has come back is due again. Of a
    remote file that was fetched before, its server is asked whether it has changed.

    A file with the bytes of a video of the same word and segment is no second video: the first
    one that came is the video, and belongs to the scope that named it last. Where its own file has
    gone or changed, a copy takes its place; a copy whose bytes change becomes a video. Two ingests
    at the same moment may each make a video of the same bytes; they stay two.

    Args:
        rows: what the manifest holds.
        scope: see `Ingested.scope`.
        manifest: its name, for people.
        catalog: what is brought up to date.
        progress: is told the number of rows after each batch.
        max_problems: as many are kept to be shown; all are counted.

    Raises ManifestError when no row can be used.
    """
    result = Ingested(scope)
    look_at = partial(_look_at, Versions())
    with ThreadPoolExecutor() as threads:
        for batch in _batches(rows, _BATCH):
            problems = [row for row in batch if isinstance(row, RowProblem)]
            result.repeated += sum(problem.repeats for problem in problems)
            result.skipped += sum(not problem.repeats for problem in problems)
            result.problems += problems[: max_problems - len(result.problems)]
            records = {video_id(r): r for r in batch if isinstance(r, Record)}
            known = catalog.known_files(list(records))
            copies = catalog.known_copies([row_id for row_id in records if row_id not in known])
            looks = (
                (record, known.get(row_id, copies.get(row_id)))
                for row_id, record in records.items()
            )
            # Many a task: handing one over costs more than looking for a file that is not there.
            files = chain.from_iterable(threads.map(look_at, _batches(looks, _FILES_PER_TASK)))
            found = dict(zip(records, files, strict=True))
            settled = _Batch(scope, manifest, records, found, known, copies)
            settled.settle(catalog)
            settled.write(catalog)
            result.videos += len(records) - len(settled.copied)
            result.reused += len(settled.copied)
            result.missing += len(settled.absent)
            result.notes += settled.notes[: max_problems - len(result.notes)]
            result.noted += len(settled.notes)
            progress(result.videos + result.reused)
    if not (result.videos or result.reused):
        first = result.problems[0] if result.problems else None
        why = f"; line {first.line}: {first.message}" if first else ""
        raise ManifestError(f"not one row of {manifest} names a video that can be used{why}")
    return result


_NO_FILE: dict[str, Any] = {"sha1": None, "sha256": None, "size_bytes": None, "mtime_ns": None}
_PLACE = ("local_path", "remote_url", "size_bytes", "mtime_ns")


@dataclass
class _Batch:
    """What a batch of rows makes of the catalog.

    A row whose word, segment and bytes are those of a video that is there reuses it: its file is
    a copy. What is a video and has had bytes stays one, whatever bytes it gets.

    Attributes:
        scope, manifest: of the rows.
        records: the rows by the id that each one's own video has.
        files: for each, what `_look_at` found.
        known: the videos that the catalog holds of these ids; others join them.
        copies: the copies that it holds of these ids.
        videos: columns of the videos that the rows name or reuse.
        copied: columns of the copies.
        parted: ids of copies that now are videos of their own.
        absent: videos without a file -> a sentence about it.
        notes: a sentence about each row whose video is not, or not only, where the row says.
    """

    scope: str
    manifest: str
    records: dict[UUID, Record]
    files: dict[UUID, dict[str, Any] | str]
    known: dict[UUID, Row[Any]]
    copies: dict[UUID, Row[Any]]
    videos: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    copied: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    parted: list[UUID] = field(default_factory=list)
    absent: dict[UUID, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _held: dict[UUID, dict[str, Any]] = field(default_factory=dict)

    def settle(self, catalog: Catalog) -> None:
        """Decide of each row whether it has a video of its own."""
        own: list[UUID] = []
        others: list[UUID] = []
        for row_id in self.records:
            (own if _has_had_bytes(self.known.get(row_id)) else others).append(row_id)
        elsewhere = catalog.copies_of(
            [row_id for row_id in own if isinstance(self.files[row_id], str)]
        )
        for row_id in own:
            self._settle_own(row_id, elsewhere.get(row_id, []))
        holders = {
            columns["content_id"]: columns
            for columns in reversed(self.videos.values())
            if columns["content_id"] is not None
        }
        rows = {row_id: self._columns(row_id) for row_id in others}
        wanted = {columns["content_id"] for columns in rows.values()} - {None} - holders.keys()
        for video in catalog.known_contents(wanted):
            if video.id not in self.records:
                self.known[video.id] = video
                holders.setdefault(video.content_id, self._of_catalog(video))
        self._know_videos_of_copies(catalog)
        for row_id, columns in rows.items():
            holder = holders.get(columns["content_id"])
            if holder is not None:
                self._reuse(row_id, columns, holder)
                continue
            self._settle_new(row_id, columns)
            if columns["content_id"] is not None:
                holders[columns["content_id"]] = columns

    def write(self, catalog: Catalog) -> None:
        """Bring what is news into the catalog."""
        changed = [
            columns
            for row_id, columns in self.videos.items()
            if _is_news(columns, self.absent.get(row_id), self.known.get(row_id))
        ]
        missing = {
            columns["id"]: self.absent[columns["id"]]
            for columns in changed
            if columns["id"] in self.absent
        }
        copied = [
            columns for row_id, columns in self.copied.items()
            if row_id not in self.copies or columns != self.copies[row_id]._asdict()
        ]  # fmt: skip
        catalog.upsert_videos(changed, missing, copied, self.parted)

    def _settle_own(self, row_id: UUID, copies: list[Row[Any]]) -> None:
        """A row that is a video of the catalog. Without its file, a copy's takes its place."""
        record, known, file = self.records[row_id], self.known[row_id], self.files[row_id]
        columns = self.videos[row_id] = self._columns(row_id)
        if not isinstance(file, str):
            return
        same = [copy for copy in copies if copy.sha256 == known.sha256]
        places = [known, *same] if known.local_path != record.location else same
        place = next((place for place in places if _is_there(place)), None)
        if place is None:
            self.absent[row_id] = file
            return
        columns.update({name: getattr(place, name) for name in _PLACE})
        self.notes.append(
            f"{_line(record)}{record.location} is not there: its video is made from "
            f"{place.local_path}, which holds the same bytes"
        )

    def _settle_new(self, row_id: UUID, columns: dict[str, Any]) -> None:
        """A row that has, or is to have, a video of its own; it may have been a copy."""
        file, copy = self.files[row_id], self.copies.get(row_id)
        self.videos[row_id] = columns
        if isinstance(file, str):
            columns.update(_NO_FILE, content_id=None)
            self.absent[row_id] = file
        if copy is None:
            return
        self.parted.append(row_id)
        left = self.known[copy.video_id]
        if left.id not in self.videos and left.local_path == copy.local_path:
            # It had lost its own file before.
            self.videos[left.id] = self._of_catalog(left)
            self.videos[left.id].update(remote_url=None, size_bytes=None, mtime_ns=None)
            self.absent[left.id] = (
                f"{copy.local_path}, which held the bytes of {left.filename}, has changed or gone"
            )

    def _reuse(self, row_id: UUID, columns: dict[str, Any], holder: dict[str, Any]) -> None:
        """A row whose bytes a video holds already."""
        record, file = self.records[row_id], self.files[row_id]
        self.videos.setdefault(holder["id"], holder)
        if holder["scope"] != self.scope:
            holder.update({name: columns[name] for name in ("scope", "manifest", "line")})
        names = record.filename, holder["filename"]
        if names[0] == names[1]:
            names = record.location, holder["local_path"]
        if isinstance(file, str):
            self.copied[row_id] = self.copies[row_id]._asdict()
            self.notes.append(
                f"{_line(record)}{record.location} is not there: it held the same bytes as "
                f"{names[1]}, whose video is reused"
            )
            return
        self.copied[row_id] = {
            "id": row_id,
            "video_id": holder["id"],
            "filename": record.filename,
            **{name: columns[name] for name in (*_PLACE, "sha1", "sha256")},
        }
        self.notes.append(
            f"{_line(record)}{names[0]} holds the same bytes as {names[1]}: its video is reused"
        )
        if not _is_there(SimpleNamespace(**holder)):
            holder.update({name: columns[name] for name in _PLACE})
            self.absent.pop(holder["id"], None)

    def _columns(self, row_id: UUID) -> dict[str, Any]:
        """Columns of the row's own video. A file that is not there leaves its checksums."""
        record, file, known = self.records[row_id], self.files[row_id], self.known.get(row_id)
        if isinstance(file, str):
            had = known or self.copies.get(row_id)
            sums = {} if had is None else {"sha1": had.sha1, "sha256": had.sha256}
            file = {**_NO_FILE, **sums}
        holds = known.content_id if known and known.sha256 == file["sha256"] else None
        return {
            "id": row_id,
            "word": record.word,
            "filename": record.filename,
            "remote_url": record.remote_url,
            "local_path": record.location,
            "start_s": record.start_s,
            "end_s": record.end_s,
            "start_frame": record.start_frame,
            "end_frame": record.end_frame,
            "manifest": self.manifest,
            "line": record.line,
            "scope": self.scope,
            "content_id": holds or content_id(record.word, segment_of(record), file["sha256"]),
            **file,
        }

    def _of_catalog(self, video: Row[Any]) -> dict[str, Any]:
        """Columns of a video that no row has the id of: one dict for each, which may change."""
        return self._held.setdefault(video.id, {name: getattr(video, name) for name in _COLUMNS})

    def _know_videos_of_copies(self, catalog: Catalog) -> None:
        ids = {copy.video_id for copy in self.copies.values()} - self.known.keys()
        self.known |= catalog.known_files(list(ids))


_COLUMNS = (
    "id", "word", "filename", "remote_url", "local_path", "start_s", "end_s", "start_frame",
    "end_frame", "manifest", "line", "scope", "content_id", *_NO_FILE,
)  # fmt: skip
_given, _catalogued = itemgetter(*_COLUMNS), attrgetter(*_COLUMNS)


def _has_had_bytes(known: Row[Any] | None) -> bool:
    """Whether the catalog's video was ever more than a name, or is about to be.

    A URL whose bytes have changed has no checksum, but its video was probed.
    """
    return known is not None and (
        known.sha256 is not None or known.width is not None or known.status == Status.PROCESSING
    )


def _is_there(place: Any) -> bool:
    """Whether the file of a video or copy is as the catalog knows it; of a URL, it may be."""
    if place.remote_url is not None and place.local_path == place.remote_url:
        return True
    try:
        stat = Path(place.local_path).stat()
    except (OSError, ValueError):
        return False
    return (stat.st_size, stat.st_mtime_ns) == (place.size_bytes, place.mtime_ns)


def _line(record: Record) -> str:
    return f"line {record.line}: " if record.line else ""


def _is_news(columns: dict[str, Any], absent: str | None, known: Row[Any] | None) -> bool:
    """Whether the catalog does not hold exactly this of the video and its missing file."""
    if known is None or (
        absent is not None and (known.status, known.error) != (Status.MISSING_FILE, absent)
    ):
        return True
    return bool(_given(columns) != _catalogued(known))


def _look_at(
    versions: Versions, batch: list[tuple[Record, Row[Any] | None]]
) -> list[dict[str, Any] | str]:
    return [
        _look_at_remote(record.remote_url, known, versions)
        if record.remote_url is not None and record.location == record.remote_url
        else _look(record, known)
        for record, known in batch
    ]


def _look_at_remote(url: str, known: Row[Any] | None, versions: Versions) -> dict[str, Any]:
    """What was found when it was fetched, or nothing where it has changed since.

    The stamp of its version stands in the place of a file's time.
    """
    if known is None or known.sha256 is None:
        return _NO_FILE  # its bytes are looked at when it is fetched
    found = {name: getattr(known, name) for name in _NO_FILE}
    version = versions.of(url)
    if version is None or version.stamp is None or version.stamp == known.mtime_ns:
        return found
    if known.mtime_ns is None and version.size in (None, known.size_bytes):
        return {**found, "mtime_ns": version.stamp}
    return _NO_FILE


def _look(record: Record, known: Row[Any] | None) -> dict[str, Any] | str:
    """Size, time and checksums of the record's file; a sentence where it cannot be read."""
    path = Path(record.location)
    try:
        stat = path.stat()
        if not S_ISREG(stat.st_mode):  # a pipe would be waited for, a device read without end
            return f"{path} cannot be read: it is a folder or a device, not a file"
        seen = {"size_bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        if (
            known is not None
            and known.sha256 is not None
            and seen == {name: getattr(known, name) for name in seen}
        ):
            return {**seen, "sha1": known.sha1, "sha256": known.sha256}
        sums = fingerprint(path)
    except FileNotFoundError:
        where = f"line {record.line}" if record.line else "the name"
        return (
            f"{path} is not there: check {where}, or give the folder that paths start from (--root)"
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
    return {**seen, "sha1": sums.sha1, "sha256": sums.sha256}


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
