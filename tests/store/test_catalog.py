from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text, update
from sqlalchemy.exc import OperationalError
from sqlmodel import SQLModel, col

from tracker_core.errors import CatalogError, NoPerson, StorageError, TimedOut
from tracker_core.store.catalog import _MIGRATIONS, Catalog
from tracker_core.store.owner import owner_is_dead, owner_name
from tracker_core.store.schema import Job, Run, Track, Video, now

LEASE_S = 60.0


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{(tmp_path / 'tracker.db').as_posix()}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def catalog(url: str) -> Iterator[Catalog]:
    catalog = Catalog(url).open()
    yield catalog
    catalog.close()


def row(word: str, line: int = 1, content: str | None = None, **more: Any) -> dict[str, Any]:
    """A video of the manifest, as the ingest writes it."""
    return {
        "id": uuid4(), "word": word, "filename": f"{word}.mp4", "remote_url": None,
        "local_path": f"/videos/{word}.mp4", "sha1": None, "sha256": content or f"bytes of {word}",
        "size_bytes": 5_000_000_000, "mtime_ns": time.time_ns(), "start_s": None, "end_s": None,
        "start_frame": None, "end_frame": None, "manifest": "m.csv", "line": line, "scope": "s",
        **more,
    }  # fmt: skip


def filled(catalog: Catalog, *rows: dict[str, Any]) -> list[UUID]:
    """The jobs of videos put into the catalog, in their order."""
    catalog.upsert_videos(rows, {})
    found = {v.id: j.id for r in rows for v, j in catalog.find_videos(r["word"])}
    return [found[r["id"]] for r in rows]


def due(catalog: Catalog, pipeline: str = "p", **options: Any) -> list[UUID]:
    return [job.job_id for job in catalog.due("s", pipeline, **options)]


def finish(catalog: Catalog, job_id: UUID, run: Run, *, score: float = 0.9, **job: Any) -> Track:
    """Claim a job and end it as done."""
    video = catalog.claim(job_id, run, LEASE_S)
    assert video is not None and video.sha256 is not None
    track = Track(
        video_id=video.id, provider="mediapipe", format_version="1", model_digest="m1",
        data_path=f"tracks/{video.id}.parquet", content=video.sha256, sha256="t", size_bytes=10,
        quality_score=score,
    )  # fmt: skip
    columns = {
        "pipeline": run.pipeline, "content": video.sha256, "quality_score": score, "issues": "[]",
        "frames": 25, "export_path": f"/exports/{video.word}", **job,
    }  # fmt: skip
    catalog.finish(job_id, run.id, video={"duration_s": 1.0}, job=columns, track=track)
    return track


def job_of(catalog: Catalog, job_id: UUID) -> dict[str, Any]:
    with catalog.engine.connect() as connection:
        found = connection.execute(text("select * from jobs"))
        return next(dict(j._mapping) for j in found if UUID(str(j.id)) == job_id)


# schema


def test_migrations_make_exactly_the_models(catalog: Catalog) -> None:
    with catalog.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_the_users_own_tables_columns_and_indexes_are_there(catalog: Catalog) -> None:
    tables = {
        "videos": "id word filename remote_url local_path sha1 duration_s fps width height "
        "created_at",
        "jobs": "id video_id status error started_at finished_at quality_score frames export_path "
        "created_at",
        "tracks": "id video_id provider format_version data_path created_at",
    }
    found = inspect(catalog.engine)
    for table, columns in tables.items():
        assert set(columns.split()) <= {c["name"] for c in found.get_columns(table)}
    indexes = {i["name"] for table in tables for i in found.get_indexes(table)}
    assert indexes >= {
        "idx_videos_word", "idx_videos_filename", "idx_jobs_status", "idx_jobs_video_id",
        "idx_tracks_video_id",
    }  # fmt: skip


def test_many_may_open_an_empty_database_at_once(url: str) -> None:
    start = threading.Barrier(6)

    def open_it(_: int) -> dict[str, int]:
        catalog = Catalog(url)
        start.wait()
        counts = catalog.open().counts()
        catalog.close()
        return counts

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(open_it, range(6))) == [{}] * 6


def test_creating_again_changes_nothing(catalog: Catalog) -> None:
    filled(catalog, row("a"))
    assert catalog.create() == "0002"
    assert catalog.counts() == {"queued": 1}


