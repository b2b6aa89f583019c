"""What Prefect costs: CPU time per stage task, of the client and of the server.

Videos are processed as `process-shard` does it (a task per video that calls the stage tasks inline,
several videos at a time), with stages that do nothing, against a server of its own::

    python -m benchmarks.prefect_overhead
    python -m benchmarks.prefect_overhead --plain-server     # without our server settings
    python -m benchmarks.prefect_overhead --profile 25       # where the client's time goes
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from flows.defaults import DEFAULTS
from tests.services import prefect_server

_BATCHES = [name for name in DEFAULTS if "_SERVICES_" in name]


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--videos", type=int, default=25, help="each is eight stages")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--plain-server", action="store_true", help="Prefect's own settings")
    parser.add_argument("--profile", type=int, metavar="N", help="show the N costliest functions")
    parser.add_argument("--client", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        _client(given.client, given.videos, given.threads, given.profile)
    else:
        _measure(given)


def _measure(given: argparse.Namespace) -> None:
    """Start a server, have another process talk to it, and look at both."""
    # The log as in a real run: to the server, and not to the terminal.
    settings = {"PREFECT_LOGGING_LEVEL": "INFO", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR"}
    if given.plain_server:  # batches of one: what a server does where nothing is set
        settings |= dict.fromkeys(_BATCHES, "1")
    with (
        tempfile.TemporaryDirectory() as top,
        prefect_server(Path(top) / "prefect", settings) as environment,
    ):
        server = _listening(environment["PREFECT_API_URL"])
        idle = _cpu_s(server)
        command = [sys.executable, "-m", "benchmarks.prefect_overhead", "--client", top]
        command += ["--videos", str(given.videos), "--threads", str(given.threads)]
        command += ["--profile", str(given.profile)] if given.profile else []
        subprocess.run(command, env={**os.environ, **environment}, check=True)
        began = time.monotonic()
        stages = given.videos * (8 + 1)
        while _recorded(environment) < stages and time.monotonic() - began < 300:
            time.sleep(0.5)
        lag, used = time.monotonic() - began, _cpu_s(server) - idle
    name = "plain" if given.plain_server else "tuned"
    sys.stdout.write(
        f"server ({name}): {1000 * used / stages:.1f} ms CPU a task run, {lag:.0f} s behind\n"
    )


def _client(top: Path, videos: int, threads: int, profile: int | None) -> None:
    """Process the videos, and print what that took."""
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.futures import wait
    from prefect.task_runners import ThreadPoolTaskRunner
    from prefect.transactions import CommitMode, transaction

    from tasks import stages
    from tracker_core.settings import load_settings
    from tracker_core.stages import Subject
    from tracker_core.store.artifacts import ArtifactRef, ArtifactStore, StageRecord

    def nothing(call: stages.StageCall) -> dict[str, Any]:
        # The key of what follows depends on it: nothing is found done.
        made = ArtifactRef(path=call.key, sha256=call.key, size=0)
        return StageRecord(
            stage=call.stage, key=call.key, files={"nothing": made}, facts={}
        ).model_dump()

    stages.execute = nothing
    settings = load_settings({"workspace_dir": str(top / "workspace")})
    store = ArtifactStore(settings.artifacts, settings.cache)

    def one(name: str) -> None:
        subject = Subject(str(uuid4()), name, f"{name}.mp4")
        stages.run_stages(
            top, name, subject, settings, store, frozenset(), stages.StageCounts()
        )  # fmt: skip

    @task(name="video", task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
    def video(name: str) -> None:
        with transaction(commit_mode=CommitMode.EAGER):
            one(name)

    @flow(name="overhead", persist_result=False)
    def overhead(count: int) -> None:
        runner: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=threads)
        with runner:
            wait([runner.submit(video, {"name": f"{uuid4()}"}) for _ in range(count)])

    @flow(name="profiled", persist_result=False)
    def profiled(count: int) -> None:  # in this thread, where the profiler sees it
        with cProfile.Profile() as profiler:
            for _ in range(count):
                video(f"{uuid4()}")
        pstats.Stats(profiler).sort_stats("cumtime").print_stats(profile or 1)

    overhead(2)  # what is done once in a process is no cost of a task
    before, began = time.process_time(), time.monotonic()
    (profiled if profile else overhead)(videos)
    runs = videos * 9
    cpu, wall = time.process_time() - before, time.monotonic() - began
    sys.stdout.write(
        f"client: {1000 * cpu / runs:.1f} ms CPU a task run, {runs / wall:.0f} task runs/s\n"
    )


def _listening(url: str) -> psutil.Process:
    """The process of the server at a URL."""
    port = int(url.split(":")[2].split("/", maxsplit=1)[0])
    for process in psutil.Process().children(recursive=True):
        if any(c.laddr and c.laddr.port == port for c in process.net_connections("tcp")):
            return process
    raise RuntimeError(f"nothing listens on {port}")


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _recorded(environment: dict[str, str]) -> int:
    """How many task runs stand in the server's database."""
    database = Path(environment["PREFECT_HOME"]) / "prefect.db"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        query = "select count(*) from task_run where state_type = 'COMPLETED'"
        return int(connection.execute(query).fetchone()[0])


if __name__ == "__main__":
    main()
