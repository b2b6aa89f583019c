from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest

from tests import services
from tracker_core.errors import MissingFile, StorageError
from tracker_core.ingest import fetch as fetching
from tracker_core.ingest.fetch import Versions, fetch, fingerprint

PAGE = b"\n<!DOCTYPE html><title>Log in</title>"


class Handler(SimpleHTTPRequestHandler):
    """A web server that has secrets, moves things, breaks off, and keeps count of what it sent."""

    sent = 0
    asked: ClassVar[list[str]] = []
    """The path of every GET."""

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/short"):
            self._begin({"Content-Length": "1000"}, b"x" * 10)
        elif self.path.startswith("/cut") and self.asked.count(self.path) < 3:
            self._begin({"Transfer-Encoding": "chunked"}, b"5\r\nfirst\r\n5\r\nsec")
        elif self.path.startswith("/cut"):
            self._begin({"Transfer-Encoding": "chunked"}, b"5\r\nfirst\r\n0\r\n\r\n")
        elif self.path.startswith("/silent"):
            self._begin({"Content-Length": "10"}, b"x")
            time.sleep(1)
        elif self.path.startswith("/untold"):
            count = str(self.asked.count(self.path)).encode()
            self._begin({"Transfer-Encoding": "chunked"}, b"1\r\n" + count + b"\r\n0\r\n\r\n")
        elif not self._refused():
            type(self).sent += "Range" not in self.headers
            super().do_GET()

    def do_HEAD(self) -> None:
        if self.path.startswith("/short"):
            self._begin({"Content-Length": "1000"})
        elif self.path.startswith(("/cut", "/untold")):
            self._begin({"Transfer-Encoding": "chunked"})
        elif self.path.startswith("/silent"):
            self._begin({"Content-Length": "10"})
        elif not self._refused():
            super().do_HEAD()

    def _refused(self) -> bool:
        if self.path.startswith("/forbidden"):
            self.send_error(403)
        elif self.path.startswith("/busy"):
            self.send_error(503)
        elif self.path.startswith("/gone"):
            self.send_error(410)
        elif self.path.startswith(("/moved", "/members")):
            to = "/login?next=a.mp4" if self.path.startswith("/members") else "/a.mp4"
            self.send_response(302)
            self.send_header("Location", to)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path.startswith("/circle"):
            self.send_response(302)
            self.send_header("Location", self.path)
            self.end_headers()
        elif self.path.startswith("/login"):
            told = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(PAGE))}
            self._begin(told, PAGE if self.command == "GET" else b"")
        else:
            return False
        return True

    def _begin(self, headers: Mapping[str, str], content: bytes = b"") -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL and the folder of a web server."""
    folder = tmp_path / "web"
    folder.mkdir()
    Handler.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_PAUSE_S", 0.0)


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


def test_a_change_that_only_the_time_tells_is_noticed(
    web: tuple[str, Path], tmp_path: Path
) -> None:
    url, folder = web
    for time_s, content in ((1_000_000_000, b"first"), (1_000_000_060, b"other")):
        (folder / "a.mp4").write_bytes(content)
        os.utime(folder / "a.mp4", (time_s, time_s))
        assert fetch(f"{url}/a.mp4", tmp_path / "cache").read_bytes() == content


def test_what_no_server_tells_the_version_of_is_fetched_each_time(
    web: tuple[str, Path], tmp_path: Path
) -> None:
    found = [fetch(f"{web[0]}/untold.mp4", tmp_path).read_bytes() for _ in range(2)]
    assert found[0] != found[1]


def test_redirects_are_followed(web: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = web
    (folder / "a.mp4").write_bytes(b"here now")
    assert fetch(f"{url}/moved.mp4", tmp_path / "cache").read_bytes() == b"here now"


@pytest.mark.parametrize("path", ["/none.mp4", "/gone.mp4"])
def test_nothing_at_the_url_is_a_missing_file(
    web: tuple[str, Path], tmp_path: Path, path: str
) -> None:
    with pytest.raises(MissingFile, match=rf"there is no http.*{path}"):
        fetch(web[0] + path, tmp_path / "cache")


def test_a_login_page_is_no_video(web: tuple[str, Path], tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"members/a\.mp4 gives a web page .*/login.*a login"):
        fetch(f"{web[0]}/members/a.mp4", tmp_path / "cache")
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


@pytest.mark.parametrize(
    ("path", "what", "attempts"),
    [
        ("/forbidden.mp4", "403", 1),
        ("/busy.mp4", "503", 3),
        ("/circle.mp4", "could not fetch", 1),
        ("/short.mp4", "could not fetch|broke off", 3),
        ("/silent.mp4", "could not fetch", 3),
    ],
)
def test_other_faults_may_be_tried_again(
    web: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, what: str,
    attempts: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(fetching, "_SILENCE_S", 0.2)
    with pytest.raises(StorageError, match=rf"{path}.*({what})|({what}).*{path}") as caught:
        fetch(web[0] + path, tmp_path / "cache")
    assert not str(caught.value).endswith(": "), "a fault without words is named"
    assert not parts(tmp_path)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    if path != "/circle.mp4":  # followed several times in one attempt
        assert Handler.asked.count(path) == attempts


def test_a_connection_that_was_cut_is_made_again(web: tuple[str, Path], tmp_path: Path) -> None:
    """Twice without the length being told: only the missing end tells that it was cut."""
    assert fetch(f"{web[0]}/cut.mp4", tmp_path / "cache").read_bytes() == b"first"


def test_a_server_that_fails_is_asked_for_no_more_versions(
    web: tuple[str, Path], tmp_path: Path
) -> None:
    url, folder = web
    (folder / "a.mp4").write_bytes(b"first")
    versions = Versions()
    first = versions.of(f"{url}/a.mp4")
    assert first is not None and first.size == 5
    assert versions.of(f"{url}/none.mp4") is None
    assert versions.of(f"{url}/a.mp4") == first, "a missing file is no fault of the server"
    assert versions.of(f"{url}/busy.mp4") is None
    assert versions.of(f"{url}/a.mp4") is None
    assert versions.of("nowhere://a/b.mp4") is None
    assert not tmp_path.joinpath("cache").exists()


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
