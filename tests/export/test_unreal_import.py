"""The import script, run as it lies in a package, in a stand-in for the editor."""

from __future__ import annotations

import ast
import enum
import gzip
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.export import fake_unreal
from tests.export.fake_unreal import AnimSequence, Editor, SkeletalMesh, Skeleton
from tests.motion.figures import (
    FINGERS,
    Figure,
    angle_deg,
    direction,
    head_turn,
    hide,
    mannequin,
    signing,
    tracks_of,
)
from tracker_core.export.unreal.package import (
    IMPORTER,
    ExportParameters,
    ExportSubject,
    write_package,
)
from tracker_core.landmarks.topology import BLENDSHAPES
from tracker_core.landmarks.tracks import Tracks
from tracker_core.motion.face import feature_name

BODY, FACE = "/Game/Avatar/Body", "/Game/Avatar/Face"
SEQUENCE = "/Game/NSL/Animations/hei/AS_hei_01"
FRAMES = 30

LIMBS = [
    (f"{a}_{s}", f"{b}_{s}")
    for s in "lr"
    for a, b in (
        ("upperarm", "lowerarm"),
        ("lowerarm", "hand"),
        ("hand", "middle_01"),
        *(
            (f"{finger}_0{k}", f"{finger}_tip" if k == 3 else f"{finger}_0{k + 1}")
            for finger in ("thumb", *FINGERS)
            for k in (1, 2, 3)
        ),
    )
]
LEGS = [
    (f"{a}_{s}", f"{b}_{s}")
    for s in "lr"
    for a, b in (("thigh", "calf"), ("calf", "foot"), ("foot", "ball"))
]


def without_tips(figure: Figure) -> Figure:
    return figure.without("_tip")


def make_package(folder: Path, tracks: Tracks) -> Path:
    folder.mkdir()
    subject = ExportSubject("hei", "hei_01.mp4", "v1", "hei_01.mp4", "hei")
    write_package(tracks, {"score": 0.9, "issues": []}, subject, ExportParameters(), folder)
    return folder


@pytest.fixture(scope="module")
def person() -> tuple[Figure, list[Figure]]:
    """Another build than any avatar here, arms nearly level at rest."""
    rest = mannequin(drop=8, bend=20, scale=0.91, slim=1.15)
    return rest, [rest.posed(turns) for turns in signing(FRAMES, seed=11)]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, person: Any) -> Path:
    return make_package(tmp_path_factory.mktemp("export") / "hei_01", tracks_of(*person))


@pytest.fixture
def editor(tmp_path: Path) -> Editor:
    editor = Editor(tmp_path)
    skeleton = Skeleton(without_tips(mannequin()))
    editor.assets[BODY] = SkeletalMesh(skeleton)
    editor.assets[FACE] = Skeleton(mannequin().without("arm", "hand", "0", "tip", "thigh"))
    return editor


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path, Editor], ModuleType]]:
    """Loads the script of a package as the editor does, with its own ``unreal``."""

    def load(package: Path, editor: Editor) -> ModuleType:
        monkeypatch.setitem(sys.modules, "unreal", editor.module())
        spec = importlib.util.spec_from_file_location("package_import", package / IMPORTER.name)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load


Load = Callable[[Path, Editor], ModuleType]


def played(figure: Figure, sequence: AnimSequence, key: int) -> Figure:
    """The figure (tips included) as the sequence poses it."""
    local = {}
    for name, keys in sequence._tracks.items():
        translation, q, scale = keys[key]
        above = str(figure.parents[name])
        rest = figure.axes[above].T @ (figure.positions[name] - figure.positions[above])
        assert np.allclose([translation.x, translation.y, translation.z], rest, atol=1e-4)
        assert (scale.x, scale.y, scale.z) == (1, 1, 1)
        local[name] = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
    return figure.with_local(local)


def palm(figure: Figure, side: str) -> Any:
    p = figure.positions
    return np.cross(
        p[f"middle_01_{side}"] - p[f"hand_{side}"],
        p[f"index_01_{side}"] - p[f"pinky_01_{side}"],
    )


