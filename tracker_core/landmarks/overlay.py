"""Landmarks over the video they were found in, as a contact sheet or as a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tracker_core.errors import StorageError, Unreadable
from tracker_core.landmarks.draw import contact_sheet, draw_landmarks, evenly_spaced
from tracker_core.landmarks.tracks import Tracks
from tracker_core.media.decode import Frame, read_frames
from tracker_core.media.encode import VideoWriter
from tracker_core.media.probe import probe


def write_contact_sheet(
    source: Path, tracks: Tracks, target: Path, frames: int = 12, *, anonymous: bool = False
) -> Path:
    """A PNG of evenly spaced frames with their landmarks; returns its path.

    Args:
        source: the video that the track was made from.
        tracks: the track.
        target: the PNG's name.
        frames: at most so many pictures.
        anonymous: draw on black, so that nobody can be recognised.

    Raises Unreadable when the video is not the one the track was made from, StorageError when the
    PNG cannot be written.
    """
    chosen = evenly_spaced(len(tracks), frames)
    pictures = (
        (row, frame.timestamp_s, frame.image)
        for row, frame in zip(chosen, _frames(source, tracks, chosen, anonymous), strict=True)
    )
    sheet = contact_sheet(pictures, tracks)
    done, data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not done:
        raise StorageError(f"the picture {target} could not be encoded")
    _replace(target, data)
    return target


def write_overlay_video(
    source: Path, tracks: Tracks, target: Path, *, anonymous: bool = False
) -> Path:
    """An MP4 of the tracked frames with their landmarks, at their own times; returns its path.

    Raises Unreadable when the video is not the one the track was made from.
    """
    width, height = tracks.image_size
    part = target.with_name(f".{target.name}.part")
    rows = list(range(len(tracks)))
    with VideoWriter(part, width, height, crf=20) as writer:
        for row, frame in zip(rows, _frames(source, tracks, rows, anonymous), strict=True):
            writer.write(draw_landmarks(frame.image, tracks, row), frame.timestamp_s)
    part.replace(target)
    return target


def _frames(source: Path, tracks: Tracks, rows: list[int], anonymous: bool) -> Iterator[Frame]:
    if anonymous:
        black = np.zeros((tracks.image_size[1], tracks.image_size[0], 3), np.uint8)
        return (Frame(row, float(tracks.timestamps[row]), black) for row in rows)
    info = probe(source)
    wanted = tracks.timestamps[rows]
    indices = np.searchsorted(info.timestamps, wanted - 1e-9)
    known = indices < info.frame_count
    if not known.all() or not np.allclose(info.timestamps[indices], wanted, atol=1e-6):
        raise Unreadable(
            f"{source} does not have the frames that the track was made from: "
            "it has changed since; run it again"
        )
    return read_frames(source, info, indices=indices.tolist(), size=tracks.image_size)


def _replace(target: Path, data: npt.NDArray[np.uint8]) -> None:
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_bytes(data.tobytes())
        part.replace(target)
    except OSError as error:
        raise StorageError(f"could not write {target}: {error}") from error
