"""The clips that benchmarks run on, and copies of them whose bytes are all different."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import av

from tracker_core.errors import CannotRun
from tracker_core.settings import load_settings

_SHARED = "shared/data/sign/intel_asl/*.mkv"
_SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".webm"}


def find_clips(given: Sequence[str], root: Path) -> list[Path]:
    """Video files of folders, globs and paths, sorted, each once.

    Args:
        given: what to search; when empty, the evaluation clips beside the repository, and the
            demo's clips where those are absent.
        root: folder of the repository.

    Raises CannotRun when something given holds no video.
    """
    if not given:
        shared = sorted(root.parent.glob(_SHARED))
        return shared or _demo_clips()
    found: set[Path] = set()
    for name in given:
        path = Path(name)
        names = path.iterdir() if path.is_dir() else _glob(path)
        videos = {video.absolute() for video in names if video.suffix.lower() in _SUFFIXES}
        if not videos:
            raise CannotRun(f"--clips {name}: no video is there ({', '.join(sorted(_SUFFIXES))})")
        found |= videos
    return sorted(found)


def count_frames(clip: Path) -> int:
    """Frames that decode. Raises CannotRun for a file in which none does."""
    try:
        with av.open(clip) as container:
            frames = sum(1 for _ in container.decode(video=0))
    except (av.error.FFmpegError, IndexError) as error:
        raise CannotRun(f"{clip} cannot be measured on: {error}") from error
    if not frames:
        raise CannotRun(f"{clip} cannot be measured on: no frame of it decodes")
    return frames


def lay_out(clips: Sequence[Path], count: int, folder: Path) -> list[Path]:
    """``count`` videos in a new folder: the clips, then copies of them that differ in bytes only.

    Files of equal bytes are computed once by the pipeline, which would be no measurement.
    """
    folder.mkdir(parents=True)
    laid = []
    for number in range(count):
        clip = clips[number % len(clips)]
        target = folder / f"{clip.stem}_{number:03d}{clip.suffix}"
        if number < len(clips):
            shutil.copyfile(clip, target)
        else:
            remux(clip, target, f"copy {number}")
        laid.append(target)
    return laid


def remux(source: Path, target: Path, comment: str) -> None:
    """Copy a video's packets into a new file whose metadata says ``comment``."""
    with av.open(source) as given, av.open(target, "w") as made:
        made.metadata["comment"] = comment
        video = given.streams.video[0]
        stream = made.add_stream_from_template(video)
        for packet in given.demux(video):
            if packet.size:  # the last one only says that there are no more
                packet.stream = stream
                made.mux(packet)


def _glob(pattern: Path) -> list[Path]:
    return sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))


def _demo_clips() -> list[Path]:
    from flows.demo import fetch_clips

    return fetch_clips(load_settings().models_dir.parent / "demo")
