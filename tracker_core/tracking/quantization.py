"""The hand's network in whole numbers of eight bits, calibrated on the hands of real clips.

For processors without bfloat16. Only this network gains: whole numbers turn the face and the pose
no or little faster, and push the pose's world landmarks off by centimetres. In this one the first
layer, the heads and the depthwise convolutions stay as they are, which costs no time and halves
the loss. The method is NNCF's post-training quantization (Kozlov et al., "Neural Network
Compression Framework for fast model inference", 2020).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_core.errors import ModelError, SettingsError
from tracker_core.media.decode import read_frames
from tracker_core.tracking.holistic.graph import Graph, Networks
from tracker_core.tracking.holistic.loading import FILES, borrowed
from tracker_core.tracking.inference import (
    Array,
    Network,
    openvino_core,
    openvino_model,
    quantized_file,
)
from tracker_core.tracking.models import HOLISTIC_NETWORKS, ModelStore, sha256_file
from tracker_core.tracking.provider import View

Crop = npt.NDArray[np.uint8]

_MOST_CROPS = 300
_LEAST_CROPS = 50
_LAYERS = {"Convolution", "GroupConvolution", "MatMul"}


def quantize(models: ModelStore, clips: Sequence[Path]) -> Path:
    """Make the hand's network of eight bits; equal clips and packages give an equal file.

    It lies beside the network it was made from, and says inside what it was made of.

    Args:
        models: where the networks are.
        clips: videos of one person each, whose hands can be seen.

    Raises:
        SettingsError: NNCF is not installed.
        ModelError: the networks are not there, or the clips show too few hands.
        VideoError: a clip cannot be read.
    """
    core = openvino_core()  # first: it keeps out the package that could send statistics
    try:
        import nncf
    except ImportError as error:
        raise SettingsError(
            "quantizing needs the package NNCF: install tracker with its extra `quantize`"
        ) from error
    nncf.set_log_level(logging.ERROR)
    file, outputs = FILES["hand"]
    source = models.members(HOLISTIC_NETWORKS) / f"{file}.tflite"
    crops = collect(models, clips, ["hand"], _MOST_CROPS)["hand"]
    if len(crops) < _LEAST_CROPS:
        raise ModelError(
            f"the clips show a hand {len(crops)} times, and calibration needs {_LEAST_CROPS}: "
            "name clips that show hands with --clips"
        )
    model = openvino_model(core, source, outputs)
    _number(model)
    with contextlib.redirect_stdout(sys.stderr):  # where it draws its progress
        made = nncf.quantize(
            model,
            nncf.Dataset(crops, lambda crop: crop[None].astype(np.float32) / np.float32(255)),
            subset_size=len(crops),
            preset=nncf.QuantizationPreset.MIXED,
            fast_bias_correction=True,
            ignored_scope=nncf.IgnoredScope(names=sorted(_kept(model))),
            # Processors without VNNI add pairs of products in 16 bits, which would overflow.
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.ENABLE
            ),
        )
    record = {
        "network": sha256_file(source),
        "clips": [sha256_file(clip) for clip in clips],
        "crops": len(crops),
        "nncf": nncf.__version__,
    }
    return _write(made, record, quantized_file(source))


def collect(
    models: ModelStore, clips: Iterable[Path], names: Iterable[str], most: int
) -> dict[str, list[Crop]]:
    """Pictures as these networks get them when the clips are tracked, evenly from all of them.

    Returns network -> `most` pictures at most, uint8 [side, side, 3], in the order of the clips.
    """
    with borrowed(models, "openvino") as networks:
        watched = _Watched(networks, {name: _Crops(most) for name in names})
        for clip in clips:
            frames = (View(frame.image, 0, 0, frame.timestamp_s) for frame in read_frames(clip))
            for _ in Graph(watched).track(frames):
                pass
    return {name: crops.kept for name, crops in watched.crops.items()}


class _Crops:
    """Every so many-th of the pictures given, fewer the more there are."""

    def __init__(self, most: int) -> None:
        self.kept: list[Crop] = []
        self._most = most
        self._every = 1
        self._count = 0

    def add(self, crop: Array) -> None:
        if self._count % self._every == 0:
            self.kept.append(np.rint(crop * 255).astype(np.uint8))
        self._count += 1
        if len(self.kept) > self._most:
            self.kept, self._every = self.kept[::2], 2 * self._every


class _Watched:
    """Networks of which some note what they are given."""

    def __init__(self, networks: Networks, crops: dict[str, _Crops]) -> None:
        self.crops = crops
        self._networks = networks

    def __getitem__(self, name: str) -> Network:
        network = self._networks[name]
        return _Noting(network, self.crops[name]) if name in self.crops else network


class _Noting:
    def __init__(self, network: Network, crops: _Crops) -> None:
        self.input_shape = network.input_shape
        self._network = network
        self._crops = crops

    def __call__(self, array: Array) -> Sequence[Array]:
        self._crops.add(array[0])
        return self._network(array)


def _number(model: Any) -> None:
    """Name the layers by their order: by themselves names count up with all that was read."""
    for number, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(f"{node.get_type_name()}_{number}")


def _kept(model: Any) -> set[str]:
    """Names of the layers that stay as they are: first, last, and the depthwise ones."""
    layers = [node for node in model.get_ordered_ops() if node.get_type_name() in _LAYERS]
    depthwise = [node for node in layers if node.get_type_name() == "GroupConvolution"]
    last = [_layer_before(result) for result in model.get_results()]
    return {node.get_friendly_name() for node in [layers[0], *last, *depthwise]}


def _layer_before(node: Any) -> Any:
    while node.get_type_name() not in _LAYERS:
        node = node.input_value(0).get_node()
    return node


def _write(model: Any, record: Mapping[str, Any], target: Path) -> Path:
    """The network and its record as one file, put there whole."""
    import openvino

    model.set_friendly_name(target.stem)
    _number(model)

    with tempfile.TemporaryDirectory(prefix="tracker-int8-", dir=target.parent) as scratch:
        xml = Path(scratch) / "model.xml"
        openvino.save_model(model, xml, compress_to_fp16=False)
        members = {path.name: path.read_bytes() for path in (xml, xml.with_suffix(".bin"))}
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
        members["record.json"] = json.dumps({**record, "sha256": sums}, indent=1).encode()
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            for name, content in sorted(members.items()):
                archive.writestr(zipfile.ZipInfo(name), content)  # without the time of day
        part = Path(scratch) / target.name
        part.write_bytes(held.getvalue())
        part.replace(target)
    return target