def test_another_versions_schema_is_told(catalog: Catalog) -> None:
    with catalog.engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(CatalogError, match=r"schema is 9999.*tracker init-db"):
        catalog.open()


def test_a_database_that_does_not_answer_is_told_without_its_password() -> None:
    catalog = Catalog("postgresql+psycopg://user:secret@127.0.0.1:1/none?connect_timeout=2")
    with pytest.raises(CatalogError, match=r"cannot be reached.*DATABASE_URL") as caught:
        catalog.open()
    assert "secret" not in str(caught.value)


# ingest


def test_upserting_the_same_rows_again_changes_nothing(catalog: Catalog) -> None:
    rows = [row("a", 1), row("b", 2)]
    jobs = filled(catalog, *rows)
    made = catalog.known_files([rows[0]["id"]])[rows[0]["id"]].created_at
    assert filled(catalog, *rows) == jobs
    assert catalog.counts() == {"queued": 2}
    assert catalog.known_files([rows[0]["id"]])[rows[0]["id"]].created_at == made


def test_upserting_updates_what_the_manifest_says(catalog: Catalog) -> None:
    first = row("a", 1)
    filled(catalog, first)
    filled(catalog, {**first, "line": 7, "sha256": "new bytes", "scope": "later"})
    known = catalog.known_files([first["id"]])[first["id"]]
    assert (known.line, known.sha256, known.scope) == (7, "new bytes", "later")
    assert catalog.counts("s") == {} and catalog.counts("later") == {"queued": 1}


def test_a_missing_file_is_named_and_due_once_it_is_back(catalog: Catalog) -> None:
    absent = row("a", sha256=None, mtime_ns=None, size_bytes=None)
    catalog.upsert_videos([absent], {absent["id"]: "a.mp4 is not there"})
    assert due(catalog) == []
    [failure] = catalog.failures("s")
    assert (failure.code, failure.message) == ("missing_file", "a.mp4 is not there")
    [job] = filled(catalog, {**absent, "sha256": "x", "mtime_ns": 1, "size_bytes": 1})
    assert due(catalog) == [job]


def test_a_missing_file_of_a_job_in_progress_is_left_to_its_process(catalog: Catalog) -> None:
    video = row("a")
    [job] = filled(catalog, video)
    assert catalog.claim(job, catalog.start_run("s", "m", "p"), LEASE_S)
    catalog.upsert_videos([video], {video["id"]: "gone"})
    assert catalog.counts() == {"processing": 1}


# what is due


def test_done_is_due_again_for_another_pipeline_or_other_bytes_or_by_force(
    catalog: Catalog,
) -> None:
    video = row("a")
    [job] = filled(catalog, video)
    finish(catalog, job, catalog.start_run("s", "m", "p"))
    assert due(catalog) == []
    assert due(catalog, "another model") == [job]
    assert due(catalog, force=True) == [job]
    filled(catalog, {**video, "sha256": "other bytes"})
    assert due(catalog) == [job]


@pytest.mark.parametrize(
    ("error", "again"), [(NoPerson("nobody"), False), (TimedOut("slow"), True)]
)
def test_failed_for_good_is_settled_and_failed_for_a_moment_is_due(
    catalog: Catalog, error: NoPerson | TimedOut, again: bool
) -> None:
    video = row("a")
    [job] = filled(catalog, video)
    run = catalog.start_run("s", "m", "p")
    assert catalog.claim(job, run, LEASE_S)
    assert catalog.fail(job, run, error, video["sha256"]) == []
    assert due(catalog) == ([job] if again else [])
    assert due(catalog, retry_failed=True) == [job]
    assert due(catalog, "another pipeline") == [job]
    [failure] = catalog.failures("s")
    assert (failure.code, failure.message, failure.line) == (error.code, str(error), 1)


def test_due_keeps_equal_contents_together_in_the_manifests_order(catalog: Catalog) -> None:
    jobs = filled(
        catalog, row("a", 1), row("b", 2, "same"), row("c", 3), row("d", 4, "same"), row("e", 5)
    )
    assert due(catalog) == [jobs[i] for i in (0, 1, 3, 2, 4)]
    assert due(catalog, limit=2) == jobs[:2]
    filled(catalog, row("f", 1, scope="another"))
    assert len(due(catalog)) == 5


