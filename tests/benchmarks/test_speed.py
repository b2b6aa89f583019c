"""The benchmarks' own arithmetic, on measurements made up for it; every contestant once."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks import clips, memory, speed, speed_tables, startup
from benchmarks.contestants import contestants, process_role
from benchmarks.loops import views
from benchmarks.model_times import FULL_FRAME, ModelTimes, Whole, model_times, time_networks
from benchmarks.peers import environment
from benchmarks.provider_loop import assignment, track_clip
from benchmarks.speed_tables import Measured
from benchmarks.stages import stage_costs
from benchmarks.startup import Start
from benchmarks.tree import Usage, measure
from tracker_core.errors import CannotRun, SettingsError
from tracker_core.media.decode import read_frames
from tracker_core.pipeline import STAGES
from tracker_core.settings import load_settings
from tracker_core.tracking.holistic.provider import HolisticProvider
from tracker_core.tracking.inference import Array, Network
from tracker_core.tracking.models import HOLISTIC_NETWORKS, ModelStore, sha256_file


def usage(wall_s: float, cpu_s: float, **roles: float) -> Usage:
    return Usage(wall_s, cpu_s, roles, 100 * 2**20, "")


def measured(
    name: str,
    workers: int = 1,
    *,
    ms: float,
    cpu_ms: float,
    start: float = 2.0,
    printed: str = "",
) -> Measured:
    """A contestant whose every frame takes ``ms``, after ``start`` seconds."""
    few, many = 100, 900
    return Measured(
        name,
        workers,
        usage(start + few * ms / 1000, start + few * cpu_ms / 1000),
        replace(usage(start + many * ms / 1000, start + many * cpu_ms / 1000), output=printed),
        few,
        many,
    )


def networks_of(
    cpu_ms: float, workers: int = 1, speed: str = "full", *, whole: bool = False
) -> ModelTimes:
    """A full frame takes so much CPU time, and twice that time passes; pose alone counts."""
    cpu = dict.fromkeys(FULL_FRAME, 0.0) | {"pose": cpu_ms, "pose_detector": 10}
    return ModelTimes(speed, workers, whole, {name: 2 * ms for name, ms in cpu.items()}, cpu)


def cells(table: str, row: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {row} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_steady_state_and_start_up_are_told_apart() -> None:
    one = measured("tracker", ms=50, cpu_ms=66, start=7.5)
    assert one.fps == pytest.approx(20)
    assert one.cpu_ms == pytest.approx(66)
    assert one.start_up(speed_tables.wall) == pytest.approx(7.5)
    assert one.start_up(speed_tables.cpu) == pytest.approx(7.5)


def test_a_measurement_that_says_nothing_is_an_error() -> None:
    same = usage(5, 5)
    with pytest.raises(CannotRun, match="too busy, or the clips are too short"):
        _ = Measured("landmarker", 1, same, same, 100, 900).fps


COMPUTES = {"holistic": "ours", "pose-format": "a plain mesh"} | dict.fromkeys(
    ["floor", "networks"], "networks"
)


def test_table_gives_medians_and_ratios_within_each_repetition() -> None:
    runs = [
        measured("holistic", ms=50, cpu_ms=66),
        measured("holistic", ms=40, cpu_ms=70),
        measured("holistic", ms=40, cpu_ms=66),
        measured("pose-format", ms=100, cpu_ms=33),
        measured("pose-format", ms=40, cpu_ms=35),
        measured("pose-format", ms=60, cpu_ms=66),
        *(measured("pose-format", 2, ms=1, cpu_ms=1) for _ in range(3)),
    ]
    floors = [networks_of(ms, whole=True) for ms in (60, 50, 66)]
    table = speed_tables.speed_table(runs, floors, COMPUTES)
    assert cells(table, "holistic")[1:] == [
        "1",
        "25.0 (20.0–25.0)",
        "66.0 (66.0–70.0)",
        "100 (100–100)",
        "1.50 (1.00–2.00)",  # not 25.0 / 16.7, the ratio of the medians' own repetitions
        "2.00 (1.00–2.00)",
        "1.00 (1.00–1.00)",
        "1.10 (1.00–1.40)",
        "–",
        "2.0 (2.0–2.0)",
    ]
    floor = cells(table, "floor")
    assert floor[1:5] == ["1", "8.3 (7.6–10.0)", "60.0 (50.0–66.0)", "–"]
    assert floor[8:10] == ["1.00 (1.00–1.00)", "–"]
    assert "- pose-format: a plain mesh" in table
    widths = {len(line) for line in table.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_table_without_a_peer_or_a_floor_has_dashes_for_them() -> None:
    table = speed_tables.speed_table([measured("holistic", ms=50, cpu_ms=66)], [], COMPUTES)
    assert cells(table, "holistic")[5:10] == ["–"] * 5
    assert "floor:" not in table


def counted(speed: str, **calls: int) -> str:
    return json.dumps({"calls": calls, "speed": speed})


def test_counted_networks_are_weighed_by_what_they_cost_at_their_speed() -> None:
    """Of 900 frames the pose network ran in half, its detector in a tenth."""
    runs = [
        measured("holistic", ms=50, cpu_ms=22, printed=counted("full", pose=450, pose_detector=90)),
        measured("holistic-fast", ms=50, cpu_ms=12, printed=counted("fast", pose=900)),
    ]
    floors = [networks_of(40, whole=True), networks_of(20), networks_of(8, speed="fast")]
    computes = dict.fromkeys(["holistic-fast", "networks-fast"], "ours")
    table = speed_tables.speed_table(runs, floors, COMPUTES | computes)
    assert cells(table, "holistic")[8:10] == ["0.55", "2.00"]  # of 40, and of 0.5 * 20 + 0.1 * 10
    assert cells(table, "holistic-fast")[8:10] == ["0.30", "1.50"]  # of 40, and of 8
    assert cells(table, "networks")[8:10] == ["0.50", "–"]
    assert cells(table, "networks-fast")[8:10] == ["0.20", "–"]
    table = speed_tables.floor_table(runs, floors)
    assert cells(table, "pose_detector")[1:] == [*["10.00"] * 3, "0", "0.10", "0.00"]
    assert cells(table, "CPU ms/frame")[1:] == ["40.0", "20.0", "8.0", "", "11.0", "8.0"]


def test_a_network_that_nobody_measured_is_not_left_out_silently() -> None:
    assert networks_of(20).frame_cpu_ms({"pose": 2}) == 40
    assert math.isnan(networks_of(20).frame_cpu_ms({"pose": 1, "nose": 0.1}))
    runs = [measured("holistic", ms=50, cpu_ms=22, printed=counted("full", nose=900))]
    table = speed_tables.speed_table(runs, [networks_of(20)], COMPUTES)
    assert cells(table, "holistic")[9] == "–"


def test_two_workers_on_the_networks_alone_do_twice_as_many_frames() -> None:
    assert networks_of(25).fps == pytest.approx(20)
    assert networks_of(25, workers=2).fps == pytest.approx(40)


def test_a_busy_machine_is_said_to_be_one() -> None:
    course = speed.Course({Path("a"): 4, Path("b"): 5}, [Path("a")], Path())
    quiet, busy = Usage(10, 8, {}, 1, ""), Usage(10, 8, {}, 1, "", others_cpu_s=8)
    calm = Measured("landmarker", 1, quiet, quiet, 4, 9)
    disturbed = Measured("legacy", 2, quiet, busy, 4, 9)
    said = speed.conditions([calm, calm], [networks_of(20)], course)
    assert "2 clips, 9 frames a run, 2 repetitions" in said
    assert "at most 0.00 CPUs during a run" in said
    assert "host 0.00 on average.\n" in said
    said = speed.conditions([calm, disturbed], [], course)
    assert "at most 0.80 CPUs during a run (of legacy x2)" in said
    assert "That is much: trust the CPU times" in said
    loud = replace(networks_of(20, workers=2, whole=True), others_cpus=0.9)
    assert "0.90 CPUs during a run (of floor x2)" in speed.conditions([disturbed], [loud], course)
    assert "0.30 on average. That is much" in speed.conditions([calm], [], course, stolen=0.3)


def test_stage_table_adds_up() -> None:
    def both(frames: int) -> Usage:
        return usage(
            1,
            1,
            **{
                "stage processes": 0.070 * frames,
                "main process": 0.002 * frames,
                "Prefect server": 0.003 * frames,
            },
        )

    run = Measured("tracker", 1, both(100), both(900), 100, 900)
    table = speed_tables.stage_table([run], {"bare loop": 60, "roi": 3, "track": 61, "smooth": 1})
    assert cells(table, "track, beyond the bare loop")[1:] == ["1.00", "1.7%"]
    assert cells(table, "stage processes, beyond the stages")[1] == "5.00"
    assert cells(table, "Prefect server")[1:] == ["3.00", "5.0%"]
    assert cells(table, "all")[1:] == ["75.00", "125.0%"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--repeat", "0"],
        ["--only", "openpose"],
        ["--stages", "--only", "landmarker"],
        ["--set", "engine"],
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        speed.main(arguments)


def test_a_setting_that_is_not_there_is_refused_before_anything_runs() -> None:
    assert assignment("ENGINE=onnx") == ("engine", "onnx")
    with pytest.raises(SettingsError, match="there is no setting enigne"):
        speed.main(["--set", "enigne=onnx"])


def test_what_is_ours_runs_at_the_settings_given() -> None:
    ours = contestants({"engine": "litert", "speed": "full"})["holistic-fast"]
    assert ours.command(Path("clips"), Path("workspace"), 2)[3:] == [
        *("clips", "--workers", "2", "--set", "engine=litert", "--set", "speed=fast"),
        *("--set", "tracking_provider=holistic", "--set", "face_mesh=attention"),
    ]
    tracker = contestants({"tracking_provider": "holistic", "engine": "litert"})["tracker"]
    assert "with the provider holistic" in tracker.computes
    assert tracker.command(Path("clips"), Path("workspace"), 2)[-2:] == ["--set", "engine=litert"]


@pytest.mark.parametrize(
    ("command", "role"),
    [
        (["python", "-m", "uvicorn", "--app-dir", "prefect.server.api.server"], "Prefect server"),
        (["python", "-c", "from multiprocessing.spawn import spawn_main"], "stage processes"),
        (["python", "-m", "flows.cli", "run", "clips"], "main process"),
    ],
)
def test_roles_of_processes(command: list[str], role: str) -> None:
    assert process_role(command) == role


def test_the_whole_tree_is_measured(tmp_path: Path) -> None:
    child = "import time\nheap = bytearray(b'x' * 64_000_000)\nend = time.process_time() + 0.6\n"
    child += "while time.process_time() < end: pass\n"
    parent = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\nprint('ok')"
    )
    found = measure([sys.executable, "-c", parent], tmp_path / "log")
    assert found.output.strip() == "ok"
    assert 0.6 <= found.cpu_s < 5
    assert found.wall_s >= 0.6
    assert found.peak_bytes > 60_000_000


def test_a_command_that_fails_is_an_error_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="no luck"):
        measure([sys.executable, "-c", "raise SystemExit('no luck')"], tmp_path / "log")


@pytest.fixture(scope="module")
def short_clip(signer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 12 frames of a clip with a person in it."""
    path = tmp_path_factory.mktemp("clips") / "short.mp4"
    frames = [frame.image for frame in read_frames(signer, indices=range(12))]
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"qscale": "2"})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("name", list(contestants({})))
def test_every_contestant_does_its_clips(name: str, short_clip: Path, tmp_path: Path) -> None:
    made = environment.cache_folder() / "pose-format-0.15.0" / "ready"
    if name in ("pose-format", "legacy") and not made.is_file():
        pytest.skip("needs pose-format's environment: `make bench-speed` makes it")
    found = speed.run(name, contestants({})[name], 2, [short_clip], tmp_path)
    assert found.cpu_s > 0.1
    if found.output.startswith("{"):
        told = json.loads(found.output)
        assert told["frames"] == [12]
        assert ("pose" in told.get("calls", {})) == name.startswith("holistic")


