"""The one seam between the graph and the engines that run its networks.

A model file goes in; a `Network` comes out: an array in, arrays out. Three engines stand behind it.
None needs EGL, none phones home, and each runs a network on one thread: a machine's cores are used
by working on several videos at a time.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tracker_core.errors import ModelError, SettingsError
from tracker_core.tracking.tflite import pruned

Array = npt.NDArray[np.float32]


class Network(Protocol):
    """A network with one input, for one thread at a time."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of the input, batch first; images are [1, H, W, 3]."""
        ...

    def __call__(self, array: Array) -> Sequence[Array]:
        """The outputs that were asked for, in that order; valid until the next call."""
        ...


class OpenVinoNetwork:
    """OpenVINO, which reads .tflite. Outputs nobody asked for are not computed."""

    def __init__(self, model: Path, outputs: Sequence[int], precision: str, cache: Path) -> None:
        compiled = _compiled(model, outputs, precision, cache)
        self.input_shape = tuple(compiled.input(0).shape)
        self._request = compiled.create_infer_request()
        # Views of the request's own memory: filled and read without a copy more.
        self._input: Array = self._request.get_input_tensor(0).data
        self._outputs = [self._request.get_output_tensor(i).data for i in range(len(outputs))]

    def __call__(self, array: Array) -> Sequence[Array]:
        np.copyto(self._input, array)
        self._request.infer()
        return self._outputs


