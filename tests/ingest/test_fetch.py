from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from tests import services
from tracker_core.errors import MissingFile, StorageError
from tracker_core.ingest.fetch import fetch, fingerprint


class Handler(SimpleHTTPRequestHandler):
    """A web server that has secrets, breaks off, and keeps count of whole files sent."""

    sent = 0

    def do_GET(self) -> None:
        if self.path.startswith("/forbidden"):
            self.send_error(403)
        elif self.path.startswith("/short"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 10)
        else:
            type(self).sent += "Range" not in self.headers
            super().do_GET()

    def do_HEAD(self) -> None:
        if self.path.startswith("/short"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
        else:
            super().do_HEAD()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL and the folder of a web server."""
    folder = tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    thread.join()
    server.server_close()


def parts(cache: Path) -> list[Path]:
    return list(cache.rglob("*.part"))


def test_a_fingerprint_is_that_of_the_whole_file(tmp_path: Path) -> None:
    content = os.urandom((1 << 20) + 17)
    (tmp_path / "a").write_bytes(content)
    found = fingerprint(tmp_path / "a")
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert found.sha1 == hashlib.sha1(content, usedforsecurity=False).hexdigest()
    assert found.size == len(content)


def test_a_remote_video_is_fetched_once_and_anew_when_it_changes(
    web: tuple[str, Path], tmp_path: Path
) -> None:
    url, folder = web
    (folder / "se på.mp4").write_bytes(b"first")
    before = Handler.sent
    first = fetch(f"{url}/se på.mp4", tmp_path / "cache")
    assert first.read_bytes() == b"first" and first.suffix == ".mp4"
    assert fetch(f"{url}/se på.mp4", tmp_path / "cache") == first
    assert Handler.sent == before + 1
    (folder / "se på.mp4").write_bytes(b"second")
    second = fetch(f"{url}/se på.mp4", tmp_path / "cache")
    assert second.read_bytes() == b"second" and first.read_bytes() == b"first"
    assert not parts(tmp_path)


def test_nothing_at_the_url_is_a_missing_file(web: tuple[str, Path], tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"there is no http.*none\.mp4"):
        fetch(f"{web[0]}/none.mp4", tmp_path / "cache")


@pytest.mark.parametrize("path", ["/forbidden.mp4", "/short.mp4"])
def test_other_faults_may_be_tried_again(web: tuple[str, Path], tmp_path: Path, path: str) -> None:
    with pytest.raises(StorageError, match=path):
        fetch(web[0] + path, tmp_path / "cache")
    assert not parts(tmp_path)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_nobody_listening_may_be_tried_again(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="could not fetch"):
        fetch(f"http://127.0.0.1:{services.free_port()}/a.mp4", tmp_path)


def test_an_unknown_kind_of_url_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        fetch("nowhere://a/b.mp4", tmp_path)


def test_s3_videos_are_fetched_by_version(bucket: str, tmp_path: Path) -> None:
    s3 = fsspec.filesystem("s3")
    s3.pipe_file(f"{bucket}/clips/a.mp4", b"first")
    first = fetch(f"{bucket}/clips/a.mp4", tmp_path)
    assert first.read_bytes() == b"first"
    s3.pipe_file(f"{bucket}/clips/a.mp4", b"other")
    assert fetch(f"{bucket}/clips/a.mp4", tmp_path).read_bytes() == b"other"
    with pytest.raises(MissingFile):
        fetch(f"{bucket}/clips/b.mp4", tmp_path)
