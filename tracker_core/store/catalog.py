"""The catalog: what is wanted and how it went. SQLite by default, Postgres by URL.

Every change is one transaction; a failure of the moment (a lost connection, a busy database) is
tried again a few times and then raised as StorageError.
"""

from __future__ import annotations

import heapq
import json
import random
import re
import time
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    String,
    Table,
    and_,
    bindparam,
    cast,
    event,
    exists,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlmodel import Session, col, create_engine

from tracker_core.errors import CatalogError, StorageError, VideoError
from tracker_core.store.owner import owner_is_dead, owner_name
from tracker_core.store.schema import (
    Copy,
    Job,
    Run,
    Status,
    Track,
    Video,
    content_id,
    now,
    segment_of,
)

T = TypeVar("T")

_VIDEOS: Table = Video.__table__  # type: ignore[attr-defined]
_JOBS: Table = Job.__table__  # type: ignore[attr-defined]
_COPIES: Table = Copy.__table__  # type: ignore[attr-defined]
_MIGRATIONS = Path(__file__).parent / "migrations"
_SOURCE = func.coalesce(_VIDEOS.c.sha256, _VIDEOS.c.remote_url, cast(_VIDEOS.c.id, String))
_TRIES = 5
_MIGRATION_LOCK = 0x747261636B6572  # any number, the same in every process


@dataclass(frozen=True)
class DueJob:
    """A job that has to run.

    Attributes:
        job_id: of the job.
        source: equal for jobs that read the same bytes: their sha256, or the URL that they are to
            be fetched from.
        title: word and file name, for people.
    """

    job_id: UUID
    source: str
    title: str


@dataclass(frozen=True)
class Failure:
    """A video that is not done, and why."""

    word: str
    path: str
    code: str
    message: str
    line: int | None