class LiteRtNetwork:
    """LiteRT, the engine that .tflite was made for, with its XNNPACK kernels."""

    def __init__(self, model: Path, outputs: Sequence[int], cache: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        content = _pruned_tflite(model, outputs, cache)
        self._interpreter = Interpreter(model_content=content, num_threads=1)
        (given,) = self._interpreter.get_input_details()
        self._interpreter.allocate_tensors()
        self.input_shape = tuple(int(size) for size in given["shape"])
        self._input = int(given["index"])
        self._outputs = [int(found["index"]) for found in self._interpreter.get_output_details()]

    def __call__(self, array: Array) -> Sequence[Array]:
        self._interpreter.set_tensor(self._input, array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


class OnnxNetwork:
    """ONNX Runtime, above all for graphics processors. Outputs nobody asked for are not computed.

    ``provider`` is one of `_ONNX_PROVIDERS`, by default the first that is installed; what it cannot
    compute goes to the processor. Raises SettingsError when the one asked for does not start.
    """

    def __init__(self, model: Path, outputs: Sequence[int], provider: str | None = None) -> None:
        from tracker_core.tracking.onnx_model import onnx_model

        runtime = _onnxruntime()
        installed = runtime.get_available_providers()
        found = [name for name in _ONNX_PROVIDERS if name in installed]
        if provider is not None and provider not in found:
            raise SettingsError(
                f"ONNX Runtime has no {provider} here, only {', '.join(found)}: others come with "
                "the packages onnxruntime-gpu (CUDA) and onnxruntime-directml"
            )
        chosen = provider or found[0]
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # saves a tenth of the memory and costs no time here
        options.enable_mem_pattern = chosen != "DmlExecutionProvider"  # which does not allow it
        options.log_severity_level = 3  # errors
        self._session = runtime.InferenceSession(
            onnx_model(model.read_bytes(), outputs),
            options,
            providers=[(chosen, _ONNX_PROVIDERS[chosen]), ("CPUExecutionProvider", {})]
            if chosen != "CPUExecutionProvider"
            else [chosen],
        )
        if provider is not None and provider not in self._session.get_providers():
            raise SettingsError(f"ONNX Runtime could not start {provider}: install its driver")
        (given,) = self._session.get_inputs()
        self.input_shape = tuple(int(size) for size in given.shape)
        self._input = str(given.name)

    def __call__(self, array: Array) -> Sequence[Array]:
        results: Sequence[Array] = self._session.run(None, {self._input: array})
        return results


ENGINES: dict[str, Callable[[Path, Sequence[int], str, Path], Network]] = {
    "openvino": OpenVinoNetwork,
    "litert": lambda model, outputs, _precision, cache: LiteRtNetwork(model, outputs, cache),
    "onnx": lambda model, outputs, _precision, _cache: OnnxNetwork(model, outputs),
}
"""Made from the model file, the numbers of the outputs that are wanted, the precision, and a folder
for what may be kept.

The precision is ``f32``; ``bf16``, where the processor and the engine have it; or ``int8``, with
OpenVINO, where all networks but those in `QUANTIZED` are ``f32``."""


def chosen_engine(engine: str, speed: str) -> str:
    """The key of `ENGINES` that ``auto`` stands for; another stands for itself.

    At full precision LiteRT is nearly as fast as OpenVINO with a third less memory; less precise,
    and then faster, is only OpenVINO (see README, "What was measured").

    Args:
        engine: key of `ENGINES`, or ``auto``.
        speed: ``full`` or ``fast``.
    """
    if engine != "auto":
        return engine
    return "openvino" if speed == "fast" else "litert"


_PACKAGES = {"openvino": "openvino", "litert": "ai-edge-litert", "onnx": "onnxruntime"}


def fast_precision(engine: str, hand: Path) -> str:
    """The coarsest precision that is worth it here: see README, "What was measured".

    Args:
        engine: key of `ENGINES`; only OpenVINO has others than ``f32``.
        hand: the hand's network, beside which its variant of eight bits would lie.
    """
    if engine != "openvino":
        return "f32"
    if "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return "bf16"
    return "int8" if quantized_file(hand).is_file() else "f32"


def engine_version(engine: str) -> str:
    """Version of the package behind an engine."""
    return version(_PACKAGES[engine])


def _keep(path: Path, content: bytes) -> None:
    """Put a file there whole, if that can be done: where nobody may write it is made each time."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)


def _pruned_tflite(model: Path, outputs: Sequence[int], cache: Path) -> bytes:
    """The model with these outputs alone, from the folder where it was pruned before."""
    content = model.read_bytes()
    wanted = "-".join(map(str, outputs))
    kept = cache / f"{model.stem}-{wanted}-{hashlib.sha256(content).hexdigest()[:16]}.tflite"
    try:
        return kept.read_bytes()
    except OSError:
        content = pruned(content, outputs)
    _keep(kept, content)
    return content


# ---------------------------------------------------------------------------- OpenVINO


_PROCESSOR = ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")

QUANTIZED = frozenset({"hand_landmarks_detector"})
"""What `quantization` makes a variant of eight bits of, by the name of its file."""

# Networks that add up a long chain of small steps; in bfloat16 the sum drifts, here by centimetres
# in the world landmarks. What the plugin has to give out it keeps in full, and so all sums before.
_SUMS_IN_FULL = {"pose_landmarks_detector"}


def quantized_file(model: Path) -> Path:
    """Where the variant of eight bits of a model file lies, if it was made."""
    return model.with_name(f"{model.stem}.int8.zip")


@cache
def openvino_core() -> Any:
    """OpenVINO, with no way to send anything."""
    # Without the package that could send statistics OpenVINO works as well, and loads faster.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino.Core()


def _compiled(model: Path, outputs: Sequence[int], precision: str, cache: Path) -> Any:
    """The network made ready for this processor, from the folder where it was made ready before.

    Compiling takes a third of a second, reading what was compiled a tenth of that. The file is
    named after all it depends on and put there whole, so that processes may share the folder.

    Raises ModelError when eight bits are asked for and were not made, or are damaged.
    """
    core = openvino_core()
    import openvino

    source = quantized_file(model) if precision == "int8" and model.stem in QUANTIZED else model
    in_full = precision == "bf16" and model.stem in _SUMS_IN_FULL
    options = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        # Pinned, all processes would share one core.
        "ENABLE_CPU_PINNING": False,
        # Left to itself the plugin takes bfloat16 where the processor has it.
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }
    try:
        content = source.read_bytes()
    except FileNotFoundError as error:
        if source == model:
            raise
        raise ModelError(
            f"{source} was not made yet: run `tracker models quantize`, or take another precision"
        ) from error
    processor = [core.get_property("CPU", name) for name in _PROCESSOR]
    named = repr((engine_version("openvino"), processor, list(outputs), options, in_full)).encode()
    digest = hashlib.sha256(content + named).hexdigest()
    kept = cache / f"{model.stem}-{precision}-{digest[:16]}.blob"
    try:
        return core.import_model(openvino.tensor_from_file(kept), "CPU", options)
    except (OSError, RuntimeError):  # not there yet, or not whole
        if source == model:
            network = openvino_model(core, model, outputs, in_full)
        else:
            network = _unpacked(core, source)
        compiled = core.compile_model(network, "CPU", options)
    _keep(kept, compiled.export_model().getvalue())
    return compiled


def openvino_model(core: Any, file: Path, outputs: Sequence[int], in_full: bool = False) -> Any:
    """The network of these outputs alone, for one input at a time.

    Args:
        core: OpenVINO.
        file: a .tflite.
        outputs: numbers of the wanted ones.
        in_full: give out, after them, what the first of them is computed from as well.
    """
    import openvino

    model = core.read_model(file)
    if len(outputs) < len(model.outputs) or in_full:
        kept = [model.outputs[i].get_node().input_value(0) for i in outputs]
        if in_full:
            kept.append(_head(kept[0].get_node()).input_value(0))
        model = openvino.Model(kept, model.get_parameters())
    model.reshape(
        [size.get_length() if size.is_static else 1 for size in model.input(0).partial_shape]
    )
    return model


def _head(node: Any) -> Any:
    """The last convolution before an output."""
    while node.get_type_name() != "Convolution":
        node = node.input_value(0).get_node()
    return node


def _unpacked(core: Any, file: Path) -> Any:
    """The network in a file that `quantization` wrote. Raises ModelError when it is damaged."""
    import openvino

    try:
        with zipfile.ZipFile(file) as archive:
            sums = json.loads(archive.read("record.json"))["sha256"]
            xml, weights = (archive.read(name) for name in ("model.xml", "model.bin"))
        whole = sums == {
            "model.xml": hashlib.sha256(xml).hexdigest(),
            "model.bin": hashlib.sha256(weights).hexdigest(),
        }
    except (zipfile.BadZipFile, KeyError, ValueError):
        whole = False
    if not whole:
        raise ModelError(f"{file} is damaged: run `tracker models quantize` again")
    return core.read_model(xml, openvino.Tensor(np.frombuffer(weights, np.uint8)))


# ------------------------------------------------------------------------- ONNX Runtime

# Best first, with their options. Its others want a model made for them, or ask another machine.
_ONNX_PROVIDERS: dict[str, dict[str, str]] = {
    "CUDAExecutionProvider": {"use_tf32": "0"},  # TF32 rounds to ten bits
    "CoreMLExecutionProvider": {},
    "DmlExecutionProvider": {},
    "CPUExecutionProvider": {},
}


@cache
def _onnxruntime() -> Any:
    # It reports to its maker unless this is set before it is first imported.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    # For one imported earlier, and for Windows builds, some of which do not read the variable.
    onnxruntime.disable_telemetry_events()
    return onnxruntime
