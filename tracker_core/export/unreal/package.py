"""The Unreal package of one video: five files that the editor imports without anything else.

==========================  ====================================================================
``tracking_v2.jsonl.gz``    a header line, then one line per exported frame: the canonical
                            skeleton (centimetres, Unreal's component axes) with an anatomical
                            frame per joint, the face features, and what is known of each
``meta.json``               where it comes from, how good it is, what was seen and what was not,
                            what is assumed and what the package does not hold
``metahuman_mapping.json``  which joint drives which bone, which feature which curve
``unreal_import.py``        makes the animation sequences, run inside the editor
``index_entry.json``        the package's line in ``exports/index.json``
==========================  ====================================================================

Equal input gives equal bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import orjson

from tracker_core.errors import NoPerson, SettingsError
from tracker_core.export.unreal import metahuman
from tracker_core.landmarks.topology import Topology
from tracker_core.landmarks.tracks import State, Tracks
from tracker_core.motion.face import DERIVED, UNRELIABLE, FaceMotion, face_motion
from tracker_core.motion.resample import resample
from tracker_core.motion.rotations import Array
from tracker_core.motion.skeleton import (
    GROUPS,
    HEAD_POINTS,
    INDEX,
    JOINTS,
    PARENTS,
    VISIBLE,
    JointState,
    Motion,
    canonical_motion,
)

FORMAT_VERSION = 2
_FRAMES_AT_A_TIME = 2048
FILES = (
    "tracking_v2.jsonl.gz",
    "meta.json",
    "metahuman_mapping.json",
    "unreal_import.py",
    "index_entry.json",
)
IMPORTER = Path(__file__).with_name("unreal_import.py")

AXES = (
    "Unreal component space: x to the subject's left, y forward (out of the chest, towards the "
    "camera), z up; left-handed; origin between the hips"
)
NOT_INCLUDED = (
    "movement through the room: positions are relative to the middle of the hips",
    "the person's true size: lengths are the pose model's estimate",
    "the shape of the spine: its joints divide the line from hips to shoulders evenly",
    "collar bones of their own: they follow the line of the shoulders",
    "twist of upper arm and forearm bones: the forearm's rolling is in the hand",
    "the tongue, and eye bones: gaze is in the face features",
    "contact: hands may pass through each other or the body, and feet are not planted",
    "toes, audio and the picture",
)
ASSUMPTIONS = (
    "the video is not mirrored, so the subject's left is on the right of the picture",
    "the avatar faces +y with its left at +x and z up in component space; inferred from public "
    "material, not measured in an editor",
    "the avatar's head looks straight ahead in its reference pose",
    "the torso leans as the pose model says; where the hips are near the edge of the picture it "
    "tends to lean people forwards, by about 10 degrees",
)


@dataclass(frozen=True)
class ExportParameters:
    """What the packages of a run have in common.

    Attributes:
        export_fps: frames per second as a fraction, e.g. "25" or "30000/1001".
        unreal_asset_path: content folder under which the sequences are made.
    """

    export_fps: str = "25"
    unreal_asset_path: str = "/Game/NSL/Animations"

    @property
    def rate(self) -> Fraction:
        """`export_fps` as a fraction. Raises SettingsError unless it is one in (0, 240]."""
        try:
            rate = Fraction(self.export_fps.strip())
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 0 < rate <= 240:
            raise SettingsError(
                f"EXPORT_FPS is {self.export_fps!r}; give frames per second above 0 and up to 240, "
                "such as 25 or 30000/1001"
            )
        return rate

    @property
    def asset_root(self) -> str:
        """`unreal_asset_path` without a slash at the end. Raises SettingsError if it is none."""
        root = self.unreal_asset_path.strip().rstrip("/")
        if not re.fullmatch(r"(/[A-Za-z0-9_]+)+", root):
            raise SettingsError(
                f"UNREAL_ASSET_PATH is {self.unreal_asset_path!r}; give a content folder such as "
                "/Game/NSL/Animations, of letters, digits and underscores"
            )
        return root


@dataclass(frozen=True)
class ExportSubject:
    """The video a package is made of.

    Attributes:
        word: the word it shows.
        filename: name of the video file.
        video_id: its id in the catalog.
        source: where it came from, for display; of a local path only the name is published, of an
            URL neither credentials nor query.
        folder: folder of the word under the export folder.
        package: folder of the package in it; the filename without its extension if not given.
    """

    word: str
    filename: str
    video_id: str
    source: str
    folder: str
    package: str | None = None

    @property
    def path(self) -> str:
        """The package's folder relative to the export folder, with forward slashes."""
        return f"{self.folder}/{self.package or Path(self.filename).stem}"