def largest_errors(
    target: Figure, sequence: AnimSequence, source: list[Figure], segments: Any
) -> dict[str, float]:
    worst: dict[str, float] = {}
    for key, pose in enumerate(source):
        shown = played(target, sequence, key)
        for start, end in segments:
            off = angle_deg(
                direction(shown.positions[start], shown.positions[end]),
                direction(pose.positions[start], pose.positions[end]),
            )
            worst[start] = max(worst.get(start, 0.0), off)
        for side in "lr":
            off = angle_deg(palm(shown, side), palm(pose, side))
            worst[f"palm_{side}"] = max(worst.get(f"palm_{side}", 0.0), off)
    return worst


def test_the_avatar_shows_every_direction_of_the_person(
    package: Path, editor: Editor, person: Any, script: Load
) -> None:
    report = script(package, editor).run(package, BODY, FACE)
    assert report["status"] == "ok"
    sequence = editor.assets[f"{SEQUENCE}_Body"]
    rest, poses = person
    target = mannequin()
    worst = largest_errors(target, sequence, poses, LIMBS + LEGS)
    assert max(worst.values()) < 0.1, worst
    for key, pose in enumerate(poses):
        shown = played(target, sequence, key)
        turn = head_turn(target, shown) @ head_turn(rest, pose).T
        assert np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))) < 0.1
        for figure in (shown, pose):
            p = figure.positions
            figure.positions["torso"] = (
                p["upperarm_l"] + p["upperarm_r"] - p["thigh_l"] - p["thigh_r"]
            )
        assert angle_deg(shown.positions["torso"], pose.positions["torso"]) < 0.1
        lateral = [f.positions["upperarm_l"] - f.positions["upperarm_r"] for f in (shown, pose)]
        assert angle_deg(*lateral) < 0.1


def test_it_holds_for_another_avatar_and_axis_layout(
    package: Path, editor: Editor, person: Any, script: Load, shared_skeleton: Figure
) -> None:
    editor.assets[BODY] = Skeleton(without_tips(shared_skeleton))
    script(package, editor).run(package, BODY, FACE)
    sequence = editor.assets[f"{SEQUENCE}_Body"]
    worst = largest_errors(shared_skeleton, sequence, person[1], LIMBS)
    assert max(worst.values()) < 0.1, worst


def test_it_holds_in_the_mirror(tmp_path: Path, editor: Editor, person: Any, script: Load) -> None:
    rest, poses = person
    seen = [pose.mirrored() for pose in poses]
    package = make_package(tmp_path / "mirrored", tracks_of(rest, seen))
    script(package, editor).run(package, BODY, FACE)
    worst = largest_errors(mannequin(), editor.assets[f"{SEQUENCE}_Body"], seen, LIMBS + LEGS)
    assert max(worst.values()) < 0.1, worst


def test_it_holds_whatever_the_axes_of_the_bones(
    package: Path, editor: Editor, person: Any, script: Load
) -> None:
    plain = mannequin(drop=35, bend=3)
    rng = np.random.default_rng(5)
    spin = Rotation.random(random_state=rng).as_matrix()
    odd = Figure(plain.parents, plain.positions, {n: a @ spin for n, a in plain.axes.items()})
    editor.assets[BODY] = Skeleton(without_tips(odd))
    script(package, editor).run(package, BODY, FACE)
    worst = largest_errors(odd, editor.assets[f"{SEQUENCE}_Body"], person[1], LIMBS + LEGS)
    assert max(worst.values()) < 0.1, worst


@pytest.mark.parametrize("bend", [2.0, 12.0, 40.0])
def test_an_avatar_in_its_own_reference_pose_is_not_turned_at_all(
    tmp_path: Path, editor: Editor, script: Load, bend: float
) -> None:
    """Directions say nothing of rolling about them; here every bone's whole rotation is known."""
    avatar = mannequin(bend=bend)
    editor.assets[BODY] = Skeleton(without_tips(avatar))
    package = make_package(tmp_path / "rest", tracks_of(avatar, [avatar, avatar]))
    script(package, editor).run(package, BODY, FACE)
    sequence = editor.assets[f"{SEQUENCE}_Body"]
    shown = played(avatar, sequence, 0)
    assert len(sequence._tracks) == 53
    for name in sequence._tracks:
        off = shown.axes[name] @ avatar.axes[name].T
        assert np.degrees(np.arccos(np.clip((np.trace(off) - 1) / 2, -1, 1))) < 0.1, name


