"""One video from its claim to its outcome: a task whose children are the eight stage tasks."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.transactions import CommitMode, transaction

from tasks.stages import StageCounts, run_stages
from tracker_core.errors import CannotRun, MissingFile, Unexpected, VideoError
from tracker_core.export.install import install_package
from tracker_core.ingest.fetch import fetch, fingerprint
from tracker_core.isolation import one_process
from tracker_core.pipeline import PIPELINE
from tracker_core.settings import Settings
from tracker_core.stages import Subject
from tracker_core.store.artifacts import ArtifactStore, StageRecord
from tracker_core.store.catalog import Catalog
from tracker_core.store.schema import Run, Segment, Status, Track, Video

logger = logging.getLogger("tracker.video")


@task(
    name="video",
    task_run_name="{title}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
def process_videos(
    title: str,  # noqa: ARG001 - the task run's name
    job_ids: Sequence[UUID],
    run: Run,
    settings: Settings,
    catalog: Catalog,
    store: ArtifactStore,
    forced: frozenset[str],
) -> dict[str, int]:
    """Process the jobs of one content, one after the other; outcome -> how many.

    All jobs but the first of a segment find the stages that depend on it alone done. Their stages
    share a process, in which segments that come in the order of their starts are read in one go. A
    failure is written into the catalog, not raised: one bad file never costs another.
    """
    outcomes: dict[str, int] = {}
    redone: set[Segment] = set()
    # By default what a nested task has made is written down only when the outermost task ends: a
    # killed run would have to begin each video anew.
    with (
        transaction(commit_mode=CommitMode.EAGER),
        one_process(open_between=len(job_ids) > 1),
    ):
        for job_id in job_ids:
            outcome = _process(job_id, run, settings, catalog, store, forced, redone)
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    return outcomes


def _process(
    job_id: UUID,
    run: Run,
    settings: Settings,
    catalog: Catalog,
    store: ArtifactStore,
    forced: frozenset[str],
    redone: set[Segment],
) -> str:
    video = catalog.claim(job_id, run, settings.lease_s)
    if video is None:
        catalog.add_to_run(run.id, taken=1)
        return "taken"
    counts = StageCounts()
    content = video.sha256
    try:
        source, content, other_job = _source(video, settings, catalog)
        if other_job is not None:
            logger.info("%s holds the same bytes as another video, which is reused", video.filename)
            return _process(other_job, run, settings, catalog, store, forced, redone)
        subject = Subject(
            video_id=str(video.id),
            word=video.word,
            filename=video.filename,
            start_s=video.start_s,
            end_s=video.end_s,
            start_frame=video.start_frame,
            end_frame=video.end_frame,
        )
        if subject.segment in redone:
            forced = forced & {stage.name for stage in PIPELINE if stage.names_subject}
        records = run_stages(source, content, subject, settings, store, forced, counts)
        redone.add(subject.segment)
        _finish(job_id, run, video, content, records, settings, catalog, store)
    except CannotRun:
        catalog.give_back(job_id)
        raise
    except Exception as error:  # every surprise ends as one video's named failure
        failure = error if isinstance(error, VideoError) else _unexpected(error)
        logger.warning("%s (%s): %s: %s", video.word, video.filename, failure.code, failure)
        for path in catalog.fail(job_id, run, failure, content):
            store.remove(path)
        return Status.MISSING_FILE if isinstance(failure, MissingFile) else Status.FAILED
    finally:
        catalog.add_to_run(run.id, stages_executed=counts.executed, stages_cached=counts.cached)
    return Status.DONE


def _unexpected(error: Exception) -> Unexpected:
    logger.error("unexpected", exc_info=error)
    return Unexpected(
        f"{type(error).__name__}: {error}. This is a bug or a surprise; the log has its traceback"
    )


def _source(video: Video, settings: Settings, catalog: Catalog) -> tuple[Path, str, UUID | None]:
    """The local file and the sha256 of its bytes; fetched first where the video is remote.

    And the job to go on with instead, where the video turns out to be a copy of another.
    """
    source = Path(video.local_path)
    if video.remote_url is not None and not source.is_file():
        source = fetch(video.remote_url, settings.cache)
        found = fingerprint(source)
        other_job = catalog.set_content(video.id, found.sha256, found.sha1, found.size)
        return source, found.sha256, other_job
    try:
        stat = source.stat()
    except OSError as error:
        raise MissingFile(f"{source} is not there: {error.strerror or error}") from None
    if video.sha256 is None or (stat.st_size, stat.st_mtime_ns) != (
        video.size_bytes,
        video.mtime_ns,
    ):
        # Changed since the ingest: the key must name the bytes that are read now.
        found = fingerprint(source)
        other_job = catalog.set_content(video.id, found.sha256, found.sha1, found.size)
        return source, found.sha256, other_job
    return source, video.sha256, None


def _finish(
    job_id: UUID,
    run: Run,
    video: Video,
    content: str,
    records: dict[str, StageRecord],
    settings: Settings,
    catalog: Catalog,
    store: ArtifactStore,
) -> None:
    """Install the package, then write all of the outcome in one transaction."""
    probe, normalize, quality, persist, export = (
        records[name].facts for name in ("probe", "normalize", "score", "persist", "export")
    )
    published = next(iter(records["persist"].files.values()))
    package = install_package(
        {name: store.local(ref) for name, ref in records["export"].files.items()},
        export["index_entry"],
        settings.exports,
    )
    catalog.finish(
        job_id,
        run.id,
        video={name: probe[name] for name in ("duration_s", "fps", "width", "height")},
        job={
            "quality_score": quality["score"],
            "issues": json.dumps(quality["issues"]),
            "frames": normalize["frames"],
            "export_path": str(package),
            "pipeline": run.pipeline,
            "content": content,
            "retryable": False,
        },
        track=Track(
            video_id=video.id,
            provider=persist["provider"],
            format_version=persist["format_version"],
            data_path=published.path,
            model_digest=persist["model_digest"],
            content=content,
            sha256=published.sha256,
            size_bytes=published.size,
            quality_score=quality["score"],
            quality_signature=quality["signature"],
        ),
    )
