"""The flows that start from files: `process-manifest` and `process-video`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

from flows.run import process
from tracker_core.ingest.jobs import ingest, rows_of, scope_of
from tracker_core.ingest.manifest import Manifest, open_manifest
from tracker_core.pipeline import StageName
from tracker_core.planning import Scope, due_jobs
from tracker_core.settings import load_settings
from tracker_core.store.catalog import Catalog


@flow(name="process-manifest", flow_run_name="{manifest}", persist_result=False)
def process_manifest(
    manifest: str,
    limit: int | None = None,
    force_stage: StageName | None = None,
    retry_failed: bool = False,
    root: str | None = None,
    columns: dict[str, str] | None = None,
    encoding: str | None = None,
    strict: bool = False,
    overrides: dict[str, Any] | None = None,
    scope: str | None = None,
) -> State[Any]:
    """Process every video of a manifest that is due.

    Args:
        manifest: a CSV of any kind, a folder, a glob or a URL.
        limit: process at most so many videos.
        force_stage: run this stage and those after it, even where their output exists.
        retry_failed: also process videos that have failed for good with these settings.
        root: the folder that relative paths start from; by default the manifest's own.
        columns: role (word, path, start, end) to column, where they are not recognised.
        encoding: of the manifest, where it is guessed wrongly.
        strict: stop at the first row that cannot be used.
        overrides: settings above those of the environment, e.g. {"target_fps": "source"}.
        scope: of the manifest where it has been ingested a moment ago; it is not read again then.
    """
    if scope is None:
        rows = open_manifest(manifest, root=root, columns=columns, encoding=encoding, strict=strict)
        scope = _ingest([rows], manifest, overrides)
    return _process(Scope(scope, manifest), limit, force_stage, retry_failed, overrides)


@flow(name="process-video", persist_result=False)
def process_video(
    videos: list[str],
    force_stage: StageName | None = None,
    retry_failed: bool = False,
    overrides: dict[str, Any] | None = None,
    scope: str | None = None,
) -> State[Any]:
    """Process videos without a manifest; a file's name is its word.

    Args:
        videos: paths, folders, globs or URLs.
        force_stage: run this stage and those after it, even where their output exists.
        retry_failed: also those that have failed for good with these settings.
        overrides: settings above those of the environment.
        scope: of the videos where they have been ingested a moment ago.
    """
    name = ", ".join(videos)
    if scope is None:
        scope = _ingest([open_manifest(video, as_video=True) for video in videos], name, overrides)
    return _process(Scope(scope, name), None, force_stage, retry_failed, overrides)


@flow(name="retrack", persist_result=False)
def retrack(limit: int | None = None, overrides: dict[str, Any] | None = None) -> State[Any]:
    """Process what of the whole catalog is due under today's models and settings.

    After a model upgrade that is every video: its early stages are found done, and tracking and
    what follows run.

    Args:
        limit: process at most so many videos.
        overrides: settings above those of the environment.
    """
    settings = load_settings(overrides)
    scope = Scope(None, "the catalog")
    with closing(Catalog(settings.database).open()) as catalog:
        jobs = due_jobs(scope, settings, catalog, limit=limit)
        return process(jobs, scope, settings, catalog, overrides or {})


@flow(name="export", persist_result=False)
def export(
    word: str | None = None, video: str | None = None, overrides: dict[str, Any] | None = None
) -> State[Any]:
    """Write the export packages of done videos anew.

    Args:
        word: of this word only.
        video: of this video only (id, file name or path).
        overrides: settings above those of the environment, e.g. {"export_fps": "30"}.
    """
    settings = load_settings(overrides)
    scope = Scope(None, "export")
    with closing(Catalog(settings.database).open()) as catalog:
        jobs = catalog.done_jobs(word, video)
        return process(jobs, scope, settings, catalog, overrides or {}, force_stage="export")


def _ingest(manifests: Sequence[Manifest], name: str, overrides: Mapping[str, Any] | None) -> str:
    """Bring the catalog up to date; returns the scope of what it now holds of the manifests."""
    logger = get_run_logger()
    for manifest in manifests:
        logger.info(manifest.recognised.describe())
    with closing(Catalog(load_settings(overrides).database).open()) as catalog:
        ingested = ingest(rows_of(manifests), scope_of(rows_of(manifests), name), name, catalog)
    for problem in ingested.problems:
        logger.warning("line %d skipped: %s", problem.line, problem.message)
    for note in ingested.notes:
        logger.info(note)
    return ingested.scope


def _process(
    scope: Scope,
    limit: int | None,
    force_stage: StageName | None,
    retry_failed: bool,
    overrides: Mapping[str, Any] | None,
) -> State[Any]:
    settings = load_settings(overrides)
    with closing(Catalog(settings.database).open()) as catalog:
        jobs = due_jobs(
            scope, settings, catalog,
            force=force_stage is not None, retry_failed=retry_failed, limit=limit,
        )  # fmt: skip
        return process(jobs, scope, settings, catalog, overrides or {}, force_stage)
