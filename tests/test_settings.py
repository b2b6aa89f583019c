"""Settings: command line > environment > .env > defaults, under the user's own names."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import pytest

from tracker_core.errors import SettingsError
from tracker_core.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_order_of_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().ema_alpha_wrist == 0.35
    (tmp_path / ".env").write_text("EMA_ALPHA_WRIST=0.1\nEMA_ALPHA_FACE=0.2\n", encoding="utf-8")
    assert load_settings().ema_alpha_wrist == 0.1
    monkeypatch.setenv("EMA_ALPHA_WRIST", "0.3")
    assert load_settings().ema_alpha_wrist == 0.3
    assert load_settings().ema_alpha_face == 0.2
    assert load_settings({"ema_alpha_wrist": 0.9}).ema_alpha_wrist == 0.9


def test_the_users_own_env_file_works(tmp_path: Path) -> None:
    """Every line of the configuration in the user's document, as it stands there."""
    (tmp_path / ".env").write_text(
        "SUPABASE_DB_URL=postgresql://postgres:postgres@localhost:54322/postgres\n"
        "WORKSPACE_DIR=D:\\tegnspråk\\workspace\n"
        "EXPORT_DIR=D:\\tegnspråk\\workspace\\exports\n"
        "CACHE_DIR=D:\\tegnspråk\\workspace\\cache\n"
        "LOG_LEVEL=INFO\n\n# Tracking config\n"
        "TRACKING_PROVIDER=mediapipe  # or: rtmpose, ensemble\n"
        "EMA_ALPHA_WRIST=0.35\nEMA_ALPHA_FINGERS=0.55\nEMA_ALPHA_FACE=0.40\n"
        "VELOCITY_CLAMP_DEG=18.0\nMIN_CONFIDENCE=0.60\n\n# Export config\n"
        "EXPORT_FPS=25\nUNREAL_ASSET_PATH=/Game/NSL/Animations\n",
        encoding="utf-8",
    )
    settings = load_settings()
    assert settings.database == "postgresql+psycopg://postgres:postgres@localhost:54322/postgres"
    assert "tegnspråk\\workspace" in str(settings.workspace_dir) or PureWindowsPath(
        settings.workspace_dir
    ).parts[-2:] == ("tegnspråk", "workspace")
    assert str(settings.exports).endswith("exports")
    assert str(settings.cache).endswith("cache")
    assert settings.tracking_provider == "mediapipe"
    assert settings.velocity_clamp_deg == 18
    assert settings.export_fps == "25"
    assert settings.unreal_asset_path == "/Game/NSL/Animations"


def test_everything_lies_in_the_workspace_by_default(tmp_path: Path) -> None:
    settings = load_settings({"workspace_dir": "here"})
    assert settings.workspace_dir == tmp_path / "here"
    assert settings.exports == tmp_path / "here" / "exports"
    assert settings.cache == tmp_path / "here" / "cache"
    assert Path(settings.artifacts) == tmp_path / "here" / "artifacts"
    assert settings.database == f"sqlite:///{(tmp_path / 'here' / 'tracker.db').as_posix()}"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ema_alpha_wrist", "0", "EMA_ALPHA_WRIST"),
        ("target_fps", "-3", "no frame rate"),
        ("target_fps", "1/0", "no frame rate"),
        ("export_fps", "source", "no frame rate"),
        ("roi_crop", "perhaps", "ROI_CROP"),
        ("trim", "feet", "TRIM"),
        ("workers", "0", "WORKERS"),
        ("log_level", "LOUD", "LOG_LEVEL"),
        ("unreal_asset_path", "Animations", "UNREAL_ASSET_PATH"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load_settings({name: value})


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(SettingsError, match="no setting colour"):
        load_settings({"colour": "red"})


@pytest.mark.parametrize(
    ("given", "kept"), [("25", "25"), (29.97, "2997/100"), ("30000/1001", "30000/1001"),
                        ("Source", "source"), ("50.0", "50")],
)  # fmt: skip
def test_rates_are_fractions(given: object, kept: str) -> None:
    assert load_settings({"target_fps": given}).target_fps == kept


@pytest.mark.parametrize(
    ("given", "kept"), [("true", "motion"), (True, "motion"), ("1", "motion"), ("Motion", "motion"),
                        ("false", "off"), (False, "off"), ("off", "off"), ("hands", "hands")],
)  # fmt: skip
def test_what_to_trim_by_may_be_yes_or_no(given: object, kept: str) -> None:
    assert load_settings({"trim": given}).trim == kept


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())
