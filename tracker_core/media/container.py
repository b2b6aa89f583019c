"""Opening a video file and decoding its one film: what `probe` and all readers share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.error
import av.logging
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tracker_core.errors import MissingFile, NoVideoStream, Unreadable

OnLoss = Callable[[str], None]

# Playlists and scripts that make the demuxer open other files, and text drawn as pictures.
_NOT_ONE_VIDEO = frozenset({"hls", "dash", "concat", "concatf", "imf", "lavfi", "sdp", "tty"})
_NOT_THE_FILM = Disposition.attached_pic | Disposition.timed_thumbnails
_DEMUX_ATTEMPTS = 16  # read errors in a row after which the file is taken to break off
# FFmpeg refuses larger pictures before it makes room for them, whatever a header promises.
_MOST_PIXELS = {"max_pixels": str(1 << 27)}
_REFUSED_SIZE = re.compile(r"Picture size ([1-9]\d*)x([1-9]\d*) (?:is invalid|exceeds)")

_PICTURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n": "PNG", b"BM": "BMP", b"II*\0": "TIFF"}
_JPEG_STREAMS = (".mjpeg", ".mjpg")  # JPEG pictures one after the other, as cameras store them
_OTHER_FILES = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"\x89HDF": "an HDF5 file",
    b"PAR1": "a Parquet file",
    b"#EXTM3U": "a playlist",
}


@contextmanager
def open_video(source: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the file and choose its film: the default or best stream, never cover art.

    Decoding is set to one thread, which costs the least processor time per frame and always gives
    the same frames; videos, not frames, are what runs in parallel.

    Raises:
        MissingFile, Unreadable, NoVideoStream: see `probe`.
    """
    known = _refuse_what_is_no_video(source)
    try:
        # An absolute path cannot be mistaken for a protocol ("concat:..."), and a file that
        # names other files or addresses must not make us fetch them.
        container = av.open(
            str(source.absolute()),
            format=known,
            metadata_errors="replace",
            options=_MOST_PIXELS,  # for the frames that FFmpeg decodes to learn of the stream
            container_options={"protocol_whitelist": "file"},
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise Unreadable(f"{source.name} cannot be opened: {_why_unreadable(source)}") from error
    with container:
        kind = container.format.name
        if kind in _NOT_ONE_VIDEO or kind.endswith("_pipe") or kind == "image2":
            what = "one still picture" if "image" in kind or "pipe" in kind else f"{kind} text"
            raise Unreadable(f"{source.name} holds {what}, not a video; give a video file")
        yield container, _choose_stream(source, container)


def _choose_stream(source: Path, container: InputContainer) -> VideoStream:
    films = [s for s in container.streams.video if not s.disposition & _NOT_THE_FILM]
    if not films:
        kinds = Counter(
            "cover art" if stream.type == "video" else stream.type for stream in container.streams
        )
        found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"
        raise NoVideoStream(f"{source.name} has no video stream (it holds: {found})")
    best = container.streams.best("video")
    stream = next((film for film in films if best is not None and film.index == best.index), None)
    if stream is None:
        stream = max(films, key=lambda film: (film.width or 0) * (film.height or 0))
    if stream.codec_context is None:
        raise Unreadable(
            f"the video in {source.name} is stored in a codec that this FFmpeg build cannot "
            "decode; convert it to H.264"
        )
    stream.codec_context.thread_count = 1
    stream.thread_type = "NONE"
    stream.codec_context.options = _MOST_PIXELS
    return stream


def _refuse_what_is_no_video(source: Path) -> str | None:
    """Name the usual impostors by their first bytes, before a decoder guesses at them.

    Returns FFmpeg's name of the format where it would guess wrong.
    """
    try:
        with source.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError as error:
        raise MissingFile(f"{source} does not exist") from error
    except IsADirectoryError as error:
        raise Unreadable(f"{source} is a folder, not a video file") from error
    except OSError as error:
        raise Unreadable(f"{source} cannot be read: {error.strerror or error}") from error
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    shown = repr(head[:24].decode("utf-8", "replace"))
    if not head:
        raise Unreadable(f"{source.name} is empty (0 bytes); copy or download it again")
    if text.startswith(b"version https://git-lfs"):
        raise Unreadable(
            f"{source.name} is a git-lfs pointer, not the video; run 'git lfs pull' where it lies"
        )
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        raise Unreadable(
            f"{source.name} starts with {shown}: a web page saved as video; download it again"
        )
    if text.startswith((b"<?xml", b"<error")):
        raise Unreadable(
            f"{source.name} starts with {shown}: an XML document (a server's error message?), "
            "not a video; download it again"
        )
    if head.startswith(b"\xff\xd8\xff") and source.suffix.lower() in _JPEG_STREAMS:
        return "mjpeg"
    for magic, name in _PICTURES.items():
        if head.startswith(magic):
            raise Unreadable(f"{source.name} is a {name} picture, not a video; give a video file")
    for magic, name in _OTHER_FILES.items():
        if head.startswith(magic):
            raise Unreadable(f"{source.name} is {name}; give the video file itself")
    return None


def _why_unreadable(source: Path) -> str:
    with source.open("rb") as file:
        head = file.read(4096)
    if not head.strip(b"\0"):
        return "it begins with zeros only, as an unfinished download does; download it again"
    if head[4:8] in (b"ftyp", b"mdat", b"moov", b"wide", b"free", b"skip"):
        return (
            "it is an MP4 or QuickTime file whose index (the 'moov' atom) is missing or broken, "
            "because a recording or download was cut off; get a complete copy"
        )
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "it is a Matroska or WebM file with a broken header; get a complete copy"
    if all(byte in b"\t\r\n" or byte >= 32 for byte in head):
        return f"it is text that starts with {head[:24].decode('utf-8', 'replace')!r}, not a video"
    return f"its first bytes ({head[:8].hex(' ')}) belong to no known video format"


class DecodeCount:
    """What passed through `decode_stream` besides frames: packets read and packets hidden."""

    def __init__(self) -> None:
        self.packets = 0
        self.hidden = 0  # by an edit list: decoded for what follows, never shown


def decode_stream(
    container: InputContainer,
    stream: VideoStream,
    on_loss: OnLoss | None = None,
    count: DecodeCount | None = None,
) -> Iterator[VideoFrame]:
    """Every frame of the stream that decodes, in presentation order.

    A packet that does not decode is reported to `on_loss` and passed over; what follows it is
    still read. Everything that counts frames counts them here.
    """
    count = count if count is not None else DecodeCount()

    def lost(message: str) -> None:
        if on_loss is not None:
            on_loss(message)

    failures = 0
    ended = False
    while not ended and failures < _DEMUX_ATTEMPTS:
        try:
            for packet in container.demux(stream):
                if packet.size:
                    count.packets += 1
                    count.hidden += packet.is_discard
                    failures = 0
                try:
                    yield from stream.decode(packet)
                except (av.error.FFmpegError, ValueError) as error:
                    lost(_message(error))
            ended = True
        except IndexError:
            break  # after the last packet, PyAV 18 trips over streams that appeared on the way
        except (av.error.FFmpegError, OSError, ValueError) as error:
            failures += 1
            if failures == 1:
                lost(f"reading the file failed: {_message(error)}")
    if not ended:
        try:
            yield from stream.decode(None)
        except av.error.EOFError:
            return  # emptied before
        except (av.error.FFmpegError, ValueError) as error:
            lost(_message(error))


def refused_size(source: Path) -> tuple[int, int] | None:
    """Width and height of the pictures that FFmpeg refuses to decode for being too large.

    It tells the size in its log alone, which is silent otherwise; None where it says no such thing.
    """
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as said, open_video(source) as (container, stream):
            next(decode_stream(container, stream), None)
    finally:
        av.logging.set_level(level)
    text = " ".join(message for _, _, message in said)
    sizes = [(int(w), int(h)) for w, h in _REFUSED_SIZE.findall(text)]
    return max(sizes, default=None)


def _message(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