def test_clips_that_were_not_done_are_an_error(short_clip: Path, tmp_path: Path) -> None:
    lazy = contestants({})["landmarker"]
    idle = [sys.executable, "-c", "print('{\"frames\": [0]}')"]
    idler = type(lazy)("nothing", lambda *_: idle, lazy.clips_done)
    with pytest.raises(CannotRun, match="idler did 0 of 1 clips"):
        speed.run("idler", idler, 1, [short_clip], tmp_path)


@pytest.mark.usefixtures("models")
def test_a_provider_in_a_bare_loop_sees_every_frame(short_clip: Path) -> None:
    frames, calls = track_clip(short_clip, {"tracking_provider": "mediapipe"})
    assert (frames, dict(calls)) == (12, {})  # MediaPipe's graph does not tell what it ran
    frames, calls = track_clip(short_clip, {"tracking_provider": "holistic"})
    assert frames == 12
    assert 0 < calls["pose_detector"] < calls["pose"] <= 12


@pytest.mark.usefixtures("models")
def test_stages_and_the_bare_loop_cost_something(short_clip: Path, tmp_path: Path) -> None:
    costs = stage_costs([short_clip], tmp_path, {})
    assert set(costs) == {*STAGES, "bare loop"}
    assert costs["track"] > 1
    assert costs["bare loop"] > 1


