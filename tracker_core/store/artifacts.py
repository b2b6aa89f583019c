"""The artifact store: what exists, under a key that says exactly what it was made from.

A file appears under its name only when it is whole: it is written elsewhere, checksummed, and then
renamed (or, in an object store, put in one request). The root is a local folder or any fsspec URL.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from pydantic import BaseModel, ConfigDict

from tracker_core.errors import SettingsError, StorageError
from tracker_core.tracking.models import sha256_file

_PARTS = ".parts"


class ArtifactRef(BaseModel):
    """One whole file in the store.

    Attributes:
        path: POSIX path relative to the store's root, so a store can be moved.
        sha256: of its bytes.
        size: in bytes.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    sha256: str
    size: int


class StageRecord(BaseModel):
    """What one stage made of one input: the value that Prefect caches under the stage's key.

    Attributes:
        stage: name of the stage.
        key: the stage key, see `tracker_core.pipeline.stage_key`.
        files: file name -> where it lies.
        facts: small results that later stages and the catalog read (JSON values).
    """

    model_config = ConfigDict(frozen=True)

    stage: str
    key: str
    files: dict[str, ArtifactRef]
    facts: dict[str, Any]


class ArtifactStore:
    """Files under a root folder or URL.

    Raises SettingsError when the root cannot be opened, and StorageError (which is retryable) when
    a file operation fails.
    """

    def __init__(self, root: str, cache: Path) -> None:
        try:
            # Other machines write here too: a remembered listing would be out of date.
            self.fs, path = fsspec.url_to_fs(root, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise SettingsError(f"ARTIFACT_URL={root!r} cannot be opened: {error}") from None
        self.url = root
        self.root = str(path).rstrip("/")
        self.is_local = isinstance(self.fs, LocalFileSystem)
        self._cache = cache / "artifacts"

    def checked(self) -> ArtifactStore:
        """This store, after a file has been written to it and deleted again.

        Raises SettingsError when that fails: better before the first video than at each.
        """
        name = self.absolute(f"{_PARTS}/{uuid.uuid4().hex}.check")
        try:
            with _faults(f"write {name}"):
                if self.is_local:
                    Path(name).parent.mkdir(parents=True, exist_ok=True)
                self.fs.pipe_file(name, b"tracker")
                self.fs.rm_file(name)
        except StorageError as error:
            raise SettingsError(
                f"the artifact store ARTIFACT_URL={self.url!r} cannot be used: {error}. Is it "
                "there (a bucket is not made for you), and do the credentials in the environment "
                "allow to write and delete?"
            ) from error
        return self

    def absolute(self, path: str) -> str:
        """The store's own path of a relative one."""
        return f"{self.root}/{path}"

    def publish(self, source: Path, path: str) -> ArtifactRef:
        """Move a local file into the store under a relative path, replacing what is there."""
        ref = ArtifactRef(path=path, sha256=sha256_file(source), size=source.stat().st_size)
        target = self.absolute(path)
        with _faults(f"write {target}"):
            if self.is_local:
                part = Path(self.root) / _PARTS / uuid.uuid4().hex
                part.parent.mkdir(parents=True, exist_ok=True)
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                shutil.move(source, part)  # a copy where the scratch folder is on another disk
                _sync(part)
                part.replace(target)
            else:
                self.fs.put_file(str(source), target)
                source.unlink()
        if not self.holds(ref):
            raise StorageError(f"{target} was written but is not there whole; it will be retried")
        return ref

    def holds(self, ref: ArtifactRef, *, deep: bool = False) -> bool:
        """Whether the file exists with its size; ``deep`` reads it and compares the sha256."""
        target = self.absolute(ref.path)
        try:
            with _faults(f"look for {target}", absent=True):
                info = self.fs.info(target)
                if info["type"] != "file" or info["size"] != ref.size:
                    return False
                return not deep or _sha256(self.fs.cat_file(target)) == ref.sha256
        except FileNotFoundError:
            return False

    def local(self, ref: ArtifactRef) -> Path:
        """A local path to read: the file itself, or a verified copy in the cache."""
        if self.is_local:
            return Path(self.absolute(ref.path))
        copy = self._cache.joinpath(*PurePosixPath(ref.path).parts)
        if copy.is_file() and copy.stat().st_size == ref.size and sha256_file(copy) == ref.sha256:
            return copy
        part = copy.with_name(f"{uuid.uuid4().hex}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        target = self.absolute(ref.path)
        try:
            with _faults(f"read {target}"):
                self.fs.get_file(target, str(part))
                if sha256_file(part) != ref.sha256:
                    raise StorageError(f"{target} does not have its own checksum")
                part.replace(copy)
        finally:
            part.unlink(missing_ok=True)
        return copy

    def remove(self, path: str) -> None:
        """Delete a file if it is there."""
        with suppress(FileNotFoundError), _faults(f"delete {path}", absent=True):
            self.fs.rm_file(self.absolute(path))

    def listing(self, prefix: str) -> Mapping[str, int]:
        """Relative path -> size of every file under a prefix, in one listing."""
        top = self.absolute(prefix)
        found: Mapping[str, Any] = {}
        with suppress(FileNotFoundError), _faults(f"list {top}", absent=True):
            found = self.fs.find(top, detail=True)
        base = self.fs._strip_protocol(self.root).rstrip("/") + "/"
        return {name.removeprefix(base): info["size"] for name, info in found.items()}

    def sweep(self, older_than_s: float = 24 * 3600) -> None:
        """Delete half-written files that dead processes left behind."""
        parts = Path(self.root) / _PARTS
        if not self.is_local or not parts.is_dir():
            return
        for part in parts.iterdir():
            if time.time() - part.stat().st_mtime > older_than_s:
                part.unlink(missing_ok=True)


@contextmanager
def _faults(action: str, *, absent: bool = False) -> Iterator[None]:
    """Whatever a file system raises, as StorageError; where ``absent``, but FileNotFoundError."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:  # an object store's library has exceptions of its own
        if absent and isinstance(error, FileNotFoundError):
            raise
        raise StorageError(f"could not {action}: {error}") from error


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sync(path: Path) -> None:
    """Bytes on disk before the name is: a power cut must not leave a whole name on half a file."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