def test_segments_of_a_content_are_due_in_the_order_of_their_starts(catalog: Catalog) -> None:
    rows = [
        *(row(f"s{i}", i, "same", start_s=s) for i, s in enumerate((30.0, None, 4.5), 1)),
        *(row(f"f{i}", i, "film", start_frame=s) for i, s in enumerate((100, 20, 3), 4)),
    ]
    jobs = filled(catalog, *rows)
    assert due(catalog) == [jobs[i] for i in (1, 2, 0, 5, 4, 3)]


def test_segments_of_a_url_are_due_together_before_its_bytes_are_known(catalog: Catalog) -> None:
    spans = [("https://x/a", 9.0), ("https://x/b", 2.0), ("https://x/a", 1.0)]
    rows = [
        row(f"w{line}", line, sha256=None, mtime_ns=None, remote_url=url, start_s=start)
        for line, (url, start) in enumerate(spans, 1)
    ]
    catalog.upsert_videos([{**r, "sha256": None} for r in rows], {})
    jobs = [job.id for r in rows for _, job in catalog.find_videos(r["word"])]
    found = [(job.job_id, job.source) for job in catalog.due("s", "p")]
    assert found == [(jobs[i], spans[i][0]) for i in (2, 0, 1)]


# copies


def unfetched(word: str, line: int) -> dict[str, Any]:
    url = f"https://x/{line}"
    return {**row(word, line, local_path=url, remote_url=url), "sha256": None, "mtime_ns": None}


def test_a_video_that_turns_out_to_be_a_copy_gives_way_to_the_other(catalog: Catalog) -> None:
    there, late, other = row("takk", 1, scope="before"), unfetched("takk", 7), unfetched("takk", 8)
    for one in (there, late, other):
        catalog.upsert_videos([one], {})
    jobs = {video.id: job.id for video, job in catalog.find_videos("takk")}
    assert catalog.set_content(there["id"], "bytes", "sums", 9) is None
    assert catalog.set_content(other["id"], "others", "sums", 9) is None
    run = catalog.start_run("s", "m", "p")
    assert catalog.claim(jobs[late["id"]], run, LEASE_S)
    assert catalog.set_content(late["id"], "bytes", "sums", 9) == jobs[there["id"]]
    assert catalog.claim(jobs[late["id"]], run, LEASE_S) is None
    known = catalog.known_files([one["id"] for one in (there, late, other)])
    assert set(known) == {there["id"], other["id"]}
    assert (known[there["id"]].scope, known[there["id"]].line) == ("s", 7)
    assert known[there["id"]].local_path == there["local_path"]
    copy = catalog.known_copies([late["id"]])[late["id"]]
    assert (copy.video_id, copy.sha256, copy.local_path) == (there["id"], "bytes", "https://x/7")
    assert [video.id for video, _ in catalog.find_videos("https://x/7")] == [there["id"]]
    assert catalog.counts() == {"queued": 2}


def test_the_copies_of_a_video_that_gives_way_go_with_it(catalog: Catalog) -> None:
    first, second = row("takk", 1), row("takk", 2)
    for one in (first, second):
        catalog.upsert_videos([one], {})
    catalog.set_content(first["id"], "bytes", "sums", 9)
    copy = {
        "id": uuid4(), "video_id": second["id"], "filename": "c", "remote_url": None,
        "local_path": "/c", "sha1": None, "sha256": "x", "size_bytes": 1, "mtime_ns": 1,
    }  # fmt: skip
    catalog.upsert_videos([], {}, [copy])
    assert catalog.set_content(second["id"], "bytes", "sums", 9) is not None
    copies = catalog.copies_of([first["id"], second["id"]])
    assert {c.id for c in copies.pop(first["id"])} == {copy["id"], second["id"]}
    assert copies == {}
    catalog.upsert_videos([], {}, [], [copy["id"]])
    assert catalog.known_copies([copy["id"]]) == {}


