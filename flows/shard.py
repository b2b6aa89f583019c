"""The flow `process-shard`: a batch of videos on one machine."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from prefect import flow
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import BaseModel

from tasks.video import process_videos
from tracker_core.errors import StorageError
from tracker_core.export.index import rebuild_index
from tracker_core.pipeline import StageName, stages_from
from tracker_core.settings import Settings, load_settings
from tracker_core.store.artifacts import ArtifactStore
from tracker_core.store.catalog import Catalog

logger = logging.getLogger("tracker.shard")


class ShardItem(BaseModel):
    """The jobs whose videos have equal bytes: one is computed, the others find it done."""

    title: str
    job_ids: list[UUID]


@flow(name="process-shard", flow_run_name="{name}", persist_result=False)
def process_shard(
    name: str,  # noqa: ARG001 - the flow run's name
    run_id: UUID,
    items: list[ShardItem],
    force_stage: StageName | None = None,
    overrides: dict[str, Any] | None = None,
) -> dict[str, int]:
    """Process a batch of videos, several at a time; outcome -> how many.

    Args:
        name: of the flow run.
        run_id: the run of the catalog's ledger that this is a part of.
        items: what is to be done.
        force_stage: run this stage and those after it, even where their output exists.
        overrides: settings above those of this machine's environment.
    """
    settings = load_settings(overrides)
    catalog = Catalog(settings.database).open()
    catalog.release_dead()
    store = ArtifactStore(settings.artifacts, settings.cache).checked()
    forced = stages_from(force_stage) if force_stage else frozenset()
    run = catalog.run(run_id)
    with (
        _heartbeat(catalog, settings),
        _threads(settings.workers) as runner,
    ):
        futures: list[PrefectFuture[dict[str, int]]] = [
            runner.submit(
                process_videos,
                parameters={
                    "title": item.title,
                    "job_ids": item.job_ids,
                    "run": run,
                    "settings": settings,
                    "catalog": catalog,
                    "store": store,
                    "forced": forced,
                },
            )
            for item in items
        ]
        wait(futures)
        outcomes = _sum(future.result() for future in futures)
    rebuild_index(settings.exports / "index.json")
    catalog.close()
    return outcomes


@contextmanager
def _heartbeat(catalog: Catalog, settings: Settings) -> Iterator[None]:
    """Prolong this process's claims while it lives."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(settings.lease_s / 3):
            try:
                catalog.renew(settings.lease_s)
            except StorageError as error:
                # The lease outlives two missed beats; without this thread it would outlive none.
                logger.warning("%s", error)

    # What it logs belongs to this flow run.
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=[beat], name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _threads(count: int) -> ThreadPoolTaskRunner[Any]:
    return ThreadPoolTaskRunner(max_workers=count)


def _sum(outcomes: Iterator[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for outcome in outcomes:
        for name, count in outcome.items():
            total[name] = total.get(name, 0) + count
    return total


def shards_of(items: Iterator[ShardItem], size: int) -> Iterator[Sequence[ShardItem]]:
    """Items in batches of at least ``size`` videos; equal contents are never parted."""
    shard: list[ShardItem] = []
    videos = 0
    for item in items:
        shard.append(item)
        videos += len(item.job_ids)
        if videos >= size:
            yield shard
            shard, videos = [], 0
    if shard:
        yield shard
