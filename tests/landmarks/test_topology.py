from __future__ import annotations

import pytest

from tracker_core.landmarks.topology import BLENDSHAPES, HOLISTIC, TOPOLOGIES, Part, Topology


def test_holistic_has_the_parts_of_mediapipe_in_order() -> None:
    sizes = [(part.name, len(part.names), part.has_world) for part in HOLISTIC.parts]
    assert sizes == [
        ("pose", 33, True),
        ("left_hand", 21, True),
        ("right_hand", 21, True),
        ("face", 478, False),
    ]
    assert HOLISTIC.size == 553
    assert len(BLENDSHAPES) == len(set(BLENDSHAPES)) == 52


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=lambda topology: topology.name)
def test_parts_tile_the_landmark_axis(topology: Topology) -> None:
    assert TOPOLOGIES[topology.name] is topology
    covered = [i for part in topology.parts for i in range(part.slice.start, part.slice.stop)]
    assert covered == list(range(topology.size))
    assert len(topology.landmark_names) == len(set(topology.landmark_names)) == topology.size


@pytest.mark.parametrize("part", HOLISTIC.parts, ids=lambda part: part.name)
def test_edges_join_different_landmarks_of_the_part_once(part: Part) -> None:
    seen = set()
    for a, b in part.edges:
        assert a != b
        assert {a, b} <= set(range(len(part.names)))
        seen.add(frozenset((a, b)))
    assert len(seen) == len(part.edges)


@pytest.mark.parametrize("name", ["pose", "left_hand", "right_hand"])
def test_edges_leave_no_landmark_out(name: str) -> None:
    part = HOLISTIC.part(name)
    assert {i for edge in part.edges for i in edge} == set(range(len(part.names)))


@pytest.mark.parametrize(
    ("part", "landmark", "index"),
    [
        ("pose", "nose", 0),
        ("pose", "left_shoulder", 11),
        ("pose", "right_foot_index", 32),
        ("left_hand", "wrist", 33),
        ("left_hand", "pinky_tip", 53),
        ("right_hand", "index_mcp", 59),
        ("face", "mesh_000", 75),
        ("face", "right_iris_center", 75 + 468),
        ("face", "left_iris_center", 75 + 473),
    ],
)
def test_landmarks_lie_where_mediapipe_puts_them(part: str, landmark: str, index: int) -> None:
    assert HOLISTIC.index(part, landmark) == index
    assert HOLISTIC.landmark_names[index] == f"{part}.{landmark}"


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="no part 'tail'; its parts are pose, left_hand"):
        HOLISTIC.part("tail")
    with pytest.raises(KeyError, match="part pose has no landmark 'thumb_tip'"):
        HOLISTIC.index("pose", "thumb_tip")
