"""The index of the export folder, written by many."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest

from tracker_core.errors import StorageError
from tracker_core.export import index
from tracker_core.export.index import read_index, rebuild_index, update_index


def entry(word: str, package: str, **more: Any) -> dict[str, Any]:
    return {"path": f"{word}/{package}", "word": word, "frames": 10, **more}


def publish(folder: Path, word: str, package: str, **more: Any) -> dict[str, Any]:
    made = entry(word, package, **more)
    place = folder / word / package
    place.mkdir(parents=True)
    (place / "index_entry.json").write_text(json.dumps(made), encoding="utf-8")
    return made


def test_entries_are_merged_by_path_and_sorted(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    assert update_index(path, [entry("på", "2"), entry("hei", "1")]) == 2
    assert update_index(path, [entry("hei", "1", frames=99)]) == 2
    found = read_index(path)
    assert [item["path"] for item in found] == ["hei/1", "på/2"]
    assert found[0]["frames"] == 99
    assert json.loads(path.read_text(encoding="utf-8"))["count"] == 2


def test_a_rebuild_is_what_lies_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    publish(tmp_path, "hei", "1")
    publish(tmp_path, "hei", "2")
    publish(tmp_path, ".unfinished", "3")
    (tmp_path / "hei" / "4").mkdir()
    (tmp_path / "hei" / "5").mkdir()
    (tmp_path / "hei" / "5" / "index_entry.json").write_text('{"path": "he', encoding="utf-8")
    update_index(path, [entry("gone", "1")])
    assert rebuild_index(path) == 2
    assert [item["path"] for item in read_index(path)] == ["hei/1", "hei/2"]
    first = path.read_bytes()
    rebuild_index(path)
    assert path.read_bytes() == first


def test_a_moved_package_is_found_where_it_lies(tmp_path: Path) -> None:
    publish(tmp_path, "hei", "1")
    (tmp_path / "hei" / "1").rename(tmp_path / "hei" / "moved")
    rebuild_index(tmp_path / "index.json")
    assert [item["path"] for item in read_index(tmp_path / "index.json")] == ["hei/moved"]


def test_a_broken_index_is_rebuilt_with_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    publish(tmp_path, "hei", "1")
    path.write_text('{"packages": [', encoding="utf-8")
    with pytest.raises(StorageError, match="no export index"):
        read_index(path)
    assert update_index(path, [entry("ja", "1")]) == 2
    assert [item["path"] for item in read_index(path)] == ["hei/1", "ja/1"]


def test_there_is_nothing_to_read_before_the_first_package(tmp_path: Path) -> None:
    assert read_index(tmp_path / "index.json") == []
    assert rebuild_index(tmp_path / "new" / "index.json") == 0


def add(arguments: tuple[str, int]) -> None:
    path, worker = arguments
    for k in range(10):
        update_index(Path(path), [entry("w", f"{worker}_{k}")])


def test_many_processes_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(add, [(str(path), worker) for worker in range(3)])
    assert len(read_index(path)) == 30
    left = {item.name for item in tmp_path.iterdir()}
    assert left == {"index.json", ".index.json.lock"}


def test_a_lock_that_is_never_released_ends_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "LOCK_TIMEOUT_S", 0.1)
    path = tmp_path / "index.json"
    with index._locked(path), pytest.raises(StorageError, match="held by another process"):
        update_index(path, [entry("a", "1")])
    assert update_index(path, [entry("a", "1")]) == 1, "and is free again afterwards"


def test_nine_thousand_packages_are_indexed_in_moments(tmp_path: Path) -> None:
    for word in range(900):
        for package in range(10):
            publish(tmp_path, f"word {word}", str(package), issues=["a", "b"])
    path = tmp_path / "index.json"
    start = time.perf_counter()
    assert rebuild_index(path) == 9000
    rebuilt = time.perf_counter() - start
    start = time.perf_counter()
    assert update_index(path, [entry("new", "1")]) == 9001
    merged = time.perf_counter() - start
    # Measured 0.3 and 0.05 seconds; a busy machine gets time to spare.
    assert rebuilt < 5.0
    assert merged < 2.0
