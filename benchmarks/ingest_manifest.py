"""How fast, and in how much memory, a manifest of a million rows comes into the catalog.

::

    python -m benchmarks.ingest_manifest [1000000] [--postgres | --no-postgres] [--files 20000]

Writes a manifest as Excel in Norway would (Windows-1252, semicolons, decimal commas; every tenth
row is not ASCII) and measures, each in a process of its own: reading it, taking its scope (which
reads it as well), ingesting it into an empty catalog, and ingesting it again. The videos of its
rows do not exist; a second manifest names ``--files`` small files that do. The catalog is SQLite,
and a Postgres server that the benchmark starts on loopback where the programs are installed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psutil

from tests.services import Unavailable, postgres_server
from tracker_core.ingest.jobs import ingest, scope_of
from tracker_core.ingest.manifest import Record, open_manifest
from tracker_core.store.catalog import Catalog

_SAMPLES_PER_S = 20


def write_manifest(path: Path, rows: int) -> None:
    """Write a manifest of `rows` rows, all different, whose videos do not exist."""
    with path.open("w", encoding="cp1252", newline="") as stream:
        stream.write("Ord;Videofil;Kategori;Start;Slutt;Kommentar\r\n")
        for number in range(rows):
            word = f"blåbær {number}" if number % 10 == 0 else f"word {number}"
            name = f"blå_{number}" if number % 10 == 0 else f"clip_{number}"
            start = number % 7
            stream.write(
                f"{word};clips/{number % 1000:03d}/{name}.mp4;mat;{start},5;{start + 2},25;"
                '"et kort; sitat"\r\n'
            )


def write_files(folder: Path, count: int) -> Path:
    """Write `count` small files, all different, and the manifest that names them."""
    path = folder / "files.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write("word,path\n")
        for number in range(count):
            clip = folder / "files" / f"{number % 100:02d}" / f"{number}.mp4"
            clip.parent.mkdir(parents=True, exist_ok=True)
            clip.write_bytes(f"clip {number}".encode() * 100)
            stream.write(f"word {number},{clip}\n")
    return path


def read(manifest: Path) -> int:
    """Read all rows; how many were records."""
    return sum(isinstance(row, Record) for row in open_manifest(manifest))


def take_scope(manifest: Path) -> str:
    """The manifest's scope."""
    return scope_of(open_manifest(manifest), manifest.name)


def ingest_into(manifest: Path, url: str) -> tuple[int, int]:
    """Ingest into the catalog; rows and missing files."""
    with closing(Catalog(url).open()) as catalog:
        done = ingest(open_manifest(manifest), manifest.name, manifest.name, catalog)
        return done.videos, done.missing


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """One number: the process's largest resident memory within the block, in bytes."""
    process, peak, over = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not over.wait(1 / _SAMPLES_PER_S):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()
        peak[0] = max(peak[0], process.memory_info().rss)


def _timed(work: Callable[..., object], arguments: tuple[object, ...]) -> dict[str, float]:
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    with peak_memory() as peak:
        work(*arguments)
    return {
        "seconds": time.perf_counter() - started,
        "rss_before_mib": before / 2**20,
        "rss_peak_mib": peak[0] / 2**20,
    }


def measure(rows: int, work: Callable[..., object], *arguments: object) -> dict[str, float]:
    """Seconds, rows per second and memory in MiB of a call in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as process:
        taken = process.submit(_timed, work, arguments).result()
    return {"rows": rows, **taken, "rows_per_s": rows / taken["seconds"]}


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark and write its figures, a line of JSON each."""
    parser = argparse.ArgumentParser(description="Ingest a large manifest.")
    parser.add_argument("rows", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--postgres", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tracker-ingest-")))
        large = folder / "manifest.csv"
        write_manifest(large, given.rows)
        files = write_files(folder, given.files)
        _report("read", measure(given.rows, read, large))
        _report("scope", measure(given.rows, take_scope, large))
        databases = {"sqlite": f"sqlite:///{(folder / 'tracker.db').as_posix()}"}
        if given.postgres:
            try:
                databases["postgres"] = stack.enter_context(postgres_server()) + "postgres"
            except Unavailable as error:
                sys.stderr.write(f"no Postgres: {error}\n")
        for name, url in databases.items():
            _report(f"{name}, new", measure(given.rows, ingest_into, large, url))
            _report(f"{name}, again", measure(given.rows, ingest_into, large, url))
            _report(f"{name}, files", measure(given.files, ingest_into, files, url))
            _report(f"{name}, files again", measure(given.files, ingest_into, files, url))


def _report(what: str, figures: dict[str, float]) -> None:
    rounded = {name: round(value, 1) for name, value in figures.items()}
    sys.stdout.write(json.dumps({"what": what, **rounded}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
