"""Real servers for tests, on loopback: Prefect, Postgres, S3. Each ends with its test session."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.error import URLError
from urllib.request import urlopen

S3_KEY, S3_SECRET = "ACCESSKEYID", "SECRETSECRET"


class Unavailable(Exception):
    """What a service needs is not on this machine; the message says what."""


def free_port() -> int:
    """A port of the loopback address that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def script(name: str) -> Path:
    """A command that was installed beside this Python, or is in the PATH."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise Unavailable(f"{name} is not installed")
    return Path(found)


@contextmanager
def running(
    command: list[Any], ready: Callable[[], bool], log: IO[bytes], timeout_s: float, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A server from when it is ready until the block ends, however it ends."""
    process = subprocess.Popen(
        [str(word) for word in command], stdout=log, stderr=subprocess.STDOUT, **options
    )
    try:
        deadline = time.monotonic() + timeout_s
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start: see {log.name}")
            time.sleep(0.2)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    """Whether something at the URL answers with success."""
    try:
        with urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def listens(port: int) -> bool:
    """Whether something listens on a loopback port."""
    with socket.socket() as caller:
        caller.settimeout(1)
        return caller.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def prefect_server(
    home: Path, settings: Mapping[str, str] | None = None
) -> Iterator[dict[str, str]]:
    """A Prefect server with its own database; gives the environment of its clients.

    Args:
        home: its folder, which is made.
        settings: that it has beside, or instead of, our defaults.
    """
    from flows.defaults import DEFAULTS

    port = free_port()
    client = {
        **DEFAULTS,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        **(settings or {}),
    }
    environment = {**os.environ, **client}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    home.mkdir(parents=True, exist_ok=True)
    with (
        (home / "server.log").open("wb") as log,
        running(
            [*command, "--port", port], lambda: answers(f"{client['PREFECT_API_URL']}/health"),
            log, 180, env=environment,
        ),
    ):  # fmt: skip
        yield client


@contextmanager
def postgres_server() -> Iterator[str]:
    """A Postgres server; gives the URL of its first database, to which a name can be appended."""
    initdb, server = _postgres_program("initdb"), _postgres_program("postgres")
    # Postgres refuses to run as root.
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    options: dict[str, Any] = {"user": "nobody"} if root else {}
    top = Path(tempfile.mkdtemp(prefix="tracker-postgres-"))
    if root:
        shutil.chown(top, "nobody")
    try:
        name = "nobody" if root else getpass.getuser()
        data, port = top / "data", free_port()
        made = subprocess.run(
            [initdb, "--pgdata", data, "--encoding", "UTF8", "--auth", "trust", "--no-sync",
             "--username", name],
            capture_output=True, text=True, check=False, cwd=top, **options,
        )  # fmt: skip
        if made.returncode:
            raise Unavailable(f"initdb failed: {made.stderr.strip()}")
        command = [server, "-D", data, "-p", port, "-k", top, "-c", "listen_addresses=127.0.0.1"]
        with (
            (top / "server.log").open("wb") as log,
            running([*command, "-c", "fsync=off"], lambda: listens(port), log, 60, cwd=top,
                    **options),
        ):  # fmt: skip
            yield f"postgresql+psycopg://{name}@127.0.0.1:{port}/"
    finally:
        shutil.rmtree(top, ignore_errors=True)


def _postgres_program(name: str) -> Path:
    if found := shutil.which(name):
        return Path(found)
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not installed:
        raise Unavailable(f"{name} is not here: install PostgreSQL (Debian: postgresql)")
    return installed[-1]


@contextmanager
def s3_server(folder: Path) -> Iterator[dict[str, str]]:
    """An S3 server over a folder, whose subfolders are buckets; gives its clients' environment."""
    port = free_port()
    command = [script("rclone"), "serve", "s3", "--addr", f"127.0.0.1:{port}"]
    folder.mkdir(parents=True, exist_ok=True)
    with (
        (folder.parent / "s3.log").open("wb") as log,
        running(
            [*command, "--auth-key", f"{S3_KEY},{S3_SECRET}", folder],
            lambda: listens(port),
            log,
            30,
        ),
    ):
        yield {
            "AWS_ACCESS_KEY_ID": S3_KEY,
            "AWS_SECRET_ACCESS_KEY": S3_SECRET,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
