"""The eight stages as data: tasks are made from it, keys computed from it, re-runs planned by it.

A stage's key says exactly what its output was made from::

    {stage}/{version}/{sha256 of: input files' sha256, parameters (models included), subject}

so a changed parameter re-runs that stage and what follows, and equal bytes share their work. The
subject (which word, which file name) enters the key only where the output names it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tracker_core import stages
from tracker_core.settings import Settings
from tracker_core.stages import Facts, StageWork, Subject
from tracker_core.store.artifacts import StageRecord


@dataclass(frozen=True)
class Stage:
    """One step from a video to its track and its package.

    Attributes:
        name: the task's name and the first part of its key.
        version: raised when the stage's code gives other output for equal input.
        inputs: the stages whose files it reads.
        makes: what it makes, for the documentation.
        parameters: its part of the settings, as JSON values.
        function: the plain function that does it.
        reads_source: whether it reads the source's own bytes.
        names_subject: whether its output names the video (word, file name), not only its content.
        place: path in the artifact store for one of its files; by default under the key.
    """

    name: str
    version: int
    inputs: tuple[str, ...]
    makes: str
    parameters: Callable[[Settings], dict[str, Any]]
    function: Callable[[StageWork], Facts]
    reads_source: bool = False
    names_subject: bool = False
    place: Callable[[str, Mapping[str, StageRecord], str], str] = field(
        default=lambda key, _records, name: f"{key}/{name}"
    )


PIPELINE: tuple[Stage, ...] = (
    Stage(
        "probe", 2, (), "`VideoInfo`: true timestamps, size, rotation, damage",
        stages.probe_parameters, stages.run_probe, reads_source=True,
    ),
    Stage(
        "normalize", 1, ("probe",),
        "which source frames are tracked, upright, in square pixels, at most 720p",
        stages.normalize_parameters, stages.run_normalize, reads_source=True,
    ),
    Stage(
        "roi", 2, ("probe", "normalize"), "the main person's box per frame",
        stages.roi_parameters, stages.run_roi, reads_source=True,
    ),
    Stage(
        "track", 1, ("probe", "normalize", "roi"), "raw `Tracks`",
        stages.track_parameters, stages.run_track, reads_source=True,
    ),
    Stage(
        "smooth", 1, ("track",), "smoothed `Tracks`",
        stages.smooth_parameters, stages.run_smooth,
    ),
    Stage(
        "score", 1, ("probe", "normalize", "roi", "track", "smooth"),
        "quality 0..1 with its parts, issues and signature",
        stages.score_parameters, stages.run_score,
    ),
    Stage(
        "persist", 1, ("smooth", "score"), "the track in the published Parquet dataset",
        stages.persist_parameters, stages.run_persist, names_subject=True,
        place=stages.dataset_path,
    ),
    Stage(
        "export", 1, ("smooth", "score"), "the avatar package",
        stages.export_parameters, stages.run_export, names_subject=True,
    ),
)  # fmt: skip

StageName = Literal["probe", "normalize", "roi", "track", "smooth", "score", "persist", "export"]

STAGES = {stage.name: stage for stage in PIPELINE}


def digest(value: Any) -> str:
    """Hex sha256 of a JSON value; equal values give equal digests whatever their keys' order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def stage_key(
    stage: Stage,
    content: str,
    records: Mapping[str, StageRecord],
    parameters: Mapping[str, Any],
    subject: Subject,
) -> str:
    """The key of what a stage makes of these inputs.

    Args:
        stage: the stage.
        content: sha256 of the source's bytes.
        records: what the earlier stages made; only the stage's own inputs count.
        parameters: of the stage.
        subject: the video; its segment counts for normalize, its names where the output has them.
    """
    inputs: dict[str, Any] = {
        name: {file: ref.sha256 for file, ref in records[name].files.items()}
        for name in stage.inputs
    }
    if stage.reads_source:
        inputs["source"] = content
    if stage.names_subject:
        inputs["subject"] = asdict(subject)
    elif stage.name == "normalize":
        inputs["segment"] = list(subject.segment)
    return f"{stage.name}/{stage.version}/{digest([inputs, dict(parameters)])}"


def pipeline_fingerprint(settings: Settings) -> str:
    """One digest over stages, parameters and models: the same exactly when no key would differ."""
    return digest([[s.name, s.version, s.parameters(settings)] for s in PIPELINE])


def stages_from(name: str) -> frozenset[str]:
    """A stage and all that depends on it. Raises KeyError."""
    affected = {STAGES[name].name}
    for stage in PIPELINE:
        if affected & set(stage.inputs):
            affected.add(stage.name)
    return frozenset(affected)


def run_stage(name: str, work: StageWork) -> Facts:
    """Do one stage's work, in whatever process this is; files land in ``work.out``."""
    return STAGES[name].function(work)


def markdown_table() -> str:
    """The stages as the table that stands in the README."""
    rows = ["| stage | reads | makes |", "|---|---|---|"]
    for stage in PIPELINE:
        reads = (["source"] if stage.reads_source else []) + list(stage.inputs)
        rows.append(f"| {stage.name} | {', '.join(reads)} | {stage.makes} |")
    return "\n".join(rows)