def test_keys_of_one_track_stay_on_one_side_of_the_sphere(
    package: Path, editor: Editor, script: Load
) -> None:
    fill = script(package, editor).fill
    half = np.sqrt(0.5)
    track = [(0, 0, 0, 1.0), (-half, 0, 0, -half), None, (0.6, 0, 0, 0.8), (0, 0, 0, -1.0)]
    filled = np.array(fill(track))
    assert (np.sum(filled[1:] * filled[:-1], axis=1) > 0).all()
    assert np.allclose(np.linalg.norm(filled, axis=1), 1)


def test_an_older_mannequin_with_fewer_bones_works_and_the_report_says_so(
    package: Path, editor: Editor, person: Any, script: Load
) -> None:
    older = mannequin().without("spine_04", "spine_05", "metacarpal", "neck_02")
    editor.assets[BODY] = Skeleton(without_tips(older))
    report = script(package, editor).run(package, BODY, FACE)
    worst = largest_errors(older, editor.assets[f"{SEQUENCE}_Body"], person[1], LIMBS + LEGS)
    assert max(worst.values()) < 0.1, worst
    part = report["sequences"][f"{SEQUENCE}_Body"]
    assert part["bones_skipped"] == {}, "bones of a chain may be lacking"
    assert "spine_04" not in editor.assets[f"{SEQUENCE}_Body"]._tracks


def test_the_sequence_is_made_as_the_engine_wants_it(
    package: Path, editor: Editor, script: Load
) -> None:
    script(package, editor).run(package, BODY, FACE)
    sequence: AnimSequence = editor.assets[f"{SEQUENCE}_Body"]
    assert (sequence._rate.numerator, sequence._rate.denominator) == (25, 1)
    assert sequence._frames == FRAMES - 1
    assert sequence._finalized and sequence._saved
    assert sequence._controller._brackets == 0
    assert {(r.numerator, r.denominator) for r in editor.rates_at_creation} == {(25, 1)}
    usual = editor.settings.get_editor_property("default_frame_rate")
    assert (usual.numerator, usual.denominator) == (30, 1), "put back as it was"
    keyed = set(sequence._tracks)
    assert {"pelvis", "spine_05", "neck_02", "head", "hand_l", "thumb_03_r", "foot_l"} <= keyed
    assert not keyed & {"root", "index_metacarpal_l", "ball_l"}
    for keys in sequence._tracks.values():
        q = np.array([[k[1].x, k[1].y, k[1].z, k[1].w] for k in keys])
        assert (np.sum(q[1:] * q[:-1], axis=1) > 0).all(), "no change of sign"


def test_face_curves_go_to_the_face_or_to_the_body_without_one(
    package: Path, editor: Editor, script: Load
) -> None:
    module = script(package, editor)
    module.run(package, BODY, FACE)
    assert editor.assets[f"{SEQUENCE}_Body"]._curves == {}
    curves = editor.assets[f"{SEQUENCE}_Face"]._curves
    assert curves["HeadControlSwitch"] == {0.0: 0.0}
    entries = [json.loads(line) for line in _lines(package)][1:]
    jaw = list(curves["CTRL_expressions_jawOpen"].values())
    assert np.allclose(jaw, [entry["face"]["jaw_open"] for entry in entries], atol=1e-4)
    times = list(curves["CTRL_expressions_jawOpen"])
    assert np.allclose(times, np.arange(FRAMES) / 25, atol=1e-6)
    ratio = [
        min(1.0, e["face"]["mouth_close"] / e["face"]["jaw_open"])
        if e["face"]["jaw_open"] > 0.02
        else 0.0
        for e in entries
    ]
    lips = list(curves["CTRL_expressions_mouthLipsTogetherUL"].values())
    assert np.allclose(lips, ratio, atol=1e-4)
    assert all(0 <= v <= 1 for keys in curves.values() for v in keys.values())
    report = module.run(package, BODY)
    assert editor.assets[f"{SEQUENCE}_Body"]._curves == curves
    assert any("body's sequence" in note for note in report["notes"])


