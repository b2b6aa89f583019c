"""One process of `benchmarks.startup`: from nothing to the landmarks of one picture.

Reads JSON from its standard input (provider, its options, the models' folder, a picture as .npy)
and prints JSON: the seconds of each step, and the process's peak memory in bytes. It imports
nothing of ours before the clock runs.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Take the steps, and write what they took."""
    task = json.load(sys.stdin)
    began = time.perf_counter()
    import numpy as np

    from tracker_core.tracking.models import ModelStore
    from tracker_core.tracking.provider import View
    from tracker_core.tracking.registry import provider

    imported = time.perf_counter()
    picture = np.load(task["picture"])
    loading = time.perf_counter()
    engine = provider(task["provider"], ModelStore(Path(task["models_dir"])), task["options"])
    with engine.session() as session:
        loaded = time.perf_counter()
        (seen,) = session.track([View(picture, 0, 0, 0.0)])
        tracked = time.perf_counter()
    report = {
        "import_s": imported - began,
        "load_s": loaded - loading,
        "first_frame_s": tracked - loaded,
        "peak_bytes": peak_memory(),
        "landmarks": int(np.isfinite(seen.positions[:, 0]).sum()),
    }
    sys.stdout.write(json.dumps(report) + "\n")


def peak_memory() -> int:
    """The largest resident memory this process ever had, in bytes.

    On Linux the kernel's high-water mark is read: ``getrusage`` would count the memory of the
    process that started this one, too.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import psutil

    memory = psutil.Process().memory_info()
    return int(getattr(memory, "peak_wset", memory.rss))


if __name__ == "__main__":
    main()
