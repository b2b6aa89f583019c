"""The `Tracks` value: landmarks of one person over one video, and its Parquet form."""

from __future__ import annotations

import enum
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tracker_core.landmarks.topology import TOPOLOGIES, Topology

FORMAT_VERSION = "v2"

ROW_GROUP_FRAMES = 4096
"""Frames in one row group of a Parquet file; reading or writing takes 50 MiB for each at a time."""

FIELDS = ("positions", "confidence", "state", "world", "blendshapes")
"""The arrays of `Tracks` that hold something of every frame."""

_METADATA_KEY = b"tracker"


class State(enum.IntEnum):
    """What is known of one landmark in one frame."""

    MISSING = 0
    """Not seen; its position is NaN."""
    OBSERVED = 1
    """Measured by the provider in this frame (smoothing may have moved it)."""
    FILLED = 2
    """Interpolated over a short gap between two observations."""
    CLAMPED = 3
    """Observed, but jumped away faster than the velocity limit and came back; held back."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """Landmarks of one person. T frames, N landmarks of the topology, B blendshapes.

    Attributes:
        topology: names, parts and edges of the N landmarks.
        timestamps: float64 [T], seconds of the source video, strictly increasing.
        positions: float32 [T, N, 3], pixels of the normalized frame: x to the right, y down,
            origin at the top left corner; z grows away from the camera in the same unit, relative
            to the hips (pose), the wrist (hands) or the head's centre (face). NaN where missing.
        confidence: float32 [T, N] in 0..1; 0 where missing.
        state: uint8 [T, N], a `State` each.
        world: float32 [T, N, 3], metres, x to the image's right, y down, z away from the camera,
            origin between the hips (pose) or at the hand's centre (hands); NaN where the provider
            gives none, which includes the whole face.
        blendshapes: float32 [T, B] in 0..1, NaN where no face was found.
        image_size: (width, height) of the normalized frame in pixels.
        provenance: where the track came from (source sha256, provider, model digest, stage keys).
    """

    topology: Topology
    timestamps: npt.NDArray[np.float64]
    positions: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    state: npt.NDArray[np.uint8]
    world: npt.NDArray[np.float32]
    blendshapes: npt.NDArray[np.float32]
    image_size: tuple[int, int]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        t, n, b = len(self.timestamps), self.topology.size, len(self.topology.blendshapes)
        expected: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
            "timestamps": ((t,), np.float64),
            "positions": ((t, n, 3), np.float32),
            "confidence": ((t, n), np.float32),
            "state": ((t, n), np.uint8),
            "world": ((t, n, 3), np.float32),
            "blendshapes": ((t, b), np.float32),
        }
        for name, (shape, dtype) in expected.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(
                    f"Tracks.{name} must be {np.dtype(dtype)} {shape}, "
                    f"not {array.dtype} {array.shape}"
                )
        if t > 1 and not np.all(np.diff(self.timestamps) > 0):
            raise ValueError("Tracks.timestamps must strictly increase")

    def __len__(self) -> int:
        """Number of frames T."""
        return len(self.timestamps)

    @classmethod
    def empty(
        cls,
        topology: Topology,
        timestamps: npt.NDArray[np.float64],
        image_size: tuple[int, int],
        fields: Collection[str] = FIELDS,
    ) -> Tracks:
        """Tracks of the given timestamps in which every landmark is missing.

        Arrays not among the ``fields`` are one value seen through the shape of the array: they take
        no memory and cannot be written.
        """
        t, n = len(timestamps), topology.size

        def full(name: str, shape: tuple[int, ...], value: np.generic) -> npt.NDArray[Any]:
            return np.full(shape, value) if name in fields else np.broadcast_to(value, shape)

        nan, zero = np.float32(np.nan), np.float32(0)
        return cls(
            topology=topology,
            timestamps=np.asarray(timestamps, np.float64),
            positions=full("positions", (t, n, 3), nan),
            confidence=full("confidence", (t, n), zero),
            state=full("state", (t, n), np.uint8(State.MISSING)),
            world=full("world", (t, n, 3), nan),
            blendshapes=full("blendshapes", (t, len(topology.blendshapes)), nan),
            image_size=image_size,
        )

    def part_present(self, part: str) -> npt.NDArray[np.bool_]:
        """bool [T]: whether any landmark of the part has a position in the frame."""
        present: npt.NDArray[np.bool_] = (
            self.state[:, self.topology.part(part).slice] != State.MISSING
        ).any(axis=1)
        return present

    def frames(self, rows: slice) -> Tracks:
        """The frames of a slice; their arrays are views."""
        return replace(
            self,
            timestamps=self.timestamps[rows],
            positions=self.positions[rows],
            confidence=self.confidence[rows],
            state=self.state[rows],
            world=self.world[rows],
            blendshapes=self.blendshapes[rows],
        )

    def with_provenance(self, **entries: Any) -> Tracks:
        """A copy whose provenance has the entries added."""
        return replace(self, provenance={**self.provenance, **entries})

    def to_table(
        self, constants: Mapping[str, str] | None = None, first_frame: int = 0
    ) -> pa.Table:
        """One row per frame.

        Columns: the ``constants`` (the same string in every row), ``frame`` (counted from
        ``first_frame``), ``timestamp``; per
        part ``{part}_x``, ``_y``, ``_z``, ``_confidence``, ``_state``, where the part has world
        coordinates ``{part}_world_x``, ``_y``, ``_z``, each a list as long as the part; and
        ``blendshapes``. Topology, image size and provenance are in the schema's metadata.
        """
        t = len(self)
        columns: dict[str, pa.Array] = {
            name: pa.DictionaryArray.from_arrays(
                pa.array(np.zeros(t, np.int32)), pa.array([value], pa.string())
            )
            for name, value in (constants or {}).items()
        }
        columns["frame"] = pa.array(np.arange(first_frame, first_frame + t, dtype=np.int32))
        columns["timestamp"] = pa.array(self.timestamps)
        for part in self.topology.parts:
            for axis, letter in enumerate("xyz"):
                columns[f"{part.name}_{letter}"] = _lists(self.positions[:, part.slice, axis])
            columns[f"{part.name}_confidence"] = _lists(self.confidence[:, part.slice])
            columns[f"{part.name}_state"] = _lists(self.state[:, part.slice])
            if part.has_world:
                for axis, letter in enumerate("xyz"):
                    columns[f"{part.name}_world_{letter}"] = _lists(self.world[:, part.slice, axis])
        if self.topology.blendshapes:
            columns["blendshapes"] = _lists(self.blendshapes)
        metadata = {
            "format_version": FORMAT_VERSION,
            "topology": self.topology.name,
            "landmarks": {part.name: part.names for part in self.topology.parts},
            "blendshapes": self.topology.blendshapes,
            "image_size": self.image_size,
            "provenance": self.provenance,
        }
        blob = json.dumps(metadata, ensure_ascii=False, sort_keys=True)
        return pa.table(columns).replace_schema_metadata({_METADATA_KEY: blob.encode()})

    def write_parquet(self, path: Path, constants: Mapping[str, str] | None = None) -> None:
        """Write `to_table` as Parquet, in groups of `ROW_GROUP_FRAMES` rows, one at a time.

        Equal tracks give equal bytes.
        """
        schema = self.frames(slice(0)).to_table(constants).schema
        floats = [
            f"{column.name}.list.element"
            for column in schema
            if pa.types.is_fixed_size_list(column.type)
            and pa.types.is_floating(column.type.value_type)
        ]
        with pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            compression_level=6,
            # Byte-stream split halves what zstd makes of float columns.
            use_dictionary=list(constants or {}),
            use_byte_stream_split=floats,
        ) as writer:
            for start in range(0, max(1, len(self)), ROW_GROUP_FRAMES):
                rows = self.frames(slice(start, start + ROW_GROUP_FRAMES))
                writer.write_table(rows.to_table(constants, first_frame=start))

    @classmethod
    def read_parquet(
        cls, path: Path, topology: Topology | None = None, fields: Collection[str] = FIELDS
    ) -> Tracks:
        """Read what `write_parquet` wrote. Raises ValueError for any other Parquet file.

        Args:
            path: of the file.
            topology: read these landmarks only, see `Topology.only`; all where None.
            fields: read these arrays only; the others are as in `empty`.
        """
        with pq.ParquetFile(path) as file:
            blob = (file.schema_arrow.metadata or {}).get(_METADATA_KEY)
            if blob is None:
                raise ValueError(f"{path} is no track: its Parquet metadata has no 'tracker' entry")
            metadata = json.loads(blob)
            whole = TOPOLOGIES[metadata["topology"]]
            tracks = cls.empty(
                topology or whole,
                file.read(["timestamp"])["timestamp"].to_numpy().astype(np.float64),
                (int(metadata["image_size"][0]), int(metadata["image_size"][1])),
                fields,
            )
            start = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                target = tracks.frames(slice(start, start + rows))
                target._fill(whole, _Group(file, group), fields)
                start += rows
        return replace(tracks, provenance=metadata["provenance"])

    def _fill(self, whole: Topology, columns: _Group, fields: Collection[str]) -> None:
        """Take these arrays from columns that hold the parts of the ``whole`` topology."""
        for part in self.topology.parts:
            names = whole.part(part.name).names
            # All landmarks, which is the common case, are copied without a list of them.
            at = None if part.names == names else [names.index(name) for name in part.names]
            for axis, letter in enumerate("xyz"):
                if "positions" in fields:
                    self.positions[:, part.slice, axis] = columns[f"{part.name}_{letter}", at]
                if "world" in fields and part.has_world:
                    self.world[:, part.slice, axis] = columns[f"{part.name}_world_{letter}", at]
            if "confidence" in fields:
                self.confidence[:, part.slice] = columns[f"{part.name}_confidence", at]
            if "state" in fields:
                self.state[:, part.slice] = columns[f"{part.name}_state", at]
        if "blendshapes" in fields and self.topology.blendshapes:
            self.blendshapes[:] = columns["blendshapes", None]


class _Group:
    """One row group's columns of T lists of K, each read when it is asked for."""

    def __init__(self, file: pq.ParquetFile, group: int) -> None:
        self.file, self.group = file, group

    def __getitem__(self, wanted: tuple[str, list[int] | None]) -> npt.NDArray[Any]:
        """[T, K] array of a column, or [T, len(at)] of some of its elements."""
        column, at = wanted
        table = self.file.read_row_group(self.group, [column], use_threads=False)
        lists = table[column].combine_chunks()
        flat = lists.flatten().to_numpy(zero_copy_only=False)
        out: npt.NDArray[Any] = flat.reshape(len(table), -1)
        return out if at is None else out[:, at]


def _lists(values: npt.NDArray[Any]) -> pa.FixedSizeListArray:
    """[T, K] array -> Arrow column of T lists of K."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
