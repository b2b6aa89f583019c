"""Every hard file that was collected: found in the wild, or made to be hard."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.media.hard_files import true_timestamps
from tracker_core.errors import Damaged, NoFrames, NoVideoStream, Unreadable, VideoError
from tracker_core.media.decode import read_frames
from tracker_core.media.probe import ProbeLimits, VideoInfo, probe

# frames, display width, display height, rate
EXPECTED: dict[str, tuple[int, int, int, str]] = {
    "real/-video-with-dash-.mp4": (5, 1, 1, "1/1"),
    "real/av1_video.mkv": (125, 640, 360, "25/1"),
    "real/decord_corrupted.mp4": (49, 1280, 720, "480/49"),
    "real/decord_unordered.mov": (4, 50, 50, "32/1"),
    "real/decord_video_0.mov": (3, 568, 320, "30/1"),
    "real/decord_video_180.mov": (3, 568, 320, "30/1"),
    "real/decord_video_270.mov": (3, 320, 568, "30/1"),
    "real/decord_video_90.mov": (3, 320, 568, "30/1"),
    "real/h264_10bits.mp4": (30, 200, 200, "30/1"),
    "real/h265_10bits.mp4": (30, 200, 200, "30/1"),
    "real/no_duration.webm": (74, 1280, 720, "15000/1001"),
    "real/no_person_edit_list.mp4": (95, 960, 540, "24/1"),
    "real/vfr_face_then_noface.mov": (169, 960, 540, "5811/220"),
    "real/vp9_alpha_transparent.webm": (150, 200, 200, "30/1"),
    "synth/anamorphic_sar4_3.mp4": (51, 853, 480, "30/1"),
    "synth/anim.gif": (20, 240, 180, "12/1"),
    "synth/edit_list_cut.mp4": (36, 640, 480, "30/1"),
    "synth/ffv1_gray.mkv": (8, 320, 240, "30/1"),
    "synth/fps1.mp4": (2, 640, 480, "1/1"),
    "synth/fps1000.mp4": (51, 640, 480, "1000/1"),
    "synth/fps12.mp4": (20, 640, 480, "12/1"),
    "synth/fps2997.mp4": (51, 640, 480, "30000/1001"),
    "synth/fps60.mp4": (99, 640, 480, "60/1"),
    "synth/frozen_lead_in_out.mp4": (156, 640, 480, "30/1"),
    "synth/h263.3gp": (51, 384, 288, "30000/1001"),
    "synth/h264_interlaced_25i.mp4": (42, 640, 480, "25/1"),
    "synth/h264_rgb.mp4": (12, 320, 240, "30/1"),
    "synth/huge_7680x5760_hevc.mp4": (3, 7680, 5760, "30/1"),
    "synth/mjpeg.avi": (15, 640, 480, "30/1"),
    "synth/mpeg2_interlaced_25i.ts": (42, 720, 576, "25/1"),
    "synth/odd_333x251_h264_444.mp4": (51, 333, 251, "30/1"),
    "synth/odd_639x477_mpeg4.avi": (51, 639, 477, "30/1"),
    "synth/odd_641x479_vp9.webm": (51, 641, 479, "30/1"),
    "synth/one_frame.mp4": (1, 640, 480, "30/1"),
    "synth/black_no_person.mp4": (30, 640, 480, "30/1"),
    "synth/crop_head_only_640x200.mp4": (51, 640, 200, "30/1"),
    "synth/person_appears_and_leaves.mp4": (111, 640, 480, "30/1"),
    "synth/prores.mov": (5, 320, 240, "30/1"),
    "synth/sign_twice.mp4": (102, 640, 480, "30/1"),
    "synth/size_change_mid_stream.ts": (102, 640, 480, "30/1"),
    "synth/square_480.mp4": (51, 480, 480, "30/1"),
    "synth/testcard_no_person.mp4": (30, 640, 480, "30/1"),
    "synth/tiny_160x120.mp4": (51, 160, 120, "30/1"),
    "synth/tiny_16x16.mp4": (10, 16, 16, "30/1"),
    "synth/truncated.mkv": (20, 640, 480, "19000/733"),
    "synth/truncated_half_faststart.mp4": (16, 640, 480, ""),
    "synth/two_frames.mp4": (2, 640, 480, "30/1"),
    "synth/two_signers_side_by_side.mp4": (51, 800, 480, "30/1"),
    "synth/vfr_dropped.mp4": (36, 640, 480, "21/1"),
    "synth/vfr_jitter.mp4": (51, 640, 480, "6218/207"),
    "synth/wide_4096x480.mp4": (6, 4096, 480, "30/1"),
}
NAMED_12 = {
    *("100% #1 & 'sitat'; $x (kopi).mp4", "blåbærsyltetøy.mp4", "to  mellomrom .mp4"),
    *("Ærlig talt – «på øya».mp4", "手話 🤟.mp4", "ga\u030a_nfd_a\u030a.mp4"),
}
REFUSED: dict[str, tuple[type[VideoError], str]] = {
    "synth/audio_only.mp4": (NoVideoStream, "1 audio"),
    "synth/cover_art_only.mp4": (NoVideoStream, "cover art"),
    "synth/git_lfs_pointer.mp4": (Unreadable, "git lfs pull"),
    "synth/html_404.mp4": (Unreadable, "web page"),
    "synth/jpeg_named.mp4": (Unreadable, "JPEG picture"),
    "synth/random_bytes.mp4": (Unreadable, "no known video format"),
    "synth/truncated_moov_missing.mp4": (Unreadable, "'moov'"),
    "synth/zero_bytes.mp4": (Unreadable, "0 bytes"),
    "synth/zero_frames.mp4": (NoVideoStream, "nothing"),
    "synth/zero_samples_track.mp4": (NoFrames, "not one frame"),
}
TOO_DAMAGED = ("synth/truncated.mkv", "synth/truncated_half_faststart.mp4")
# Where ffmpeg's own times are no truth: none are stored, or they go backwards.
UNTIMED = {"raw_no_timestamps.h264", "size_change_mid_stream.ts"}


def expected(path: Path) -> tuple[int, int, int, str]:
    """Most made files are the base clip in another dress: 51 frames of 640x480 at 30 per second."""
    name = f"{path.parent.name}/{path.name}"
    if path.name in NAMED_12 or (path.name.startswith("g") and path.name.endswith("_nfd_å.mp4")):
        return 12, 320, 240, "30/1"
    return EXPECTED.get(name, (51, 640, 480, "30/1"))


@pytest.fixture(scope="module")
def infos(shared_data: Path) -> dict[Path, VideoInfo]:
    files = [path for path in sorted((shared_data / "hard").glob("*/*")) if path.is_file()]
    videos = [path for path in files if f"{path.parent.name}/{path.name}" not in REFUSED]
    assert len(videos) > 80
    return {path: probe(path, ProbeLimits(max_damaged_fraction=1.0)) for path in videos}


def test_every_hard_file_is_as_expected(infos: dict[Path, VideoInfo]) -> None:
    wrong = []
    for path, info in infos.items():
        frames, width, height, rate = expected(path)
        found = (info.frame_count, info.display_width, info.display_height, info.rate)
        if found != (frames, width, height, rate or info.rate):
            wrong.append((path.name, found))
        assert info.timestamps[0] == 0
        assert (np.diff(info.timestamps) > 0).all()
    assert wrong == []


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_video_is_refused(shared_data: Path, name: str) -> None:
    kind, words = REFUSED[name]
    with pytest.raises(kind) as caught:
        probe(shared_data / "hard" / name)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", TOO_DAMAGED)
def test_mostly_lost_is_damaged(shared_data: Path, name: str) -> None:
    with pytest.raises(Damaged, match="breaks off"):
        probe(shared_data / "hard" / name, ProbeLimits(max_damaged_fraction=0.5))
    assert probe(shared_data / "hard" / name).damage, "a usable part is left"


def test_only_damaged_files_are_called_damaged(infos: dict[Path, VideoInfo]) -> None:
    damaged = {f"{path.parent.name}/{path.name}" for path, info in infos.items() if info.damage}
    assert damaged == {"real/decord_corrupted.mp4", "synth/bitflips.mp4", *TOO_DAMAGED}


def test_timestamps_are_those_of_ffmpeg(infos: dict[Path, VideoInfo]) -> None:
    for path, info in infos.items():
        if path.name in UNTIMED or path.name.startswith("huge"):
            continue
        true = true_timestamps(path, info.stream_index)
        found = [pts * Fraction(info.time_base) for pts in info.pts]
        assert found == [time - true[0] for time in true], path.name


def test_every_frame_that_was_counted_is_read(infos: dict[Path, VideoInfo]) -> None:
    for path, info in infos.items():
        shape = (min(36, info.display_height), min(64, info.display_width))
        frames = list(read_frames(path, info, size=shape[::-1]))
        assert [frame.index for frame in frames] == list(range(info.frame_count)), path.name
        assert {frame.image.shape for frame in frames} == {(*shape, 3)}


def test_turned_videos_look_like_the_base(shared_data: Path) -> None:
    folder = shared_data / "hard" / "synth"

    def picture(name: str) -> list[np.typing.NDArray[np.uint8]]:
        return [f.image for f in read_frames(folder / name, indices=[10, 30], size=(160, 120))]

    base = picture("base_thanks_640x480_30fps.mp4")
    mirrored = picture("mirrored.mp4")
    assert np.abs(base[0].astype(int) - mirrored[0]).mean() > 20
    for name in ("rot90_displaymatrix.mp4", "rot180_displaymatrix.mp4", "rot270_displaymatrix.mp4"):
        for turned, upright in zip(picture(name), base, strict=True):
            assert np.abs(turned.astype(int) - upright).mean() < 3, name
    for flipped, mirror in zip(picture("hflip_displaymatrix.mp4"), mirrored, strict=True):
        assert np.abs(flipped.astype(int) - mirror).mean() < 3
