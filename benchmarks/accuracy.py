"""How accurate our graph is, beside MediaPipe's HolisticLandmarker, on the same models.

::

    python -m benchmarks.accuracy [parity|truth|clips|all] [--clips FILE|FOLDER|GLOB ...]
                                  [--data FOLDER] [--pictures FOLDER] [--json FILE]

- ``parity``: our graph in parity mode against the reference, on every clip (`benchmarks.parity`).
- ``truth``: both against what people marked in pictures (`benchmarks.truth`); needs ``--data``, a
  folder of the test pictures of mmpose, dlib and tiny-coco, named as there.
- ``clips``: hands found, kept and found again in the clips (`benchmarks.signing`).

Markdown goes to stdout, pictures of what differs to ``--pictures``. Without ``--clips`` the
evaluation clips beside the repository are taken, or the demo's where they are absent. A second of
video costs half a minute or so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import parity, signing, truth
from benchmarks.clips import find_clips
from tracker_core.errors import CannotRun
from tracker_core.settings import load_settings
from tracker_core.tracking.mediapipe import quiet
from tracker_core.tracking.models import ModelStore

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("parity", "truth", "clips")


def main(arguments: list[str] | None = None) -> int:
    """Measure, and write the tables."""
    given = _arguments(arguments)
    quiet()
    try:
        return _measure(given)
    except CannotRun as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Our graph beside HolisticLandmarker.")
    parser.add_argument("part", nargs="?", default="all", choices=(*PARTS, "all"))
    parser.add_argument("--clips", nargs="+", default=[], metavar="PATH", help="videos")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="of ground truth")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="for pictures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the tables' cells as JSON")
    return parser.parse_args(arguments)


def _measure(given: argparse.Namespace) -> int:
    models = ModelStore(load_settings().models_dir)
    reports: dict[str, Callable[[], list[str]]] = {
        "parity": lambda: parity.report(models, find_clips(given.clips, ROOT), given.pictures),
        "truth": lambda: truth.report(models, given.data),
        "clips": lambda: signing.report(models, find_clips(given.clips, ROOT), given.pictures),
    }
    wanted = PARTS if given.part == "all" else (given.part,)
    if given.part == "truth" and given.data is None:
        raise CannotRun("truth needs --data FOLDER: the folder of the marked pictures")
    if given.data is not None and not given.data.is_dir():
        raise CannotRun(f"--data {given.data}: there is no such folder")
    said: list[str] = []
    for part in wanted:
        if part == "truth" and given.data is None:
            lines = ["Ground truth is left out: there is no --data.", ""]
        else:
            lines = reports[part]()
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        said += lines
    if given.json is not None:
        given.json.write_text(json.dumps(tables(said), indent=1, ensure_ascii=False))
    return 0


def tables(lines: list[str]) -> list[dict[str, str]]:
    """Every row of the Markdown tables, its cells by their column, under ``table`` its title."""
    out: list[dict[str, str]] = []
    title, header = "", None
    for line in lines:
        if not line.startswith("| "):
            header = None
            title = line.strip("#: ") or title
            continue
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if header is None:
            header = cells
        elif not set("".join(cells)) <= {"-"}:
            out.append({"table": title, **dict(zip(header, cells, strict=True))})
    return out


if __name__ == "__main__":
    sys.exit(main())