def needed(topology: Topology) -> Topology:
    """The landmarks a package is made of: the body, the hands, and some points of the face.

    A face is seen, filled or missing as a whole, so a few of its points tell that as well.
    """
    return topology.only("face", [f"mesh_{point:03d}" for point in HEAD_POINTS])


def write_package(
    tracks: Tracks,
    score: Mapping[str, Any],
    subject: ExportSubject,
    parameters: ExportParameters,
    out: Path,
) -> dict[str, Any]:
    """Writes the five `FILES` into the existing folder ``out``; returns the index entry.

    Args:
        tracks: smoothed tracks in the holistic topology.
        score: what the score stage said of them; goes into ``meta.json`` whole, and its entries
            ``score`` and ``issues`` into the index.
        subject, parameters: see there.
        out: an empty folder. Publishing it under its final name is the caller's.

    Raises:
        SettingsError: a parameter makes no sense.
        NoFrames: the tracks have no frame.
        TooLarge: a hole in the video would make nearly all of the frames.
        NoPerson: no joint and no face feature is known in any exported frame.
    """
    rate, root = parameters.rate, parameters.asset_root
    even = resample(tracks, rate)
    clip = _Clip(rate, even, canonical_motion(even), face_motion(even), _public(tracks.provenance))
    if clip.is_empty:
        raise NoPerson(
            f"{subject.filename}: no body, hand or face was found in any of the "
            f"{len(even)} frames, so there is nothing to export"
        )
    meta = _meta(clip, score, subject)
    entry = _index_entry(meta, subject)
    name = f"AS_{_asset_name(subject.path.rpartition('/')[2])}"
    mapping = metahuman.mapping(f"{root}/{_asset_name(subject.folder)}", name)
    with (out / "tracking_v2.jsonl.gz").open("wb") as file:
        _write_tracking(clip, file)
    (out / "meta.json").write_bytes(pretty(meta))
    (out / "metahuman_mapping.json").write_bytes(pretty(mapping))
    # As bytes, with the same line ends on every system.
    (out / "unreal_import.py").write_bytes(IMPORTER.read_bytes().replace(b"\r\n", b"\n"))
    (out / "index_entry.json").write_bytes(pretty(entry))
    return entry


@dataclass(frozen=True, eq=False)
class _Clip:
    """What a package is written from, at the export rate."""

    rate: Fraction
    tracks: Tracks
    motion: Motion
    face: FaceMotion
    provenance: dict[str, Any]

    @property
    def is_empty(self) -> bool:
        seen = self.motion.state.any() or np.isfinite(self.motion.frames).any()
        return not (seen or self.face.present.any())

    @cached_property
    def face_states(self) -> list[str]:
        """Per frame "observed", "filled" or "missing"."""
        marks = self.tracks.state[:, self.tracks.topology.part("face").slice]
        filled = (marks == State.FILLED).any(axis=1)
        return [
            "missing" if not present else "filled" if gap else "observed"
            for present, gap in zip(self.face.present.tolist(), filled.tolist(), strict=True)
        ]


