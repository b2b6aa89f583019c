"""What every door leads to: jobs of the catalog, handed out in shards until each has an outcome."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.logging import get_run_logger
from prefect.states import Completed

from flows.shard import ShardItem, process_shard, shards_of
from tracker_core.pipeline import StageName
from tracker_core.planning import Scope, begin_run
from tracker_core.settings import Settings
from tracker_core.store.catalog import Catalog, DueJob
from tracker_core.store.schema import Run


def process(
    jobs: Iterator[DueJob],
    scope: Scope,
    settings: Settings,
    catalog: Catalog,
    overrides: Mapping[str, Any],
    force_stage: StageName | None = None,
) -> State[Any]:
    """Process jobs in shards; call it within a flow.

    Args:
        jobs: what is to be done, those that read the same bytes one after the other.
        scope: what they belong to.
        settings: of the run.
        catalog: that holds them.
        overrides: what of the settings is not from the environment; shards elsewhere get them.
        force_stage: run this stage and those after it, even where their output exists.

    Returns the flow's final state: ``Completed``, named ``CompletedWithErrors`` where a video of
    the scope has failed or a shard did not complete, with the counts in its message and its data.
    """
    started = time.monotonic()
    run = begin_run(scope, settings, catalog, force=force_stage is not None)
    handed: list[tuple[dict[str, Any], FlowRun]] = []
    for number, items in enumerate(shards_of(_items(jobs), settings.shard_size), start=1):
        catalog.add_to_run(run.id, due=sum(len(item.job_ids) for item in items))
        name = f"{Path(scope.name).name} {number}"
        if settings.shard_deployment is None:
            process_shard(name, run.id, list(items), force_stage, dict(overrides))
            continue
        parameters = {
            "name": name,
            "run_id": str(run.id),
            "items": [item.model_dump(mode="json") for item in items],
            "force_stage": force_stage,
            "overrides": dict(overrides),
        }
        handed.append((parameters, _hand_over(settings.shard_deployment, parameters)))
    lost = _wait_for(handed, settings.shard_deployment or "")
    run = catalog.end_run(run.id, round(time.monotonic() - started, 3))
    return _report(run, scope, catalog, lost)


def _items(jobs: Iterator[DueJob]) -> Iterator[ShardItem]:
    for _, group in groupby(jobs, key=lambda job: job.source):
        members = list(group)
        yield ShardItem(title=members[0].title, job_ids=[job.job_id for job in members])


def _hand_over(deployment: str, parameters: dict[str, Any], attempt: int = 1) -> FlowRun:
    return cast(
        FlowRun,
        run_deployment(
            deployment,
            parameters=parameters,
            timeout=0,
            # Prefect gives back the old run for an old key: the run's id makes it new.
            idempotency_key=f"{parameters['run_id']} {parameters['name']} {attempt}",
        ),
    )


def _wait_for(handed: Sequence[tuple[dict[str, Any], FlowRun]], deployment: str) -> list[str]:
    """Wait until every shard has ended; a sentence about each that did not complete.

    A shard whose process or machine died is handed over once more: what it finished is found done.
    That it died is Prefect's to tell, with the automation of `deployments.automations`.
    """
    if handed:
        get_run_logger().info("waiting for %d shards handed to %s", len(handed), deployment)
    lost = []
    for parameters, flow_run in handed:
        state = _final_state(flow_run)
        if state.is_crashed():
            state = _final_state(_hand_over(deployment, parameters, attempt=2))
        if not state.is_completed():
            lost.append(f"shard {parameters['name']} ended as {state.name}: {state.message}")
    return lost


def _final_state(flow_run: FlowRun, poll_s: float = 2.0) -> State[Any]:
    with get_client(sync_client=True) as client:
        while True:
            state = client.read_flow_run(flow_run.id).state
            if state is not None and state.is_final():
                return state
            time.sleep(poll_s)


def _report(run: Run, scope: Scope, catalog: Catalog, lost: Sequence[str]) -> State[Any]:
    counts = catalog.counts(scope.id)
    failures = catalog.failures(scope.id, limit=1000)
    if failures:
        create_table_artifact(
            key="failures",
            table=[
                {"line": f.line, "word": f.word, "path": f.path, "code": f.code, "what": f.message}
                for f in failures
            ],
            description=f"Videos of {scope.name} that are not done",
        )
    create_markdown_artifact(
        key="quality",
        markdown=_quality_summary(catalog, scope),
        description=f"Quality of the tracks of {scope.name}",
    )
    message = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    message += (
        f"; {run.stages_executed} stages executed, {run.stages_cached} cached, {run.seconds:.1f} s"
    )
    if lost:
        message += "; its other videos need another run: " + "; ".join(lost[:3])
    failed = counts.get("failed", 0) + counts.get("missing_file", 0)
    return Completed(
        name="CompletedWithErrors" if failed or lost else "Completed",
        message=message,
        data={"run_id": str(run.id), "jobs": counts, "failures": failed},
    )


def _quality_summary(catalog: Catalog, scope: Scope) -> str:
    """Markdown: how the scores spread, the commonest issues, the lowest scores."""
    spread, issues, lowest = catalog.quality(scope.id)
    lines = [f"# Quality of {scope.name}", "", "| score | videos |", "|---|---|"]
    lines += [f"| {low / 10:.1f} to {low / 10 + 0.1:.1f} | {n} |" for low, n in spread]
    lines += ["", "| issue | videos |", "|---|---|"]
    lines += [f"| {issue} | {n} |" for issue, n in issues] or ["| none | |"]
    lines += ["", "| lowest scores | score |", "|---|---|"]
    lines += [f"| {word} ({filename}) | {score:.3f} |" for word, filename, score in lowest]
    return "\n".join(lines)