def _lines(package: Path) -> list[str]:
    with gzip.open(package / "tracking_v2.jsonl.gz", "rt", encoding="utf-8") as file:
        return file.readlines()


def test_importing_twice_fills_the_same_sequence_anew(
    package: Path, editor: Editor, script: Load
) -> None:
    module = script(package, editor)
    module.run(package, BODY, FACE)
    first = editor.assets[f"{SEQUENCE}_Body"]
    before = {name: len(keys) for name, keys in first._tracks.items()}
    assert module.run(package, BODY, FACE)["status"] == "ok"
    assert editor.assets[f"{SEQUENCE}_Body"] is first
    assert {name: len(keys) for name, keys in first._tracks.items()} == before


def test_a_hand_lost_for_a_while_keeps_its_place_on_the_arm(
    tmp_path: Path, editor: Editor, person: Any, script: Load
) -> None:
    tracks = hide(tracks_of(*person), "left_hand", slice(10, 15))
    package = make_package(tmp_path / "gap", tracks)
    report = script(package, editor).run(package, BODY, FACE)
    sequence = editor.assets[f"{SEQUENCE}_Body"]
    part = report["sequences"][f"{SEQUENCE}_Body"]
    assert part["keys_without_data"]["hand_l"] == 5
    assert part["keys_without_data"]["index_02_l"] == 5
    assert "hand_r" not in part["keys_without_data"]
    q = np.array([[k[1].x, k[1].y, k[1].z, k[1].w] for k in sequence._tracks["hand_l"]])
    steps = 2 * np.degrees(np.arccos(np.clip(np.sum(q[10:16] * q[9:15], axis=1), -1, 1)))
    assert np.ptp(steps) < 0.1, "turned evenly from the last seen to the next"
    kept = [k for k in range(FRAMES) if not 10 <= k < 15]
    worst = largest_errors(mannequin(), _only(sequence, kept), [person[1][k] for k in kept], LIMBS)
    assert max(worst.values()) < 0.1, worst


def _only(sequence: AnimSequence, keys: list[int]) -> AnimSequence:
    sequence._tracks = {name: [t[k] for k in keys] for name, t in sequence._tracks.items()}
    return sequence


def test_hands_never_seen_are_not_keyed_and_the_report_says_so(
    tmp_path: Path, editor: Editor, person: Any, script: Load
) -> None:
    tracks = tracks_of(*person)
    for hand in ("left_hand", "right_hand"):
        tracks = hide(tracks, hand, slice(None))
    package = make_package(tmp_path / "no_hands", tracks)
    report = script(package, editor).run(package, BODY, FACE)
    sequence = editor.assets[f"{SEQUENCE}_Body"]
    assert "lowerarm_l" in sequence._tracks
    assert not [name for name in sequence._tracks if "hand" in name or "index" in name]
    skipped = report["sequences"][f"{SEQUENCE}_Body"]["bones_skipped"]
    assert "known in no frame" in skipped["hand_l"]


