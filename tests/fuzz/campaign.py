"""Damaged files through the product, one after the other in this process, until the time is up.

    python -m tests.fuzz.campaign video --seconds 600 --seed 7 --folder /tmp/mutants

Each must end in records or frames, or in an error that has a name. Whatever else happens (another
exception, a hang, a crash of a native library) ends the campaign; the file that did it is left in
the folder, and ``--first NUMBER --seed SEED`` begins with it again. The report, one JSON object,
says how the files ended and what the process holds now that it did not hold before.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from tests.fuzz.manifests import ManifestFuzz
from tests.fuzz.mutation import mutants
from tests.fuzz.videos import VideoFuzz

HANGS_S = 60.0
_WARM_UP = 0.25  # of the time: caches fill, threads start, the allocator takes what it needs


@dataclass(frozen=True)
class Report:
    """What a campaign found.

    Attributes:
        seed: of its mutants.
        mutants: how many were tried.
        outcomes: how many ended how; codes of errors, or what came out.
        slowest_s: the longest that one took.
        files, threads: more of them open or alive at the end than after the warm-up.
        memory_mb: more resident memory at the end than after the warm-up.
    """

    seed: int
    mutants: int
    outcomes: Mapping[str, int]
    slowest_s: float
    files: int
    threads: int
    memory_mb: float


def campaign(
    wholes: Mapping[str, bytes],
    check: Callable[[Path], str],
    folder: Path,
    *,
    seconds: float,
    seed: int,
    first: int = 0,
    text: bool = False,
) -> Report:
    """Write mutants into `folder` and check them, each for at most `HANGS_S`."""
    process = psutil.Process()
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    warm_at = time.monotonic() + seconds * _WARM_UP
    ends_at = math.inf  # set when it is warm: to look at what is held takes its own time
    before = _held(process)
    for mutant in mutants(wholes, seed, first=first, text=text):
        path = folder / f"{seed}-{mutant.number}-{mutant.source}"
        path.write_bytes(mutant.content)
        faulthandler.dump_traceback_later(HANGS_S, exit=True)
        started = time.monotonic()
        try:
            outcomes[check(path)] += 1
        except BaseException as error:
            error.add_note(f"mutant {mutant.number} of seed {seed}, kept as {path}")
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()
        now = time.monotonic()
        slowest = max(slowest, now - started)
        path.unlink()
        if ends_at == math.inf and now > warm_at:
            before = _held(process)
            ends_at = time.monotonic() + seconds * (1 - _WARM_UP)
        if now > ends_at:
            break
    files, threads, memory = (
        after - earlier for after, earlier in zip(_held(process), before, strict=True)
    )
    return Report(
        seed=seed,
        mutants=outcomes.total(),
        outcomes=dict(sorted(outcomes.items())),
        slowest_s=round(slowest, 2),
        files=files,
        threads=threads,
        memory_mb=round(memory / 1e6, 1),
    )


def _held(process: psutil.Process) -> tuple[int, int, int]:
    # Before garbage is collected: a file that only this would close stays open for too long.
    files, threads = process.num_fds(), process.num_threads()
    gc.collect()
    return files, threads, process.memory_info().rss


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("kind", choices=("video", "manifest"))
    parser.add_argument("--folder", type=Path, required=True, help="where the files are made")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="files to damage as well")
    given = parser.parse_args()
    faulthandler.enable()
    given.folder.mkdir(parents=True, exist_ok=True)
    fuzz = (VideoFuzz if given.kind == "video" else ManifestFuzz)(given.folder)
    also = {path.name: path.read_bytes() for path in given.also}
    report = campaign(
        {**fuzz.wholes(), **also},
        fuzz.check,
        given.folder,
        seconds=given.seconds,
        seed=given.seed,
        first=given.first,
        text=given.kind == "manifest",
    )
    json.dump(asdict(report), sys.stdout)


if __name__ == "__main__":
    main()
