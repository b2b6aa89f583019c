"""Stages run in processes of their own, which a time limit can end and a crash cannot spread from.

A corrupt file can hang a decoder or kill the process it runs in, and after a failed graph
MediaPipe may never return. Such a process is killed and replaced; the video fails with a name.
Processes are spawned, never forked: a fork of a process that has used MediaPipe hangs.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path

from pebble import ProcessExpired, ProcessPool

from tracker_core.errors import TimedOut, VideoError, WorkerCrashed
from tracker_core.pipeline import run_stage
from tracker_core.stages import Facts, StageWork

# A process is replaced after so many stages, so that nothing a library leaks can pile up.
_STAGES_PER_PROCESS = 400

_lock = threading.Lock()
_pools: dict[tuple[int, Path], ProcessPool] = {}


def run_isolated(name: str, work: StageWork, timeout_s: float, processes: int, log: Path) -> Facts:
    """Do one stage's work in another process.

    Args:
        name: of the stage.
        work: what it is given.
        timeout_s: seconds after which its process is killed.
        processes: how many stages may run at a time.
        log: file that takes what native libraries print.

    Raises TimedOut, WorkerCrashed, or whatever VideoError the stage itself raises.
    """
    future = _processes(processes, log).schedule(run_stage, args=[name, work], timeout=timeout_s)
    try:
        facts: Facts = future.result()
    except FutureTimeoutError:
        raise TimedOut(
            f"{name} was ended after {timeout_s:.0f} s: the file may be damaged, or the machine "
            "too busy (STAGE_TIMEOUT_S, STAGE_TIMEOUT_PER_FRAME_S)"
        ) from None
    except (ProcessExpired, CancelledError) as error:
        code = getattr(error, "exitcode", None)
        raise WorkerCrashed(
            f"the process of {name} died{'' if code is None else f' (exit code {code})'}: the file "
            f"may be damaged, or memory ran out; {log} may say more"
        ) from None
    except VideoError:
        raise
    except MemoryError:
        raise WorkerCrashed(f"{name} ran out of memory") from None
    return facts


def close() -> None:
    """End all processes. The next stage starts new ones."""
    with _lock:
        for pool in _pools.values():
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()
        _pools.clear()


def _processes(count: int, log: Path) -> ProcessPool:
    with _lock:
        pool = _pools.get((count, log))
        if pool is None or not pool.active:
            pool = _pools[count, log] = ProcessPool(
                max_workers=count,
                max_tasks=_STAGES_PER_PROCESS,
                initializer=_begin,
                initargs=[log],
                context=multiprocessing.get_context("spawn"),
            )
        return pool


def _begin(log: Path) -> None:
    """In a new process: leave Ctrl-C to the parent, and the other cores to the other processes.

    MediaPipe and FFmpeg write to the process's error stream whatever Python says: to a file then.
    """
    import cv2

    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _end_with_parent() -> None:
    """A stage that hangs must not outlive the run that was killed: nobody else would end it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
