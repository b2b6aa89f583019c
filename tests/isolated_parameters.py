"""Stage parameters that misbehave when a stage's process reads them.

Stages run in spawned processes, which no monkeypatch reaches; but what is handed to them is
unpickled there, and `run_probe` reads its parameters first of all.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker_core.media import decode
from tracker_core.media.container import decode_stream


class Parameters(Mapping[str, Any]):
    """A mapping that does something when it is read."""

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[str]:
        self.misbehave()
        return iter(())

    def misbehave(self) -> None:
        """What a damaged file may do to a library."""


@dataclass(frozen=True, eq=False)
class Hang(Parameters):
    """Never comes back; leaves its process's number."""

    note: Path

    def misbehave(self) -> None:
        self.note.write_text(str(os.getpid()))
        time.sleep(600)


@dataclass(frozen=True, eq=False)
class Crash(Parameters):
    """Takes its process with it."""

    def misbehave(self) -> None:
        if hasattr(signal, "SIGKILL"):
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(3)


@dataclass(frozen=True, eq=False)
class Raise(Parameters):
    """Raises, and leaves a line for each time it was read."""

    note: Path
    error: Exception

    def misbehave(self) -> None:
        with self.note.open("a") as file:
            file.write("read\n")
        raise self.error


class Counting(dict[str, Any]):
    """A stage's own parameters; unpickled, they make the process note each frame it decodes."""

    def __init__(self, parameters: Mapping[str, Any], note: Path) -> None:
        super().__init__(parameters)
        self.note = note

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _count_frames, (dict(self), self.note)


def _count_frames(parameters: dict[str, Any], note: Path) -> dict[str, Any]:
    def counted(*given: Any) -> Iterator[Any]:
        for frame in decode_stream(*given):
            with note.open("a") as file:
                file.write(".")
            yield frame

    vars(decode)["decode_stream"] = counted
    return parameters
