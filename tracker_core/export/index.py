"""``exports/index.json``: one entry for each package under the export folder.

The index is a copy. The truth is the ``index_entry.json`` in each package, and `rebuild_index`
makes the index of them alone; `update_index` merges entries into it, so that a run need not read
every package for each one it adds. Both hold a lock meanwhile and replace the file whole, so any
number of processes may write and none ever reads half an index.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

from tracker_core.errors import StorageError

INDEX_VERSION = 1
LOCK_TIMEOUT_S = 60.0
"""A merge takes a fraction of a second; who waits this long waits for something broken."""


def update_index(index_path: Path, entries: Iterable[Mapping[str, Any]]) -> int:
    """Merges entries into the index, by their ``path``; returns how many it then holds.

    An index that is absent or cannot be read is rebuilt from the packages first.

    Args:
        index_path: ``<export folder>/index.json``.
        entries: as `write_package` returns them, of packages that have been published.

    Raises:
        StorageError: the index cannot be locked or written.
    """
    with _locked(index_path):
        known = _read(index_path)
        if known is None:
            known = _collect(index_path.parent)
        known |= {str(entry["path"]): dict(entry) for entry in entries}
        _write(index_path, known)
    return len(known)


def rebuild_index(index_path: Path) -> int:
    """Makes the index anew of every package under its folder; returns how many there are.

    Entries of packages that have gone are gone. A package without a readable entry, as one that is
    being written has, is passed over.

    Raises:
        StorageError: the index cannot be locked or written.
    """
    with _locked(index_path):
        known = _collect(index_path.parent)
        _write(index_path, known)
    return len(known)


def read_index(index_path: Path) -> list[dict[str, Any]]:
    """The entries, in order of their paths; none where there is no index yet.

    Raises:
        StorageError: the file is no index.
    """
    if not index_path.exists():
        return []
    known = _read(index_path)
    if known is None:
        raise StorageError(f"{index_path} is no export index; rebuild it")
    return [known[path] for path in sorted(known)]


def _read(index_path: Path) -> dict[str, dict[str, Any]] | None:
    try:
        content = orjson.loads(index_path.read_bytes())
        if content["version"] != INDEX_VERSION:
            return None
        return {entry["path"]: entry for entry in content["packages"]}
    except (FileNotFoundError, orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _collect(folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for word in _folders(folder):
        for package in _folders(word):
            try:
                entry = orjson.loads((Path(package) / "index_entry.json").read_bytes())
            except (OSError, orjson.JSONDecodeError):
                continue
            # Where the package lies counts, not where it was meant to lie: it may have been moved.
            path = f"{word.name}/{package.name}"
            found[path] = {**entry, "path": path}
    return found


def _folders(folder: os.DirEntry[str] | Path) -> list[os.DirEntry[str]]:
    """Its folders, without hidden ones: those are on their way to being published."""
    with os.scandir(folder) as items:
        return [item for item in items if item.is_dir() and not item.name.startswith(".")]


def _write(index_path: Path, known: Mapping[str, Mapping[str, Any]]) -> None:
    content = {
        "format": "tracker.exports",
        "version": INDEX_VERSION,
        "count": len(known),
        "packages": [known[path] for path in sorted(known)],
    }
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    try:
        handle, name = tempfile.mkstemp(prefix=".index-", suffix=".tmp", dir=index_path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(orjson.dumps(content, option=options))
                file.flush()
                os.fsync(file.fileno())
            # mkstemp's file is for its owner alone; an index is for whoever may see the folder.
            temporary.chmod(0o644)
            _replace(temporary, index_path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{index_path} could not be written: {error}") from error


def _replace(temporary: Path, target: Path) -> None:
    """``os.replace``, which Windows refuses while another process has the target open to read."""
    for _ in range(20):
        try:
            temporary.replace(target)
            return
        except PermissionError:
            time.sleep(0.05)
    temporary.replace(target)


@contextmanager
def _locked(index_path: Path) -> Iterator[None]:
    """Holds the lock of the index. The system drops it when its process dies, so none is stale."""
    lock_path = index_path.with_name(f".{index_path.name}.lock")
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    try:
        index_path.parent.mkdir(parents=True, exist_ok=True)
        file = lock_path.open("a+b")
    except OSError as error:
        raise StorageError(f"{lock_path} could not be opened: {error}") from error
    with file:
        while not _try_lock(file):
            if time.monotonic() > deadline:
                raise StorageError(
                    f"{lock_path} was held by another process for {LOCK_TIMEOUT_S:.0f} s"
                )
            time.sleep(0.02)
        try:
            yield
        finally:
            _unlock(file)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
