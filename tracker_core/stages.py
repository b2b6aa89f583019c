"""What each stage does: typed values and local paths in, files and facts out.

The functions are plain Python. They run in processes of their own (see `tracker_core.isolation`),
know nothing of keys, caches or catalogs, and write their files into ``work.out``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from tracker_core.errors import NoPerson
from tracker_core.export.unreal.package import (
    ExportParameters,
    ExportSubject,
    needed,
    write_package,
)
from tracker_core.ingest.words import word_folder
from tracker_core.landmarks.topology import HOLISTIC
from tracker_core.landmarks.tracks import FORMAT_VERSION, State, Tracks
from tracker_core.media.decode import Frame, prefetch
from tracker_core.media.probe import ProbeLimits, VideoInfo, probe
from tracker_core.postprocess.quality import Quality, QualityParameters, score
from tracker_core.postprocess.smoothing import SmoothingParameters, smooth
from tracker_core.postprocess.trimming import TrimmingParameters, active_span
from tracker_core.preprocess.normalize import (
    NormalizedVideo,
    NormalizeParameters,
    normalize,
    read_normalized,
)
from tracker_core.preprocess.roi import Roi, RoiParameters, find_roi, sample_indices
from tracker_core.settings import Settings
from tracker_core.store.artifacts import StageRecord
from tracker_core.tracking.holistic.loading import borrowed
from tracker_core.tracking.holistic.people import PeopleDetector
from tracker_core.tracking.inference import chosen_engine
from tracker_core.tracking.models import HOLISTIC_NETWORKS, ModelStore
from tracker_core.tracking.registry import provider
from tracker_core.tracking.video import track_video

Facts = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """The video as people know it.

    Attributes:
        video_id: of the catalog.
        word: its word or gloss, NFC.
        filename: base name of its file.
        start_s, end_s: the part of the source that is meant, in seconds; None: to its end.
        start_frame, end_frame: the same in frames, where the manifest counts those; the end is not
            included. They count before the seconds, being exact.
    """

    video_id: str
    word: str
    filename: str
    start_s: float | None = None
    end_s: float | None = None
    start_frame: int | None = None
    end_frame: int | None = None

    @property
    def segment(self) -> tuple[float | None, float | None, int | None, int | None]:
        """What is cut from the source."""
        return self.start_s, self.end_s, self.start_frame, self.end_frame


@dataclass(frozen=True)
class StageWork:
    """Everything a stage function is given.

    Attributes:
        source: the video file.
        content: sha256 of its bytes.
        subject: the video's names and segment.
        parameters: of this stage, JSON values; part of its key.
        inputs: stage -> file name -> local path.
        facts: stage -> its facts.
        keys: stage -> its key, this stage's included.
        models_dir: where the verified models lie.
        out: an empty folder for the files made.
    """

    source: Path
    content: str
    subject: Subject
    parameters: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, Path]]
    facts: Mapping[str, Facts]
    keys: Mapping[str, str]
    models_dir: Path
    out: Path

    @property
    def models(self) -> ModelStore:
        """The store of verified models."""
        return ModelStore(self.models_dir)


# probe


def probe_parameters(settings: Settings) -> dict[str, Any]:
    """The limits of `ProbeLimits`."""
    return asdict(
        ProbeLimits(
            max_frames=settings.max_frames,
            max_pixels=settings.max_pixels,
            max_duration_s=settings.max_duration_s,
            max_damaged_fraction=settings.max_damaged_fraction,
        )
    )


def run_probe(work: StageWork) -> Facts:
    """``probe.json``: a `VideoInfo`."""
    info = probe(work.source, ProbeLimits(**work.parameters))
    _write(work.out / "probe.json", info.to_json())
    damaged = sum(damage.end_s - damage.start_s for damage in info.damage)
    # What is missing lies after the last frame that is there.
    whole = max([info.duration_s, *(damage.end_s for damage in info.damage)])
    return {
        "frames": len(info.timestamps),
        "duration_s": info.duration_s,
        "fps": round(_fraction(info.rate), 6),
        "width": info.display_width,
        "height": info.display_height,
        "codec": info.codec,
        "damaged_fraction": round(min(1.0, damaged / whole), 6) if damaged else 0.0,
        "notes": list(info.notes),
    }


# normalize


def normalize_parameters(settings: Settings) -> dict[str, Any]:
    """The parameters of `NormalizeParameters` that hold for every video."""
    return {
        "target_fps": settings.target_fps,
        "max_height": settings.max_height,
        "max_frames": settings.max_tracked_frames,
        "equalize": settings.equalize,
        "trim": settings.trim == "motion",
        "encode": settings.normalized_video,
    }


def run_normalize(work: StageWork) -> Facts:
    """``normalized.json``: a `NormalizedVideo`; and its video where one had to be encoded."""
    info = _info(work)
    start_s, end_s = _segment(work.subject, info)
    parameters = NormalizeParameters(**work.parameters, start_s=start_s, end_s=end_s)
    normalized = normalize(work.source, info, parameters, work.out)
    _write(work.out / "normalized.json", normalized.to_json())
    return {
        "frames": len(normalized.timestamps),
        "width": normalized.width,
        "height": normalized.height,
        "encoded": normalized.video is not None,
        "trimmed": list(normalized.trimmed),
        "notes": list(normalized.notes),
    }


# roi


def roi_parameters(settings: Settings) -> dict[str, Any]:
    """`RoiParameters` and the detector's model."""
    parameters = RoiParameters(interval_s=settings.roi_interval_s, crop=settings.roi_crop)
    return {
        **asdict(parameters),
        "model": HOLISTIC_NETWORKS.sha256,
        "engine": chosen_engine(settings.engine, "full"),
    }