def pretty(value: Any) -> bytes:
    """JSON a person can read; keys sorted, NaN and infinities as null."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(value, option=options | orjson.OPT_SERIALIZE_NUMPY)


# -- tracking_v2.jsonl.gz


def _write_tracking(clip: _Clip, file: IO[bytes]) -> None:
    motion, face, timestamps = clip.motion, clip.face, clip.tracks.timestamps
    header = {
        "format": "tracker.tracking",
        "version": FORMAT_VERSION,
        "fps": {"numerator": clip.rate.numerator, "denominator": clip.rate.denominator},
        "frames": len(motion),
        "start": round(float(timestamps[0]), 6),
        "units": {"position": "centimetre", "timestamp": "second of the source video"},
        "axes": AXES,
        "orientation": (
            "q is the joint's anatomical frame as a quaternion x, y, z, w: its x lies along the "
            "segment that starts at the joint; it is no bone rotation of any avatar"
        ),
        "states": {state.name.lower(): _STATE_MEANS[state] for state in JointState},
        "joints": [{"name": name, "parent": PARENTS[name]} for name in JOINTS],
        "face_features": list(face.features),
        "torso_up": motion.torso_up,
        "head_from": motion.head_from,
        "provenance": clip.provenance,
    }
    quaternions = motion.quaternions
    with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as lines:
        lines.write(_line(header))
        # So many frames at a time, for a number in Python takes four times what it does in NumPy.
        for start in range(0, len(motion), _FRAMES_AT_A_TIME):
            rows = slice(start, start + _FRAMES_AT_A_TIME)
            for record in _records(clip, quaternions, rows):
                lines.write(_line(record))


def _records(clip: _Clip, quaternions: Array, rows: slice) -> Iterator[dict[str, Any]]:
    """What is written of each of these frames."""
    motion, face = clip.motion, clip.face
    # Adding 0.0 makes -0.0 a plain zero.
    centimetres = (np.round(motion.positions[rows] * 100.0, 3) + 0.0).tolist()
    turns = (np.round(quaternions[rows], 6) + 0.0).tolist()
    states = motion.state[rows].tolist()
    names = [state.name.lower() for state in JointState]
    features = (np.round(face.values[rows], 4) + 0.0).tolist()
    face_states = clip.face_states[rows]
    for k, timestamp in enumerate(clip.tracks.timestamps[rows].tolist()):
        joints = {}
        for j, joint in enumerate(JOINTS):
            x, y, z = centimetres[k][j]
            q = turns[k][j]
            joints[joint] = {
                "x": x,
                "y": y,
                "z": z,
                "q": q if q[0] == q[0] else None,
                "state": names[states[k][j]],
            }
        yield {
            "frame": rows.start + k,
            "timestamp": round(timestamp, 6),
            "joints": joints,
            "face": dict(zip(face.features, features[k], strict=True))
            if face_states[k] != "missing"
            else None,
            "face_state": face_states[k],
        }


_STATE_MEANS = {
    JointState.MISSING: "not known; x, y, z are null",
    JointState.INFERRED: f"the provider's guess, seen with a confidence below {VISIBLE}",
    JointState.FILLED: "interpolated over a short gap",
    JointState.CLAMPED: "observed, but held back by the velocity limit",
    JointState.OBSERVED: "measured (and smoothed)",
}


def _line(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


# -- meta.json and index_entry.json


def _meta(clip: _Clip, score: Mapping[str, Any], subject: ExportSubject) -> dict[str, Any]:
    even, motion, face = clip.tracks, clip.motion, clip.face
    coverage = {group: _shares(motion, joints) for group, joints in GROUPS.items()}
    coverage["face"] = {
        name: _share(clip.face_states.count(name), len(even))
        for name in ("observed", "filled", "missing")
    }
    return {
        "format": "tracker.package",
        "version": FORMAT_VERSION,
        "word": subject.word,
        "video": {
            "id": subject.video_id,
            "filename": subject.filename,
            "source": _public(subject.source),
            "width": even.image_size[0],
            "height": even.image_size[1],
        },
        "provider": clip.provenance.get("provider"),
        "model_digest": clip.provenance.get("model_digest"),
        "provenance": clip.provenance,
        "quality": dict(score),
        "frames": len(even),
        "fps": str(clip.rate),
        "start": round(float(even.timestamps[0]), 6),
        "duration": round((len(even) - 1) / float(clip.rate), 6),
        "units": {"position": "centimetre", "time": "second"},
        "axes": AXES,
        "coverage": coverage,
        "torso_up": motion.torso_up,
        "head_from": motion.head_from,
        "held_flips": dict(motion.held),
        "believed_flips": dict(motion.flips),
        "unreliable": dict(UNRELIABLE) if face.features else {},
        "derived_features": dict(DERIVED) if face.features else {},
        "notes": _notes(motion, face),
        "assumptions": list(ASSUMPTIONS),
        "not_included": list(NOT_INCLUDED),
    }


def _share(count: int, of: int) -> float:
    return round(count / of, 4)


def _shares(motion: Motion, joints: tuple[str, ...]) -> dict[str, float]:
    """State -> share of the group's joints over all frames."""
    marks = motion.state[:, [INDEX[joint] for joint in joints]]
    return {
        state.name.lower(): _share(int((marks == state).sum()), marks.size) for state in JointState
    }


