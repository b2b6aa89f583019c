"""Runs started from a shell: the same flows as a worker's, with progress and a summary."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows import console
from tracker_core.errors import CannotRun, MissingFile
from tracker_core.ingest.fetch import fetch
from tracker_core.ingest.jobs import ingest, rows_of, scope_of
from tracker_core.ingest.manifest import open_manifest
from tracker_core.landmarks.overlay import write_contact_sheet, write_overlay_video
from tracker_core.landmarks.tracks import Tracks
from tracker_core.pipeline import StageName
from tracker_core.planning import Scope, begin_run, due_jobs
from tracker_core.settings import Settings, load_settings
from tracker_core.store.artifacts import ArtifactRef, ArtifactStore
from tracker_core.store.catalog import Catalog
from tracker_core.store.schema import Run, Video, now


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        failures: how many of its videos are not done, for a named reason, and how many rows of
            the manifest could not be used.
        scope: of those videos in the catalog; None: all of it.
    """

    failures: int
    scope: str | None


def run_videos(
    sources: Sequence[str],
    overrides: Mapping[str, Any],
    *,
    as_manifest: bool,
    limit: int | None = None,
    force_stage: StageName | None = None,
    retry_failed: bool = False,
    root: str | None = None,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    strict: bool = False,
) -> Outcome:
    """Ingest a manifest, or videos, and process what is due.

    Nothing of Prefect is started when nothing is due, so a run with nothing to do takes a moment.
    """
    settings = load_settings(overrides)
    catalog = Catalog(settings.database).open()
    name = ", ".join(sources)
    manifests = [
        open_manifest(
            source,
            root=root,
            columns=columns,
            encoding=encoding,
            strict=strict,
            as_video=not as_manifest,
        )
        for source in sources
    ]
    for manifest in manifests:
        console.out.print(manifest.recognised.describe(), markup=False, highlight=False)
    with console.ingest_progress() as counted:
        ingested = ingest(
            rows_of(manifests), scope_of(rows_of(manifests), name), name, catalog, counted
        )
    console.row_problems(ingested)
    scope = Scope(ingested.scope, name)
    force = force_stage is not None
    due = sum(1 for _ in due_jobs(
        scope, settings, catalog, force=force, retry_failed=retry_failed, limit=limit
    ))  # fmt: skip
    run: Run | None
    if not due:
        began = time.monotonic()
        run = catalog.end_run(
            begin_run(scope, settings, catalog).id, round(time.monotonic() - began, 3)
        )
    else:
        from flows.manifest import process_manifest, process_video

        with console.run_progress(catalog, now(), due):
            if as_manifest:
                process_manifest(
                    name,
                    limit=limit,
                    force_stage=force_stage,
                    retry_failed=retry_failed,
                    overrides=dict(overrides),
                    scope=scope.id,
                )
            else:
                process_video(
                    list(sources),
                    force_stage=force_stage,
                    retry_failed=retry_failed,
                    overrides=dict(overrides),
                    scope=scope.id,
                )
        run = catalog.last_run(scope.id)
    failures = _summary(scope.id, run, settings, catalog)
    return Outcome(failures + ingested.skipped, scope.id)


def export_packages(word: str | None, video: str | None, overrides: Mapping[str, Any]) -> Outcome:
    """Write the packages of done videos anew. Raises CannotRun when there is no such video."""
    settings = load_settings(overrides)
    catalog = Catalog(settings.database).open()
    due = sum(1 for _ in catalog.done_jobs(word, video))
    if not due:
        raise CannotRun(
            f"no video that is done matches {video or word or 'the catalog'}: "
            "`tracker status` shows what there is"
        )
    from flows.manifest import export

    with console.run_progress(catalog, now(), due):
        export(word, video, overrides=dict(overrides))
    run = catalog.last_run()
    _summary(None, run, settings, catalog)
    return Outcome(run.failed if run else 0, None)


def show_video(
    name: str,
    settings: Settings,
    target: Path | None,
    frames: int,
    *,
    as_video: bool,
    anonymous: bool = False,
) -> Path:
    """Draw a done video's landmarks over it; returns the file written.

    Raises CannotRun when no video, or more than one, is called so, or it is not done.
    """
    catalog = Catalog(settings.database).open()
    video = _one_video(name, catalog)
    track = catalog.track_of(video.id, video.sha256)
    if track is None:
        raise CannotRun(f"{video.word} ({video.filename}) has no track: see `tracker status`")
    store = ArtifactStore(settings.artifacts, settings.cache)
    ref = ArtifactRef(path=track.data_path, sha256=track.sha256, size=track.size_bytes)
    tracks = Tracks.read_parquet(store.local(ref))
    source = local_source(video, settings)
    suffix = ".mp4" if as_video else ".png"
    target = target or settings.workspace_dir / "overlays" / f"{video.id}{suffix}"
    target.parent.mkdir(parents=True, exist_ok=True)
    if as_video:
        return write_overlay_video(source, tracks, target, anonymous=anonymous)
    return write_contact_sheet(source, tracks, target, frames, anonymous=anonymous)


def local_source(video: Video, settings: Settings) -> Path:
    """The video's file; fetched where it is remote. Raises MissingFile."""
    source = Path(video.local_path)
    if source.is_file():
        return source
    if video.remote_url is None:
        raise MissingFile(f"{source} is not there any more")
    return fetch(video.remote_url, settings.cache)


def _one_video(name: str, catalog: Catalog) -> Video:
    found = catalog.find_videos(name) or catalog.find_videos(str(Path(name).absolute()))
    if not found:
        raise CannotRun(f"no video is called {name!r}: give an id, a word, a file name or a path")
    if len(found) > 1:
        several = "; ".join(f"{v.id} {v.word} ({v.filename})" for v, _ in found[:10])
        raise CannotRun(f"{len(found)} videos are called {name!r}; give the id of one: {several}")
    return found[0][0]


def _summary(scope: str | None, run: Run | None, settings: Settings, catalog: Catalog) -> int:
    """Say how it went; returns how many videos are not done."""
    failures = catalog.failures(scope)
    console.summary(catalog.counts(scope), failures, run, settings)
    catalog.close()
    return len(failures)


def quiet_prefect() -> None:
    """Leave the terminal to our own progress; Prefect's log still goes to its server."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
