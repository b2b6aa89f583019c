"""Stage parameters that misbehave when a stage's process reads them.

Stages run in spawned processes, which no monkeypatch reaches; but what is handed to them is
unpickled there, and `run_probe` reads its parameters first of all.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
