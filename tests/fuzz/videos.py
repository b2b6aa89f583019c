"""Real small clips of many containers and codecs, and what may become of a damaged one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.media.hard_files import PATTERN, HardFiles, ffmpeg
from tracker_core.errors import VideoError
from tracker_core.media.probe import VideoInfo, probe
from tracker_core.preprocess.normalize import NormalizeParameters, normalize, read_normalized

_HARD_FILES = (
    *("plain.mp4", "faststart.mp4", "plain.mkv", "plain.ts", "vp9.webm", "mpeg4.avi"),
    *("animated.gif", "no_timestamps.h264", "ten_bits.mp4", "full_range.avi", "alpha.mov"),
    *("pq.mkv", "interlaced.mp4", "rotated_90.mp4", "edit_list.mp4", "repeated_times.mkv"),
    *("two_clocks.ts", "two_streams.mp4", "longer_sound.mp4", "cover_art.mp4"),
)
# What phones, browsers and old archives write besides.
_OTHERS = {
    "hevc.mp4": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"),
    "fragmented.mp4": ("-c:v", "libx264", "-g", "5", "-movflags", "frag_keyframe+empty_moov"),
    "av1.mkv": ("-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime"),
    "mpeg2.mpg": ("-c:v", "mpeg2video"),
    "theora.ogv": ("-c:v", "libtheora"),
    "wmv2.wmv": ("-c:v", "wmv2"),
    "flv1.flv": ("-c:v", "flv1"),
    "interlaced.ts": ("-c:v", "mpeg2video", "-flags", "+ilme+ildct"),
}

NAMED = frozenset({"unreadable", "no_video_stream", "no_frames", "damaged", "too_large"})
"""Codes of what may be wrong with the bytes of a video."""


class VideoFuzz:
    """Clips to damage, and the check of a damaged one: everything up to the tracker's pictures."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "whole"

    def wholes(self) -> dict[str, bytes]:
        """The bytes of undamaged clips, by name."""
        self._folder.mkdir(exist_ok=True)
        hard = HardFiles(self._folder)
        files = [hard[name] for name in _HARD_FILES]
        for name, options in _OTHERS.items():
            files.append(self._folder / name)
            if not files[-1].exists():
                ffmpeg("-f", "lavfi", "-i", PATTERN, *options, files[-1])
        return {path.name: path.read_bytes() for path in files}

    def check(self, video: Path) -> str:
        """Return ``frames``, or the code of the named error that it ends in."""
        try:
            info = probe(video)
            assert VideoInfo.from_json(info.to_json()) == info
            assert info.timestamps[0] == 0
            assert (np.diff(info.timestamps) > 0).all()
            # Small pictures: it is the reading that is tried, not the scaling.
            normalized = normalize(video, info, NormalizeParameters(max_height=96), self._folder)
            frames = sum(1 for _ in read_normalized(video, info, normalized, self._folder))
        except VideoError as error:
            return named(error)
        assert frames == normalized.frame_count
        return "frames"


def named(error: VideoError) -> str:
    """Return the error's code; fails unless it says of a damaged file what is wrong with it."""
    assert error.code in NAMED, error
    assert len(str(error)) > 20, error
    assert "changed since" not in str(error), "read otherwise than it was probed"
    return error.code
