"""Stages run in processes of their own, which a time limit can end and a crash cannot spread from.

A corrupt file can hang a decoder or kill the process it runs in, and after a failed graph
MediaPipe may never return. Such a process is killed and replaced; the video fails with a name.
Processes are spawned, never forked: a fork of a process that has used MediaPipe hangs.

There are as many slots as stages may run at a time, each with room for one process. A stage borrows
a slot for its time; stages that belong together (`one_process`) keep theirs, so that what one of
them has left open the next finds there.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from queue import LifoQueue

from pebble import ProcessExpired, ProcessPool

from tracker_core.errors import TimedOut, VideoError, WorkerCrashed
from tracker_core.media.decode import keep_open
from tracker_core.pipeline import run_stage
from tracker_core.stages import Facts, StageWork

# A process is replaced after so many stages, so that nothing a library leaks can pile up.
_STAGES_PER_PROCESS = 400
_CLOSING_S = 10.0  # time limit for closing a source


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
    group = _group.get()
    if group is None:
        with one_process(open_between=False):
            return run_isolated(name, work, timeout_s, processes, log)
    pool = group.slot(processes, log).pool()
    source = work.source if group.open_between else None
    try:
        facts: Facts = pool.schedule(_run, args=[name, work, source], timeout=timeout_s).result()
    except FutureTimeoutError:
        raise TimedOut(
            f"{name} was ended after {timeout_s:.0f} s: the file may be damaged, or the machine "
            "too busy (STAGE_TIMEOUT_S, STAGE_TIMEOUT_PER_FRAME_S)"
        ) from None
    except (ProcessExpired, BrokenProcessPool, CancelledError) as error:
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


@contextmanager
def one_process(*, open_between: bool) -> Iterator[None]:
    """Within, all stages that this thread runs go to one process, or to what replaces it.

    The process is borrowed from the first stage to the end, so a group whose stages are all found
    done waits for none. Within another group it changes nothing.

    Args:
        open_between: whether the source stays open there from one stage to the next
            (`tracker_core.media.decode.keep_open`); it is closed at the end.
    """
    if _group.get() is not None:  # with a slot for each, two could wait for one another
        yield
        return
    group = _Group(open_between)
    token = _group.set(group)
    try:
        yield
    finally:
        _group.reset(token)
        group.end()


def close() -> None:
    """End all processes. The next stage starts new ones."""
    with _lock:
        pools = [slot.empty() for slots in _slots.values() for slot in slots.every]
    started = [pool for pool in pools if pool is not None]
    for pool in started:
        pool.stop()  # type: ignore[no-untyped-call]
    for pool in started:
        pool.join()


class _Slot:
    """Room for one process, which starts with the first stage and is replaced when it dies."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._pool: ProcessPool | None = None

    def pool(self) -> ProcessPool:
        with _lock:
            if self._pool is not None and not self._pool.active:
                self._pool.join()  # its process was killed between two stages
                self._pool = None
            if self._pool is None:
                self._pool = ProcessPool(
                    max_workers=1,
                    max_tasks=_STAGES_PER_PROCESS,
                    initializer=_begin,
                    initargs=[self._log],
                    context=multiprocessing.get_context("spawn"),
                )
            return self._pool

    def close_source(self) -> None:
        """Close what the process has kept open."""
        pool = self._pool
        if pool is not None and pool.active:
            with suppress(Exception):  # a process that is gone has nothing open
                pool.schedule(keep_open, args=[None], timeout=_CLOSING_S).result()

    def empty(self) -> ProcessPool | None:
        """Forget the process; returns it where there is one."""
        pool, self._pool = self._pool, None
        return pool


class _Slots:
    """The slots of one run. What was given back last goes out first: its process is warm."""

    def __init__(self, count: int, log: Path) -> None:
        self.every = [_Slot(log) for _ in range(count)]
        self.free: LifoQueue[_Slot] = LifoQueue()
        for slot in self.every:
            self.free.put(slot)


class _Group:
    """Stages that share a process; see `one_process`."""

    def __init__(self, open_between: bool) -> None:
        self.open_between = open_between
        self._borrowed: tuple[_Slots, _Slot] | None = None

    def slot(self, processes: int, log: Path) -> _Slot:
        """The group's slot; the first call waits until one is free."""
        if self._borrowed is None:
            with _lock:
                if (processes, log) not in _slots:
                    _slots[processes, log] = _Slots(processes, log)
                slots = _slots[processes, log]
            self._borrowed = slots, slots.free.get()
        return self._borrowed[1]

    def end(self) -> None:
        """Close what is open in the process, and give the slot back."""
        if self._borrowed is None:
            return
        slots, slot = self._borrowed
        try:
            if self.open_between:
                slot.close_source()
        finally:
            slots.free.put(slot)


_lock = threading.Lock()
_slots: dict[tuple[int, Path], _Slots] = {}
_group: ContextVar[_Group | None] = ContextVar("group", default=None)


def _run(name: str, work: StageWork, source: Path | None) -> Facts:
    """In the process: do a stage's work, with the decoders of `source` kept for the next."""
    keep_open(source)
    return run_stage(name, work)


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
