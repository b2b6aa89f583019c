"""Eight bits and bfloat16: what they cost in accuracy, and what is said when they are not there."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tracker_core.errors import ModelError, SettingsError
from tracker_core.tracking.holistic.loading import FILES
from tracker_core.tracking.inference import Network, OpenVinoNetwork, quantized_file
from tracker_core.tracking.models import HOLISTIC_NETWORKS, ModelStore, sha256_file
from tracker_core.tracking.quantization import collect, quantize

with_nncf = pytest.mark.skipif(
    importlib.util.find_spec("nncf") is None, reason="needs the extra `quantize`"
)
# Makes the network with sockets that fail, and prints whether anybody tried to open one.
ALONE = """
import socket, sys
from pathlib import Path
tried = []
def refused(*given, **_named):
    tried.append(given)
    raise OSError("no network here")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refused
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.quantization import quantize
quantize(ModelStore(Path(sys.argv[1])), [Path(sys.argv[2])])
print(len(tried), sys.modules.get("openvino_telemetry"))
"""


@pytest.fixture(scope="module")
def store(models: ModelStore, tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    """A folder of models of its own, in which no network of eight bits was made yet."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(models.path(HOLISTIC_NETWORKS), folder)
    return ModelStore(folder)


@pytest.fixture(scope="module")
def made(store: ModelStore, demo_clips: dict[str, Path]) -> Path:
    """The network of eight bits, made from one of the demo's clips."""
    return quantize(store, [demo_clips["balance"]])


def network(store: ModelStore, name: str, precision: str) -> Network:
    file, outputs = FILES[name]
    folder = store.members(HOLISTIC_NETWORKS)
    return OpenVinoNetwork(folder / f"{file}.tflite", outputs, precision, folder / "compiled")


def points(network: Network, crops: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
    """[crops, 21, 2] in pixels of the crop."""
    inputs = [crop[None].astype(np.float32) / np.float32(255) for crop in crops]
    return np.stack([network(given)[0].reshape(21, 3)[:, :2].copy() for given in inputs])


def test_what_was_not_made_yet_says_how_to_make_it(models: ModelStore, tmp_path: Path) -> None:
    folder = models.members(HOLISTIC_NETWORKS)
    file = shutil.copy(folder / "hand_landmarks_detector.tflite", tmp_path)
    with pytest.raises(ModelError, match=r"int8\.zip was not made yet: run `tracker models quant"):
        OpenVinoNetwork(Path(file), FILES["hand"][1], "int8", tmp_path)


def test_networks_without_a_variant_of_eight_bits_are_in_full(models: ModelStore) -> None:
    given = np.random.default_rng(0).random((1, 256, 256, 3), np.float32)
    full, eight = (network(models, "face", precision)(given) for precision in ("f32", "int8"))
    assert all(np.array_equal(a, b) for a, b in zip(full, eight, strict=True))


def test_without_nncf_it_says_what_to_install(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(SettingsError, match="extra `quantize`"):
        quantize(store, [])


@with_nncf
def test_clips_without_hands_are_refused(store: ModelStore, face: Path) -> None:
    with pytest.raises(ModelError, match="the clips show a hand 0 times"):
        quantize(store, [face])


@with_nncf
def test_hands_of_a_clip_it_never_saw_stay_within_two_hundredths(
    store: ModelStore, made: Path, signer: Path
) -> None:
    assert made.is_file()
    crops = collect(store, [signer], ["hand"], 40)["hand"]
    full = network(store, "hand", "f32")
    seen = points(full, crops)
    moved = np.linalg.norm(points(network(store, "hand", "int8"), crops) - seen, axis=-1)
    assert moved.max() > 0  # it is another network
    assert np.median(moved / np.ptp(seen, axis=1).max(axis=1, keepdims=True)) < 0.02


@with_nncf
def test_equal_clips_give_an_equal_file_and_nothing_connects(
    store: ModelStore, made: Path, demo_clips: dict[str, Path]
) -> None:
    before = sha256_file(made)
    made.unlink()
    program = [sys.executable, "-c", ALONE, str(store.folder), str(demo_clips["balance"])]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["0", "None"], done.stderr
    assert sha256_file(made) == before
    assert [path.name for path in made.parent.glob("tracker-int8-*")] == []


@with_nncf
def test_a_damaged_file_is_refused(store: ModelStore, made: Path, tmp_path: Path) -> None:
    folder = store.members(HOLISTIC_NETWORKS)
    model = Path(shutil.copy(folder / "hand_landmarks_detector.tflite", tmp_path))
    content = bytearray(made.read_bytes())
    content[len(content) // 2] ^= 1
    quantized_file(model).write_bytes(content)
    with pytest.raises(ModelError, match="is damaged: run `tracker models quantize` again"):
        OpenVinoNetwork(model, FILES["hand"][1], "int8", tmp_path)


def test_bfloat16_keeps_the_world_landmarks(models: ModelStore, signer: Path) -> None:
    """With its sums in bfloat16 the pose's world landmarks would be off by eight centimetres."""
    crops = collect(models, [signer], ["pose"], 12)["pose"]
    full, coarse = (network(models, "pose", precision) for precision in ("f32", "bf16"))
    away = []
    for crop in crops:
        given = crop[None].astype(np.float32) / np.float32(255)
        one, other = (net(given)[3].reshape(39, 3).copy() for net in (full, coarse))
        away.append(np.linalg.norm(one - other, axis=-1)[:25])
    assert np.median(away) < 0.03
