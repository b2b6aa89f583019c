"""Remote videos fetched into the cache, and the checksums of files."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import fsspec

from tracker_core.errors import MissingFile, StorageError

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Fingerprint:
    """Checksums and size of a file's bytes."""

    sha256: str
    sha1: str
    size: int


def fingerprint(path: Path) -> Fingerprint:
    """sha256 (our keys) and sha1 (the catalog's own column) of a file, read once in chunks."""
    strong, weak = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            strong.update(chunk)
            weak.update(chunk)
            size += len(chunk)
    return Fingerprint(strong.hexdigest(), weak.hexdigest(), size)


def fetch(url: str, cache: Path) -> Path:
    """A local copy of a remote video, under a name that follows from its URL and version.

    The version is what the server says of it (ETag or time, and size), so changed bytes under an
    old name are fetched anew, and unchanged ones are not.

    Raises MissingFile when there is nothing at the URL, StorageError (retryable) on other faults.
    """
    name = PurePosixPath(urlsplit(url).path).name or "video"
    part = cache / "remote" / f"{uuid.uuid4().hex}.part"
    try:
        fs, path = fsspec.url_to_fs(url)
        info = fs.info(path)
        version = repr([url] + [info.get(k) for k in ("size", "ETag", "mtime", "LastModified")])
        folder = hashlib.sha256(version.encode()).hexdigest()[:32]
        target = cache / "remote" / folder / name
        if target.is_file() and info.get("size") in (None, target.stat().st_size):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        fs.get_file(path, str(part))
        size = part.stat().st_size
        if info.get("size") not in (None, size):
            raise StorageError(f"{url} broke off after {size} of {info['size']} bytes")
        part.replace(target)
    except FileNotFoundError as error:
        if (fault := _http_fault(error)) is not None:
            raise StorageError(f"could not fetch {url}: {fault}") from error
        raise MissingFile(
            f"there is no {url}: check the manifest, or the store's contents"
        ) from None
    except StorageError:
        raise
    except Exception as error:  # each protocol's library has exceptions of its own
        raise StorageError(f"could not fetch {url}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _http_fault(error: FileNotFoundError) -> BaseException | None:
    """What went wrong where it was not that the file is absent.

    fsspec's HTTP file system calls every fault "not found"; the cause says what it was.
    """
    import aiohttp

    cause = error.__cause__
    absent = getattr(cause, "status", None) in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
    return cause if isinstance(cause, aiohttp.ClientError | TimeoutError) and not absent else None
