"""ONNX Runtime computes what LiteRT computes, on every model that we run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import onnx
import pytest

from tracker_core.errors import ModelError, SettingsError
from tracker_core.tracking.inference import Array, LiteRtNetwork, OnnxNetwork
from tracker_core.tracking.models import HOLISTIC_NETWORKS, ModelStore, flatbuffer_schema
from tracker_core.tracking.onnx_model import onnx_model

OUTPUTS = {
    "face_blendshapes": 1,
    "face_detector": 2,
    "face_detector_full": 2,
    "face_landmarks_detector": 3,
    "face_landmarks_plain": 2,
    "hand_landmarks_detector": 4,
    "hand_roi_refinement": 1,
    "pose_detector": 2,
    "pose_landmarks_detector": 5,
}


@pytest.fixture(scope="session")
def networks(models: ModelStore) -> dict[str, Path]:
    """Every network of the provider `holistic`: name to .tflite file."""
    found = {path.stem: path for path in models.members(HOLISTIC_NETWORKS).glob("*.tflite")}
    assert sorted(found) == sorted(OUTPUTS)
    return found


def first_picture(clip: Path) -> np.ndarray:
    with av.open(str(clip)) as container:
        frame = next(container.decode(video=0))
        return frame.to_ndarray(format="rgb24")


def inputs(shape: tuple[int, ...], clips: list[Path]) -> list[Array]:
    """Noise in the range of a picture and wider, and where pictures go in, two real ones."""
    random = np.random.default_rng(7)
    found = [random.random(shape, np.float32), random.normal(0, 1, shape).astype(np.float32)]
    if len(shape) == 4:
        for clip in clips:
            picture = first_picture(clip)
            side = min(picture.shape[:2])
            crop = cv2.resize(picture[:side, :side], shape[2:0:-1], interpolation=cv2.INTER_AREA)
            found.append(np.float32(1 / 255) * crop[None].astype(np.float32))
    return found


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_are_those_of_litert(
    name: str, networks: dict[str, Path], face: Path, signer: Path, tmp_path: Path
) -> None:
    wanted = range(OUTPUTS[name])
    reference = LiteRtNetwork(networks[name], wanted, tmp_path)
    network = OnnxNetwork(networks[name], wanted, "CPUExecutionProvider")
    assert network.input_shape == reference.input_shape
    for array in inputs(network.input_shape, [face, signer]):
        for expected, found in zip(reference(array), network(array), strict=True):
            assert found.shape == expected.shape
            assert found.dtype == np.float32
            # 1e-6 for probabilities that are zero but for rounding.
            assert np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max() + 1e-6


def test_what_only_other_outputs_need_is_left_out(networks: dict[str, Path]) -> None:
    path = networks["pose_landmarks_detector"]
    network = OnnxNetwork(path, [4, 0])
    array = np.random.default_rng(7).random(network.input_shape, np.float32)
    every = OnnxNetwork(path, range(5))(array)
    world, points = network(array)
    np.testing.assert_allclose(world, every[4], rtol=0, atol=1e-3)
    np.testing.assert_allclose(points, every[0], rtol=0, atol=1e-2)
    graph = onnx.load_from_string(onnx_model(path.read_bytes(), [4, 0])).graph
    used = {name for node in graph.node for name in node.input} | {x.name for x in graph.output}
    assert [node.name for node in graph.node if node.output[0] not in used] == []


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_model_is_valid_and_has_few_transpositions(
    name: str, networks: dict[str, Path]
) -> None:
    model = onnx.load_from_string(onnx_model(networks[name].read_bytes(), range(OUTPUTS[name])))
    onnx.checker.check_model(model, full_check=True)
    images = [node for node in model.graph.node if node.op_type == "Transpose"]
    assert len(images) <= 10


def test_another_file_is_refused() -> None:
    with pytest.raises(ModelError, match="no TensorFlow Lite model"):
        onnx_model(b"PK\x03\x04 something else", [0])


def test_an_unknown_operator_is_named(networks: dict[str, Path]) -> None:
    import flatbuffers

    schema = flatbuffer_schema("schema_py_generated")
    content = networks["hand_landmarks_detector"].read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for code in model.operatorCodes:
        if code.deprecatedBuiltinCode == schema.BuiltinOperator.LOGISTIC:
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.TANH
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(ModelError, match="operator TANH"):
        onnx_model(bytes(builder.Output()), range(4))


def test_a_provider_that_is_not_installed_is_told(networks: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match=r"no TpuExecutionProvider here, only .*CPUExecution"):
        OnnxNetwork(networks["face_blendshapes"], [0], "TpuExecutionProvider")


def test_nothing_is_kept_to_be_sent_home(networks: dict[str, Path], tmp_path: Path) -> None:
    """ONNX Runtime's telemetry makes an identifier and a queue in the user's folder at import."""
    program = (
        "import sys; from pathlib import Path; import numpy as np; "
        "from tracker_core.tracking.inference import OnnxNetwork; "
        "network = OnnxNetwork(Path(sys.argv[1]), [0]); "
        "network(np.zeros(network.input_shape, np.float32))"
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "CI", "XDG_"))}
    subprocess.run(
        [sys.executable, "-c", program, str(networks["face_blendshapes"])],
        env=kept | {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)},
        check=True,
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