def run_roi(work: StageWork) -> Facts:
    """``roi.json``: a `Roi`."""
    given = dict(work.parameters)
    engine = given.pop("engine")
    del given["model"]
    parameters = RoiParameters(**given)
    normalized = _normalized(work)

    def look(interval_s: float) -> Roi:
        samples = sample_indices(normalized.timestamps, interval_s)
        return find_roi(
            _frames(work, normalized, samples),
            normalized.timestamps,
            (normalized.width, normalized.height),
            detector,
            parameters,
        )

    with borrowed(work.models, engine) as networks:
        detector = PeopleDetector(networks, parameters.max_people)
        roi = look(parameters.interval_s)
        if roi.people > 1 or roi.moves:
            roi = look(parameters.interval_s / 4)
    _write(work.out / "roi.json", json.dumps(roi.to_json()))
    return {"people": roi.people, "crop": roi.crop}


# track


def track_parameters(settings: Settings) -> dict[str, Any]:
    """Provider, its model's digest and its own parameters."""
    models = ModelStore(settings.models_dir)
    engine = provider(settings.tracking_provider, models, settings.model_dump())
    return {
        "provider": engine.name,
        "model_digest": engine.model_digest(),
        **engine.parameters(),
    }


def run_track(work: StageWork) -> Facts:
    """``tracks.parquet``: raw `Tracks`. Raises NoPerson where nobody was found."""
    engine = provider(work.parameters["provider"], work.models, work.parameters)
    normalized = _normalized(work)
    tracks = track_video(
        engine,
        prefetch(_frames(work, normalized)),
        _roi(work),
        (normalized.width, normalized.height),
    ).with_provenance(
        source_sha256=work.content,
        segment=list(work.subject.segment),
        provider=engine.name,
        model_digest=engine.model_digest(),
        provider_parameters=dict(engine.parameters()),
        stage_keys=dict(work.keys),
    )
    tracks.write_parquet(work.out / "tracks.parquet")
    return {
        "frames": len(tracks),
        "provider": engine.name,
        "model_digest": engine.model_digest(),
        "present": {
            part.name: round(float(tracks.part_present(part.name).mean()), 4)
            for part in tracks.topology.parts
        },
    }


# smooth


def smooth_parameters(settings: Settings) -> dict[str, Any]:
    """`SmoothingParameters`, and whether to trim by the hands."""
    smoothing = asdict(
        SmoothingParameters(
            ema_alpha_wrist=settings.ema_alpha_wrist,
            ema_alpha_fingers=settings.ema_alpha_fingers,
            ema_alpha_face=settings.ema_alpha_face,
            ema_alpha_body=settings.ema_alpha_body,
            velocity_clamp_deg=settings.velocity_clamp_deg,
            min_confidence=settings.min_confidence,
            max_gap_frames=settings.max_gap_frames,
        )
    )
    trimming = asdict(TrimmingParameters()) if settings.trim == "hands" else None
    return {**smoothing, "trim_hands": trimming}


def run_smooth(work: StageWork) -> Facts:
    """``tracks.parquet``: smoothed `Tracks`, trimmed by the hands where that is asked for.

    Raises NoPerson where no confident point is left.
    """
    smoothing = {name: value for name, value in work.parameters.items() if name != "trim_hands"}
    raw = Tracks.read_parquet(work.inputs["track"]["tracks.parquet"])
    tracks = smooth(raw, SmoothingParameters(**smoothing), in_place=True)
    if not (tracks.state != State.MISSING).any():
        raise NoPerson(
            "somebody may be there, but no landmark was seen with a confidence of "
            f"{work.parameters['min_confidence']}: check the video, or lower MIN_CONFIDENCE"
        )
    trimmed = [0, 0]
    if trimming := work.parameters["trim_hands"]:
        first, last = active_span(tracks, TrimmingParameters(**trimming))
        trimmed = [first, len(tracks) - 1 - last]
        tracks = tracks.frames(slice(first, last + 1))
    keys = {**tracks.provenance["stage_keys"], "smooth": work.keys["smooth"]}
    tracks.with_provenance(stage_keys=keys, smoothing=smoothing, trimmed=trimmed).write_parquet(
        work.out / "tracks.parquet"
    )
    states = {s.name.lower(): int(np.count_nonzero(tracks.state == s)) for s in State}
    return {**states, "trimmed": trimmed}


# score


def score_parameters(settings: Settings) -> dict[str, Any]:
    """`QualityParameters`."""
    return asdict(QualityParameters(min_confidence=settings.min_confidence))