def test_another_word_segment_or_a_processed_video_does_not_give_way(catalog: Catalog) -> None:
    whole, done = row("takk", 1), row("takk", 4)
    others = [row("ja", 2), row("takk", 3, start_s=1.0), done]
    for one in (whole, *others):
        catalog.upsert_videos([one], {})
    catalog.set_content(whole["id"], "bytes", "sums", 9)
    with catalog.engine.begin() as connection:
        connection.execute(update(Video).where(col(Video.id) == done["id"]).values(width=640))
    for other in others:
        assert catalog.set_content(other["id"], "bytes", "sums", 9) is None
    assert catalog.counts() == {"queued": 4}


def test_of_many_that_find_the_same_bytes_at_once_one_remains(catalog: Catalog) -> None:
    rows = [unfetched("takk", line) for line in range(4)]
    catalog.upsert_videos(rows, {})
    start = threading.Barrier(4)

    def found(one: dict[str, Any]) -> UUID | None:
        start.wait()
        return catalog.set_content(one["id"], "bytes", "sums", 9)

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(found, rows))
    [(video, _)] = catalog.find_videos("takk")
    assert answers.count(None) == 1
    assert len(catalog.copies_of([video.id])[video.id]) == 3


def test_a_catalog_of_the_version_before_is_brought_up_to_date(catalog: Catalog) -> None:
    filled(catalog, row("a"))
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with catalog.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    with pytest.raises(CatalogError, match=r"schema is 0001.*tracker init-db"):
        catalog.open()
    catalog.create()
    assert catalog.open().counts() == {"queued": 1}


# claims


def test_each_job_is_claimed_exactly_once_by_many_threads(catalog: Catalog) -> None:
    jobs = filled(catalog, *(row(f"w{i}", i) for i in range(40)))
    run = catalog.start_run("s", "m", "p")

    def claim_all(_: int) -> list[UUID]:
        return [job for job in jobs if catalog.claim(job, run, LEASE_S) is not None]

    with ThreadPoolExecutor(8) as threads:
        taken = [job for claimed in threads.map(claim_all, range(8)) for job in claimed]
    assert Counter(taken) == Counter(jobs)


CLAIMANT = """
    import sys
    from uuid import UUID
    from tracker_core.store.catalog import Catalog

    catalog = Catalog(sys.argv[1])
    run = catalog.run(UUID(sys.argv[2]))
    print("ready", flush=True)
    sys.stdin.readline()
    for job in sys.argv[3:]:
        if catalog.claim(UUID(job), run, 60) is not None:
            print(job)
    sys.stdout.flush()
    sys.stdin.readline()
"""


