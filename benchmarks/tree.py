"""Time, CPU time and memory of a command and all the processes it starts."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tracker_core.errors import CannotRun

_EVERY_S = 0.25
_MEMORY_EVERY = 2  # reading PSS costs a few milliseconds


@dataclass(frozen=True)
class Usage:
    """What a command cost.

    Attributes:
        wall_s: from its start to its end.
        cpu_s: user and system time of all its processes.
        roles: role -> CPU seconds of the processes in it, as far as sampling saw them.
        peak_bytes: largest memory of all its processes at one moment.
        output: what it wrote to its standard output.
        others_cpu_s: CPU time that all other processes of the machine took meanwhile; the time that
            passed means little where that is much.
    """

    wall_s: float
    cpu_s: float
    roles: Mapping[str, float]
    peak_bytes: int
    output: str
    others_cpu_s: float = 0.0


def measure(
    command: Sequence[str],
    log: Path,
    *,
    role: Callable[[Sequence[str]], str] = lambda _command: "all",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Usage:
    """Run a command to its end and watch its process tree.

    Memory is the sum of PSS (pages that processes share are counted once); where the system has
    no PSS, of RSS. It is sampled, so a peak shorter than half a second may be missed. CPU time is
    what the system accounts to the command's processes, or what sampling saw where that is more
    (processes that nobody waited for).

    Args:
        command: program and arguments.
        log: file that takes its error output.
        role: command line of one of its processes -> the process's role.
        environment: variables set on top of this process's own.
        folder: working directory.

    Raises CannotRun when the command fails, with the end of its log.
    """
    before, busy_before = _waited_for(), _busy()
    output = log.with_suffix(".out")
    started = time.monotonic()
    with output.open("wb") as lines, log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            stdout=lines,
            stderr=errors,
            env={**os.environ, **(environment or {})},
            cwd=folder,
        )
        watcher = _Watcher(psutil.Process(process.pid), role)
        while process.poll() is None:
            watcher.look()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_EVERY_S)
        wall = time.monotonic() - started
    said = output.read_text(encoding="utf-8", errors="replace")
    if process.returncode:
        tail = said[-800:] + log.read_text(encoding="utf-8", errors="replace")[-800:]
        raise CannotRun(f"{' '.join(command)} ended with {process.returncode}: {tail}")
    busy = _busy() - busy_before
    seen = watcher.cpu_by_role()
    used = max(sum(seen.values()), _waited_for() - before)
    return Usage(
        wall_s=wall,
        cpu_s=used,
        roles=seen,
        peak_bytes=watcher.peak,
        output=said,
        others_cpu_s=max(0.0, busy - used),
    )


class _Watcher:
    """Samples a process tree; remembers what processes that are gone had used."""

    def __init__(self, root: psutil.Process, role: Callable[[Sequence[str]], str]) -> None:
        self.peak = 0
        self._root = root
        self._role = role
        self._looks = 0
        self._cpu: dict[tuple[int, float], float] = {}
        self._roles: dict[tuple[int, float], str] = {}

    def look(self) -> None:
        try:
            tree = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        with_memory = self._looks % _MEMORY_EVERY == 0
        self._looks += 1
        memory = 0
        for process in tree:
            try:
                identity = (process.pid, process.create_time())
                times = process.cpu_times()
                self._cpu[identity] = times.user + times.system
                # A process just forked still has its parent's command line: asked anew until exec.
                self._roles[identity] = self._role(process.cmdline())
                memory += _memory(process) if with_memory else 0
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        self.peak = max(self.peak, memory)

    def cpu_by_role(self) -> dict[str, float]:
        total: dict[str, float] = {}
        for identity, seconds in self._cpu.items():
            role = self._roles.get(identity, "other")
            total[role] = total.get(role, 0.0) + seconds
        return total


def _memory(process: psutil.Process) -> int:
    memory = process.memory_full_info() if psutil.LINUX else process.memory_info()
    return int(getattr(memory, "pss", memory.rss))


def _waited_for() -> float:
    """CPU seconds of all ended children of this process and their ended children."""
    times = psutil.Process().cpu_times()
    return float(getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0))


def _busy() -> float:
    """CPU seconds that the machine has worked since it was started."""
    times = psutil.cpu_times()
    return float(times.user + times.system)
