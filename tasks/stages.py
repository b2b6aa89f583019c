"""One Prefect task per stage, made from `tracker_core.pipeline`.

A task resolves artifact references to local files, runs the stage's function in a process of its
own, publishes what it wrote, and returns a `StageRecord`, which Prefect keeps as JSON under the
stage's key. A hit counts only while the artifacts it names exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.tasks import exponential_backoff
from prefect.utilities.annotations import quote

from tasks.caching import StageKeyPolicy, record_storage
from tracker_core.errors import Retryable
from tracker_core.isolation import run_isolated
from tracker_core.pipeline import PIPELINE, STAGES, Stage, stage_key
from tracker_core.settings import Settings
from tracker_core.stages import StageWork, Subject
from tracker_core.store.artifacts import ArtifactStore, StageRecord
from tracker_core.store.scratch import scratch


@dataclass(frozen=True)
class StageCall:
    """One stage of one video, ready to run. The argument of every stage task.

    Attributes:
        stage: name of the stage.
        key: its key.
        source: the video file.
        content: sha256 of its bytes.
        subject: the video's names and segment.
        parameters: of the stage.
        records: what the stages before it made.
        settings: of the run; what of them matters to the output is in ``parameters``.
        store: the artifact store.
    """

    stage: str
    key: str
    source: Path
    content: str
    subject: Subject
    parameters: Mapping[str, Any]
    records: Mapping[str, StageRecord]
    settings: Settings = field(repr=False)
    store: ArtifactStore = field(repr=False)


@dataclass
class StageCounts:
    """How many stages were executed, and how many were found done."""

    executed: int = 0
    cached: int = 0


def run_stages(
    source: Path,
    content: str,
    subject: Subject,
    settings: Settings,
    store: ArtifactStore,
    forced: frozenset[str],
    counts: StageCounts,
) -> dict[str, StageRecord]:
    """All stages of one video, in order, each as a task run; stage -> its record.

    Args:
        source: the video file.
        content: sha256 of its bytes.
        subject: the video's names and segment.
        settings: of the run.
        store: the artifact store.
        forced: stages that run even where their output exists.
        counts: is added to, also when a stage fails.

    Raises the VideoError of the stage that failed.
    """
    records: dict[str, StageRecord] = {}
    for stage in PIPELINE:
        parameters = stage.parameters(settings)
        call = StageCall(
            stage=stage.name,
            key=stage_key(stage, content, records, parameters, subject),
            source=source,
            content=content,
            subject=subject,
            parameters=parameters,
            records=dict(records),
            settings=settings,
            store=store,
        )
        records[stage.name] = _run(stage, call, stage.name in forced, counts)
    return records


def _run(stage: Stage, call: StageCall, forced: bool, counts: StageCounts) -> StageRecord:
    stage_task = _stage_task(stage.name, call.store, call.settings.retries)
    # Prefect need not look for futures in it: that is a sixth of what a stage task costs.
    given = cast(StageCall, quote(call))
    if not forced:
        state = cast("State[Any]", stage_task(given, return_state=True))
        record = StageRecord.model_validate(state.result())
        if state.name != "Cached":
            counts.executed += 1
            return record
        if all(call.store.holds(ref, deep=stage.names_subject) for ref in record.files.values()):
            counts.cached += 1
            return record
    # Asked for, or the record outlived the artifact it names.
    refreshed = stage_task.with_options(refresh_cache=True)(given)
    counts.executed += 1
    return StageRecord.model_validate(refreshed)


@cache
def _stage_task(name: str, store: ArtifactStore, retries: int) -> Task[[StageCall], dict[str, Any]]:
    return Task(
        execute,
        name=name,
        task_run_name=f"{name} {{call.subject.word}} ({{call.subject.filename}})",
        cache_policy=StageKeyPolicy(),
        persist_result=True,
        result_storage=record_storage(store),
        result_serializer="json",
        cache_result_in_memory=False,
        retries=retries,
        retry_delay_seconds=exponential_backoff(backoff_factor=2),
        retry_jitter_factor=0.5,
        retry_condition_fn=_may_be_retried,
    )


def _may_be_retried(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """An unreadable file stays unreadable; a busy disk does not stay busy."""
    return isinstance(state.result(raise_on_failure=False), Retryable)


def execute(call: StageCall) -> dict[str, Any]:
    """Run one stage and publish its files; returns the `StageRecord` as JSON values."""
    stage = STAGES[call.stage]
    settings, store = call.settings, call.store
    with _failures_unrecorded(), scratch(settings.cache) as out:
        work = StageWork(
            source=call.source,
            content=call.content,
            subject=call.subject,
            parameters=call.parameters,
            inputs={
                name: {file: store.local(ref) for file, ref in call.records[name].files.items()}
                for name in stage.inputs
            },
            facts={name: record.facts for name, record in call.records.items()},
            keys={name: record.key for name, record in call.records.items()}
            | {stage.name: call.key},
            models_dir=settings.models_dir,
            out=out,
        )
        facts = run_isolated(
            stage.name,
            work,
            _time_limit(call),
            settings.workers,
            settings.workspace_dir / "logs" / "stages.log",
        )
        files = {
            path.name: store.publish(path, stage.place(call.key, call.records, path.name))
            for path in sorted(out.iterdir())
        }
    record = StageRecord(stage=stage.name, key=call.key, files=files, facts=facts)
    return record.model_dump(mode="json")


@contextmanager
def _failures_unrecorded() -> Iterator[None]:
    """Keep Prefect from writing the exception among the records, where no key leads to it.

    The catalog holds the failure. Each attempt has a context of its own, so that one that succeeds
    is recorded.
    """
    try:
        yield
    except Exception:
        if (context := TaskRunContext.get()) is not None:
            context.persist_result = False
        raise


def _time_limit(call: StageCall) -> float:
    """Seconds a stage may take: longer for a longer video; by its size while that is unknown."""
    if "probe" in call.records:
        frames = float(call.records["probe"].facts["frames"])
    else:
        frames = call.source.stat().st_size / 5_000
    settings = call.settings
    return settings.stage_timeout_s + settings.stage_timeout_per_frame_s * frames