def claimants(url: str, run: Run, jobs: list[UUID], count: int) -> list[subprocess.Popen[str]]:
    """Processes that are about to claim all of the jobs; a line lets each begin, another end."""
    command = [sys.executable, "-c", textwrap.dedent(CLAIMANT), url, str(run.id)]
    made = [
        subprocess.Popen(
            command + [str(job) for job in jobs],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(count)
    ]  # fmt: skip
    for process in made:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return made


def test_each_job_is_claimed_exactly_once_by_many_processes(catalog: Catalog, url: str) -> None:
    jobs = filled(catalog, *(row(f"w{i}", i) for i in range(60)))
    processes = claimants(url, catalog.start_run("s", "m", "p"), jobs, 3)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    claimed = [process.communicate("end\n")[0].split() for process in processes]
    assert Counter(UUID(job) for jobs_ in claimed for job in jobs_) == Counter(jobs)


def test_the_claims_of_a_killed_process_come_back_at_once(catalog: Catalog, url: str) -> None:
    [job] = filled(catalog, row("a"))
    run = catalog.start_run("s", "m", "p")
    [process] = claimants(url, run, [job], 1)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    assert process.stdout.readline().strip() == str(job)
    assert catalog.release_dead() == 0  # it lives
    assert catalog.claim(job, run, LEASE_S) is None and due(catalog) == []
    process.kill()
    process.communicate()
    assert catalog.release_dead() == 1
    assert due(catalog) == [job]
    assert catalog.claim(job, run, LEASE_S) is not None
    assert job_of(catalog, job)["attempts"] == 2


def test_a_lease_runs_out_unless_it_is_renewed(catalog: Catalog) -> None:
    jobs = filled(catalog, row("a", 1), row("b", 2))
    run = catalog.start_run("s", "m", "p")
    for job in jobs:
        assert catalog.claim(job, run, 0.05)
    with catalog.engine.begin() as connection:  # as if another process held the second
        other = update(Job).where(col(Job.id) == jobs[1]).values(lease_owner="elsewhere:1:1")
        connection.execute(other)
    catalog.renew(LEASE_S)
    time.sleep(0.1)
    assert due(catalog) == [jobs[1]]
    assert catalog.claim(jobs[0], run, LEASE_S) is None
    assert catalog.claim(jobs[1], run, LEASE_S) is not None


def test_what_was_settled_since_the_run_began_is_not_claimed_again(catalog: Catalog) -> None:
    [job] = filled(catalog, row("a"))
    early, other = catalog.start_run("s", "m", "p"), catalog.start_run("s", "m", "p2")
    finish(catalog, job, early)
    assert catalog.claim(job, early, LEASE_S) is None
    assert catalog.claim(job, other, LEASE_S) is not None
    catalog.give_back(job)
    later = catalog.start_run("s", "m", "p")  # by force: what is done may be done anew
    assert catalog.claim(job, later, LEASE_S) is not None


def test_a_job_given_back_is_due(catalog: Catalog) -> None:
    [job] = filled(catalog, row("a"))
    assert catalog.claim(job, catalog.start_run("s", "m", "p"), LEASE_S)
    catalog.give_back(job)
    assert due(catalog) == [job]
    assert catalog.counts() == {"queued": 1}


def test_who_lost_the_lease_does_not_fail_what_another_process_does(catalog: Catalog) -> None:
    video = row("a")
    [job] = filled(catalog, video)
    run = catalog.start_run("s", "m", "p")
    assert catalog.claim(job, run, LEASE_S)
    with catalog.engine.begin() as connection:
        connection.execute(update(Job).values(lease_owner="elsewhere:1:1"))
    assert catalog.fail(job, run, TimedOut("slow"), video["sha256"]) == []
    assert catalog.counts() == {"processing": 1}
    assert (catalog.run(run.id).failed, catalog.run(run.id).taken) == (0, 1)


def test_owners_are_known_by_machine_process_and_start() -> None:
    host, pid, start = owner_name().rsplit(":", 2)
    assert not owner_is_dead(owner_name())
    assert owner_is_dead(f"{host}:{pid}:{float(start) - 1000:.0f}")  # the number was given again
    assert owner_is_dead(f"{host}:{2**31 - 2}:{start}")
    assert not owner_is_dead(f"another-machine:{pid}:0")


# outcomes


def test_finishing_changes_video_job_track_and_run_together(catalog: Catalog) -> None:
    video = row("a")
    [job] = filled(catalog, video)
    run = catalog.start_run("s", "m", "p")
    track = finish(catalog, job, run, score=0.5)
    assert catalog.known_files([video["id"]])[video["id"]].duration_s == 1.0
    found = catalog.track_of(video["id"], video["sha256"])
    assert found is not None and found.data_path == track.data_path
    assert catalog.counts("s") == {"done": 1}
    ended = catalog.end_run(run.id, 2.5)
    assert (ended.done, ended.failed, ended.seconds) == (1, 0, 2.5)
    state = job_of(catalog, job)
    assert (state["attempts"], state["lease_owner"], state["error"]) == (1, None, None)
    assert list(catalog.done_outputs("s", "p")) == [(job, track.data_path, 10, "/exports/a")]
    assert list(catalog.done_outputs("s", "another pipeline")) == []


def test_a_version_of_a_track_has_one_row(catalog: Catalog) -> None:
    video = row("a")
    [job] = filled(catalog, video)
    finish(catalog, job, catalog.start_run("s", "m", "p"), score=0.5)
    finish(catalog, job, catalog.start_run("s", "m", "p"), score=0.7)
    with catalog.engine.connect() as connection:
        scores = connection.execute(text("select quality_score from tracks")).scalars().all()
    assert scores == [0.7]


def test_failing_withdraws_the_track_of_bytes_that_are_gone(catalog: Catalog) -> None:
    video = row("a")
    [job] = filled(catalog, video)
    track = finish(catalog, job, catalog.start_run("s", "m", "p"))
    filled(catalog, {**video, "sha256": "broken"})
    run = catalog.start_run("s", "m", "p")
    assert catalog.claim(job, run, LEASE_S)
    assert catalog.fail(job, run, NoPerson("nobody"), "broken") == [track.data_path]
    assert catalog.track_of(video["id"], video["sha256"]) is None
    assert job_of(catalog, job)["quality_score"] is None


def test_failing_on_the_same_bytes_keeps_their_track(catalog: Catalog) -> None:
    video = row("a")
    [job] = filled(catalog, video)
    finish(catalog, job, catalog.start_run("s", "m", "p"))
    run = catalog.start_run("s", "m", "new model")
    assert catalog.claim(job, run, LEASE_S)
    assert catalog.fail(job, run, TimedOut("slow"), video["sha256"]) == []
    assert catalog.track_of(video["id"], video["sha256"]) is not None


def test_totals_of_a_run_are_added_atomically(catalog: Catalog) -> None:
    run = catalog.start_run("s", "m", "p")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: catalog.add_to_run(run.id, taken=1, due=2), range(40)))
    found = catalog.run(run.id)
    assert (found.taken, found.due) == (40, 80)
    with pytest.raises(KeyError, match="there is no run"):
        catalog.run(uuid4())


