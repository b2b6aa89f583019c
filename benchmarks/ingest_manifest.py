"""How fast, and in how much memory, a manifest of a million rows is read.

::

    python -m benchmarks.ingest_manifest 1000000

Writes a manifest as Excel in Norway would (Windows-1252, semicolons, decimal commas; every tenth
row is not ASCII), opens and iterates it, and reports rows per second and the peak of the
process's memory. The videos need not exist.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tracker_core.ingest.manifest import Record, open_manifest


def write_manifest(path: Path, rows: int) -> None:
    """Write a manifest of `rows` rows, all different."""
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


def measure(path: Path) -> dict[str, float]:
    """Return seconds to open and to read, rows per second, and memory in MiB."""
    process = psutil.Process()
    before = process.memory_info().rss
    peak = before
    started = time.perf_counter()
    manifest = open_manifest(path)
    opened = time.perf_counter()
    records = problems = 0
    for item in manifest:
        if isinstance(item, Record):
            records += 1
        else:
            problems += 1
        if (records + problems) % 50_000 == 0:
            peak = max(peak, process.memory_info().rss)
    finished = time.perf_counter()
    peak = max(peak, process.memory_info().rss)
    return {
        "records": records,
        "problems": problems,
        "open_s": opened - started,
        "read_s": finished - opened,
        "rows_per_s": (records + problems) / (finished - started),
        "rss_before_mib": before / 2**20,
        "rss_peak_mib": peak / 2**20,
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark and write its figures."""
    parser = argparse.ArgumentParser(description="Read a large manifest.")
    parser.add_argument("rows", type=int, nargs="?", default=1_000_000)
    rows: int = parser.parse_args(arguments).rows
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest.csv"
        write_manifest(path, rows)
        sys.stdout.write(f"manifest {path.stat().st_size / 2**20:.1f} MiB, {rows} rows\n")
        for name, value in measure(path).items():
            sys.stdout.write(f"{name:<15} {value:,.2f}\n")


if __name__ == "__main__":
    main()