def test_a_loop_sees_every_frame_in_order(tmp_path: Path) -> None:
    seen = list(views(write_clip(tmp_path / "a.mp4", 20)))
    assert [view.timestamp_s for view in seen] == [number / 25 for number in range(20)]
    assert {view.image.shape for view in seen} == {(48, 64, 3)}
    brightness = [view.image.mean() for view in seen]
    assert brightness == sorted(brightness)
    assert brightness[-1] - brightness[0] > 140


def test_the_quick_course_takes_the_shortest_clips(tmp_path: Path) -> None:
    made = [write_clip(tmp_path / f"{count}.mp4", count) for count in (30, 5, 6, 7, 20, 25)]
    course = speed.lay_course(made, 2, tmp_path / "quick", quick=True)
    assert sorted(course.frames.values()) == [5, 6, 7, 20]
    assert course.count(course.few) == 11
    whole = speed.lay_course(made[:1], 2, tmp_path / "whole", quick=False)
    assert list(whole.frames.values()) == [30] * 6
    with pytest.raises(CannotRun, match="6 clips are too few for 4 workers"):
        speed.lay_course(made[:1], 4, tmp_path / "few", quick=False)


class Counting:
    """A network that counts its runs."""

    def __init__(self) -> None:
        self.input_shape: tuple[int, ...] = (1, 2, 2, 3)
        self.runs = 0

    def __call__(self, array: Array) -> Sequence[Array]:
        assert array.shape == self.input_shape
        self.runs += 1
        return [array]


