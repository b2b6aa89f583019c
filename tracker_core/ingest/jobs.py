"""Records of a manifest become videos and jobs of the catalog."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from stat import S_ISREG
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Row

from tracker_core.errors import ManifestError
from tracker_core.ingest.fetch import Versions, fingerprint
from tracker_core.ingest.manifest import Record, RowProblem
from tracker_core.store.catalog import Catalog
from tracker_core.store.schema import Status

T = TypeVar("T")

# Names of videos are made in this namespace: the same video has the same id in every catalog.
_NAMESPACE = UUID("6f1d3a52-54f5-4c0e-9a64-2f2d9f0c7a11")
_BATCH = 10_000
_FILES_PER_TASK = 50


@dataclass
class Ingested:
    """What became of a manifest.

    Attributes:
        scope: the id that its videos carry; the same for the same manifest, whoever ingests it.
        videos: rows that name a video.
        missing: of those, how many have no file.
        skipped: rows that could not be used.
        repeated: rows that say again what an earlier one has said.
        problems: the first of those two kinds.
    """

    scope: str
    videos: int = 0
    missing: int = 0
    skipped: int = 0
    repeated: int = 0
    problems: list[RowProblem] = field(default_factory=list)


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
    segment = (record.start_s, record.end_s, record.start_frame, record.end_frame)
    text = f"{record.word}\0{record.location}"
    return uuid.uuid5(_NAMESPACE, text if segment == (None,) * 4 else f"{text}\0{segment}")


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
            looks = ((record, known.get(row_id)) for row_id, record in records.items())
            # Many a task: handing one over costs more than looking for a file that is not there.
            files = chain.from_iterable(threads.map(look_at, _batches(looks, _FILES_PER_TASK)))
            missing: dict[UUID, str] = {}
            changed: list[dict[str, Any]] = []
            for (row_id, record), file in zip(records.items(), files, strict=True):
                absent = file if isinstance(file, str) else None
                columns = _columns(
                    row_id, record, scope, manifest, _NO_FILE if isinstance(file, str) else file
                )
                result.missing += absent is not None
                if _is_news(columns, absent, known.get(row_id)):
                    changed.append(columns)
                    if absent is not None:
                        missing[row_id] = absent
            catalog.upsert_videos(changed, missing)
            result.videos += len(records)
            progress(result.videos)
    if not result.videos:
        first = result.problems[0] if result.problems else None
        why = f"; line {first.line}: {first.message}" if first else ""
        raise ManifestError(f"not one row of {manifest} names a video that can be used{why}")
    return result


_NO_FILE: dict[str, Any] = {"sha1": None, "sha256": None, "size_bytes": None, "mtime_ns": None}


def _columns(
    row_id: UUID, record: Record, scope: str, manifest: str, file: dict[str, Any]
) -> dict[str, Any]:
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
        "manifest": manifest,
        "line": record.line,
        "scope": scope,
        **file,
    }


def _is_news(columns: dict[str, Any], absent: str | None, known: Row[Any] | None) -> bool:
    """Whether the catalog does not hold exactly this of the video and its missing file."""
    if known is None or (
        absent is not None and (known.status, known.error) != (Status.MISSING_FILE, absent)
    ):
        return True
    return any(getattr(known, name) != value for name, value in columns.items())


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