def test_the_last_run_is_that_which_began_last(catalog: Catalog) -> None:
    assert catalog.last_run() is None
    catalog.start_run("s", "m", "p")
    second = catalog.start_run("t", "m", "p")
    assert catalog.last_run() == catalog.run(second.id)
    found = catalog.last_run("s")
    assert found is not None and found.id != second.id
    assert now() - timedelta(minutes=1) < second.started_at <= now()


# reports


def test_quality_counts_scores_and_issues(catalog: Catalog) -> None:
    jobs = filled(catalog, *(row(w, i) for i, w in enumerate("abc")))
    run = catalog.start_run("s", "m", "p")
    finish(catalog, jobs[0], run, score=0.95, issues='["left_hand_missing_30%"]')
    finish(catalog, jobs[1], run, score=1.0, issues='["left_hand_missing_70%", "jitter"]')
    finish(catalog, jobs[2], run, score=0.2)
    spread, issues, worst = catalog.quality("s", lowest=2)
    assert spread == [(2, 1), (9, 2)]
    assert issues == [("left_hand_missing", 2), ("jitter", 1)]
    assert worst == [("c", "c.mp4", 0.2), ("a", "a.mp4", 0.95)]


def test_done_jobs_are_found_by_word_and_by_what_a_video_is_called(catalog: Catalog) -> None:
    rows = [row("a", 1), row("b", 2), row("c", 3)]
    jobs = filled(catalog, *rows)
    run = catalog.start_run("s", "m", "p")
    for job in jobs[:2]:
        finish(catalog, job, run)

    def found(word: str | None = None, video: str | None = None) -> list[UUID]:
        return [job.job_id for job in catalog.done_jobs(word, video)]

    assert sorted(found(), key=str) == sorted(jobs[:2], key=str)
    assert found("b") == [jobs[1]]
    assert found("c") == []
    for name in (str(rows[0]["id"]), "a.mp4", "/videos/a.mp4"):
        assert found(video=name) == [jobs[0]]


def test_requeued_jobs_are_due_but_for_those_in_progress(catalog: Catalog) -> None:
    jobs = filled(catalog, row("a", 1), row("b", 2))
    run = catalog.start_run("s", "m", "p")
    finish(catalog, jobs[0], run)
    assert catalog.claim(jobs[1], run, LEASE_S)
    catalog.requeue(jobs)
    assert due(catalog) == [jobs[0]]


def test_a_busy_database_is_tried_again_and_then_told(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker_core.store.catalog.time.sleep", lambda _: None)
    calls: list[int] = []

    def busy() -> str:
        calls.append(1)
        if len(calls) < 4:
            raise OperationalError("update", {}, Exception("database is locked"))
        return "written"

    assert catalog._steadily(busy) == "written"
    with pytest.raises(StorageError, match="did not take a change"):
        catalog._steadily(lambda: (_ for _ in ()).throw(OperationalError("u", {}, Exception("x"))))


def test_videos_are_found_with_their_jobs(catalog: Catalog) -> None:
    filled(catalog, row("a"))
    [(video, job)] = catalog.find_videos("a.mp4")
    assert isinstance(video, Video) and job.video_id == video.id
    assert video.size_bytes == 5_000_000_000