def test_networks_run_as_often_as_a_frame_needs_them() -> None:
    hand, detector = Counting(), Counting()
    networks: dict[str, Network] = {"hand": hand, "pose_detector": detector}
    times = time_networks(networks, rounds=5, warm_up=2)
    assert (hand.runs, detector.runs) == (14, 7)
    assert [len(times[name]) for name in networks] == [10, 5]


@pytest.mark.usefixtures("models")
def test_the_networks_of_the_provider_are_measured() -> None:
    times = model_times({"engine": "litert"}, workers=2, rounds=2)
    assert set(FULL_FRAME) < set(times.cpu_ms)
    assert len(times.cpu_ms) == len(HOLISTIC_NETWORKS.members)
    assert times.cpu_ms["pose"] > times.cpu_ms["blendshapes"] > 0
    assert times.frame_cpu_ms() > times.cpu_ms["pose"]
    assert (times.speed, times.workers) == ("full", 2)
    whole = model_times({"engine": "litert"}, workers=1, rounds=1, whole=True)
    assert set(whole.cpu_ms) == set(times.cpu_ms)
    assert whole.whole


@pytest.mark.parametrize("engine", ["litert", "openvino"])
def test_the_floor_computes_what_no_landmark_needs_as_well(models: ModelStore, engine: str) -> None:
    pose = Whole(HolisticProvider(models, engine))["pose"]
    outputs = pose(np.zeros(pose.input_shape, np.float32))
    assert len(outputs) == 5
    assert (1, 256, 256, 1) in {output.shape for output in outputs}, "the mask of the body"


def test_start_ups_are_summed_and_judged() -> None:
    starts = [
        Start("ours", "cold", 0.2, 0.2, 0.3, 200_000_000, 553),
        Start("ours", "warm", 0.2, 0.1, 0.1, 260_000_000, 553),
        Start("ours", "warm", 0.1, 0.1, 0.1, 270_000_000, 553),
    ]
    table = startup.table(starts)
    cold, warm = (line for line in table.splitlines() if line.startswith("| ours"))
    assert [cell.strip() for cell in cold.strip("|").split("|")][5:] == [
        *("0.70", "200", "553", "no, yes")
    ]
    assert "| 0.35 (0.30–0.40) | 265 (260–270) | 553       | yes, no " in warm


