"""Damaged manifests: each ends as rows and problems, or as a sentence."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.conftest import SECONDS, Campaign
from tests.fuzz.manifests import EXCEL, ManifestFuzz
from tests.fuzz.mutation import mutants
from tests.system.conftest import Tracker
from tracker_core.errors import ManifestError
from tracker_core.ingest.manifest import Record, RowProblem, open_manifest
from tracker_core.store.catalog import Catalog

pytestmark = pytest.mark.timeout(SECONDS + 300)


def test_any_bytes_end_in_rows_and_problems_or_a_sentence(campaign: Campaign) -> None:
    check_report(campaign("manifest", ()))


def test_those_found_in_the_wild_too(campaign: Campaign, shared_data: Path) -> None:
    files = [path for path in (shared_data / "csv").glob("*/*") if path.stat().st_size]
    assert len(files) > 10
    check_report(campaign("manifest", files))


def check_report(report: dict[str, object]) -> None:
    outcomes = report["outcomes"]
    assert isinstance(outcomes, dict)
    assert set(outcomes) == {"rows", "rows and problems", "refused"}
    assert sum(outcomes.values()) > SECONDS
    assert report["files"] == 0
    assert isinstance(report["memory_mb"], float) and report["memory_mb"] < 40
    assert isinstance(report["slowest_s"], float) and report["slowest_s"] < 15


# -- chosen by hypothesis, which makes them small ----------------------------------------------


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    encoding=st.sampled_from(["utf-8", "cp1252", "utf-16", "utf-8-sig"]),
    changes=st.lists(
        st.tuples(
            st.integers(0, 700),
            st.integers(0, 3),
            st.one_of(st.binary(max_size=3), st.sampled_from([b'"', b";", b"\n", b"\0", b"\xff"])),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_a_few_changed_bytes(
    tmp_path: Path, encoding: str, changes: list[tuple[int, int, bytes]]
) -> None:
    content = EXCEL.encode(encoding)
    for position, removed, inserted in changes:
        content = content[:position] + inserted + content[position + removed :]
    assert read(tmp_path, content)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=200))
def test_noise(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content)


def read(folder: Path, content: bytes) -> list[Record | RowProblem] | str:
    """All that is in a manifest, or the sentence that it is refused with."""
    path = folder / "m.csv"
    path.write_bytes(content)
    try:
        return list(open_manifest(path))
    except ManifestError as error:
        assert len(str(error)) > 20
        return str(error)


# -- what campaigns have found -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        pytest.param(b"a," * 8000 + b"video\n" + b"x," * 8000 + b"b.mp4\n", 1, id="equal names"),
        pytest.param(b"word,video\na," + "å/".encode() * 3000 + b"a.mp4\n", 1, id="deep folder"),
        pytest.param(b"word,video\n" + b'a,"\n' * 50_000, 25_000, id="open quotes"),
        pytest.param(b"word,video\n" + b'"' * 200_000 + b"\nb,b.mp4\n", 2, id="many quotes"),
    ],
)
def test_no_table_takes_long(tmp_path: Path, content: bytes, rows: int) -> None:
    started = time.process_time()
    assert len(read(tmp_path, content)) == rows
    assert time.process_time() - started < 10


def test_a_row_of_a_million_cells_is_no_header(tmp_path: Path) -> None:
    started = time.process_time()
    assert "a row of 400,001 cells" in read(tmp_path, b"a," * 400_000 + b"\na.mp4,b\n" * 3)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a,file:///clips/%00.mp4,0", "is not a path"),
        ("a,https://example.org/%00.mp4,0", "names no file"),
        ("a,a.mp4,99999999999", "is a frame number that no video has"),
        (f"{'a' * 5000},a.mp4,0", "its word has 5,000 characters: 'aaaa"),
        (f"a,{'b' * 5000}.mp4,0", "its file name has 5,004 characters: 'bbbb"),
    ],
)
def test_what_no_catalog_can_hold_costs_its_row_only(tmp_path: Path, row: str, words: str) -> None:
    """Postgres refuses zeros, frames beyond 2**31 and names that are too long to be indexed."""
    good = "b,c.mp4,5"
    found = read(tmp_path, f"word,video,start_frame\n{row}\n{good}\n".encode())
    assert isinstance(found, list)
    problem, record = found
    assert isinstance(problem, RowProblem) and words in problem.message
    assert isinstance(record, Record)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes among its files")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    from tracker_core.ingest.jobs import ingest

    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "m.csv").write_text("word,video\na,pipe.mp4\n")
    catalog = Catalog(f"sqlite:///{(tmp_path / 'new.db').as_posix()}").open()
    assert ingest(open_manifest(tmp_path / "m.csv"), "scope", "m.csv", catalog).missing == 1
    (failure,) = catalog.failures()
    catalog.close()
    assert "is a folder or a device" in failure.message


# -- the whole command -------------------------------------------------------------------------


def test_the_command_ends_with_its_exit_code_and_a_sentence(
    tracker: Tracker, tmp_path: Path, seed: int
) -> None:
    fuzz = ManifestFuzz(tmp_path)
    wholes = fuzz.wholes()
    wanted = dict.fromkeys(("rows", "rows and problems", "refused"), 1)
    for mutant in mutants(wholes, seed, text=True):
        manifest = tmp_path / f"{mutant.number}.csv"
        manifest.write_bytes(mutant.content)
        outcome = fuzz.check(manifest)
        if not wanted[outcome]:
            continue
        wanted[outcome] -= 1
        # Every file that it names is missing, or is no video.
        done = tracker("run", str(manifest), code=2 if outcome == "refused" else 1)
        assert "Traceback" not in done.stdout + done.stderr
        if outcome == "refused":
            assert manifest.name in done.stderr and len(done.stderr) > 30
        if outcome == "rows and problems":
            assert "line " in done.stdout + done.stderr
        if not any(wanted.values()):
            break
    codes = {failure["code"] for failure in tracker.status()["failures"]}
    assert codes <= {"missing_file", "unreadable", "storage"}


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (bytes(3000), 2, "is not text; a manifest is a CSV file"),
        (b'"word,video\n', 2, "line 1: a quote is opened and never closed"),
        (b'word,video\na,gone.mp4\n"b,b.mp4\nc,c.mp4,x,y\n', 1, "line 3"),
    ],
)
def test_a_malformed_manifest(
    tracker: Tracker, tmp_path: Path, content: bytes, code: int, words: str
) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_bytes(content)
    done = tracker("run", str(manifest), code=code)
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
