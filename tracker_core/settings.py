"""One Settings object: command line > environment > ``.env`` > defaults.

The names of the user's own document (``WORKSPACE_DIR``, ``EMA_ALPHA_WRIST``, ...) work as they
stand; case does not matter.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import AliasChoices, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tracker_core.errors import SettingsError


class Settings(BaseSettings):
    """Everything that can be set. Each field's description is its line in the README."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True,
        populate_by_name=True,
    )  # fmt: skip

    # where things lie
    workspace_dir: Path = Field(
        Path("workspace"), description="Folder of the catalog, the artifacts and the cache."
    )
    export_dir: Path | None = Field(
        None, description="Folder of the export packages; default `WORKSPACE_DIR/exports`."
    )
    cache_dir: Path | None = Field(
        None,
        description="Local copies of remote videos and artifacts; default `WORKSPACE_DIR/cache`.",
    )
    models_dir: Path = Field(
        Path(platformdirs.user_cache_dir("tracker", appauthor=False)) / "models",
        description="Folder of the verified model files, shared by all workspaces.",
    )
    artifact_url: str | None = Field(
        None,
        description="Artifact store, a folder or any fsspec URL (`s3://bucket/prefix`); "
        "default `WORKSPACE_DIR/artifacts`.",
    )
    database_url: str | None = Field(
        None,
        validation_alias=AliasChoices("database_url", "supabase_db_url"),
        description="Catalog, `sqlite:///...` or `postgresql://...` (also read from "
        "`SUPABASE_DB_URL`); default `WORKSPACE_DIR/tracker.db`.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe message that is logged."
    )

    # how a run is carried out
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1,
        description="Videos processed at a time; default the number of CPUs.",
    )  # fmt: skip
    shard_size: int = Field(150, ge=1, description="Videos in one `process-shard` run.")
    shard_deployment: str | None = Field(
        None,
        description="Deployment that shards are handed to (`process-shard/pool`); "
        "by default they run where the manifest's flow runs.",
    )
    stage_timeout_s: float = Field(
        300.0, gt=0, description="Time limit of one stage of one video, in seconds, plus:"
    )
    stage_timeout_per_frame_s: float = Field(
        1.0, ge=0, description="seconds added to that limit for each frame of the video."
    )
    lease_s: float = Field(
        120.0, gt=0, description="Seconds after which the claims of a silent worker come back."
    )
    retries: int = Field(2, ge=0, description="Further tries of a stage that may be tried again.")

    # probe: limits
    max_frames: int = Field(1_000_000, ge=1, description="Longest video, in frames.")
    max_duration_s: float = Field(6 * 3600.0, gt=0, description="Longest video, in seconds.")
    max_pixels: int = Field(64_000_000, ge=1, description="Largest frame, in pixels.")
    max_damaged_fraction: float = Field(
        0.8, ge=0, le=1, description="A video with more of it damaged is failed as `damaged`."
    )

    # normalize
    target_fps: str = Field(
        "25", description="Highest frame rate that is tracked; `source` keeps each video's own."
    )
    max_height: int = Field(
        720, ge=16, description="Larger videos are scaled down to this many lines (720: 1280x720)."
    )
    max_tracked_frames: int = Field(
        200_000, ge=1, description="Most frames of one video or segment that are tracked; each "
        "takes 25 kB of memory.",
    )  # fmt: skip
    equalize: bool = Field(False, description="Mild histogram equalisation, for dark video.")
    trim: Literal["off", "motion", "hands"] = Field(
        "off", description="Drop frames at both ends: `hands` those before the hands begin and "
        "after they have ended, `motion` (or `true`) those whose picture stands still.",
    )  # fmt: skip
    normalized_video: bool = Field(
        False,
        description="Write the normalized pictures to an MP4 where the source does not conform.",
    )

    # roi
    roi_interval_s: float = Field(
        2.0,
        gt=0,
        description="Seconds between frames in which the person is looked for; "
        "a quarter of it where somebody moves about or there are several people.",
    )
    roi_crop: Literal["auto", "always", "never"] = Field(
        "auto", description="Track the person's box alone: `auto` where several people are seen "
        "or the person is small.",
    )  # fmt: skip

    # track
    tracking_provider: str = Field(
        "holistic", description="`holistic`: our own graph; `mediapipe`: HolisticLandmarker."
    )
    engine: Literal["auto", "litert", "openvino", "onnx"] = Field(
        "auto", description="`holistic`: what runs the networks; `auto` is `litert` at full speed, "
        "`openvino` at `fast`.",
    )  # fmt: skip
    speed: Literal["full", "fast"] = Field(
        "full", description="`holistic`: `fast` computes body and face less often where they move "
        "slowly, and more coarsely.",
    )  # fmt: skip
    face_mesh: Literal["attention", "plain"] = Field(
        "attention", description="`holistic`: `plain` is quicker: no irises, no blendshapes."
    )
    parity: bool = Field(
        False, description="`holistic`: do just as HolisticLandmarker does, to compare with it."
    )
    face_detector: Literal["short", "full"] = Field(
        "short",
        description="`mediapipe`: `full` looks for faces that are small in the picture as well.",
    )

    # smooth
    ema_alpha_wrist: float = Field(0.35, gt=0, le=1, description="EMA weight of wrists.")
    ema_alpha_fingers: float = Field(0.55, gt=0, le=1, description="EMA weight of fingers.")
    ema_alpha_face: float = Field(0.40, gt=0, le=1, description="EMA weight of the face.")
    ema_alpha_body: float = Field(0.40, gt=0, le=1, description="EMA weight of the other points.")
    velocity_clamp_deg: float = Field(
        18.0, ge=0, description="Turn of a segment per 1/25 s above which a spike is clamped; "
        "0 turns the clamp off.",
    )  # fmt: skip
    min_confidence: float = Field(
        0.60, ge=0, le=1, description="Landmarks below this count as not observed."
    )
    max_gap_frames: int = Field(3, ge=0, description="Longest gap that is filled, in frames.")

    # export
    export_fps: str = Field("25", description="Frame rate of exported animation.")
    unreal_asset_path: str = Field(
        "/Game/NSL/Animations", description="Folder in Unreal's content browser."
    )

    @field_validator("target_fps", "export_fps", mode="before")
    @classmethod
    def _rate(cls, value: object, info: Any) -> str:
        text = str(value).strip()
        if info.field_name == "target_fps" and text.lower() == "source":
            return "source"
        try:
            rate = Fraction(text)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 0 < rate <= 1000:
            raise ValueError(f"{text!r} is no frame rate: give a number such as 25 or 30000/1001")
        return str(rate)

    @field_validator("trim", mode="before")
    @classmethod
    def _trim(cls, value: object) -> str:
        text = str(value).strip().lower()
        if text in ("true", "1", "yes", "on"):
            return "motion"
        return "off" if text in ("false", "0", "no") else text

    @field_validator("unreal_asset_path")
    @classmethod
    def _asset_path(cls, value: str) -> str:
        if not re.fullmatch(r"(/\w+)+/?", value):
            raise ValueError("a content path looks like /Game/NSL/Animations")
        return value

    @model_validator(mode="after")
    def _absolute(self) -> Settings:
        workspace = self.workspace_dir.expanduser().absolute()
        derived = {
            "workspace_dir": workspace,
            "export_dir": (self.export_dir or workspace / "exports").expanduser().absolute(),
            "cache_dir": (self.cache_dir or workspace / "cache").expanduser().absolute(),
            "models_dir": self.models_dir.expanduser().absolute(),
            "artifact_url": self.artifact_url or str(workspace / "artifacts"),
            "database_url": _driver(
                self.database_url or f"sqlite:///{(workspace / 'tracker.db').as_posix()}"
            ),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        return self

    @property
    def exports(self) -> Path:
        """`export_dir`, resolved."""
        assert self.export_dir is not None
        return self.export_dir

    @property
    def cache(self) -> Path:
        """`cache_dir`, resolved."""
        assert self.cache_dir is not None
        return self.cache_dir

    @property
    def artifacts(self) -> str:
        """`artifact_url`, resolved."""
        assert self.artifact_url is not None
        return self.artifact_url

    @property
    def database(self) -> str:
        """`database_url`, resolved, with its driver."""
        assert self.database_url is not None
        return self.database_url


def load_settings(overrides: Mapping[str, Any] | None = None) -> Settings:
    """Settings with ``overrides`` above environment and ``.env``.

    Raises SettingsError that names the setting, its value and what it must be.
    """
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    unknown = sorted(set(given) - set(Settings.model_fields))
    if unknown:
        raise SettingsError(f"there is no setting {', '.join(unknown)}: see `tracker --help`")
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = "; ".join(
            f"{str(e['loc'][0]).upper() if e['loc'] else 'settings'}={e['input']!r}: {e['msg']}"
            for e in error.errors()
        )
        raise SettingsError(f"a setting is wrong: {problems}") from None


def _driver(url: str) -> str:
    """The URL with SQLAlchemy's name for the Postgres driver that is installed."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url