def _notes(motion: Motion, face: FaceMotion) -> list[str]:
    """What a person should know of this clip before using it."""
    notes = []
    if motion.torso_up == "vertical":
        notes.append(
            "The hips are missing from most frames: the torso is taken to be upright and only "
            "its turning is measured; the pelvis keeps the reference pose."
        )
    elif motion.torso_up == "none":
        notes.append("The shoulders were seen in no frame: the torso keeps the reference pose.")
    hips = motion.state[:, INDEX["root"]]
    if motion.torso_up == "hips" and 2 * (hips == JointState.INFERRED).sum() > len(motion):
        notes.append(
            "The hips are hardly visible in most frames: the lean of the torso is the pose "
            "model's guess."
        )
    if motion.head_from == "pose":
        notes.append("The head's orientation comes from the pose's few points, not from the face.")
    elif motion.head_from == "none":
        notes.append("The head's orientation is known in no frame: it keeps the reference pose.")
    for side in ("left", "right"):
        if not motion.state[:, [INDEX[j] for j in GROUPS[f"{side}_hand"]]].any():
            notes.append(
                f"The {side} hand was seen in no frame: wrist and fingers keep the reference pose."
            )
        if not motion.state[:, [INDEX[j] for j in GROUPS[f"{side}_leg"]]].any():
            notes.append(f"The {side} leg was seen in no frame: it stands as in the reference.")
    for joint, count in motion.flips.items():
        notes.append(
            f"{joint}: the palm turns over faster than a hand can, {count} time(s); on one side of "
            "each it was probably seen wrongly."
        )
    if not face.features:
        notes.append("The provider gives no face features.")
    elif not face.present.any():
        notes.append("The face was seen in no frame: there are no face curves.")
    return notes


def _index_entry(meta: dict[str, Any], subject: ExportSubject) -> dict[str, Any]:
    quality = meta["quality"]
    return {
        "path": subject.path,
        "word": subject.word,
        "filename": subject.filename,
        "video_id": subject.video_id,
        "version": FORMAT_VERSION,
        "frames": meta["frames"],
        "fps": meta["fps"],
        "duration": meta["duration"],
        "provider": meta["provider"],
        "model_digest": meta["model_digest"],
        "quality": quality.get("score"),
        "issues": quality.get("issues", []),
        "seen": {
            part: round(1.0 - shares["missing"], 4) for part, shares in meta["coverage"].items()
        },
    }


# -- names


def _public(value: Any) -> Any:
    """The value without local folders and without the secrets an URL may carry."""
    if isinstance(value, Mapping):
        return {str(key): _public(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_public(item) for item in value]
    return _public_text(value) if isinstance(value, str) else value


def _public_text(value: str) -> str:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", value):
        parts = urlsplit(value)
        if parts.scheme == "file":
            return parts.path.rpartition("/")[2]
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    if PureWindowsPath(value).is_absolute():
        return PureWindowsPath(value).name
    return PurePosixPath(value).name if PurePosixPath(value).is_absolute() else value


_LETTERS = str.maketrans({"æ": "ae", "Æ": "Ae", "ø": "o", "Ø": "O", "ß": "ss"})


def _asset_name(text: str) -> str:
    """A name of ASCII letters, digits and underscores, which every Unreal project accepts.

    Where that changes the text, eight digits of its SHA-256 keep names apart.
    """
    plain = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    plain = plain.encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", plain)[:48]
    if plain == text:
        return plain
    return f"{plain}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
