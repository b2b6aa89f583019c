"""What a cell or a folder names -> where the video is."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PureWindowsPath
from typing import NamedTuple
from urllib.parse import unquote

_EXTENSIONS = """
    3g2 3gp 264 265 asf av1 avi divx dv f4v flv h264 h265 hevc ivf m1v m2t m2ts m2v m4v mjpeg mjpg
    mkv mov mp4 mpe mpeg mpg mts mxf nut obu ogm ogv qt rm rmvb ts vob webm wmv wtv y4m
"""
VIDEO_EXTENSIONS = frozenset(f".{name}" for name in _EXTENSIONS.split())
"""Extensions, in lower case, of files that a folder is searched for."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_FILE_URL = re.compile(r"file:(//(?P<host>[^/\\]*))?(?=[/\\])", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
# A relative path in ASCII with an extension and nothing special in it: by far the most common
# cell, and the only one that needs no further thought.
_ORDINARY = re.compile(
    r"(?:[\w-][\w .-]*/)*([\w-][\w .-]*(\.[a-z0-9]+))\Z", re.ASCII | re.IGNORECASE
)
_NEEDS_NORMALISING = re.compile(r"//|(^|/)\.\.?(/|$)")


class Source(NamedTuple):
    """Where a video is.

    Attributes:
        location: absolute local path as it is on disk, or the URL.
        remote_url: the URL, None for a local file.
        filename: NFC base name.
    """

    location: str
    remote_url: str | None
    filename: str


def is_url(text: str) -> bool:
    """Tell whether the text is a URL of another machine (``file:`` is a local path)."""
    match = _SCHEME.match(text)
    return match is not None and match[1].lower() != "file"


def looks_like_video(text: str) -> bool:
    """Tell whether the text ends in a known video extension, as a path or before a URL's query."""
    text = text.strip(" \t\r\n\"'")
    if is_url(text):
        text = re.split(r"[?#]", text, maxsplit=1)[0]
    return os.path.splitext(text)[1].lower() in VIDEO_EXTENSIONS  # noqa: PTH122, hot


def looks_like_location(text: str) -> bool:
    """Tell whether the text is a video's name or URL, or has a folder in it."""
    text = text.strip()
    return looks_like_video(text) or is_url(text) or ("/" in text or "\\" in text)


def path_from_file_url(text: str) -> str:
    """Return the local path of a ``file:`` URL; other text is returned as it is."""
    match = _FILE_URL.match(text)
    if match is None:
        return text
    path = unquote(text[match.end() :])
    if _DRIVE.match(path[1:]):
        return path[1:]
    host = match["host"]
    return f"//{host}{path}" if host and host.lower() != "localhost" else path


def word_from(filename: str) -> str:
    """Return the word a file name stands for: its stem."""
    return os.path.splitext(filename)[0]  # noqa: PTH122, hot


class Resolver:
    """Finds the source that each cell of one manifest names.

    Attributes:
        root: folder (absolute) or URL that relative paths start from.
    """

    def __init__(self, root: str) -> None:
        self.root = root if is_url(root) else os.path.abspath(root)  # noqa: PTH100, a str is kept
        self._ordinary_prefix = "" if is_url(root) or os.sep != "/" else f"{self.root.rstrip('/')}/"
        self._listing = lru_cache(maxsize=1024)(_listing)
        self._folder = lru_cache(maxsize=65536)(self._find_folder)

    def resolve(self, text: str) -> Source:
        """Return the source that `text` names; the file need not exist.

        Understands paths with slashes or backslashes, ``file:`` URLs, other URLs, names without an
        extension (the one video of that stem in the same folder), the ``.eaf`` of ELAN (the video
        beside it), and names under another Unicode normal form than the file has on disk. A
        Windows path stays as it is on other systems.

        Raises:
            ValueError: with a sentence, where it names nothing or more than one file.
        """
        text = text.strip()
        if self._ordinary_prefix and (ordinary := _ORDINARY.match(text)):
            name, extension = ordinary.groups()
            if extension.lower() in VIDEO_EXTENSIONS:
                return Source(self._ordinary_prefix + text, None, name)
        if len(text) > 1 and text[0] == text[-1] == '"':  # "Copy as path" of Windows
            text = text[1:-1].strip()
        if not text:
            raise ValueError("it names no video")
        text = path_from_file_url(text)
        if "\0" in text or "\n" in text or "\r" in text:
            raise ValueError(f"{text[:80]!r} is not a path")
        if is_url(text):
            return _remote(text)
        if os.name != "nt" and (_DRIVE.match(text) or text.startswith("\\\\")):
            return Source(text, None, _nfc(PureWindowsPath(text).name))
        if is_url(self.root) and not os.path.isabs(text):  # noqa: PTH117
            return _remote(f"{self.root.rstrip('/')}/{text.replace(chr(92), '/')}")
        path = self._on_disk(text)
        filename = _nfc(os.path.basename(path))  # noqa: PTH119
        if not filename:
            raise ValueError(f"{text!r} is a folder, not a file")
        return Source(path, None, filename)

    def exists(self, text: str) -> bool:
        """Tell whether the cell names a local file that is there."""
        try:
            source = self.resolve(text)
        except ValueError:
            return False
        return source.remote_url is None and os.path.isfile(source.location)  # noqa: PTH113

    def _on_disk(self, text: str) -> str:
        path = os.path.join(self.root, text)  # noqa: PTH118
        if os.sep == "/" and "\\" in text and not os.path.lexists(path):
            path = os.path.join(self.root, text.replace("\\", "/"))  # noqa: PTH118
        if os.sep != "/" or _NEEDS_NORMALISING.search(path):
            path = os.path.normpath(path)
        has_extension = looks_like_video(path)
        # An ASCII name has one spelling only, so nothing has to be looked up.
        if (has_extension and text.isascii()) or os.path.isfile(path):  # noqa: PTH113
            return path
        folder, name = os.path.split(path)
        folder = self._folder(folder)
        names, stems = self._listing(folder)
        if found := names.get(_nfc(name)):
            return os.path.join(folder, found)  # noqa: PTH118
        if has_extension:
            return path
        stem = _nfc(name.removesuffix(".eaf"))
        # AUTSL lists ``signer0_sample1``; beside the colour video lies one of the depth.
        matches = stems.get(stem) or stems.get(f"{stem}_color", ())
        if len(matches) > 1:
            raise ValueError(f"{text!r} could be {' or '.join(matches)}; write the extension")
        if matches:
            return os.path.join(folder, matches[0])  # noqa: PTH118
        if "*" in name:
            raise ValueError(f"{text!r} is a pattern, not one video file")
        return path

    def _find_folder(self, path: str) -> str:
        """Return the folder under the normal form it has on disk, or as it is."""
        names: list[str] = []
        while not path.isascii() and not os.path.isdir(path):  # noqa: PTH112
            path, name = os.path.split(path)
            if not name:
                break
            names.append(name)
        for name in reversed(names):
            path = os.path.join(path, self._listing(path)[0].get(_nfc(name), name))  # noqa: PTH118
        return path


def _listing(folder: str) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Return the entries of a folder by NFC name, and its videos by NFC stem."""
    names: dict[str, str] = {}
    stems: dict[str, tuple[str, ...]] = {}
    try:
        entries = sorted(os.listdir(folder))  # noqa: PTH208
    except (OSError, ValueError):  # not there, or no path at all: nothing is found in it
        return names, stems
    for name in entries:
        names.setdefault(_nfc(name), name)
        stem, extension = os.path.splitext(name)  # noqa: PTH122
        if extension.lower() in VIDEO_EXTENSIONS and not name.startswith("._"):
            stems[_nfc(stem)] = (*stems.get(_nfc(stem), ()), name)
    return names, stems


def videos_in(folder: Path) -> Iterator[Path | OSError]:
    """Walk the folder in sorted order and yield its videos, or why a folder could not be read.

    Links to folders are followed, each folder once. Names that begin with a dot are left out: they
    are hidden, and those of macOS (``._clip.mp4``) only look like videos.
    """
    for found in _walk(folder, set()):
        if isinstance(found, OSError) or is_video_name(found):
            yield found


def passed_over(folder: Path) -> Iterator[Path]:
    """The files of the folder that `videos_in` leaves out for their names, hidden ones not told."""
    for found in _walk(folder, set()):
        if isinstance(found, Path) and not is_video_name(found):
            yield found


def is_video_name(path: Path) -> bool:
    """Whether the name ends as a video's does."""
    return path.suffix.lower() in VIDEO_EXTENSIONS


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path | OSError]:
    try:
        status = folder.stat()
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        yield error
        return
    if status.st_ino and (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry, seen)
        else:
            yield entry


def _remote(url: str) -> Source:
    path = url.split("://", 1)[1]
    if url[:4].lower() == "http":
        path = unquote(re.split(r"[?#]", path, maxsplit=1)[0])
    name = _nfc(path.rstrip("/").rsplit("/", 1)[-1])
    if not name or "\0" in name:
        raise ValueError(f"{url[:80]!r} names no file")
    return Source(url, url, name)


def _nfc(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)
