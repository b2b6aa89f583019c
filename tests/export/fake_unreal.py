# ruff: noqa: ARG002, ARG004  (arguments are the engine's, used here or not)
"""A stand-in for the editor's ``unreal`` module: the part that the import script uses, strictly.

Whatever is not written here raises AttributeError or TypeError, setting an unknown property
included. Names and arguments are checked against the published ones by a test. Raw keys are kept
in single precision, as the engine keeps them.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from tests.motion.figures import Figure


class Struct:
    """Only declared properties may be set."""

    __slots__: tuple[str, ...] = ()


def single(value: float) -> float:
    return float(np.float32(value))


class Vector(Struct):
    __slots__ = ("x", "y", "z")

    def __init__(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> None:
        self.x, self.y, self.z = float(x), float(y), float(z)


class Quat(Struct):
    __slots__ = ("w", "x", "y", "z")

    def __init__(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, w: float = 0.0) -> None:
        self.x, self.y, self.z, self.w = float(x), float(y), float(z), float(w)


class Transform(Struct):
    """Made here from its parts; the script never makes one."""

    __slots__ = ("rotation", "scale3d", "translation")

    def __init__(self) -> None:
        self.translation, self.rotation, self.scale3d = Vector(), Quat(w=1), Vector(1, 1, 1)


class FrameRate(Struct):
    __slots__ = ("denominator", "numerator")

    def __init__(self, numerator: int = 0, denominator: int = 1) -> None:
        if not (isinstance(numerator, int) and isinstance(denominator, int)):
            raise TypeError("a FrameRate is made of two int32")
        self.numerator, self.denominator = numerator, denominator


class FrameNumber(Struct):
    __slots__ = ("value",)

    def __init__(self, value: int = 0) -> None:
        if not isinstance(value, int):
            raise TypeError("a FrameNumber is an int32")
        self.value = value


class AnimPoseSpaces(enum.Enum):
    LOCAL = 0
    WORLD = 1


class AnimDataEvalType(enum.Enum):
    SOURCE = 0
    RAW = 1
    COMPRESSED = 2


class RawCurveTrackTypes(enum.Enum):
    RCT_FLOAT = 0
    RCT_TRANSFORM = 1


class Object:
    """Base of the assets; properties by name as the editor has them."""

    _properties: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._values: dict[str, Any] = dict.fromkeys(self._properties)

    def get_editor_property(self, name: str) -> Any:
        return self._values[name]

    def set_editor_property(self, name: str, value: Any) -> None:
        if name not in self._properties:
            raise AttributeError(f"{type(self).__name__} has no property {name}")
        self._values[name] = value


class Skeleton(Object):
    def __init__(self, figure: Figure) -> None:
        super().__init__()
        self._figure = figure


class SkeletalMesh(Object):
    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        self._skeleton = skeleton

    @property
    def skeleton(self) -> Skeleton:
        return self._skeleton


class AnimationSettings(Object):
    _properties = ("default_frame_rate",)


class AnimSequenceFactory(Object):
    _properties = ("target_skeleton", "preview_skeletal_mesh")


class AnimSequence(Object):
    _properties = ("skeleton",)

    def __init__(self, editor: Editor, skeleton: Skeleton) -> None:
        super().__init__()
        self._values["skeleton"] = skeleton
        self._editor = editor
        self._tracks: dict[str, list[tuple[Vector, Quat, Vector]]] = {}
        self._curves: dict[str, dict[float, float]] = {}
        self._rate = FrameRate(30, 1)
        self._frames = 0
        self._finalized = False
        self._saved = False
        self._controller = AnimationDataController(self)

    @property
    def controller(self) -> AnimationDataController:
        return self._controller


class AnimationDataController:
    def __init__(self, sequence: AnimSequence) -> None:
        self._sequence = sequence
        self._brackets = 0

    def open_bracket(self, title: str, should_transact: bool = True) -> None:
        self._brackets += 1

    def close_bracket(self, should_transact: bool = True) -> None:
        assert self._brackets > 0, "a bracket is closed that was not opened"
        self._brackets -= 1

    def set_frame_rate(self, frame_rate: FrameRate, should_transact: bool = True) -> None:
        self._sequence._rate = frame_rate

    def set_number_of_frames(
        self, new_length_in_frames: FrameNumber, should_transact: bool = True
    ) -> None:
        assert new_length_in_frames.value > 0, "a sequence has one frame at least"
        self._sequence._frames = new_length_in_frames.value

    def remove_all_bone_tracks(self, should_transact: bool = True) -> None:
        self._sequence._tracks.clear()

    def remove_all_curves_of_type(
        self, supported_curve_type: RawCurveTrackTypes, should_transact: bool = True
    ) -> None:
        if supported_curve_type is RawCurveTrackTypes.RCT_FLOAT:
            self._sequence._curves.clear()

    def add_bone_curve(self, bone_name: str, should_transact: bool = True) -> bool:
        known = bone_name in self._sequence._values["skeleton"]._figure.parents
        if not known or bone_name in self._sequence._tracks:
            return False
        self._sequence._tracks[bone_name] = []
        return True

    def set_bone_track_keys(
        self,
        bone_name: str,
        positional_keys: list[Vector],
        rotational_keys: list[Quat],
        scaling_keys: list[Vector],
        should_transact: bool = True,
    ) -> bool:
        sequence = self._sequence
        counts = {len(positional_keys), len(rotational_keys), len(scaling_keys)}
        if counts != {sequence._frames + 1} or bone_name in sequence._editor.refused_bones:
            return False
        for q in rotational_keys:
            assert abs(q.x**2 + q.y**2 + q.z**2 + q.w**2 - 1) < 1e-5, "a Quat must have length 1"
        sequence._tracks[bone_name] = list(
            zip(positional_keys, rotational_keys, scaling_keys, strict=True)
        )
        return True


class AnimPose:
    """Opaque to scripts: transforms relative to the parents."""

    def __init__(self, figure: Figure, local: Mapping[str, tuple[Any, Any]]) -> None:
        self._figure = figure
        self._local = local


class AnimPoseEvaluationOptions(Struct):
    __slots__ = ("evaluation_type",)

    def __init__(self, evaluation_type: AnimDataEvalType = AnimDataEvalType.SOURCE) -> None:
        self.evaluation_type = evaluation_type


def _rest(figure: Figure) -> dict[str, tuple[Any, Any]]:
    local = {}
    for name, parent in figure.parents.items():
        if parent is None:
            local[name] = (figure.positions[name], figure.axes[name])
        else:
            back = figure.axes[parent].T
            offset = back @ (figure.positions[name] - figure.positions[parent])
            local[name] = (offset, back @ figure.axes[name])
    return local


def _transform(offset: Any, rotation: Any) -> Transform:
    out = Transform()
    out.translation = Vector(*map(single, offset))
    out.rotation = Quat(*map(single, Rotation.from_matrix(rotation).as_quat()))
    return out


class AnimPoseExtensions:
    @staticmethod
    def get_reference_pose(skeleton: Skeleton) -> AnimPose:
        return AnimPose(skeleton._figure, _rest(skeleton._figure))

    @staticmethod
    def get_bone_names(pose: AnimPose) -> list[str]:
        # Not in order of the hierarchy, for a script should not count on it.
        return sorted(pose._figure.parents)

    @staticmethod
    def get_bone_pose(
        pose: AnimPose, bone_name: str, space: AnimPoseSpaces = AnimPoseSpaces.LOCAL
    ) -> Transform:
        offset, rotation = pose._local[bone_name]
        above = pose._figure.parents[bone_name]
        while space is AnimPoseSpaces.WORLD and above is not None:
            up_offset, up_rotation = pose._local[above]
            offset, rotation = up_offset + up_rotation @ offset, up_rotation @ rotation
            above = pose._figure.parents[above]
        return _transform(offset, rotation)

    @staticmethod
    def get_anim_pose_at_frame(
        animation_sequence_base: AnimSequence,
        frame_index: int,
        evaluation_options: AnimPoseEvaluationOptions,
    ) -> AnimPose:
        sequence = animation_sequence_base
        figure = sequence._values["skeleton"]._figure
        local = _rest(figure)
        compressed = evaluation_options.evaluation_type is AnimDataEvalType.COMPRESSED
        for name, keys in sequence._tracks.items():
            if not keys:  # a track without keys shows the reference pose
                continue
            t, q, _ = keys[frame_index]
            turned = Rotation.from_quat([q.x, q.y, q.z, q.w])
            if compressed:
                wrong = sequence._editor.compression_error_deg
                turned = turned * Rotation.from_euler("x", wrong, degrees=True)
            local[name] = (np.array([t.x, t.y, t.z]), turned.as_matrix())
        return AnimPose(figure, local)


class AnimationLibrary:
    @staticmethod
    def find_bone_path_to_root(animation_sequence_base: AnimSequence, bone_name: str) -> list[str]:
        figure = animation_sequence_base._values["skeleton"]._figure
        path, above = [bone_name], figure.parents[bone_name]
        while above is not None:
            path.append(above)
            above = figure.parents[above]
        return path

    @staticmethod
    def add_curve(
        animation_sequence_base: AnimSequence,
        curve_name: str,
        curve_type: RawCurveTrackTypes = RawCurveTrackTypes.RCT_FLOAT,
        meta_data_curve: bool = False,
    ) -> None:
        assert curve_name not in animation_sequence_base._curves
        animation_sequence_base._curves[curve_name] = {}

    @staticmethod
    def add_float_curve_keys(
        animation_sequence_base: AnimSequence,
        curve_name: str,
        times: list[float],
        values: list[float],
    ) -> None:
        assert len(times) == len(values)
        keys = animation_sequence_base._curves[curve_name]
        keys.update(zip(map(single, times), map(single, values), strict=True))

    @staticmethod
    def get_float_keys(
        animation_sequence_base: AnimSequence, curve_name: str
    ) -> tuple[list[float], list[float]]:
        keys = animation_sequence_base._curves[curve_name]
        return list(keys), list(keys.values())

    @staticmethod
    def get_num_keys(animation_sequence_base: AnimSequence) -> int:
        return animation_sequence_base._frames + 1

    @staticmethod
    def finalize_bone_animation(animation_sequence: AnimSequence) -> None:
        animation_sequence._finalized = True


class AssetTools:
    def __init__(self, editor: Editor) -> None:
        self._editor = editor

    def create_asset(
        self,
        asset_name: str,
        package_path: str,
        asset_class: type,
        factory: AnimSequenceFactory,
        calling_context: str = "None",
    ) -> AnimSequence:
        assert asset_class is AnimSequence
        editor = self._editor
        editor.rates_at_creation.append(editor.settings.get_editor_property("default_frame_rate"))
        sequence = AnimSequence(editor, factory.get_editor_property("target_skeleton"))
        editor.assets[f"{package_path}/{asset_name}"] = sequence
        return sequence


class Editor:
    """One editor with its assets; `module` is what the script imports as ``unreal``."""

    def __init__(self, saved: Path) -> None:
        self.assets: dict[str, Any] = {}
        self.logged: list[str] = []
        self.refused_bones: set[str] = set()
        self.compression_error_deg = 0.02
        self.rates_at_creation: list[FrameRate] = []
        self.settings = AnimationSettings()
        self.settings.set_editor_property("default_frame_rate", FrameRate(30, 1))
        self.may_save = True
        self.saved = saved

    def module(self) -> types.ModuleType:
        editor = self
        tools = AssetTools(editor)

        class EditorAssetLibrary:
            @staticmethod
            def load_asset(asset_path: str) -> Any:
                return editor.assets.get(asset_path.partition(".")[0])

            @staticmethod
            def does_asset_exist(asset_path: str) -> bool:
                return asset_path in editor.assets

            @staticmethod
            def save_loaded_asset(asset_to_save: Any, only_if_is_dirty: bool = True) -> bool:
                asset_to_save._saved = editor.may_save
                return editor.may_save

        class AssetToolsHelpers:
            @staticmethod
            def get_asset_tools() -> AssetTools:
                return tools

        class SystemLibrary:
            @staticmethod
            def get_engine_version() -> str:
                return "5.6.0-fake"

        class Paths:
            @staticmethod
            def project_saved_dir() -> str:
                return str(editor.saved)

        def get_default_object(kind: type) -> Any:
            assert kind is AnimationSettings
            return editor.settings

        module = types.ModuleType("unreal")
        found: dict[str, Any] = {
            kind.__name__: kind
            for kind in (
                Vector, Quat, FrameRate, FrameNumber, AnimPoseSpaces, AnimDataEvalType,
                RawCurveTrackTypes, Skeleton, SkeletalMesh, AnimationSettings, AnimSequence,
                AnimSequenceFactory, AnimPoseEvaluationOptions, AnimPoseExtensions,
                AnimationLibrary, EditorAssetLibrary, AssetToolsHelpers, SystemLibrary, Paths,
            )
        }  # fmt: skip
        module.__dict__.update(
            found, get_default_object=get_default_object, log=editor.logged.append
        )
        return module


PUBLISHED = (
    Vector, Quat, FrameRate, FrameNumber, AnimPoseSpaces, AnimDataEvalType, RawCurveTrackTypes,
    AnimPoseEvaluationOptions, AnimPoseExtensions, AnimationLibrary, AnimSequence, AssetTools,
    AnimationDataController, AnimationSettings, AnimSequenceFactory, SkeletalMesh, Transform,
)  # fmt: skip
"""Classes of this file to be compared with the published signatures."""
