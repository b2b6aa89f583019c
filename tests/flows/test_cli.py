"""The command line: every command has help and stands in the README; errors are sentences."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.reference import README, commands, updated
from tracker_core.errors import ManifestError, SettingsError
from tracker_core.tracking.models import ModelStore

runner = CliRunner()


def test_the_readme_says_what_the_code_does() -> None:
    text = README.read_text(encoding="utf-8")
    assert updated(text) == text, "run `python -m flows.reference`"


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_has_help(name: str) -> None:
    done = runner.invoke(app, [*name.split()[1:], "--help"])
    assert done.exit_code == 0
    assert "Usage" in done.output
    assert len(dict(commands())[name].help) > 20


def test_the_commands_there_are() -> None:
    assert {name for name, _ in commands()} >= {
        "tracker run", "tracker track", "tracker ingest", "tracker status", "tracker export",
        "tracker show", "tracker init-db", "tracker models list", "tracker models pull",
        "tracker models add", "tracker doctor", "tracker demo",
    }  # fmt: skip


def test_status_of_an_empty_workspace(tmp_path: Path) -> None:
    done = runner.invoke(app, ["status", "--json", "--workspace", str(tmp_path)])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"jobs": {}, "failures": [], "last_run": None}


def test_ingest_counts_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "here.mp4").write_bytes(b"x")
    manifest = tmp_path / "list.csv"
    manifest.write_text("Ord;Videofil\nhus;here.mp4\nbåt;gone.mp4\n", encoding="cp1252")
    workspace = str(tmp_path / "ws")
    done = runner.invoke(app, ["ingest", str(manifest), "--workspace", workspace])
    assert done.exit_code == 1, "a file is missing"
    assert "2 videos, 1 of them without a file" in done.output
    report = json.loads(runner.invoke(app, ["status", "--json", "--workspace", workspace]).stdout)
    assert report["jobs"] == {"missing_file": 1, "queued": 1}
    (failure,) = report["failures"]
    assert failure["code"] == "missing_file"
    assert "line 3" in failure["message"]


def test_init_db_can_be_run_again(tmp_path: Path) -> None:
    for _ in range(2):
        done = runner.invoke(app, ["init-db", "--workspace", str(tmp_path)])
        assert done.exit_code == 0
        assert "schema" in done.output


def test_a_setting_with_commas_and_equals_signs_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "a,b=c"
    done = runner.invoke(app, ["init-db", "--set", f"workspace_dir={folder}"])
    assert done.exit_code == 0
    assert (folder / "tracker.db").is_file()


def test_doctor_says_what_is_missing(tmp_path: Path) -> None:
    options = ["--workspace", str(tmp_path), "--set", f"models_dir={tmp_path / 'none'}"]
    done = runner.invoke(app, ["doctor", *options], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "tracker models pull" in done.output
    assert "MISSING" in done.output


def test_an_artifact_store_that_is_not_there_is_told_before_anything_runs(
    tmp_path: Path, bucket: str, models: ModelStore, web_page: Path
) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text(f"ord,fil\nside,{web_page}\n", encoding="utf-8")
    options = ["--workspace", str(tmp_path / "ws"), "--set", f"models_dir={models.folder}"]
    options += ["--set", f"artifact_url={bucket}-absent/artifacts"]
    done = runner.invoke(app, ["run", str(manifest), *options])
    assert isinstance(done.exception, SettingsError)
    assert "bucket does not exist" in str(done.exception)
    status = runner.invoke(app, ["status", "--json", "--workspace", str(tmp_path / "ws")])
    assert json.loads(status.stdout) == {"jobs": {"queued": 1}, "failures": [], "last_run": None}
    done = runner.invoke(app, ["doctor", *options], env={"COLUMNS": "400"})
    assert done.exit_code == 2
    (told,) = [line for line in done.output.splitlines() if "bucket does not exist" in line]
    assert told.startswith("MISSING  ARTIFACT_URL")


def test_columns_can_be_named_or_left_out(tmp_path: Path) -> None:
    (tmp_path / "c8.mp4").write_bytes(b"x")
    manifest = tmp_path / "slovo.tsv"
    manifest.write_text("attachment_id\ttext\tbegin\tend\nc8\tДа\t32\t70\n", encoding="utf-8")
    command = ["ingest", str(manifest), "--workspace", str(tmp_path / "ws")]
    done = runner.invoke(app, command)
    assert "start_frame 'begin'" in done.output
    done = runner.invoke(app, [*command, "--columns", "start_frame=,end_frame="])
    assert done.exit_code == 0 and "start_frame 'begin'" not in done.output
    done = runner.invoke(app, [*command, "--columns", "word"])
    assert done.exit_code == 2 and "is not NAME=VALUE" in done.output


def test_strict_stops_at_the_line_of_the_first_row_that_is_no_use(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    manifest = tmp_path / "list.csv"
    text = 'ord,fil,merknad\ntakk,a.mp4,"to\nlinjer"\nbok\nse,a.mp4,\nse,a.mp4,\n'
    manifest.write_text(text, encoding="utf-8")
    command = ["ingest", str(manifest), "--workspace", str(tmp_path / "ws")]
    done = runner.invoke(app, command)
    assert done.exit_code == 1, "a row was skipped"
    assert "line 4 skipped: it has 1 cells where the header has 3" in done.output
    assert "line 6 skipped: it repeats line 5" in done.output
    assert "2 videos, 0 of them without a file" in done.output
    done = runner.invoke(app, [*command, "--strict"])
    assert isinstance(done.exception, ManifestError)
    assert "line 4: it has 1 cells" in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "absent.csv"], "absent.csv"),
        (["status", "--set", "colour=red"], "no setting colour"),
        (["models", "pull", "nonsense"], "no model nonsense"),
        (["models", "add", "absent.onnx"], "there is no file"),
        (["models", "quantize", "--clips", "absent.mp4"], "there is no such file"),
        (["show", "nobody"], "no video is called"),
    ],
)
def test_what_cannot_run_is_one_sentence_and_exit_2(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_itself_is_light() -> None:
    """Processes that stages run in import the command's module again."""
    code = (
        "import sys, flows.cli; heavy = {'prefect', 'mediapipe'} & set(sys.modules);"
        " sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
