"""Stage keys as Prefect cache keys, and where Prefect keeps its records."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.filesystems import RemoteFileSystem, WritableFileSystem

from tracker_core.pipeline import digest
from tracker_core.store.artifacts import ArtifactStore


@dataclass
class StageKeyPolicy(CachePolicy):
    """The key of the `StageCall` given to the task; never a run id, never source text."""

    def compute_key(
        self,
        task_ctx: TaskRunContext,  # noqa: ARG002 - Prefect's signature
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],  # noqa: ARG002
        **_: Any,
    ) -> str | None:
        """The stage key. An exception here would silently turn the cache off: nothing can raise."""
        key: str = inputs["call"].key
        return key


@cache
def record_storage(store: ArtifactStore) -> Path | WritableFileSystem:
    """Where Prefect writes the JSON records of finished stages: ``records/`` in the artifact store.

    For an object store this is a Prefect block, saved under a name that follows from the URL. It
    holds no credentials; fsspec takes them from the environment, as for the artifacts.
    """
    if store.is_local:
        return Path(store.absolute("records"))
    block = RemoteFileSystem(basepath=f"{store.url.rstrip('/')}/records")
    block.save(f"tracker-records-{digest(store.url)[:12]}", overwrite=True)
    return block
