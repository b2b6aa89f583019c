"""CPU time of each stage, done in this process one after the other, beside the bare loop."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.provider_loop import track_clip
from tracker_core.pipeline import PIPELINE, run_stage
from tracker_core.settings import load_settings
from tracker_core.stages import Facts, StageWork, Subject
from tracker_core.tracking.models import sha256_file


def stage_costs(
    clips: Sequence[Path], scratch: Path, overrides: Mapping[str, str]
) -> dict[str, float]:
    """CPU milliseconds per frame of each stage, and of its provider in a ``bare loop``.

    The two take turns clip by clip. What every process pays once (imports, first use of the
    model) is paid on the first clip, before anything is counted.
    """
    spent = {stage.name: 0.0 for stage in PIPELINE} | {"bare loop": 0.0}
    frames = 0
    for number, clip in enumerate([clips[0], *clips]):
        began = time.process_time()
        bare_frames, _ = track_clip(clip, overrides)
        cost = {"bare loop": time.process_time() - began}
        cost |= _stages(clip, scratch / str(number), overrides)
        if number == 0:
            continue
        frames += bare_frames
        for name, seconds in cost.items():
            spent[name] += seconds
    return {name: 1000 * seconds / frames for name, seconds in spent.items()}


def _stages(clip: Path, folder: Path, overrides: Mapping[str, str]) -> dict[str, float]:
    """Stage -> CPU seconds of one clip, all files kept in ``folder``."""
    settings = load_settings({"target_fps": "source", **overrides})
    content = sha256_file(clip)
    inputs: dict[str, dict[str, Path]] = {}
    facts: dict[str, Facts] = {}
    keys: dict[str, str] = {}
    spent = {}
    for stage in PIPELINE:
        out = folder / stage.name
        out.mkdir(parents=True)
        keys[stage.name] = f"{stage.name}/{content}"
        work = StageWork(
            source=clip,
            content=content,
            subject=Subject("00000000-0000-0000-0000-000000000000", clip.stem, clip.name),
            parameters=stage.parameters(settings),
            inputs={name: inputs[name] for name in stage.inputs},
            facts=facts,
            keys=keys,
            models_dir=settings.models_dir,
            out=out,
        )
        began = time.process_time()
        facts[stage.name] = run_stage(stage.name, work)
        spent[stage.name] = time.process_time() - began
        inputs[stage.name] = {path.name: path for path in out.iterdir()}
    return spent
