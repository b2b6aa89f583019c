from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from tests import services
from tracker_core.errors import ManifestError
from tracker_core.ingest import jobs
from tracker_core.ingest.fetch import Fingerprint, fingerprint
from tracker_core.ingest.jobs import Ingested, ingest, scope_of, video_id
from tracker_core.ingest.manifest import Record, RowProblem
from tracker_core.store.catalog import Catalog


@pytest.fixture(params=["sqlite", "postgres"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    url = (
        f"sqlite:///{(tmp_path / 'tracker.db').as_posix()}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    catalog = Catalog(url).open()
    yield catalog
    catalog.close()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose bytes were read."""
    names: list[str] = []

    def counted(path: Path) -> Fingerprint:
        names.append(path.name)
        return fingerprint(path)

    monkeypatch.setattr(jobs, "fingerprint", counted)
    return names


def clip(folder: Path, name: str, content: bytes = b"frames") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def record(path: Path | str, line: int = 2, word: str = "takk", **more: object) -> Record:
    url = path if isinstance(path, str) else None
    return Record(line, word, str(path), url, Path(path).name, **more)  # type: ignore[arg-type]


def ingested(catalog: Catalog, *rows: Record | RowProblem) -> Ingested:
    return ingest(rows, scope_of(rows, "m.csv"), "m.csv", catalog)


def video(catalog: Catalog, row: Record) -> Any:
    return catalog.known_files([video_id(row)])[video_id(row)]


def test_a_row_becomes_a_video_with_its_checksums_and_a_job(
    catalog: Catalog, tmp_path: Path
) -> None:
    row = record(clip(tmp_path, "a.mp4"), 2, "bok", start_s=1.0, end_s=2.5)
    result = ingested(catalog, row)
    assert (result.videos, result.missing, result.skipped) == (1, 0, 0)
    found = video(catalog, row)
    assert (found.word, found.filename, found.line, found.start_s) == ("bok", "a.mp4", 2, 1.0)
    assert found.sha256 == hashlib.sha256(b"frames").hexdigest()
    assert found.sha1 == hashlib.sha1(b"frames", usedforsecurity=False).hexdigest()
    assert (found.scope, found.manifest) == (result.scope, "m.csv")
    assert catalog.counts(result.scope) == {"queued": 1}


def test_only_new_and_changed_files_are_read_again(
    catalog: Catalog, tmp_path: Path, read: list[str]
) -> None:
    rows = [record(clip(tmp_path, name), line) for line, name in enumerate(("a", "b"), 2)]
    ingested(catalog, *rows)
    assert sorted(read) == ["a", "b"]
    ingested(catalog, *rows)
    assert sorted(read) == ["a", "b"]
    clip(tmp_path, "b", b"other!")  # of the same size
    os.utime(tmp_path / "b", ns=(1, 1))
    ingested(catalog, *rows)
    assert sorted(read) == ["a", "b", "b"]
    assert video(catalog, rows[1]).sha256 == hashlib.sha256(b"other!").hexdigest()


def test_what_did_not_change_is_not_written_again(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    upsert = catalog.upsert_videos

    def counted(rows: Sequence[Mapping[str, Any]], missing: Mapping[UUID, str], *_: Any) -> None:
        written.append(len(rows))
        upsert(rows, missing)

    monkeypatch.setattr(catalog, "upsert_videos", counted)
    here, gone = record(clip(tmp_path, "a"), 2), record(tmp_path / "none.mp4", 3)
    assert [ingested(catalog, here, gone).missing for _ in range(2)] == [1, 1]
    assert written == [2, 0]
    clip(tmp_path, "a", b"other bytes")
    ingested(catalog, here, gone)
    assert written == [2, 0, 1]
    # A job that was made due again while its file is missing is told of it again.
    with catalog.engine.begin() as connection:
        connection.execute(text("update jobs set status = 'queued'"))
    ingested(catalog, here, gone)
    assert catalog.counts() == {"queued": 1, "missing_file": 1}


def test_a_file_that_is_not_there_is_said_with_its_line(catalog: Catalog, tmp_path: Path) -> None:
    row = record(tmp_path / "none.mp4", 7)
    result = ingested(catalog, row)
    assert (result.videos, result.missing) == (1, 1)
    [failure] = catalog.failures(result.scope)
    assert failure.code == "missing_file"
    assert "none.mp4 is not there: check line 7" in failure.message
    clip(tmp_path, "none.mp4")
    assert ingested(catalog, row).missing == 0
    assert len(list(catalog.due(result.scope, "p"))) == 1


# Postgres takes no NUL; a manifest that has one is refused before.
@pytest.mark.parametrize("catalog", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", ["a\0b.mp4", "x" * 5000])
def test_a_name_that_no_file_can_have_is_a_missing_file(
    catalog: Catalog, tmp_path: Path, name: str
) -> None:
    result = ingested(catalog, Record(2, "takk", str(tmp_path / name), None, "a.mp4"))
    assert result.missing == 1


def test_a_folder_is_no_video(catalog: Catalog, tmp_path: Path) -> None:
    result = ingested(catalog, record(tmp_path))
    assert result.missing == 1
    [failure] = catalog.failures()
    assert "cannot be read" in failure.message


def test_a_remote_video_waits_to_be_fetched_and_keeps_what_was_found(catalog: Catalog) -> None:
    row = record(f"http://127.0.0.1:{services.free_port()}/a.mp4")
    result = ingested(catalog, row)
    assert (result.videos, result.missing) == (1, 0)
    assert video(catalog, row).sha256 is None
    catalog.set_content(video_id(row), "found", "sums", 9)
    ingested(catalog, row)
    assert video(catalog, row).sha256 == "found", "a server that does not answer changes nothing"


def test_other_bytes_behind_an_unchanged_url_are_fetched_again(
    catalog: Catalog, bucket: str
) -> None:
    s3 = fsspec.filesystem("s3")
    row = record(f"{bucket}/a.mp4")

    def known_after(content: bytes) -> str | None:
        s3.pipe_file(row.location, content)
        ingested(catalog, row)
        known: str | None = video(catalog, row).sha256
        return known

    assert known_after(b"first") is None
    catalog.set_content(video_id(row), "of the first", "sums", 5)
    assert known_after(b"longer") is None, "told by its size"
    catalog.set_content(video_id(row), "of the longer", "sums", 6)
    s3.pipe_file(row.location, b"longer")
    for _ in range(2):
        ingested(catalog, row)
        assert video(catalog, row).sha256 == "of the longer"
    assert known_after(b"larger") is None, "told by its checksum"
    s3.rm_file(row.location)
    catalog.set_content(video_id(row), "of the larger", "sums", 6)
    ingested(catalog, row)
    assert video(catalog, row).sha256 == "of the larger", "what was made of it is still good"


def test_rows_that_are_no_use_are_counted_and_the_first_are_kept(
    catalog: Catalog, tmp_path: Path
) -> None:
    rows = [RowProblem(line, "no path") for line in range(2, 12)]
    rows.append(RowProblem(12, "it repeats line 2", repeats=True))
    result = ingest(
        [*rows, record(clip(tmp_path, "a"))], "s", "m.csv", catalog, max_problems=3
    )  # fmt: skip
    assert (result.videos, result.skipped, result.repeated) == (1, 10, 1)
    assert [problem.line for problem in result.problems] == [2, 3, 4]


def test_a_manifest_without_one_useful_row_is_an_error(catalog: Catalog) -> None:
    with pytest.raises(ManifestError, match=r"not one row of m.csv .*line 2: no path"):
        ingested(catalog, RowProblem(2, "no path"))


def test_rows_are_taken_in_batches_and_progress_is_told(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_BATCH", 2)
    path, told = clip(tmp_path, "a"), list[int]()
    rows = [record(path, line, f"w{line}") for line in range(5)]
    result = ingest(iter(rows), "s", "m.csv", catalog, told.append)
    assert (result.videos, told) == (5, [2, 4, 5])
    assert catalog.counts("s") == {"queued": 5}


def test_the_same_row_twice_is_one_video(catalog: Catalog, tmp_path: Path) -> None:
    path = clip(tmp_path, "a")
    ingested(catalog, record(path, 2), record(path, 3))
    assert catalog.counts() == {"queued": 1}


def test_ids_tell_words_places_and_segments_apart_and_nothing_else(tmp_path: Path) -> None:
    row = record(tmp_path / "a.mp4")
    assert video_id(row) == video_id(record(tmp_path / "a.mp4", 99))
    others = [
        record(tmp_path / "b.mp4"),
        record(tmp_path / "a.mp4", word="ja"),
        record(tmp_path / "a.mp4", start_s=0.0, end_s=1.0),
        record(tmp_path / "a.mp4", start_frame=0, end_frame=1),
    ]
    assert len({video_id(r) for r in [row, *others]}) == 5
    # Catalogs out there hold it: it must never change.
    assert str(video_id(Record(1, "takk", "/a.mp4", None, "a.mp4"))) == FIXED


FIXED = "e1be2976-235e-5b31-930a-b8edb464fe79"


rows_of_text = st.lists(st.builds(RowProblem, st.integers(1, 9), st.text(max_size=3)), max_size=4)


@given(rows_of_text, rows_of_text, st.text(max_size=3))
def test_scopes_are_equal_exactly_for_equal_rows_and_names(
    one: list[RowProblem], other: list[RowProblem], name: str
) -> None:
    assert (scope_of(one, name) == scope_of(other, name)) == (one == other)
    assert scope_of(one, name) != scope_of(one, name + "x")


# files that hold the same bytes


def counted_videos(catalog: Catalog) -> int:
    return sum(catalog.counts().values())


def move_on(path: Path, content: bytes) -> None:
    """Other bytes under an old name, at another time."""
    path.write_bytes(content)
    at = path.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(at, at))


def test_the_same_bytes_under_the_same_word_are_one_video(catalog: Catalog, tmp_path: Path) -> None:
    first, copy = clip(tmp_path, "takk.mkv"), clip(tmp_path, "kopi.mkv")
    rows = [record(first, 2), record(copy, 3)]
    result = ingested(catalog, *rows)
    assert (result.videos, result.reused, result.missing, result.skipped) == (1, 1, 0, 0)
    assert result.notes == [
        "line 3: kopi.mkv holds the same bytes as takk.mkv: its video is reused"
    ]
    assert catalog.counts(result.scope) == {"queued": 1}
    assert set(catalog.known_files([video_id(r) for r in rows])) == {video_id(rows[0])}
    [(found, _)] = catalog.find_videos(str(copy))
    assert found.id == video_id(rows[0])


def test_another_word_or_segment_of_the_same_bytes_is_a_video_of_its_own(
    catalog: Catalog, tmp_path: Path
) -> None:
    one, other = clip(tmp_path, "a"), clip(tmp_path, "b")
    result = ingested(
        catalog,
        record(one),
        record(other, word="ja"),
        record(other, start_s=0.0, end_s=1.0),
        record(one, start_frame=0, end_frame=1),
        record(other, start_frame=0, end_frame=1),
    )
    assert (result.videos, result.reused) == (4, 1)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_the_first_row_is_the_video_whatever_the_batches(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(jobs, "_BATCH", size)
    rows = [record(clip(tmp_path, name), line) for line, name in enumerate("cab", 2)]
    told = list[int]()
    result = ingest(rows, "s", "m.csv", catalog, told.append)
    assert (result.videos, result.reused, told[-1]) == (1, 2, 3)
    assert list(catalog.known_files([video_id(r) for r in rows])) == [video_id(rows[0])]
    assert video(catalog, rows[0]).line == 2


def test_copies_are_neither_read_nor_written_again(
    catalog: Catalog, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [record(clip(tmp_path, name), line) for line, name in enumerate("abc", 2)]
    ingested(catalog, *rows)
    assert sorted(read) == ["a", "b", "c"]
    written: list[tuple[int, ...]] = []
    monkeypatch.setattr(
        catalog, "upsert_videos", lambda *given: written.append(tuple(map(len, given)))
    )
    assert ingested(catalog, *rows).reused == 2
    assert sorted(read) == ["a", "b", "c"] and written == [(0, 0, 0, 0)]


def test_a_manifest_that_names_the_copy_alone_has_the_video(
    catalog: Catalog, tmp_path: Path
) -> None:
    first, copy = clip(tmp_path, "takk"), clip(tmp_path, "kopi")
    ingested(catalog, record(first, 2))
    other = ingest([record(copy, 9)], "b", "b.csv", catalog)
    assert (other.videos, other.reused) == (0, 1)
    assert catalog.counts("b") == {"queued": 1} and counted_videos(catalog) == 1
    [job] = catalog.due("b", "p")
    known = video(catalog, record(first))
    assert (known.manifest, known.line, known.local_path) == ("b.csv", 9, str(first))
    again = ingested(catalog, record(first, 2))
    assert [due.job_id for due in catalog.due(again.scope, "p")] == [job.job_id]


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_a_copy_takes_the_place_of_a_file_that_has_gone(
    catalog: Catalog, tmp_path: Path, both: bool, known: bool
) -> None:
    rows = [record(clip(tmp_path, "takk"), 2), record(clip(tmp_path, "kopi"), 3)]
    ingested(catalog, *(rows if known else rows[:1]))
    (tmp_path / "takk").unlink()
    given = rows if both else rows[1:]
    for _ in range(2):
        result = ingested(catalog, *given)
        assert (result.videos, result.reused, result.missing) == (len(given) - 1, 1, 0)
        found = video(catalog, rows[0])
        assert (found.local_path, found.filename) == (str(tmp_path / "kopi"), "takk")
        assert catalog.counts(result.scope) == {"queued": 1} and counted_videos(catalog) == 1
        assert len(list(catalog.due(result.scope, "p"))) == 1
    clip(tmp_path, "takk")
    ingested(catalog, *rows)
    assert video(catalog, rows[0]).local_path == str(tmp_path / "takk")
    assert counted_videos(catalog) == 1


def test_a_copy_named_elsewhere_takes_the_place_as_well(catalog: Catalog, tmp_path: Path) -> None:
    first, copy = record(clip(tmp_path, "takk"), 2), record(clip(tmp_path, "kopi"), 3)
    ingested(catalog, first)
    ingested(catalog, copy)
    (tmp_path / "takk").unlink()
    result = ingested(catalog, first)
    assert (result.videos, result.missing) == (1, 0)
    assert "takk is not there: its video is made from" in result.notes[0]
    (tmp_path / "kopi").unlink()
    assert ingested(catalog, first).missing == 1
    assert catalog.counts() == {"missing_file": 1}
    clip(tmp_path, "kopi")
    result = ingested(catalog, copy)
    assert (result.missing, result.reused, counted_videos(catalog)) == (0, 1, 1)
    assert len(list(catalog.due(result.scope, "p"))) == 1


def test_a_copy_that_has_gone_is_no_failure(catalog: Catalog, tmp_path: Path) -> None:
    rows = [record(clip(tmp_path, "takk"), 2), record(clip(tmp_path, "kopi"), 3)]
    ingested(catalog, *rows)
    (tmp_path / "kopi").unlink()
    for _ in range(2):
        result = ingested(catalog, *rows)
        assert (result.videos, result.reused, result.missing) == (1, 1, 0)
        assert "kopi is not there: it held the same bytes as takk" in result.notes[0]
    assert catalog.counts() == {"queued": 1}


def test_a_copy_whose_bytes_change_is_a_video_of_its_own(catalog: Catalog, tmp_path: Path) -> None:
    rows = [record(clip(tmp_path, "takk"), 2), record(clip(tmp_path, "kopi"), 3)]
    ingested(catalog, *rows)
    move_on(tmp_path / "kopi", b"changed")
    for _ in range(2):
        result = ingested(catalog, *rows)
        assert (result.videos, result.reused, counted_videos(catalog)) == (2, 0, 2)
    assert video(catalog, rows[1]).sha256 == hashlib.sha256(b"changed").hexdigest()
    assert catalog.known_copies([video_id(rows[1])]) == {}


@pytest.mark.parametrize("copy_first", [True, False])
def test_a_video_whose_bytes_change_leaves_its_copy_a_video(
    catalog: Catalog, tmp_path: Path, copy_first: bool
) -> None:
    rows = [record(clip(tmp_path, name), line) for line, name in enumerate(("takk", "b", "c"), 2)]
    ingested(catalog, *rows)
    move_on(tmp_path / "takk", b"changed")
    for _ in range(2):
        result = ingested(catalog, *(reversed(rows) if copy_first else rows))
        assert (result.videos, result.reused, counted_videos(catalog)) == (2, 1, 2)
    assert video(catalog, rows[0]).sha256 == hashlib.sha256(b"changed").hexdigest()


def test_a_video_that_lives_at_a_copys_place_is_missing_once_that_changes(
    catalog: Catalog, tmp_path: Path
) -> None:
    first, copy = record(clip(tmp_path, "takk"), 2), record(clip(tmp_path, "kopi"), 3)
    ingested(catalog, first)
    (tmp_path / "takk").unlink()
    ingested(catalog, copy)
    move_on(tmp_path / "kopi", b"changed")
    for _ in range(2):
        ingested(catalog, copy)
        assert catalog.counts() == {"queued": 1, "missing_file": 1}
    [failure] = catalog.failures()
    assert "kopi, which held the bytes of takk, has changed or gone" in failure.message
    clip(tmp_path, "takk")
    ingested(catalog, first)
    assert video(catalog, first).local_path == first.location


def test_a_video_that_never_had_a_file_makes_way_when_it_is_a_copy(
    catalog: Catalog, tmp_path: Path
) -> None:
    rows = [record(tmp_path / name, line) for line, name in enumerate("ab", 2)]
    assert ingested(catalog, *rows).missing == 2
    for name in "ab":
        clip(tmp_path, name)
    result = ingested(catalog, *rows)
    assert (result.videos, result.reused, result.missing) == (1, 1, 0)
    assert counted_videos(catalog) == 1 and len(list(catalog.due(None, "p"))) == 1


def test_copies_that_have_the_same_name_are_told_by_their_paths(
    catalog: Catalog, tmp_path: Path
) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
    rows = [record(clip(tmp_path / folder, "takk"), 0) for folder in "ab"]
    [note] = ingested(catalog, *rows).notes
    assert note == f"{rows[1].location} holds the same bytes as {rows[0].location}: " + (
        "its video is reused"
    )


def test_a_remote_copy_stays_one_until_its_server_tells_of_others(
    catalog: Catalog, tmp_path: Path, bucket: str
) -> None:
    s3 = fsspec.filesystem("s3")
    first, copy = record(clip(tmp_path, "takk"), 2), record(f"{bucket}/kopi", 3)
    s3.pipe_file(copy.location, b"frames")
    assert ingested(catalog, first, copy).videos == 2, "its bytes are not known yet"
    sums = fingerprint(tmp_path / "takk")
    assert catalog.set_content(video_id(copy), sums.sha256, sums.sha1, sums.size)
    for _ in range(2):
        assert ingested(catalog, first, copy).reused == 1
    (tmp_path / "takk").unlink()
    assert ingested(catalog, first, copy).missing == 0
    assert video(catalog, first).remote_url == copy.location
    s3.pipe_file(copy.location, b"others")
    result = ingested(catalog, first, copy)
    assert (result.videos, result.reused) == (2, 0)
