from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from tests import services
from tracker_core.errors import SettingsError, StorageError
from tracker_core.store.artifacts import ArtifactRef, ArtifactStore


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "disk":
        return ArtifactStore(str(tmp_path / "artifacts"), tmp_path / "cache")
    return ArtifactStore(f"{request.getfixturevalue('bucket')}/prefix", tmp_path / "cache")


def written(folder: Path, content: bytes, name: str = "made.bin") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_publish_moves_a_file_to_where_it_can_be_read(store: ArtifactStore, tmp_path: Path) -> None:
    source = written(tmp_path, b"frames")
    ref = store.publish(source, "probe/1/abc/probe.json")
    assert (ref.path, ref.size) == ("probe/1/abc/probe.json", 6)
    assert not source.exists()
    assert store.holds(ref, deep=True)
    assert store.local(ref).read_bytes() == b"frames"


def test_what_was_never_published_is_not_held(store: ArtifactStore) -> None:
    assert not store.holds(ArtifactRef(path="probe/1/none", sha256="0" * 64, size=1))


def test_publishing_again_replaces(store: ArtifactStore, tmp_path: Path) -> None:
    old = store.publish(written(tmp_path, b"old track"), "tracks/a.parquet")
    new = store.publish(written(tmp_path, b"new"), "tracks/a.parquet")
    assert store.local(new).read_bytes() == b"new"
    assert store.holds(new, deep=True)
    assert not store.holds(old)


def test_only_a_deep_look_sees_other_bytes_of_the_same_size(
    store: ArtifactStore, tmp_path: Path
) -> None:
    ref = store.publish(written(tmp_path, b"right"), "tracks/a.parquet")
    store.fs.pipe_file(store.absolute(ref.path), b"wrong")
    assert store.holds(ref)
    assert not store.holds(ref, deep=True)


def test_listing_has_every_file_below_and_nothing_else(
    store: ArtifactStore, tmp_path: Path
) -> None:
    assert store.listing("tracks") == {}
    for path in ("tracks/p/a.parquet", "tracks/p/q/b.parquet", "other/c.parquet"):
        store.publish(written(tmp_path, path.encode()), path)
    assert store.listing("tracks") == {"tracks/p/a.parquet": 18, "tracks/p/q/b.parquet": 20}


def test_a_listing_is_never_a_remembered_one(store: ArtifactStore, tmp_path: Path) -> None:
    kept = store.publish(written(tmp_path, b"kept"), "tracks/kept.parquet")
    other = ArtifactStore(store.url, tmp_path / "another machine")
    assert other.listing("tracks") == {"tracks/kept.parquet": 4}
    ref = store.publish(written(tmp_path, b"later"), "tracks/later.parquet")
    assert other.holds(ref)
    store.remove(kept.path)
    assert not other.holds(kept)
    assert other.listing("tracks") == {"tracks/later.parquet": 5}


def test_removing_twice_is_no_error(store: ArtifactStore, tmp_path: Path) -> None:
    ref = store.publish(written(tmp_path, b"gone"), "tracks/a.parquet")
    store.remove(ref.path)
    store.remove(ref.path)
    assert not store.holds(ref)


def test_a_remote_copy_is_verified(bucket: str, tmp_path: Path) -> None:
    store = ArtifactStore(bucket, tmp_path / "cache")
    ref = store.publish(written(tmp_path, b"right"), "tracks/a.parquet")
    copy = store.local(ref)
    copy.write_bytes(b"wrong")  # a damaged cache is fetched anew
    assert store.local(ref).read_bytes() == b"right"
    copy.unlink()
    store.fs.pipe_file(store.absolute(ref.path), b"wrong")  # a damaged store is told
    with pytest.raises(StorageError, match="checksum"):
        store.local(ref)
    assert not list(copy.parent.iterdir())


def test_a_store_that_does_not_answer_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{services.free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "knows")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()  # or it would be one made for the server that answers
    store = ArtifactStore("s3://absent/prefix", tmp_path / "cache")
    S3FileSystem.clear_instance_cache()
    store.fs.retries = 1
    ref = ArtifactRef(path="a", sha256="0" * 64, size=1)
    with pytest.raises(StorageError, match="absent/prefix/a"):
        store.holds(ref)
    with pytest.raises(StorageError, match="could not write"):
        store.publish(written(tmp_path, b"x"), "a")


def test_a_store_that_can_be_used_is_left_as_it_was(store: ArtifactStore) -> None:
    assert store.checked() is store
    assert not store.listing("")


def test_a_store_that_cannot_be_used_is_told_before_the_first_file(
    tmp_path: Path, bucket: str
) -> None:
    absent = ArtifactStore(f"{bucket}-absent/prefix", tmp_path / "cache")
    assert not absent.listing("tracks"), "by its listing alone it looks empty"
    with pytest.raises(SettingsError, match=r"-absent/prefix.*bucket does not exist"):
        absent.checked()
    written(tmp_path, b"a file where a folder is wanted", "artifacts")
    with pytest.raises(SettingsError, match=r"ARTIFACT_URL=.*cannot be used: could not write"):
        ArtifactStore(str(tmp_path / "artifacts"), tmp_path / "cache").checked()


def test_a_root_of_no_known_kind_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ARTIFACT_URL='nowhere://"):
        ArtifactStore("nowhere://bucket", tmp_path)


def test_a_file_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    written(tmp_path, b"a file where a folder is wanted", "artifacts")
    store = ArtifactStore(str(tmp_path / "artifacts"), tmp_path / "cache")
    with pytest.raises(StorageError, match="could not write"):
        store.publish(written(tmp_path, b"x"), "probe/1/abc/probe.json")


KILLED = """
    import sys
    from pathlib import Path
    from tracker_core.store import artifacts

    def killed(source, part):
        Path(part).write_bytes(Path(source).read_bytes()[:1000])
        print("half", flush=True)
        sys.stdin.read()  # until the process is killed

    artifacts.shutil.move = killed
    store = artifacts.ArtifactStore(sys.argv[1], Path(sys.argv[2]))
    store.publish(Path(sys.argv[3]), "tracks/a.parquet")
"""


def test_a_killed_writer_leaves_no_half_file_under_its_name(tmp_path: Path) -> None:
    root, source = tmp_path / "artifacts", written(tmp_path, bytes(5000))
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), root, tmp_path / "cache", source],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert writer.stdout is not None and writer.stdin is not None
    assert writer.stdout.readline().strip() == b"half"
    writer.kill()
    writer.wait()
    writer.stdin.close()
    writer.stdout.close()

    store = ArtifactStore(str(root), tmp_path / "cache")
    halves = list((root / ".parts").iterdir())
    assert len(halves) == 1
    assert store.listing("tracks") == {}
    store.sweep(older_than_s=3600)
    assert halves[0].exists()  # it may be another process's, still being written
    store.sweep(older_than_s=-1)
    assert not halves[0].exists()
    assert store.local(store.publish(source, "tracks/a.parquet")).stat().st_size == 5000
