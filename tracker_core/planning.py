"""What of the catalog is to be done, by today's stages, parameters, models and files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from tracker_core.pipeline import PIPELINE, pipeline_fingerprint
from tracker_core.settings import Settings
from tracker_core.store.artifacts import ArtifactStore
from tracker_core.store.catalog import Catalog, DueJob
from tracker_core.store.schema import Run
from tracker_core.store.scratch import sweep_scratch
from tracker_core.tracking.models import ModelStore


@dataclass(frozen=True)
class Scope:
    """Videos that belong together for a run.

    Attributes:
        id: what their rows carry; None: the whole catalog.
        name: for people.
    """

    id: str | None
    name: str


def due_jobs(
    scope: Scope,
    settings: Settings,
    catalog: Catalog,
    *,
    force: bool = False,
    retry_failed: bool = False,
    limit: int | None = None,
) -> Iterator[DueJob]:
    """What of a scope is to be done, after what is called done has been found to be there.

    Raises ModelError, or SettingsError where the artifact store cannot be used: better before the
    first video than at each, and an absent bucket must not look like one whose tracks are gone.
    """
    ModelStore(settings.models_dir).check()
    store = ArtifactStore(settings.artifacts, settings.cache).checked()
    pipeline = pipeline_fingerprint(settings)
    catalog.release_dead()
    store.sweep()
    sweep_scratch(settings.cache)
    catalog.requeue(_gone(scope, pipeline, catalog, store))
    return catalog.due(scope.id, pipeline, force=force, retry_failed=retry_failed, limit=limit)


def begin_run(scope: Scope, settings: Settings, catalog: Catalog, *, force: bool = False) -> Run:
    """A new row of the ledger. What is settled counts as stages found done, unless forced."""
    pipeline = pipeline_fingerprint(settings)
    settled = 0 if force else sum(1 for _ in catalog.done_outputs(scope.id, pipeline))
    run = catalog.start_run(scope.id, scope.name, pipeline)
    catalog.add_to_run(run.id, stages_cached=settled * len(PIPELINE))
    return run


def _gone(scope: Scope, pipeline: str, catalog: Catalog, store: ArtifactStore) -> list[UUID]:
    """Jobs that the catalog calls done but whose track or package is not there any more."""
    published = store.listing("tracks")
    return [
        job_id
        for job_id, path, size, package in catalog.done_outputs(scope.id, pipeline)
        if published.get(path) != size or package is None or not Path(package).is_dir()
    ]
