"""Canonical face features."""

from __future__ import annotations

import numpy as np
import pytest

from tracker_core.landmarks.topology import BLENDSHAPES, HOLISTIC, Topology
from tracker_core.landmarks.tracks import Tracks
from tracker_core.motion.face import DERIVED, UNRELIABLE, face_motion, feature_name


def tracks_with(**weights: float) -> Tracks:
    tracks = Tracks.empty(HOLISTIC, np.array([0.0, 0.04]), (64, 48))
    tracks.blendshapes[0] = 0.0
    for name, weight in weights.items():
        tracks.blendshapes[0, BLENDSHAPES.index(name)] = weight
    return tracks


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ("jawOpen", "jaw_open"),
        ("mouthFunnel", "mouth_funnel"),
        ("browInnerUp", "brow_inner_up"),
        ("eyeBlinkLeft", "eye_blink_l"),
        ("eyeBlinkRight", "eye_blink_r"),
        ("jawLeft", "jaw_left"),
        ("mouthRight", "mouth_right"),
        ("eyeLookOutLeft", "eye_look_out_l"),
    ],
)
def test_names(shape: str, name: str) -> None:
    assert feature_name(shape) == name


def test_every_shape_is_a_feature_under_a_name_of_its_own() -> None:
    features = face_motion(tracks_with()).features
    assert len(set(features)) == len(features) == 51 + len(DERIVED)
    assert set(UNRELIABLE) < set(features)
    assert "_neutral" not in features


def test_the_gaze_to_the_left_is_out_of_the_left_eye_and_into_the_right() -> None:
    face = face_motion(tracks_with(eyeLookOutLeft=0.6, eyeLookInRight=0.4))
    assert face["look_left"][0] == pytest.approx(0.5)
    assert face["look_right"][0] == 0.0


def test_the_mouth_is_open_as_far_as_lips_do_not_close_it() -> None:
    assert face_motion(tracks_with(jawOpen=0.6))["mouth_open"][0] == pytest.approx(0.6)
    assert face_motion(tracks_with(jawOpen=0.6, mouthClose=0.5))["mouth_open"][0] == pytest.approx(
        0.1
    )
    assert face_motion(tracks_with(jawOpen=0.1, mouthClose=0.5))["mouth_open"][0] == 0.0


def test_without_a_face_every_feature_is_unknown() -> None:
    face = face_motion(tracks_with(jawOpen=1.0))
    assert face.present.tolist() == [True, False]
    assert np.isnan(face.values[1]).all()


def test_values_lie_between_0_and_1_and_unknown_features_are_errors() -> None:
    face = face_motion(tracks_with(jawOpen=1.2, mouthClose=-0.1))
    assert face["jaw_open"][0] == 1.0
    assert face["mouth_close"][0] == 0.0
    with pytest.raises(KeyError, match="tongue_out"):
        face["tongue_out"]


def test_a_topology_without_blendshapes_has_no_features() -> None:
    bare = Topology("bare", HOLISTIC.parts)
    assert face_motion(Tracks.empty(bare, np.array([0.0]), (4, 4))).features == ()