class Catalog:
    """The database of videos, jobs, tracks and runs.

    Raises CatalogError when it cannot be reached or its schema is another version's.
    """

    def __init__(self, url: str) -> None:
        if url.startswith("sqlite:///"):
            Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        try:
            self.engine = create_engine(url, pool_pre_ping=True)
        except (SQLAlchemyError, ImportError) as error:
            raise CatalogError(f"DATABASE_URL cannot be used: {error}") from None
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _set_up_sqlite)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    # schema

    def create(self) -> str:
        """Create the tables or bring them up to date; returns the schema's revision."""
        with self.engine.begin() as connection:
            # One process creates the tables; the others wait, and find them there.
            self._wait_for_turn(connection, _MIGRATION_LOCK)
            config = Config()
            config.set_main_option("script_location", str(_MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return _head()

    def open(self) -> Catalog:
        """Check the schema, creating it in an empty database; returns self."""
        try:
            with self.engine.connect() as connection:
                revision = MigrationContext.configure(connection).get_current_revision()
                has_tables = self.engine.dialect.has_table(connection, "videos")
        except DBAPIError as error:
            reason = str(error.orig).strip().splitlines()[0]
            where = self.engine.url.render_as_string(hide_password=True)
            raise CatalogError(
                f"the catalog {where} cannot be reached: {reason}. Check DATABASE_URL"
            ) from None
        if revision is None and not has_tables:
            self.create()
        elif revision != _head():
            raise CatalogError(
                f"the catalog's schema is {revision or 'unknown'}, this version needs {_head()}: "
                "run `tracker init-db`"
            )
        return self

    # ingest

    def known_files(self, ids: Sequence[UUID]) -> dict[UUID, Row[Any]]:
        """The videos among ``ids`` that are catalogued: the columns of `Video`, and the job's
        ``status`` and ``error``."""
        return {row.id: row for row in self._known(_VIDEOS.c.id, ids)}

    def known_contents(self, content_ids: Collection[UUID]) -> list[Row[Any]]:
        """The videos that hold any of these (see `content_id`), the oldest first: columns as of
        `known_files`."""
        found = self._known(_VIDEOS.c.content_id, content_ids)
        return sorted(found, key=lambda row: (row.created_at, row.id))

    def known_copies(self, ids: Collection[UUID]) -> dict[UUID, Row[Any]]:
        """The copies among ``ids``: the columns of `Copy`."""
        if not ids:
            return {}
        with self.engine.connect() as connection:
            found = connection.execute(select(_COPIES).where(_COPIES.c.id.in_(ids)))
            return {row.id: row for row in found}

    def copies_of(self, video_ids: Collection[UUID]) -> dict[UUID, list[Row[Any]]]:
        """Videos -> what is known to hold the same bytes: the columns of `Copy`."""
        copies: dict[UUID, list[Row[Any]]] = {}
        if video_ids:
            query = select(_COPIES).where(_COPIES.c.video_id.in_(video_ids))
            with self.engine.connect() as connection:
                for row in connection.execute(query.order_by(_COPIES.c.local_path)):
                    copies.setdefault(row.video_id, []).append(row)
        return copies

    def upsert_videos(
        self,
        rows: Sequence[Mapping[str, Any]],
        missing: Mapping[UUID, str],
        copies: Sequence[Mapping[str, Any]] = (),
        parted: Collection[UUID] = (),
    ) -> None:
        """Insert or update a batch of videos, with a queued job for each that has none.

        Args:
            rows: columns of `Video`; every row has the same ones.
            missing: the videos whose file is not there -> a sentence about it; their jobs become
                ``missing_file``, unless a live process is at one.
            copies: columns of `Copy`; a video of the same id, which has no track, makes way.
            parted: copies that are copies no more.
        """
        if rows:
            self._upsert_videos(rows, missing)
        if copies or parted:
            self._upsert_copies(copies, parted)

    def _upsert_videos(
        self, rows: Sequence[Mapping[str, Any]], missing: Mapping[UUID, str]
    ) -> None:
        # The same statement for every batch, which is then compiled once and sent row by row by
        # the driver: ten times as fast as one statement of a thousand rows.
        videos = self._insert(Video)
        videos = videos.on_conflict_do_update(
            index_elements=["id"],
            set_={
                name: videos.excluded[name] for name in rows[0] if name not in ("id", "created_at")
            },
        )
        jobs = self._insert(Job)
        gone = {name: jobs.excluded[name] for name in ("status", "error", "error_code")}
        jobs = jobs.on_conflict_do_update(
            index_elements=["video_id"],
            set_={**gone, "finished_at": jobs.excluded.finished_at,
                  "lease_owner": None, "lease_expires_at": None},
            where=and_(jobs.excluded.status == Status.MISSING_FILE, ~self._is_held()),
        )  # fmt: skip
        today = now()
        # In the order of the keys: their pages in the index are then visited once.
        ordered = sorted(rows, key=lambda row: int(row["id"].int))
        video_rows = [{"created_at": today, **row} for row in ordered]
        job_ids = sorted((uuid4() for _ in ordered), key=attrgetter("int"))
        job_rows = [
            _new_job(job_id, row["id"], today, missing.get(row["id"]))
            for job_id, row in zip(job_ids, ordered, strict=True)
        ]

        def write() -> None:
            with self.engine.begin() as connection:
                connection.execute(videos, video_rows)
                connection.execute(jobs, job_rows)

        self._steadily(write)

    def _upsert_copies(self, copies: Sequence[Mapping[str, Any]], parted: Collection[UUID]) -> None:
        def write() -> None:
            with self.engine.begin() as connection:
                connection.execute(_COPIES.delete().where(_COPIES.c.id.in_(parted)))
                if copies:
                    self._write_copies(connection, copies)

        self._steadily(write)

    # the queue

    def release_dead(self) -> int:
        """Give back the claims of this machine's dead processes; returns how many."""
        with self.engine.connect() as connection:
            owners = connection.execute(
                select(Job.lease_owner).where(col(Job.lease_owner).is_not(None)).distinct()  # type: ignore[call-overload]
            ).scalars()
            dead = [owner for owner in owners if owner_is_dead(owner)]
        if not dead:
            return 0
        return self._steadily(
            lambda: self._execute(
                update(Job)
                .where(col(Job.lease_owner).in_(dead))
                .values(status=Status.QUEUED, lease_owner=None, lease_expires_at=None)
            )
        )

    def due(
        self, scope: str | None, pipeline: str, *, force: bool = False, retry_failed: bool = False,
        limit: int | None = None,
    ) -> Iterator[DueJob]:  # fmt: skip
        """Jobs of the scope that today's pipeline has not settled, in the manifest's order.

        Jobs of equal content follow each other, in the order of their starts, so that one reading
        passes all of their segments. Settled is what is done, or has failed for good, with the same
        pipeline and the same bytes; and what another run holds at the moment.

        Args:
            scope: the ingest whose videos are meant; None: all.
            pipeline: fingerprint of today's stages, parameters and models.
            force: also what is done.
            retry_failed: also what has failed for good.
            limit: at most so many.
        """
        same = and_(
            col(Job.pipeline) == pipeline,
            func.coalesce(Video.sha256, "") == func.coalesce(Job.content, ""),
        )
        settled: ColumnElement[bool] = self._is_held()
        if not force:
            settled = or_(settled, and_(col(Job.status) == Status.DONE, same))
        if not (retry_failed or force):
            failed = and_(col(Job.status) == Status.FAILED, ~col(Job.retryable), same)
            settled = or_(settled, failed)
        found = (
            select(Job.id, _SOURCE, Video.word, Video.filename, Video.line)  # type: ignore[call-overload]
            .add_columns(func.min(Video.line).over(partition_by=_SOURCE).label("first"))
            .join(Video, col(Video.id) == col(Job.video_id))
            .where(_within(scope), ~settled)
            .where(or_(col(Job.status) != Status.MISSING_FILE, col(Video.remote_url).is_not(None),
                       col(Video.mtime_ns).is_not(None)))
            .order_by("first", _SOURCE, func.coalesce(Video.start_s, 0.0),
                      func.coalesce(Video.start_frame, 0), Video.line)
            .limit(limit)
        )  # fmt: skip
        return self._jobs(found)

    def done_jobs(self, word: str | None, video: str | None) -> Iterator[DueJob]:
        """Jobs that are done, of a word or of a video (id, file name or path), or all."""
        found = (
            select(Job.id, _SOURCE, Video.word, Video.filename)  # type: ignore[call-overload]
            .join(Video, col(Video.id) == col(Job.video_id))
            .where(col(Job.status) == Status.DONE)
            .order_by(_SOURCE, Video.line)
        )
        if word is not None:
            found = found.where(col(Video.word) == word)
        if video is not None:
            found = found.where(_is_called(video))
        return self._jobs(found)

    def done_outputs(
        self, scope: str | None, pipeline: str
    ) -> Iterator[tuple[UUID, str, int, str | None]]:
        """Job id, track path, track size and export path of what is done in the scope."""
        found = (
            select(Job.id, Track.data_path, Track.size_bytes, Job.export_path)  # type: ignore[call-overload]
            .join(Video, col(Video.id) == col(Job.video_id))
            .join(
                Track,
                and_(col(Track.video_id) == col(Video.id), col(Track.content) == col(Job.content)),
            )
            .where(_within(scope), col(Job.status) == Status.DONE)
            .where(col(Job.pipeline) == pipeline, col(Job.content) == col(Video.sha256))
        )
        with self.engine.connect().execution_options(yield_per=1000) as connection:
            yield from connection.execute(found)

    def requeue(self, job_ids: Sequence[UUID]) -> None:
        """Make jobs due again, whatever they were."""
        for start in range(0, len(job_ids), 500):
            batch = job_ids[start : start + 500]
            statement = (
                update(Job)
                .where(col(Job.id).in_(batch), ~self._is_held())
                .values(status=Status.QUEUED)
            )
            self._steadily(partial(self._execute, statement))

    def give_back(self, job_id: UUID) -> None:
        """Queue a job again that this process holds and cannot go on with."""
        self._steadily(
            lambda: self._execute(
                update(Job)
                .where(col(Job.id) == job_id, col(Job.lease_owner) == owner_name())
                .values(status=Status.QUEUED, lease_owner=None, lease_expires_at=None)
            )
        )

    def claim(self, job_id: UUID, run: Run, lease_s: float) -> Video | None:
        """Take a job for this process, in one atomic statement; None when it is not to be had.

        It is not while another process holds it, nor once another has finished it with the same
        pipeline since this run began.
        """
        settled_meanwhile = and_(
            col(Job.status).in_([Status.DONE, Status.FAILED]),
            col(Job.pipeline) == run.pipeline,
            col(Job.finished_at) >= run.started_at,
        )
        statement = (
            update(Job)
            .where(col(Job.id) == job_id, ~self._is_held())
            .where(~func.coalesce(settled_meanwhile, False))
            .values(
                status=Status.PROCESSING, started_at=now(), finished_at=None, error=None,
                error_code=None, attempts=Job.attempts + 1, lease_owner=owner_name(),
                lease_expires_at=time.time() + lease_s,
            )
            .returning(col(Job.video_id))
        )  # fmt: skip

        def take() -> Video | None:
            with Session(self.engine) as session:
                row = session.connection().execute(statement).first()
                video = session.get(Video, row[0]) if row else None
                session.commit()
                if video is not None:
                    session.refresh(video)
                    session.expunge(video)
                return video

        return self._steadily(take)

    def renew(self, lease_s: float) -> None:
        """Prolong the leases of all that this process holds."""
        self._steadily(
            lambda: self._execute(
                update(Job)
                .where(col(Job.lease_owner) == owner_name(), col(Job.status) == Status.PROCESSING)
                .values(lease_expires_at=time.time() + lease_s)
            )
        )

    # outcomes

    def finish(
        self,
        job_id: UUID,
        run_id: UUID,
        video: Mapping[str, Any],
        job: Mapping[str, Any],
        track: Track,
    ) -> None:
        """A job is done: video, job, track and run change together.

        Args:
            job_id: of the job.
            run_id: of the run whose totals it adds to.
            video: columns of the video that processing found (duration, size...).
            job: columns of the job (frames, quality score, export path...).
            track: the published track; it replaces the same version's row.
        """

        def write() -> None:
            with self.engine.begin() as connection:
                connection.execute(
                    update(Video).where(col(Video.id) == track.video_id).values(**video)
                )
                row = _defaults(track)
                statement = self._insert(Track).values(row)
                connection.execute(
                    statement.on_conflict_do_update(
                        index_elements=["video_id", "provider", "model_digest"],
                        set_={
                            k: statement.excluded[k] for k in row if k not in ("id", "created_at")
                        },
                    )
                )
                connection.execute(
                    update(Job)
                    .where(col(Job.id) == job_id)
                    .values(
                        **job,
                        status=Status.DONE,
                        finished_at=now(),
                        error=None,
                        error_code=None,
                        lease_owner=None,
                        lease_expires_at=None,
                    )
                )
                _count(connection, run_id, done=1)

        self._steadily(write)

    def fail(self, job_id: UUID, run: Run, error: VideoError, content: str | None) -> list[str]:
        """A job has failed. Returns the data paths of tracks of other bytes, now withdrawn.

        A track made from bytes that the video no longer has would pass as a track of this video.
        Where the lease ran out and another process has the job, its outcome is theirs to tell.
        """
        status = Status.MISSING_FILE if error.code == "missing_file" else Status.FAILED

        def write() -> list[str]:
            with self.engine.begin() as connection:
                video_id = connection.execute(
                    update(Job)
                    .where(col(Job.id) == job_id, col(Job.lease_owner) == owner_name())
                    .values(
                        status=status, error=str(error), error_code=error.code,
                        retryable=error.retryable, pipeline=run.pipeline, content=content,
                        finished_at=now(), lease_owner=None, lease_expires_at=None,
                        quality_score=None, frames=None, export_path=None, issues=None,
                    )
                    .returning(col(Job.video_id))
                ).scalar_one_or_none()  # fmt: skip
                if video_id is None:
                    _count(connection, run.id, taken=1)
                    return []
                _count(connection, run.id, failed=1)
                if content is None:
                    return []
                stale = and_(col(Track.video_id) == video_id, col(Track.content) != content)
                paths = connection.execute(select(Track.data_path).where(stale)).scalars().all()  # type: ignore[call-overload]
                connection.execute(Track.__table__.delete().where(stale))  # type: ignore[attr-defined]
                return list(paths)

        return self._steadily(write)

    def set_content(self, video_id: UUID, sha256: str, sha1: str, size: int) -> UUID | None:
        """Note the bytes of a video that had to be fetched first, or have changed.

        Returns None; or, where this video was never processed and another of the same word and
        segment holds the same bytes, the job of that one: this one is now a copy of it.
        """

        def write() -> UUID | None:
            with self.engine.begin() as connection:
                # Two that find the same bytes at once must not both give way.
                self._wait_for_turn(connection, zlib.crc32(sha256.encode()))
                query = select(_VIDEOS).where(_VIDEOS.c.id == video_id)
                mine = connection.execute(query).one()
                same = content_id(mine.word, segment_of(mine), sha256)
                found = {"sha256": sha256, "sha1": sha1, "size_bytes": size}
                connection.execute(
                    update(Video).where(col(Video.id) == video_id).values(**found, content_id=same)
                )
                query = self._with_jobs(_JOBS.c.id.label("job_id")).where(
                    _VIDEOS.c.content_id == same, _VIDEOS.c.id != video_id
                )
                other = connection.execute(
                    query.order_by(_VIDEOS.c.created_at, _VIDEOS.c.id).limit(1)
                ).first()
                if other is None or mine.width is not None:
                    return None
                given = {"scope": mine.scope, "manifest": mine.manifest, "line": mine.line}
                place = {"local_path": mine.local_path, "remote_url": mine.remote_url,
                         "mtime_ns": mine.mtime_ns}  # fmt: skip
                if other.mtime_ns is None and other.remote_url is None:  # its file has gone
                    given |= place
                connection.execute(update(Video).where(col(Video.id) == other.id).values(**given))
                copy = {"id": mine.id, "video_id": other.id, "filename": mine.filename}
                self._write_copies(connection, [{**copy, **place, **found}])
                return UUID(str(other.job_id))

        return self._steadily(write)

    # runs

    def start_run(self, scope: str | None, manifest: str, pipeline: str) -> Run:
        """A new row of the ledger."""
        run = Run(scope=scope, manifest=manifest, pipeline=pipeline)

        def write() -> None:
            with self.engine.begin() as connection:
                connection.execute(self._insert(Run).values(_defaults(run)))

        self._steadily(write)
        return run

    def run(self, run_id: UUID) -> Run:
        """One run as it stands. Raises KeyError."""
        with Session(self.engine) as session:
            found = session.get(Run, run_id)
            if found is None:
                raise KeyError(f"there is no run {run_id}")
            session.expunge(found)
            return found

    def last_run(self, scope: str | None = None) -> Run | None:
        """The run that began last, of one scope or of all."""
        query = select(Run).order_by(col(Run.started_at).desc()).limit(1)
        if scope is not None:
            query = query.where(col(Run.scope) == scope)
        with Session(self.engine) as session:
            row = session.execute(query).scalar_one_or_none()
            if row is not None:
                session.expunge(row)
            return row

    def add_to_run(self, run_id: UUID, **counts: int) -> None:
        """Add to a run's totals, atomically."""

        def write() -> None:
            with self.engine.begin() as connection:
                _count(connection, run_id, **counts)

        self._steadily(write)

    def end_run(self, run_id: UUID, seconds: float) -> Run:
        """Close a run; returns its final row."""
        self._steadily(
            lambda: self._execute(
                update(Run).where(col(Run.id) == run_id).values(finished_at=now(), seconds=seconds)
            )
        )
        return self.run(run_id)

    # reports

    def counts(self, scope: str | None = None) -> dict[str, int]:
        """Jobs per status, of one scope or of all."""
        query = select(Job.status, func.count()).group_by(Job.status)  # type: ignore[call-overload]
        query = query.join(Video, col(Video.id) == col(Job.video_id)).where(_within(scope))
        with self.engine.connect() as connection:
            return {str(status): count for status, count in connection.execute(query)}

    def failures(self, scope: str | None = None, limit: int | None = None) -> list[Failure]:
        """Videos that failed or whose file is missing, in the manifest's order."""
        query = (
            select(Video.word, Video.local_path, Job.error_code, Job.error, Video.line)  # type: ignore[call-overload]
            .join(Job, col(Job.video_id) == col(Video.id))
            .where(col(Job.status).in_([Status.FAILED, Status.MISSING_FILE]), _within(scope))
            .order_by(Video.line, Video.word)
            .limit(limit)
        )
        with self.engine.connect() as connection:
            return [
                Failure(word, path, code or "failed", message or "", line)
                for word, path, code, message, line in connection.execute(query)
            ]

    def find_videos(self, text: str) -> list[tuple[Video, Job]]:
        """Videos whose id, word, file name or path is ``text``."""
        query = (
            select(Video, Job)
            .join(Job, col(Job.video_id) == col(Video.id))
            .where(or_(_is_called(text), col(Video.word) == text))
            .order_by(col(Video.word), col(Video.filename))
        )
        with Session(self.engine, expire_on_commit=False) as session:
            return [(video, job) for video, job in session.execute(query)]

    def track_of(self, video_id: UUID, content: str | None) -> Track | None:
        """The newest published track of a video's present bytes."""
        query = (
            select(Track)
            .where(col(Track.video_id) == video_id, col(Track.content) == content)
            .order_by(col(Track.created_at).desc())
            .limit(1)
        )
        with Session(self.engine, expire_on_commit=False) as session:
            return session.execute(query).scalar_one_or_none()

    def quality(
        self, scope: str | None = None, lowest: int = 10
    ) -> tuple[list[tuple[int, int]], list[tuple[str, int]], list[tuple[str, str, float]]]:
        """Scores and issues of what is done.

        Returns (tenth of the score, videos) pairs, (issue without its percentage, videos) pairs
        from the commonest, and the lowest scores as (word, file name, score).
        """
        query = (
            select(Video.word, Video.filename, Job.quality_score, Job.issues)  # type: ignore[call-overload]
            .join(Job, col(Job.video_id) == col(Video.id))
            .where(col(Job.status) == Status.DONE, _within(scope))
        )
        spread: Counter[int] = Counter()
        issues: Counter[str] = Counter()
        worst: list[tuple[str, str, float]] = []
        with self.engine.connect().execution_options(yield_per=1000) as connection:
            for word, filename, score, found in connection.execute(query):
                spread[min(9, int(score * 10))] += 1
                issues.update({re.sub(r"_\d+%$", "", issue) for issue in json.loads(found or "[]")})
                worst = heapq.nsmallest(
                    lowest, [*worst, (word, filename, score)], key=lambda w: w[2]
                )
        return sorted(spread.items()), issues.most_common(), worst

    # how

    def _wait_for_turn(self, connection: Connection, number: int) -> None:
        """Begin a transaction in which no other process has the turn of this number."""
        if self.engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(select(func.pg_advisory_xact_lock(number)))

    def _known(self, column: ColumnElement[Any], values: Collection[UUID]) -> Sequence[Row[Any]]:
        if not values:
            return []
        query = self._with_jobs(_JOBS.c.status, _JOBS.c.error).where(column.in_(values))
        with self.engine.connect() as connection:
            return connection.execute(query).fetchall()

    @staticmethod
    def _with_jobs(*columns: ColumnElement[Any]) -> Select[Any]:
        return select(_VIDEOS, *columns).join_from(_VIDEOS, _JOBS)

    def _write_copies(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert or update copies; videos of their ids, and the jobs of those, go."""
        copies = self._insert(Copy)
        new = {name: copies.excluded[name] for name in rows[0] if name != "id"}
        connection.execute(copies.on_conflict_do_update(index_elements=["id"], set_=new), rows)
        ids = [row["id"] for row in rows]
        is_free = or_(~self._is_held(), col(Job.lease_owner) == owner_name())
        connection.execute(_JOBS.delete().where(_JOBS.c.video_id.in_(ids), is_free))
        gone = _VIDEOS.c.id.in_(ids) & ~exists().where(_JOBS.c.video_id == _VIDEOS.c.id)
        made_way = connection.execute(select(_VIDEOS.c.id).where(gone)).scalars().all()
        if made_way:
            videos = {row["id"]: row["video_id"] for row in rows}
            connection.execute(
                _COPIES.update()
                .where(_COPIES.c.video_id == bindparam("old"))
                .values(video_id=bindparam("new")),
                [{"old": row_id, "new": videos[row_id]} for row_id in made_way],
            )
            connection.execute(_VIDEOS.delete().where(_VIDEOS.c.id.in_(made_way)))

    def _is_held(self) -> ColumnElement[bool]:
        """Whether a live process is at the job."""
        return and_(
            col(Job.status) == Status.PROCESSING,
            func.coalesce(Job.lease_expires_at, 0.0) >= time.time(),
        )

    def _jobs(self, query: Any) -> Iterator[DueJob]:
        """Read the whole answer at once: working it off may take days, and no database likes a
        transaction that stays open so long."""
        with self.engine.connect() as connection:
            rows = connection.execute(query).fetchall()
        return (
            DueJob(job_id, source, f"{word} ({name})") for job_id, source, word, name, *_ in rows
        )

    def _insert(self, table: Any) -> Any:
        dialect = postgresql if self.engine.dialect.name == "postgresql" else sqlite
        return dialect.insert(table)

    def _execute(self, statement: Any) -> int:
        with self.engine.begin() as connection:
            return int(connection.execute(statement).rowcount)

    def _steadily(self, write: Callable[[], T]) -> T:
        for attempt in range(_TRIES):
            try:
                return write()
            except OperationalError as error:
                if attempt == _TRIES - 1:
                    raise StorageError(
                        f"the catalog did not take a change: {error.orig}"
                    ) from error
                time.sleep(0.1 * 2**attempt * (0.5 + random.random()))
        raise AssertionError("unreachable")


def _within(scope: str | None) -> ColumnElement[bool]:
    return true() if scope is None else col(Video.scope) == scope


def _is_called(text: str) -> ColumnElement[bool]:
    copied = select(_COPIES.c.video_id).where(
        or_(_COPIES.c.filename == text, _COPIES.c.local_path == text)
    )
    named = or_(
        col(Video.filename) == text, col(Video.local_path) == text, col(Video.id).in_(copied)
    )
    try:
        return or_(named, col(Video.id) == UUID(text))
    except ValueError:
        return named


def _new_job(job_id: UUID, video_id: UUID, today: datetime, missing: str | None) -> dict[str, Any]:
    """The row of a job that is queued, or whose file is missing."""
    return {
        "id": job_id,
        "video_id": video_id,
        "status": Status.QUEUED if missing is None else Status.MISSING_FILE,
        "error": missing,
        "error_code": None if missing is None else "missing_file",
        "finished_at": None if missing is None else today,
        "created_at": today,
        "retryable": False,
        "attempts": 0,
    }


def _defaults(row: Any) -> dict[str, Any]:
    values = row.model_dump()
    return (
        {**values, "created_at": values["created_at"] or now()}
        if "created_at" in values
        else values
    )


def _count(connection: Any, run_id: UUID, **counts: int) -> None:
    columns = {name: getattr(Run, name) + value for name, value in counts.items()}
    connection.execute(update(Run).where(col(Run.id) == run_id).values(**columns))


@cache
def _head() -> str:
    head = ScriptDirectory(str(_MIGRATIONS)).get_current_head()
    assert head is not None
    return head


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=60000")
    # Write-ahead log: readers (progress, status) never block the writer, nor it them.
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    # With SQLite's own 2 MB, and a log of 4 MB, a million videos take three times as long to ingest
    # as a tenth of them: their ids land all over the indexes.
    cursor.execute("PRAGMA cache_size=-131072")
    cursor.execute("PRAGMA wal_autocheckpoint=16384")
    cursor.close()
