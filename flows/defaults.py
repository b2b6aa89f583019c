"""Prefect settings that this project wants, where the user has set none."""

from __future__ import annotations

import os

# Measured on 1,000 task runs (benchmarks/prefect_overhead.py): a server that records task runs in
# batches uses a fifth of the CPU time of one that records them one by one.
_BATCH = {
    f"PREFECT_SERVER_SERVICES_{service}_{name}": value
    for service in ("TASK_RUN_RECORDER", "EVENT_PERSISTER")
    for name, value in (("BATCH_SIZE", "200"), ("READ_BATCH_SIZE", "200"), ("FLUSH_INTERVAL", "1"))
}

DEFAULTS = {
    **_BATCH,
    # Nothing leaves the machine.
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # The server that `tracker run` starts for itself may need longer than 20 s on a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    # What our own modules log belongs to the flow run as well.
    "PREFECT_LOGGING_EXTRA_LOGGERS": "tracker",
}


def apply() -> None:
    """Set the defaults in the environment, so that a server started from here has them too."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
