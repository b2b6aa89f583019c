from __future__ import annotations

import pkgutil
import subprocess
import sys

import tracker_core

LAYERS = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
LAYERS += "print(*sorted({m.split('.')[0] for m in sys.modules} & {'prefect', 'tasks', 'flows'}))"


def test_nothing_in_tracker_core_imports_prefect_tasks_or_flows() -> None:
    names = [m.name for m in pkgutil.walk_packages(tracker_core.__path__, "tracker_core.")]
    # Alembic's own entrance, and a script for the Python of Unreal Engine.
    names = [n for n in names if not n.endswith((".migrations.env", ".unreal_import"))]
    assert "tracker_core.pipeline" in names and len(names) > 30
    imported = subprocess.run(
        [sys.executable, "-c", LAYERS, *names], capture_output=True, text=True, check=False
    )
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.split() == []
