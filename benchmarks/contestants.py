"""Who takes part in `benchmarks.speed`: what each computes, and the command that runs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.environment import pose_format_command, pose_format_python
from tracker_core.settings import load_settings
from tracker_core.tracking.models import HOLISTIC_FULL, ModelStore

ROOT = Path(__file__).resolve().parents[1]

# (folder of the clips, workspace, workers) -> what to run; made when it is about to run.
Command = Callable[[Path, Path, int], list[str]]
# (folder of the clips, workspace, what was printed) -> how many clips it did.
ClipsDone = Callable[[Path, Path, str], int]

_PLAIN = "plain face mesh of 468 points, no blendshapes"
_WHOLE = "478 face points, blendshapes"

# Our own graph: its speed, its face mesh, and what it then computes.
_OURS: Mapping[str, tuple[str, str, str]] = {
    "holistic": ("full", "attention", f"our graph in a bare loop: {_WHOLE}"),
    "holistic-plain": ("full", "plain", f"the same: {_PLAIN}"),
    "holistic-fast": ("fast", "attention", f"the same in its fast mode: {_WHOLE}"),
    "holistic-fast-plain": ("fast", "plain", f"the same in its fast mode: {_PLAIN}"),
}


@dataclass(frozen=True)
class Contestant:
    """One who works through a folder of clips.

    Attributes:
        computes: what it makes of them, for the reader of the table.
        command: what to run.
        clips_done: how many clips it turned out to have done.
    """

    computes: str
    command: Command
    clips_done: ClipsDone


def contestants(overrides: Mapping[str, str]) -> dict[str, Contestant]:
    """Name -> contestant, in the table's order.

    Args:
        overrides: settings for all that is ours, such as the engine.
    """
    holistic = {**overrides, "tracking_provider": "holistic"}
    ours = {
        name: Contestant(
            computes,
            _provider_loop({**holistic, "speed": speed, "face_mesh": mesh}),
            _frames_counted,
        )
        for name, (speed, mesh, computes) in _OURS.items()
    }
    provider = load_settings(overrides).tracking_provider
    return {
        "pose-format": Contestant(
            f"videos_to_poses 0.15: {_PLAIN}; one .pose file a clip",
            _pose_format,
            lambda folder, _workspace, _printed: sum(
                1 for made in folder.glob("*.pose") if made.stat().st_size
            ),
        ),
        "legacy": Contestant(
            f"the engine inside pose-format (MediaPipe 0.10.21 Holistic) in a bare loop: {_PLAIN}",
            _legacy,
            _frames_counted,
        ),
        "landmarker": Contestant(
            f"MediaPipe's HolisticLandmarker in a bare loop: {_WHOLE}",
            _landmarker,
            _frames_counted,
        ),
        **ours,
        "tracker": Contestant(
            f"tracker run with the provider {provider}: smoothing, score, dataset, avatar package, "
            "catalog as well",
            _tracker(overrides),
            lambda _folder, workspace, _printed: len(
                list((workspace / "artifacts" / "tracks").rglob("*.parquet"))
            ),
        ),
    }


def process_role(command: Sequence[str]) -> str:
    """What a process of ``tracker run`` does, from its command line."""
    line = " ".join(command)
    if "uvicorn" in line or "prefect.server" in line:
        return "Prefect server"
    if "multiprocessing" in line:
        return "stage processes"
    return "main process"


def _pose_format(folder: Path, _workspace: Path, workers: int) -> list[str]:
    command = [str(pose_format_command()), "--format", "mediapipe"]
    return [*command, "--directory", str(folder), "--num-workers", str(workers)]


def _legacy(folder: Path, _workspace: Path, workers: int) -> list[str]:
    script = ROOT / "benchmarks" / "peers" / "legacy_loop.py"
    return [str(pose_format_python()), str(script), str(folder), "--workers", str(workers)]


def _landmarker(folder: Path, _workspace: Path, workers: int) -> list[str]:
    model = ModelStore(load_settings().models_dir).path(HOLISTIC_FULL)
    command = [sys.executable, "-m", "benchmarks.peers.bare_loop", str(model), str(folder)]
    return [*command, "--workers", str(workers)]


def _provider_loop(settings: Mapping[str, str]) -> Command:
    def command(folder: Path, _workspace: Path, workers: int) -> list[str]:
        command = [sys.executable, "-m", "benchmarks.provider_loop", str(folder)]
        return [*command, "--workers", str(workers), *as_arguments(settings)]

    return command


def _tracker(settings: Mapping[str, str]) -> Command:
    def command(folder: Path, workspace: Path, workers: int) -> list[str]:
        command = [sys.executable, "-m", "flows.cli", "run", str(folder)]
        command += ["--workspace", str(workspace), "--workers", str(workers)]
        return [*command, *as_arguments({"target_fps": "source", **settings})]

    return command


def as_arguments(settings: Mapping[str, str]) -> list[str]:
    """The settings as a command line says them."""
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]


def _frames_counted(_folder: Path, _workspace: Path, printed: str) -> int:
    return sum(1 for frames in json.loads(printed)["frames"] if frames)