def run_score(work: StageWork) -> Facts:
    """``score.json``: a `Quality` of the frames that were kept."""
    # Of a long video, every array that is not read is a gigabyte.
    smoothed = Tracks.read_parquet(work.inputs["smooth"]["tracks.parquet"], fields=("state",))
    lead, tail = work.facts["smooth"]["trimmed"]
    raw = Tracks.read_parquet(
        work.inputs["track"]["tracks.parquet"], fields=("positions", "confidence", "state")
    )
    before, after = work.facts["normalize"]["trimmed"]
    quality = score(
        raw.frames(slice(lead, len(raw) - tail)),
        smoothed,
        {
            "damaged_fraction": work.facts["probe"]["damaged_fraction"],
            "width": work.facts["probe"]["width"],
            "height": work.facts["probe"]["height"],
            "person_count": work.facts["roi"]["people"],
            "trimmed": (before + lead, tail + after),
        },
        QualityParameters(**work.parameters),
    )
    _write(work.out / "score.json", json.dumps(quality.to_json()))
    return {
        "score": quality.score,
        "parts": dict(quality.parts),
        "issues": list(quality.issues),
        "signature": quality.signature,
    }


# persist


def persist_parameters(_settings: Settings) -> dict[str, Any]:
    """The format of the dataset."""
    return {"format_version": FORMAT_VERSION}


def run_persist(work: StageWork) -> Facts:
    """``<video id>.parquet``: the smoothed track with the video's names in each row."""
    tracks = Tracks.read_parquet(work.inputs["smooth"]["tracks.parquet"])
    quality = _quality(work)
    tracks = tracks.with_provenance(
        quality={
            "score": quality.score,
            "issues": list(quality.issues),
            "signature": quality.signature,
        }
    )
    tracks.write_parquet(
        work.out / f"{work.subject.video_id}.parquet",
        {
            "video_id": work.subject.video_id,
            "word": work.subject.word,
            "filename": work.subject.filename,
        },
    )
    provenance = tracks.provenance
    return {
        "frames": len(tracks),
        "provider": provenance["provider"],
        "model_digest": provenance["model_digest"],
        "format_version": FORMAT_VERSION,
    }


def dataset_path(_key: str, records: Mapping[str, StageRecord], name: str) -> str:
    """Where a published track lies: one hive-partitioned dataset of all videos.

    A segment's or a video's newer track of the same provider and model takes the older one's place.
    """
    track = records["track"].facts
    return (
        f"tracks/provider={track['provider']}/model={track['model_digest'][:12]}/"
        f"{UUID(name.removesuffix('.parquet'))}.parquet"
    )


# export


def export_parameters(settings: Settings) -> dict[str, Any]:
    """`ExportParameters`."""
    return asdict(
        ExportParameters(
            export_fps=settings.export_fps, unreal_asset_path=settings.unreal_asset_path
        )
    )


def run_export(work: StageWork) -> Facts:
    """The five files of the avatar package."""
    subject = work.subject
    entry = write_package(
        # A long video's whole face takes gigabytes at the export's rate, and is not exported.
        Tracks.read_parquet(work.inputs["smooth"]["tracks.parquet"], needed(HOLISTIC)),
        _quality(work).to_json(),
        ExportSubject(
            word=subject.word,
            filename=subject.filename,
            video_id=subject.video_id,
            source=subject.filename,
            folder=word_folder(subject.word),
            package=word_folder(Path(subject.filename).stem),
        ),
        ExportParameters(**work.parameters),
        work.out,
    )
    return {"index_entry": entry}


# what several stages read


def _info(work: StageWork) -> VideoInfo:
    return VideoInfo.from_json(work.inputs["probe"]["probe.json"].read_bytes())


def _segment(subject: Subject, info: VideoInfo) -> tuple[float | None, float | None]:
    """The segment in seconds; frames become the times at which they are shown."""
    start_s, end_s, start_frame, end_frame = subject.segment
    times = [*info.timestamps, info.duration_s]
    if start_frame is not None:
        start_s = float(times[min(start_frame, len(times) - 1)])
    if end_frame is not None:
        end_s = float(times[min(end_frame, len(times) - 1)])
    return start_s, end_s


def _normalized(work: StageWork) -> NormalizedVideo:
    return NormalizedVideo.from_json(work.inputs["normalize"]["normalized.json"].read_bytes())


def _frames(
    work: StageWork, normalized: NormalizedVideo, rows: list[int] | None = None
) -> Iterator[Frame]:
    folder = work.inputs["normalize"]["normalized.json"].parent
    return read_normalized(work.source, _info(work), normalized, folder, rows)


def _roi(work: StageWork) -> Roi:
    return Roi.from_json(json.loads(work.inputs["roi"]["roi.json"].read_bytes()))


def _quality(work: StageWork) -> Quality:
    return Quality.from_json(json.loads(work.inputs["score"]["score.json"].read_bytes()))


def _fraction(rate: str) -> float:
    numerator, _, denominator = rate.partition("/")
    return float(numerator) / float(denominator or 1)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
