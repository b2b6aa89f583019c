from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tracker_core.store.scratch import scratch, sweep_scratch


def test_a_scratch_folder_is_gone_afterwards(tmp_path: Path) -> None:
    with scratch(tmp_path) as first, scratch(tmp_path) as second:
        assert first != second
        (first / "half").write_bytes(b"x")
        sweep_scratch(tmp_path)
        assert (first / "half").exists()
    assert not first.exists() and not second.exists()


def test_only_this_machines_dead_processes_are_swept_after(tmp_path: Path) -> None:
    code = "import sys, os; from pathlib import Path; from tracker_core.store.scratch import *\n"
    code += "scratch(Path(sys.argv[1])).__enter__(); os._exit(1)"
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    elsewhere = tmp_path / "scratch" / "another-machine+1+1"
    elsewhere.mkdir()
    assert len(list((tmp_path / "scratch").iterdir())) == 2
    sweep_scratch(tmp_path)
    assert list((tmp_path / "scratch").iterdir()) == [elsewhere]
