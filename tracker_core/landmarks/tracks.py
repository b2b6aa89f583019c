"""The `Tracks` value: landmarks of one person over one video, and its Parquet form."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tracker_core.landmarks.topology import TOPOLOGIES, Topology

FORMAT_VERSION = "v2"
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
        cls, topology: Topology, timestamps: npt.NDArray[np.float64], image_size: tuple[int, int]
    ) -> Tracks:
        """Tracks of the given timestamps in which every landmark is missing."""
        t, n = len(timestamps), topology.size
        return cls(
            topology=topology,
            timestamps=np.asarray(timestamps, np.float64),
            positions=np.full((t, n, 3), np.nan, np.float32),
            confidence=np.zeros((t, n), np.float32),
            state=np.zeros((t, n), np.uint8),
            world=np.full((t, n, 3), np.nan, np.float32),
            blendshapes=np.full((t, len(topology.blendshapes)), np.nan, np.float32),
            image_size=image_size,
        )

    def part_present(self, part: str) -> npt.NDArray[np.bool_]:
        """bool [T]: whether any landmark of the part has a position in the frame."""
        present: npt.NDArray[np.bool_] = (
            self.state[:, self.topology.part(part).slice] != State.MISSING
        ).any(axis=1)
        return present

    def with_provenance(self, **entries: Any) -> Tracks:
        """A copy whose provenance has the entries added."""
        return replace(self, provenance={**self.provenance, **entries})

    def to_table(self, constants: Mapping[str, str] | None = None) -> pa.Table:
        """One row per frame.

        Columns: the ``constants`` (the same string in every row), ``frame``, ``timestamp``; per
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
        columns["frame"] = pa.array(np.arange(t, dtype=np.int32))
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
        """Write `to_table` as Parquet. Equal tracks give equal bytes."""
        table = self.to_table(constants)
        floats = [
            f"{column.name}.list.element"
            for column in table.schema
            if pa.types.is_fixed_size_list(column.type)
            and pa.types.is_floating(column.type.value_type)
        ]
        pq.write_table(
            table,
            path,
            compression="zstd",
            compression_level=6,
            # Byte-stream split halves what zstd makes of float columns.
            use_dictionary=list(constants or {}),
            use_byte_stream_split=floats,
        )

    @classmethod
    def read_parquet(cls, path: Path) -> Tracks:
        """Read what `write_parquet` wrote. Raises ValueError for any other Parquet file."""
        table = pq.read_table(path, partitioning=None)
        blob = (table.schema.metadata or {}).get(_METADATA_KEY)
        if blob is None:
            raise ValueError(f"{path} is no track: its Parquet metadata has no 'tracker' entry")
        metadata = json.loads(blob)
        topology = TOPOLOGIES[metadata["topology"]]
        tracks = cls.empty(
            topology,
            table["timestamp"].to_numpy().astype(np.float64),
            (int(metadata["image_size"][0]), int(metadata["image_size"][1])),
        )
        for part in topology.parts:
            for axis, letter in enumerate("xyz"):
                tracks.positions[:, part.slice, axis] = _array(table, f"{part.name}_{letter}")
                if part.has_world:
                    tracks.world[:, part.slice, axis] = _array(table, f"{part.name}_world_{letter}")
            tracks.confidence[:, part.slice] = _array(table, f"{part.name}_confidence")
            tracks.state[:, part.slice] = _array(table, f"{part.name}_state")
        if topology.blendshapes:
            tracks.blendshapes[:] = _array(table, "blendshapes")
        return replace(tracks, provenance=metadata["provenance"])


def _lists(values: npt.NDArray[Any]) -> pa.FixedSizeListArray:
    """[T, K] array -> Arrow column of T lists of K."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _array(table: pa.Table, column: str) -> npt.NDArray[Any]:
    """Arrow column of T lists of K -> [T, K] array."""
    lists = table[column].combine_chunks()
    out: npt.NDArray[Any] = lists.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
    return out
