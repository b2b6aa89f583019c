"""How each bone and face curve of a MetaHuman (or Manny-like) skeleton is driven.

Bone and curve names are the engine's. The face table is our own: a shape drives the controls of
the same meaning in full, and no weights of the vendor's own pose assets are in it; expressions are
therefore close to, not equal to, what Live Link with the vendor's assets would show.
"""

from __future__ import annotations

from typing import Any

from tracker_core.landmarks.topology import BLENDSHAPES
from tracker_core.motion.face import feature_name
from tracker_core.motion.skeleton import FINGERS, SIDES

MAPPING_VERSION = 1

_CTRL = "CTRL_expressions_"
_QUARTERS = ("UL", "UR", "DL", "DR")

# Shapes without side: the controls they drive at the shape's own weight.
_PLAIN: dict[str, tuple[str, ...]] = {
    "jawForward": ("jawFwd",),
    "jawLeft": ("jawLeft",),
    "jawRight": ("jawRight",),
    "jawOpen": ("jawOpen",),
    "mouthLeft": ("mouthLeft",),
    "mouthRight": ("mouthRight",),
    "mouthFunnel": tuple(f"mouthFunnel{q}" for q in _QUARTERS),
    "mouthPucker": tuple(f"mouthLipsPurse{q}" for q in _QUARTERS),
    "mouthRollLower": ("mouthLowerLipRollInL", "mouthLowerLipRollInR"),
    "mouthRollUpper": ("mouthUpperLipRollInL", "mouthUpperLipRollInR"),
    "mouthShrugLower": ("jawChinRaiseDL", "jawChinRaiseDR"),
    "mouthShrugUpper": ("jawChinRaiseUL", "jawChinRaiseUR"),
    "browInnerUp": ("browRaiseInL", "browRaiseInR", "browLateralL", "browLateralR"),
    "cheekPuff": ("mouthCheekBlowL", "mouthCheekBlowR", "mouthLipsBlowL", "mouthLipsBlowR"),
}

# Shapes with a side: {s} is L or R. Gaze has rows of its own, for its controls are named after
# the direction and not after the nose.
_SIDED: dict[str, tuple[str, ...]] = {
    "eyeBlink": ("eyeBlink{s}",),
    "eyeLookDown": ("eyeLookDown{s}",),
    "eyeLookUp": ("eyeLookUp{s}",),
    "eyeSquint": ("eyeSquintInner{s}",),
    "eyeWide": ("eyeWiden{s}",),
    "mouthSmile": ("mouthCornerPull{s}",),
    "mouthFrown": ("mouthCornerDepress{s}",),
    "mouthDimple": ("mouthDimple{s}",),
    "mouthStretch": ("mouthStretch{s}",),
    "mouthPress": ("mouthPressU{s}", "mouthPressD{s}"),
    "mouthLowerDown": ("mouthLowerLipDepress{s}",),
    "mouthUpperUp": ("mouthUpperLipRaise{s}",),
    "browDown": ("browDown{s}",),
    "browOuterUp": ("browRaiseIn{s}", "browRaiseOuter{s}"),
    "cheekSquint": ("eyeCheekRaise{s}",),
    "noseSneer": ("noseWrinkle{s}",),
}

_GAZE = {
    "eyeLookInLeft": ("eyeLookRightL",),
    "eyeLookOutLeft": ("eyeLookLeftL",),
    "eyeLookInRight": ("eyeLookLeftR",),
    "eyeLookOutRight": ("eyeLookRightR",),
}

LIPS_TOGETHER = tuple(f"{_CTRL}mouthLipsTogether{q}" for q in _QUARTERS)
"""Driven by mouthClose / jawOpen: the controls close the lips over a jaw that is open."""


def face_curves() -> dict[str, dict[str, float]]:
    """CTRL_expressions curve -> the canonical features it is the weighted sum of.

    ``mouth_close`` is not here: it has no control of its own, see `LIPS_TOGETHER`.
    """
    shapes = {**_PLAIN, **_GAZE}
    for name, controls in _SIDED.items():
        for letter, side in (("L", "Left"), ("R", "Right")):
            shapes[f"{name}{side}"] = tuple(control.format(s=letter) for control in controls)
    curves: dict[str, dict[str, float]] = {}
    for shape in BLENDSHAPES:
        for control in shapes.get(shape, ()):
            curves.setdefault(f"{_CTRL}{control}", {})[feature_name(shape)] = 1.0
    return curves


def bone_drives() -> dict[str, dict[str, str]]:
    """Bone -> the joint whose anatomical frame turns it.

    Where the frame is unknown for a while, a bone keeps its orientation relative to its parent,
    interpolated. ``"unknown": "upright"``: where it is unknown throughout, the bone keeps its
    reference orientation in component space instead (a leg stands, whatever the torso does).
    """
    bones: dict[str, dict[str, str]] = {"pelvis": {"frame": "root"}, "head": {"frame": "head"}}
    for s in SIDES:
        bones[f"clavicle_{s}"] = {"frame": f"clavicle_{s}"}
        bones[f"upperarm_{s}"] = {"frame": f"upperarm_{s}"}
        bones[f"lowerarm_{s}"] = {"frame": f"lowerarm_{s}"}
        bones[f"hand_{s}"] = {"frame": f"wrist_{s}"}
        for finger in FINGERS:
            for k in (1, 2, 3):
                bones[f"{finger}_0{k}_{s}"] = {"frame": f"hand_{s}_{finger}_{k}"}
        bones[f"thigh_{s}"] = {"frame": f"thigh_{s}", "unknown": "upright"}
        bones[f"calf_{s}"] = {"frame": f"calf_{s}"}
        bones[f"foot_{s}"] = {"frame": f"foot_{s}"}
    return bones


def chain_drives() -> dict[str, dict[str, Any]]:
    """Chains of bones that share the turn from one joint's frame to another's evenly.

    A skeleton may lack some of a chain's bones (older mannequins have fewer). ``reaches_end``: the
    last bone turns wholly as the second joint does; else that joint's own bone comes after it.
    """
    return {
        "spine": {
            "bones": [f"spine_0{k}" for k in range(1, 6)],
            "between": ["root", "spine_03"],
            "reaches_end": True,
        },
        "neck": {
            "bones": ["neck_01", "neck_02"],
            "between": ["spine_03", "head"],
            "reaches_end": False,
        },
    }


def mapping(asset_path: str, asset_name: str) -> dict[str, Any]:
    """What ``metahuman_mapping.json`` holds; a user may edit it before the import."""
    return {
        "format": "tracker.metahuman_mapping",
        "version": MAPPING_VERSION,
        "unreal": {"asset_path": asset_path, "asset_name": asset_name},
        "bones": bone_drives(),
        "chains": chain_drives(),
        "bones_not_keyed": (
            "root, metacarpals, twist and corrective bones and every bone not listed: they stay in "
            "the reference pose relative to their parents. Rolling of the forearm is in the hand."
        ),
        "face": {
            "curves": face_curves(),
            "lips_together": {
                "curves": list(LIPS_TOGETHER),
                "numerator": "mouth_close",
                "denominator": "jaw_open",
            },
            "constants": {"HeadControlSwitch": 0.0},
            "not_mapped": {
                "look_left, look_right, look_up, look_down, mouth_open": (
                    "summaries of features that are mapped themselves"
                ),
                "tongueOut": "the provider does not give it",
            },
        },
    }
