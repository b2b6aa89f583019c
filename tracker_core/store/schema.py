"""The catalog's tables.

Columns, statuses and indexes of `videos`, `jobs` and `tracks` are the user's own; what is ours
beyond them is marked.
"""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

from sqlalchemy import BigInteger, Column, DateTime, Index, text
from sqlmodel import Field, SQLModel

Segment = tuple[float | None, float | None, int | None, int | None]

# Names of videos and of what they hold are made in this namespace: the same in every catalog.
NAMESPACE = UUID("6f1d3a52-54f5-4c0e-9a64-2f2d9f0c7a11")


class Status(enum.StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    PROCESSING = "processing"
    DONE = "done"
    FAILED = "failed"
    MISSING_FILE = "missing_file"


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


def segment_of(item: Any) -> Segment:
    """The segment that a video, or a row of a manifest, asks for."""
    return item.start_s, item.end_s, item.start_frame, item.end_frame


def content_id(word: str, segment: Segment, sha256: str | None) -> UUID | None:
    """What a video holds: the same for the same word, segment and bytes, wherever they lie.

    Args:
        word: what is signed.
        segment: start and end in seconds, start and end in frames.
        sha256: of the whole file; None where its bytes are not known.
    """
    return None if sha256 is None else uuid5(NAMESPACE, f"{word}\0sha256 {sha256}\0{segment}")


def _time(*, default: bool = False) -> Column[datetime]:
    return Column(
        DateTime(timezone=True),
        server_default=text("CURRENT_TIMESTAMP") if default else None,
        nullable=not default,
    )


class Video(SQLModel, table=True):
    """A clip as the manifest names it. Its id follows from word, location and segment.

    A file that is not there leaves its checksums, which are of the bytes it last had.
    """

    __tablename__ = "videos"
    __table_args__ = (
        Index("idx_videos_word", "word"),
        Index("idx_videos_filename", "filename"),
        Index("idx_videos_content_id", "content_id"),
        Index("idx_videos_scope", "scope"),
    )

    id: UUID = Field(primary_key=True)
    word: str
    filename: str
    remote_url: str | None = None
    local_path: str
    sha1: str | None = None
    duration_s: float | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    created_at: datetime = Field(default_factory=now, sa_column=_time(default=True))
    # ours
    start_s: float | None = None
    end_s: float | None = None
    start_frame: int | None = None
    end_frame: int | None = None
    sha256: str | None = None
    content_id: UUID | None = None
    size_bytes: int | None = Field(default=None, sa_type=BigInteger)
    mtime_ns: int | None = Field(default=None, sa_type=BigInteger)
    manifest: str | None = None
    line: int | None = None
    scope: str | None = None


class Copy(SQLModel, table=True):
    """A file that holds the bytes of a video, under the same word and segment.

    Its id is the one that a video of its own would have.
    """

    __tablename__ = "copies"
    __table_args__ = (Index("idx_copies_video_id", "video_id"),)

    id: UUID = Field(primary_key=True)
    video_id: UUID = Field(foreign_key="videos.id")
    filename: str
    remote_url: str | None = None
    local_path: str
    sha1: str | None = None
    sha256: str
    size_bytes: int | None = Field(default=None, sa_type=BigInteger)
    mtime_ns: int | None = Field(default=None, sa_type=BigInteger)


class Job(SQLModel, table=True):
    """The processing of one video: one row a video, brought up to date by every run."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("idx_jobs_status", "status"),
        Index("idx_jobs_video_id", "video_id", unique=True),
        Index("idx_jobs_lease_owner", "lease_owner"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    video_id: UUID = Field(foreign_key="videos.id")
    status: str = Status.QUEUED
    error: str | None = None
    started_at: datetime | None = Field(default=None, sa_column=_time())
    finished_at: datetime | None = Field(default=None, sa_column=_time())
    quality_score: float | None = None
    frames: int | None = None
    export_path: str | None = None
    created_at: datetime = Field(default_factory=now, sa_column=_time(default=True))
    # ours
    error_code: str | None = None
    retryable: bool = False
    attempts: int = 0
    issues: str | None = None
    pipeline: str | None = None
    content: str | None = None
    lease_owner: str | None = None
    lease_expires_at: float | None = None


class Track(SQLModel, table=True):
    """A published track: one row for each video, provider and model."""

    __tablename__ = "tracks"
    __table_args__ = (
        Index("idx_tracks_video_id", "video_id"),
        Index("idx_tracks_version", "video_id", "provider", "model_digest", unique=True),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    video_id: UUID = Field(foreign_key="videos.id")
    provider: str
    format_version: str
    data_path: str
    created_at: datetime = Field(default_factory=now, sa_column=_time(default=True))
    # ours
    model_digest: str
    content: str
    sha256: str
    size_bytes: int = Field(sa_type=BigInteger)
    quality_score: float | None = None
    quality_signature: str | None = None


class Run(SQLModel, table=True):
    """The ledger of runs: progress and totals are read here, never from Prefect's tables."""

    __tablename__ = "runs"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    scope: str | None = None
    manifest: str | None = None
    pipeline: str | None = None
    started_at: datetime = Field(default_factory=now, sa_column=_time(default=True))
    finished_at: datetime | None = Field(default=None, sa_column=_time())
    due: int = 0
    done: int = 0
    failed: int = 0
    taken: int = 0
    stages_executed: int = 0
    stages_cached: int = 0
    seconds: float | None = None
