"""What a person at a terminal sees: progress while it runs, and how it went."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from tracker_core.ingest.jobs import Ingested
from tracker_core.settings import Settings
from tracker_core.store.catalog import Catalog, Failure
from tracker_core.store.schema import Run

out = Console()
err = Console(stderr=True)

_SHOWN = 20


@contextlib.contextmanager
def ingest_progress() -> Iterator[Callable[[int], None]]:
    """A counter of rows, without a known end; gives the function that sets it."""
    columns = (SpinnerColumn(), TextColumn("reading the manifest: {task.completed:.0f} videos"))
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=True) as progress:
        bar = progress.add_task("")
        yield lambda count: progress.update(bar, completed=count)


def row_problems(ingested: Ingested) -> None:
    """Rows that were skipped, with their line numbers, and files that hold the same bytes."""
    for problem in ingested.problems[:_SHOWN]:
        err.print(f"line {problem.line} skipped: {problem.message}", markup=False, highlight=False)
    count = ingested.skipped + ingested.repeated
    if count > _SHOWN:
        err.print(f"and {count - _SHOWN} more rows were skipped")
    for note in ingested.notes[:_SHOWN]:
        err.print(note, markup=False, highlight=False, soft_wrap=True)
    if ingested.noted > _SHOWN:
        err.print(f"and {ingested.noted - _SHOWN} more files like these")
    if ingested.reused:
        out.print(f"files with the bytes of another, whose video is reused: {ingested.reused}")


@contextlib.contextmanager
def run_progress(catalog: Catalog, since: datetime, due: int) -> Iterator[None]:
    """Counts, rate and time left of the run that began after ``since``, read from the ledger.

    On a terminal a bar; elsewhere a line every half minute, so that a log shows life.
    """
    done = threading.Event()
    live = err.is_terminal

    def watch() -> None:
        columns = (
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TextColumn("left"),
            TimeRemainingColumn(),
        )  # fmt: skip
        started = last_line = time.monotonic()
        with Progress(*columns, console=err, disable=not live, transient=True) as progress:
            bar = progress.add_task("starting", total=due, rate="")
            while not done.wait(0.5):
                run = _newest(catalog, since)
                if run is None:
                    continue
                count = run.done + run.failed + run.taken
                minutes = (time.monotonic() - started) / 60
                rate = f"{count / minutes:.1f} videos/min" if count else ""
                text = f"{run.done} done, {run.failed} failed"
                progress.update(bar, completed=count, description=text, rate=rate)
                if not live and time.monotonic() - last_line > 30:
                    last_line = time.monotonic()
                    err.print(f"{text}, {due - count} to go {rate}")

    thread = threading.Thread(target=watch, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _newest(catalog: Catalog, since: datetime) -> Run | None:
    run = catalog.last_run()
    if run is None or run.started_at.replace(tzinfo=None) < since.replace(tzinfo=None):
        return None
    return run


def summary(
    counts: dict[str, int],
    failures: Sequence[Failure],
    run: Run | None,
    settings: Settings,
    *,
    shown: int = _SHOWN,
) -> None:
    """The table at a run's end, with at most ``shown`` failures."""
    table = Table(title="what became of the videos", title_justify="left")
    table.add_column("status")
    table.add_column("videos", justify="right")
    for status, count in sorted(counts.items()):
        style = {"done": "green", "failed": "red", "missing_file": "red"}.get(status, "")
        table.add_row(status, f"{count}", style=style)
    out.print(table)
    if run is not None:
        out.print(
            f"stages: {run.stages_executed} executed, {run.stages_cached} found done; "
            f"{run.seconds or 0:.1f} s"
        )
    _failure_table(failures, shown)
    out.print(f"tracks:  {settings.artifacts}/tracks", soft_wrap=True)
    out.print(f"exports: {settings.exports}", soft_wrap=True)


def _failure_table(failures: Sequence[Failure], shown: int) -> None:
    """What is not done, with the sentence that says why."""
    if not failures:
        return
    table = Table(title="not done", title_justify="left", show_lines=True)
    for heading in ("line", "video", "code", "what to do"):
        table.add_column(heading, overflow="fold")
    for failure in failures[:shown]:
        where = f"{escape(failure.word)} ({escape(Path(failure.path).name)})"
        line = str(failure.line) if failure.line else ""
        table.add_row(line, where, failure.code, escape(failure.message), style="red")
    out.print(table)
    if len(failures) > shown:
        out.print(f"and {len(failures) - shown} more: `tracker status` lists them all")
