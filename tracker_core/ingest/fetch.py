"""Remote videos fetched into the cache, and the checksums of files."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import fsspec

from tracker_core.errors import MissingFile, StorageError

_CHUNK = 1 << 20
_SILENCE_S = 60.0
"""How long a web server may send nothing."""
_PAUSE_S = 1.0
_PAGES = ("text/html", "application/xhtml+xml")
_TELLING = ("ETag", "Content-MD5", "Digest", "Last-Modified", "LastModified", "mtime")
"""What fsspec's file systems call a checksum or the time of the last change."""
_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)


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


@dataclass(frozen=True)
class Version:
    """What a server says of the bytes behind a URL, without sending them.

    Attributes:
        stamp: a number (63 bits) that stands for their checksum or time, and their size; None
            where the server tells none of these.
        size: in bytes; None where it is not told.
    """

    stamp: int | None
    size: int | None


class Versions:
    """Asks servers for versions. One that fails is asked no more, so that it costs one wait."""

    def __init__(self) -> None:
        self._silent: set[str] = set()

    def of(self, url: str) -> Version | None:
        """The version of what is at the URL; None where nobody tells."""
        server = urlsplit(url).netloc
        if server in self._silent:
            return None
        try:
            fs, path = file_system(url)
            return _version(url, fs.info(path))
        except FileNotFoundError as error:
            if _http_fault(error) is not None:
                self._silent.add(server)
        except Exception:  # each protocol's library has exceptions of its own
            self._silent.add(server)
        return None


def fetch(url: str, cache: Path, attempts: int = 3) -> Path:
    """A local copy of a remote video, under a name that follows from its URL and version.

    The version is what the server says of it (ETag, checksum or time, and size), so changed bytes
    under an old name are fetched anew, and unchanged ones are not. Where the server says nothing,
    they are fetched each time.

    Args:
        url: of any protocol that fsspec knows.
        cache: the folder that the copy is put under.
        attempts: how often it is tried where a fault may pass, with pauses of 1 s, 2 s, ...

    Raises MissingFile when there is nothing at the URL, or a web page, StorageError (retryable) on
    other faults.
    """
    for attempt in range(1, attempts):
        try:
            return _fetch(url, cache)
        except StorageError as error:
            if not _may_pass(error.__cause__):
                raise
            time.sleep(_PAUSE_S * 2 ** (attempt - 1))
    return _fetch(url, cache)


def _fetch(url: str, cache: Path) -> Path:
    name = PurePosixPath(urlsplit(url).path).name or "video"
    part = cache / "remote" / f"{uuid.uuid4().hex}.part"
    try:
        fs, path = file_system(url)
        info = fs.info(path)
        version = _version(url, info)
        folder = hashlib.sha256(f"{url} {version.stamp}".encode()).hexdigest()[:32]
        target = cache / "remote" / folder / name
        if (
            version.stamp is not None
            and target.is_file()
            and version.size in (None, target.stat().st_size)
        ):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        fs.get_file(path, str(part))
        size = part.stat().st_size
        if version.size not in (None, size):
            raise StorageError(f"{url} broke off after {size} of {version.size} bytes")
        if info.get("mimetype") in _PAGES and _is_page(part):
            raise MissingFile(
                f"{url} gives a web page instead of a video (from {info.get('url', url)}): it may "
                "need a login, or be the address of the page that shows the video"
            )
        part.replace(target)
    except FileNotFoundError as error:
        if (fault := _http_fault(error)) is not None:
            raise StorageError(f"could not fetch {url}: {_told(fault)}") from fault
        raise MissingFile(
            f"there is no {url}: check the manifest, or the store's contents"
        ) from None
    except (StorageError, MissingFile):
        raise
    except Exception as error:  # each protocol's library has exceptions of its own
        raise StorageError(f"could not fetch {url}: {_told(error)}") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it. What it lists is never remembered."""
    options: dict[str, Any] = {"use_listings_cache": False}
    if url.lower().startswith(("http://", "https://")):
        import aiohttp

        # By default a whole file may take five minutes: here it may take as long as it comes.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_SILENCE_S, sock_read=_SILENCE_S)
        options["client_kwargs"] = {"timeout": timeout}
    fs, path = fsspec.url_to_fs(url, **options)
    return fs, path


def _version(url: str, info: Mapping[str, Any]) -> Version:
    told = {name: str(info[name]) for name in _TELLING if info.get(name) is not None}
    size = info.get("size")
    if not told and size is None:
        return Version(None, None)
    digest = hashlib.sha256(repr((url, size, sorted(told.items()))).encode()).digest()
    return Version(int.from_bytes(digest[:8], "big") >> 1, size)


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _may_pass(fault: BaseException | None) -> bool:
    """Whether a fault may pass within seconds: a refusal and an unknown protocol do not."""
    status = getattr(fault, "status", None)
    if status is not None:
        return status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return not isinstance(fault, PermissionError | ValueError | ImportError)


def _http_fault(error: FileNotFoundError) -> BaseException | None:
    """What went wrong where it was not that the file is absent.

    fsspec's HTTP file system calls every fault "not found"; the cause says what it was.
    """
    import aiohttp

    cause = error.__cause__
    absent = getattr(cause, "status", None) in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
    return cause if isinstance(cause, aiohttp.ClientError | TimeoutError) and not absent else None
