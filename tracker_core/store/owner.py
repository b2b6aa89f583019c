"""Which process something belongs to, and whether that process still lives."""

from __future__ import annotations

import os
import socket
from functools import cache

import psutil


@cache
def owner_name() -> str:
    """``host:pid:start`` of this process."""
    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.0f}"


def owner_is_dead(owner: str) -> bool:
    """Whether the owner was a process of this machine that no longer runs."""
    host, _, rest = owner.rpartition(":")
    host, _, pid = host.rpartition(":")
    if host != socket.gethostname():
        return False
    try:
        return bool(abs(psutil.Process(int(pid)).create_time() - float(rest)) > 2)
    except psutil.AccessDenied:
        return False
    except (psutil.NoSuchProcess, ValueError):
        return True