def test_a_cold_start_has_the_models_and_nothing_made_of_them(tmp_path: Path) -> None:
    (tmp_path / "models" / "compiled").mkdir(parents=True)
    (tmp_path / "models" / "compiled" / "network.blob").write_bytes(b"kept")
    (tmp_path / "models" / "bundle.task").write_bytes(b"model")
    copied = startup.copy_files(tmp_path / "models", tmp_path / "home" / "models")
    assert [path.name for path in copied.rglob("*")] == ["bundle.task"]


def test_a_process_is_timed_to_its_first_landmarks(
    models: ModelStore, signer: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "picture.npy", startup.middle_frame(signer))
    options = load_settings({"models_dir": models.folder}).model_dump(mode="json")
    one = startup.start("mediapipe", "warm", options, tmp_path / "picture.npy", tmp_path)
    assert one.landmarks >= 33
    assert min(one.import_s, one.load_s, one.first_frame_s) > 0
    assert 50 < one.peak_mb < 2000
    with pytest.raises(CannotRun, match="there is no tracking provider 'openpose'"):
        startup.start("openpose", "warm", options, tmp_path / "picture.npy", tmp_path)


def write_clip(path: Path, frames: int = 5, codec: str = "mpeg4", b_frames: int = 0) -> Path:
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25, options={"bf": str(b_frames)})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for value in range(frames):
            picture = np.full((48, 64, 3), 8 * value, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_copies_have_the_same_frames_and_other_bytes(tmp_path: Path) -> None:
    made = [write_clip(tmp_path / "a.mp4"), write_clip(tmp_path / "b.mkv", 7)]
    laid = clips.lay_out(made, 6, tmp_path / "laid")
    assert [clips.count_frames(clip) for clip in laid] == [5, 7] * 3
    assert len({sha256_file(clip) for clip in laid}) == 6


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_copy_keeps_frames_that_are_stored_out_of_order(tmp_path: Path, suffix: str) -> None:
    """Matroska does not store decoding times: the first packets of such video have none."""
    clip = write_clip(tmp_path / f"a.{suffix}", 30, "libx264", b_frames=3)
    clips.remux(clip, tmp_path / f"b.{suffix}", "copy")

    def pictures(path: Path) -> list[bytes]:
        with av.open(path) as container:
            return [f.to_ndarray(format="rgb24").tobytes() for f in container.decode(video=0)]

    assert len(pictures(clip)) == 30
    assert pictures(tmp_path / f"b.{suffix}") == pictures(clip)


def test_clips_are_found_in_folders_and_globs_once(tmp_path: Path) -> None:
    one = write_clip(tmp_path / "a.mp4")
    (tmp_path / "notes.txt").write_text("no video", encoding="utf-8")
    assert clips.find_clips([str(tmp_path), str(tmp_path / "*.mp4"), str(one)], tmp_path) == [one]
    with pytest.raises(CannotRun, match="no video is there"):
        clips.find_clips([str(tmp_path / "*.mov")], tmp_path)
    with pytest.raises(CannotRun, match="cannot be measured on"):
        clips.count_frames(tmp_path / "notes.txt")


def test_the_peer_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def install(command: list[str], what: str) -> None:
        commands.append([what, *command])
        scripts = tmp_path / "pose-format-0.15.0" / "bin"
        scripts.mkdir(parents=True, exist_ok=True)
        for program in ("videos_to_poses", "python"):
            (scripts / program).touch(mode=0o755)

    monkeypatch.setattr(environment, "_run", install)
    monkeypatch.setattr("os.name", "posix")
    first = environment.pose_format_command(tmp_path)
    assert environment.pose_format_command(tmp_path) == first
    assert environment.pose_format_python(tmp_path).parent == first.parent
    assert [what for what, *_ in commands] == ["make an environment", "install pose-format"]
    assert set(environment.REQUIREMENTS) < set(commands[1])


def test_growth_of_memory_is_a_slope() -> None:
    assert memory.growth([6, 12, 24], [700, 700, 700]) == 0
    assert memory.growth([6, 12, 24], [760, 820, 940]) == pytest.approx(10)
    assert "| 6 | 400 | 100 MiB | 5 s |" in memory.table([6], [400], [usage(5, 5)])
