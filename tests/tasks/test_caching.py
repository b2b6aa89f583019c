from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prefect.filesystems import RemoteFileSystem

from tasks.caching import StageKeyPolicy, record_storage
from tracker_core.store.artifacts import ArtifactStore


def key_of(call: Any, **more: Any) -> str | None:
    return StageKeyPolicy().compute_key(
        cast(Any, SimpleNamespace(task_run=more)), {"call": call}, more
    )


def test_the_key_is_the_calls_own_and_nothing_elses() -> None:
    call = SimpleNamespace(key="probe/1/abc", source="/here/a.mp4")
    moved = SimpleNamespace(key="probe/1/abc", source="/elsewhere/b.mp4")
    assert key_of(call, run="one") == key_of(moved, run="another") == "probe/1/abc"
    assert key_of(SimpleNamespace(key="probe/2/abc")) == "probe/2/abc"


def test_local_records_lie_in_the_artifact_store(store: ArtifactStore) -> None:
    assert record_storage(store) == Path(store.root) / "records"


@pytest.mark.usefixtures("prefect_server")
def test_remote_records_lie_in_the_artifact_store_too(bucket: str, tmp_path: Any) -> None:
    store = ArtifactStore(f"{bucket}/prefix", tmp_path)
    block = record_storage(store)
    assert isinstance(block, RemoteFileSystem)
    block.filesystem.pipe_file(f"{block.basepath}/probe/1/abc", b"{}")
    assert store.listing("records") == {"records/probe/1/abc": 2}
    assert "SECRET" not in block.model_dump_json()
    again = record_storage(ArtifactStore(f"{bucket}/prefix", tmp_path))
    assert isinstance(again, RemoteFileSystem)
    assert again._block_document_name == block._block_document_name
