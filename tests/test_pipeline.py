"""Stage keys: the same for the same work, different for different work, over a wide input space."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker_core.pipeline import (
    PIPELINE,
    STAGES,
    StageName,
    digest,
    markdown_table,
    pipeline_fingerprint,
    stage_key,
    stages_from,
)
from tracker_core.settings import load_settings
from tracker_core.stages import Subject
from tracker_core.store.artifacts import ArtifactRef, StageRecord

SUBJECT = Subject("6f1d3a52-54f5-4c0e-9a64-2f2d9f0c7a11", "takk", "takk.mp4")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
parameters = st.dictionaries(st.text(min_size=1), json_values, max_size=6)
hashes = st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}")


def _records(seed: str) -> dict[str, StageRecord]:
    return {
        stage.name: StageRecord(
            stage=stage.name,
            key=f"{stage.name}/1/{seed}",
            files={"file": ArtifactRef(path="p", sha256=digest([stage.name, seed]), size=1)},
            facts={},
        )
        for stage in PIPELINE
    }


@given(json_values)
def test_a_digest_is_that_of_the_json_value(value: Any) -> None:
    assert digest(value) == digest(json.loads(json.dumps(value)))


@given(st.dictionaries(st.text(), json_values, min_size=2))
def test_a_digest_does_not_depend_on_the_order_of_names(value: dict[str, Any]) -> None:
    assert digest(value) == digest(dict(reversed(list(value.items()))))


@given(json_values, json_values)
def test_different_values_have_different_digests(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(one) == digest(other)) == same


@given(st.sampled_from(PIPELINE), hashes, parameters, parameters)
def test_a_key_follows_content_and_parameters(
    stage: Any, content: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    records = _records("a")
    key = stage_key(stage, content, records, one, SUBJECT)
    assert key.startswith(f"{stage.name}/{stage.version}/")
    assert key == stage_key(stage, content, records, dict(reversed(one.items())), SUBJECT)
    differs = json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True)
    assert (key != stage_key(stage, content, records, other, SUBJECT)) == differs
    elsewhere = stage_key(stage, f"{int(content, 16) ^ 1:064x}", records, one, SUBJECT)
    assert (elsewhere != key) == stage.reads_source


@given(st.sampled_from(PIPELINE), st.text(), st.text())
def test_names_count_only_where_the_output_has_them(stage: Any, word: str, name: str) -> None:
    other = replace(SUBJECT, word=word, filename=name)
    same = stage_key(stage, "c", _records("a"), {}, SUBJECT) == stage_key(
        stage, "c", _records("a"), {}, other
    )
    assert same == (not stage.names_subject or other == SUBJECT)


def test_a_segment_is_another_video_from_normalize_on() -> None:
    part = replace(SUBJECT, start_s=1.0)
    for name, differs in (("probe", False), ("normalize", True)):
        one, other = (stage_key(STAGES[name], "c", _records("a"), {}, s) for s in (SUBJECT, part))
        assert (one != other) == differs


def test_a_stage_sees_only_its_own_inputs() -> None:
    for stage in PIPELINE:
        key = stage_key(stage, "c", _records("a"), {}, SUBJECT)
        for name in STAGES:
            changed = {**_records("a"), name: _records("b")[name]}
            other = stage_key(stage, "c", changed, {}, SUBJECT)
            assert (other != key) == (name in stage.inputs)


def test_a_raised_version_changes_the_key() -> None:
    stage = STAGES["smooth"]
    newer = replace(stage, version=stage.version + 1)
    records = _records("a")
    assert stage_key(stage, "c", records, {}, SUBJECT) != stage_key(
        newer, "c", records, {}, SUBJECT
    )


@pytest.mark.parametrize(
    ("setting", "value", "first"),
    [
        ("max_frames", 5, "probe"),
        ("target_fps", "source", "normalize"),
        ("max_height", 480, "normalize"),
        ("max_tracked_frames", 5, "normalize"),
        ("trim", "motion", "normalize"),
        ("trim", "hands", "smooth"),
        ("roi_interval_s", 0.5, "roi"),
        ("engine", "openvino", "roi"),
        ("speed", "fast", "track"),
        ("tracking_provider", "mediapipe", "track"),
        ("face_detector", "full", None),  # of the other provider
        ("ema_alpha_wrist", 0.5, "smooth"),
        ("min_confidence", 0.5, "smooth"),
        ("export_fps", "30", "export"),
        ("workers", 7, None),
        ("lease_s", 7.0, None),
    ],
)
def test_which_setting_reaches_which_stage(setting: str, value: Any, first: str | None) -> None:
    plain, changed = load_settings(), load_settings({setting: value})
    reached = [s.name for s in PIPELINE if s.parameters(plain) != s.parameters(changed)]
    assert reached[:1] == ([first] if first else [])
    assert (pipeline_fingerprint(plain) != pipeline_fingerprint(changed)) == bool(first)


def test_parameters_are_json_values() -> None:
    for stage in PIPELINE:
        values = stage.parameters(load_settings())
        assert json.loads(json.dumps(values)) == values


def test_what_follows_a_stage() -> None:
    assert stages_from("export") == {"export"}
    assert stages_from("smooth") == {"smooth", "score", "persist", "export"}
    assert stages_from("probe") == set(STAGES)
    with pytest.raises(KeyError):
        stages_from("sleep")


def test_inputs_come_before_their_stage() -> None:
    seen: set[str] = set()
    for stage in PIPELINE:
        assert set(stage.inputs) <= seen
        seen.add(stage.name)
    assert get_args(StageName) == tuple(STAGES)
    assert all(f"| {name} |" in markdown_table() for name in STAGES)


def test_nothing_in_tracker_core_imports_prefect() -> None:
    code = """
import importlib, pkgutil, sys, tracker_core
for module in pkgutil.walk_packages(tracker_core.__path__, "tracker_core."):
    if ".migrations" not in module.name and not module.name.endswith("unreal_import"):
        importlib.import_module(module.name)
bad = {name.partition(".")[0] for name in sys.modules} & {"prefect", "tasks", "flows"}
sys.exit(", ".join(bad) if bad else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