def test_legs_never_seen_stand_upright_under_a_leaning_torso(
    tmp_path: Path, editor: Editor, person: Any, script: Load
) -> None:
    names = [f"{s}_{n}" for s in ("left", "right") for n in ("knee", "ankle", "heel", "foot_index")]
    package = make_package(
        tmp_path / "waist_up", hide(tracks_of(*person), "pose", slice(None), *names)
    )
    script(package, editor).run(package, BODY, FACE)
    target = mannequin()
    for key in (0, FRAMES // 2):
        shown = played(target, editor.assets[f"{SEQUENCE}_Body"], key)
        for start, end in LEGS:
            assert (
                angle_deg(
                    direction(shown.positions[start], shown.positions[end]),
                    direction(target.positions[start], target.positions[end]),
                )
                < 0.01
            )


def test_without_hips_the_pelvis_rests_and_the_arms_are_right_all_the_same(
    tmp_path: Path, editor: Editor, person: Any, script: Load
) -> None:
    tracks = hide(tracks_of(*person), "pose", slice(None), "left_hip", "right_hip")
    package = make_package(tmp_path / "no_hips", tracks)
    script(package, editor).run(package, BODY, FACE)
    sequence = editor.assets[f"{SEQUENCE}_Body"]
    assert not {"pelvis", "thigh_l", "thigh_r"} & set(sequence._tracks)
    worst = largest_errors(mannequin(), sequence, person[1], LIMBS)
    assert max(worst.values()) < 0.1, worst


def test_a_clip_of_one_frame_stands_still_for_two_keys(
    tmp_path: Path, editor: Editor, person: Any, script: Load
) -> None:
    rest, poses = person
    package = make_package(tmp_path / "one", tracks_of(rest, poses[:1]))
    assert script(package, editor).run(package, BODY, FACE)["status"] == "ok"
    assert editor.assets[f"{SEQUENCE}_Body"]._frames == 1


def test_what_reads_back_otherwise_ends_in_an_error_and_a_report(
    package: Path, editor: Editor, script: Load
) -> None:
    module = script(package, editor)
    editor.compression_error_deg = 2.0
    with pytest.raises(module.PackageError, match="read back compressed"):
        module.run(package, BODY, FACE)
    report = json.loads((package / "unreal_import_report.json").read_text(encoding="utf-8"))
    assert report["status"] == "failed"
    editor.compression_error_deg = 0.0
    editor.refused_bones = {"hand_l"}
    with pytest.raises(module.PackageError, match="refused the keys of bone hand_l"):
        module.run(package, BODY, FACE)
    editor.refused_bones = set()
    editor.may_save = False
    with pytest.raises(module.PackageError, match="could not be saved"):
        module.run(package, BODY, FACE)
    editor.may_save = True
    assert module.run(package, BODY, FACE)["status"] == "ok"


def test_a_wrong_avatar_or_an_incomplete_copy_ends_in_a_sentence(
    tmp_path: Path, package: Path, editor: Editor, person: Any, script: Load
) -> None:
    module = script(package, editor)
    with pytest.raises(module.PackageError, match="Copy Reference"):
        module.run(package, "/Game/Nothing")
    editor.assets[BODY] = Skeleton(mannequin().without("_", "pelvis", "head"))
    with pytest.raises(module.PackageError, match="no bone that metahuman_mapping"):
        module.run(package, BODY, FACE, name="other")
    cut = make_package(tmp_path / "cut", tracks_of(*person))
    track = cut / "tracking_v2.jsonl.gz"
    track.write_bytes(gzip.compress("".join(_lines(cut)[:-3]).encode()))
    with pytest.raises(module.PackageError, match="incomplete"):
        module.run(cut, BODY)


def test_the_command_line_takes_what_copy_reference_gives(
    package: Path, editor: Editor, script: Load
) -> None:
    module = script(package, editor)
    reference = f"/Script/Engine.SkeletalMesh'{BODY}.Body'"
    module.main(["--body", reference, "--face", FACE, "--folder", "/Game/Mine", "--name", "X"])
    assert "/Game/Mine/X_Body" in editor.assets
    assert editor.logged and "Imported" in editor.logged[-1]


def test_outside_the_editor_it_says_where_it_runs(package: Path) -> None:
    spec = importlib.util.spec_from_file_location("outside", package / IMPORTER.name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(module.PackageError, match="inside the Unreal editor"):
        module.run(package, BODY)


def test_it_is_python_of_unreals_oldest_editor_and_needs_no_package() -> None:
    tree = ast.parse(IMPORTER.read_text(encoding="utf-8"), feature_version=(3, 9))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= set(sys.stdlib_module_names) | {"unreal"}
    strict = [
        node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "strict"
    ]
    assert not strict, "zip(strict=) came with 3.10"


# -- the stand-in against what the vendor publishes


def published(facts: Path) -> dict[str, dict[str, Any]]:
    content: dict[str, dict[str, Any]] = json.loads(
        (facts / "unreal_api_sigs.json").read_text(encoding="utf-8")
    )
    return content


def method_of(classes: dict[str, Any], kind: str, method: str) -> list[str] | None:
    while kind in classes:
        found = classes[kind]["methods"].get(method)
        if found is not None:
            return list(found)
        kind = classes[kind]["bases"]
    return None


def arguments(signature: str) -> list[tuple[str, bool]]:
    """(name, has a default) of each argument but self and cls."""
    inner = re.sub(r"\[[^\]]*\]", "", signature)
    parts = [part.strip() for part in inner.split(",")]
    return [
        (part.partition(":")[0].strip(), "=" in part)
        for part in parts
        if part and part not in ("self", "cls")
    ]


def test_every_class_and_argument_is_published(unreal_facts: Path, editor: Editor) -> None:
    module = editor.module()
    kinds = {
        **{kind.__name__: kind for kind in fake_unreal.PUBLISHED},
        **{name: value for name, value in vars(module).items() if inspect.isclass(value)},
    }
    checked = 0
    for version, classes in published(unreal_facts).items():
        for name, kind in kinds.items():
            assert name in classes, (version, name)
            properties = {entry[0] for entry in classes[name]["props"]}
            if issubclass(kind, enum.Enum):
                members = set(classes[name]["enum"])
                assert not members or {m.name for m in kind} == members, name
                continue
            for declared in (*getattr(kind, "_properties", ()), *getattr(kind, "__slots__", ())):
                assert declared in properties, (version, name, declared)
            for method, function in vars(kind).items():
                made_here = name in ("Transform", "Skeleton", "SkeletalMesh", "AnimSequence")
                constructor = method == "__init__" and not made_here and "props" in classes[name]
                if method.startswith("_") and not (
                    constructor and issubclass(kind, fake_unreal.Struct)
                ):
                    continue
                if isinstance(function, property):
                    assert method in properties or method_of(classes, name, method), method
                    continue
                if not isinstance(function, (staticmethod, type(published))):
                    continue
                real = method_of(classes, name, method)
                assert real is not None, (version, f"{name}.{method}")
                ours = [
                    (p.name, p.default is not p.empty)
                    for p in inspect.signature(
                        function.__func__ if isinstance(function, staticmethod) else function
                    ).parameters.values()
                    if p.name != "self"
                ]
                # The stand-in may leave out arguments at the end that have defaults.
                theirs = arguments(real[0])
                assert theirs[: len(ours)] == ours, (version, f"{name}.{method}")
                assert all(default for _, default in theirs[len(ours) :])
                checked += 1
    assert checked > 60


def test_the_script_uses_nothing_that_is_not_published(unreal_facts: Path) -> None:
    used = set(re.findall(r"\bunreal\.([A-Z]\w+)", IMPORTER.read_text(encoding="utf-8")))
    assert {"AnimPoseExtensions", "AnimationLibrary", "EditorAssetLibrary"} <= used
    for version, classes in published(unreal_facts).items():
        assert used <= set(classes), version


def test_names_of_bones_and_curves_are_the_vendors(package: Path, unreal_facts: Path) -> None:
    mapping = json.loads((package / "metahuman_mapping.json").read_text(encoding="utf-8"))
    bones = set(json.loads((unreal_facts / "mh_animatable_bones.json").read_text()))
    chained = {name for chain in mapping["chains"].values() for name in chain["bones"]}
    assert set(mapping["bones"]) | chained <= bones
    live = json.loads((unreal_facts / "mha_live_subject_curves.json").read_text())["curveNames"]
    face = mapping["face"]
    curves = {*face["curves"], *face["lips_together"]["curves"], *face["constants"]}
    assert curves <= set(live)


def test_each_shape_drives_what_it_drives_most_in_the_vendors_rig(
    package: Path, unreal_facts: Path
) -> None:
    """Our table against the vendor's measured poses: the controls at full weight are the same."""
    face = json.loads((package / "metahuman_mapping.json").read_text(encoding="utf-8"))["face"]
    theirs = json.loads((unreal_facts / "arkit_to_ctrl_ue58.json").read_text())
    for shape in BLENDSHAPES:
        if shape in ("_neutral", "mouthClose"):
            continue
        poses = theirs[shape[0].upper() + shape[1:]]
        full = {curve for curve, weight in poses.items() if weight > 0.9}
        ours = {c for c, sources in face["curves"].items() if feature_name(shape) in sources}
        assert ours == full, shape
