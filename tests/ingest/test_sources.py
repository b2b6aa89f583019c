from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from tracker_core.ingest.manifest import Record, open_manifest
from tracker_core.ingest.sources import (
    Resolver,
    looks_like_video,
    passed_over,
    path_from_file_url,
    videos_in,
)

posix = pytest.mark.skipif(os.name == "nt", reason="how Windows paths are kept elsewhere")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    for name in ("yes.mkv", "UPPER.MP4", "two.mp4", "two.mov", "no_extension", "to  rom .mp4"):
        (tmp_path / "clips" / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("clips/yes.mkv", "clips/yes.mkv"),
        ("clips\\yes.mkv", "clips/yes.mkv"),
        (" clips/yes.mkv  ", "clips/yes.mkv"),
        ('"clips/yes.mkv"', "clips/yes.mkv"),
        ("./clips/../clips//yes.mkv", "clips/yes.mkv"),
        ("clips/yes", "clips/yes.mkv"),
        ("clips\\UPPER", "clips/UPPER.MP4"),
        ("clips/no_extension", "clips/no_extension"),
        ("clips/to  rom .mp4", "clips/to  rom .mp4"),
        ("clips/absent.mp4", "clips/absent.mp4"),
        ("clips/absent", "clips/absent"),
    ],
)
def test_local_paths(folder: Path, text: str, expected: str) -> None:
    source = Resolver(str(folder)).resolve(text)
    assert Path(source.location) == folder / expected
    assert source.remote_url is None
    assert source.filename == Path(expected).name


def test_absolute_paths_and_file_urls(folder: Path) -> None:
    path = folder / "clips" / "yes.mkv"
    for text in (str(path), path.as_uri(), f"{(folder / 'clips').as_uri()}/y%65s.mkv"):
        assert Path(Resolver("elsewhere").resolve(text).location) == path
    assert path_from_file_url("file://localhost/a/b.mp4") == "/a/b.mp4"
    assert path_from_file_url("file:///C:/a/b%20c.mp4") == "C:/a/b c.mp4"
    assert path_from_file_url("file://server/share/b.mp4") == "//server/share/b.mp4"
    assert path_from_file_url("clips/file.mp4") == "clips/file.mp4"


def test_names_that_stand_for_a_video_beside_them(folder: Path) -> None:
    """ELAN lists its own file, AUTSL the stem that its colour and depth videos share."""
    for name in ("signer0_sample1_color.mp4", "signer0_sample1_depth.mp4"):
        (folder / "clips" / name).touch()
    resolver = Resolver(str(folder / "clips"))
    assert resolver.resolve("yes.eaf").filename == "yes.mkv"
    assert resolver.resolve("absent.eaf").filename == "absent.eaf"
    assert resolver.resolve("signer0_sample1").filename == "signer0_sample1_color.mp4"
    assert resolver.exists("signer0_sample1")


@posix
@pytest.mark.parametrize("text", ["D:\\clips\\å.mp4", "D:/clips/å.mp4", "\\\\nas\\clips\\å.mp4"])
def test_a_windows_path_stays_as_it_is(folder: Path, text: str) -> None:
    assert Resolver(str(folder)).resolve(text) == (text, None, "å.mp4")


@posix
def test_a_backslash_that_is_part_of_the_name(folder: Path) -> None:
    (folder / "a\\b.mp4").touch()
    assert Path(Resolver(str(folder)).resolve("a\\b.mp4").location) == folder / "a\\b.mp4"


@pytest.mark.parametrize(
    ("url", "filename"),
    [
        ("s3://bucket/clips/takk.mp4", "takk.mp4"),
        ("https://example.org/v/bl%C3%A5.mp4?token=1#t=2", "blå.mp4"),
        ("https://[broken/x.mp4", "x.mp4"),
    ],
)
def test_urls_stay_as_they_are(folder: Path, url: str, filename: str) -> None:
    assert Resolver(str(folder)).resolve(url) == (url, url, filename)


def test_relative_paths_of_a_manifest_at_a_url() -> None:
    source = Resolver("s3://bucket/set").resolve("clips\\yes.mkv")
    assert source == ("s3://bucket/set/clips/yes.mkv",) * 2 + ("yes.mkv",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no video"),
        ('""', "names no video"),
        ("clips/two", "two.mov or two.mp4; write the extension"),
        ("clips/*.png", "is a pattern"),
        ("a\0b.mp4", "is not a path"),
        ("https://", "is not a path|names no file"),
    ],
)
def test_what_names_no_single_file_is_said(folder: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Resolver(str(folder)).resolve(text)


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_a_name_is_found_under_either_normal_form(
    tmp_path: Path, on_disk: str, written: str
) -> None:
    # The folder has the other form than the file, so no single form of the path would do.
    other = {"NFC": "NFD", "NFD": "NFC"}[on_disk]
    place = tmp_path / unicodedata.normalize(other, "blåbær")  # type: ignore[arg-type]
    place.mkdir()
    path = place / unicodedata.normalize(on_disk, "gå hjem.mp4")  # type: ignore[arg-type]
    path.touch()
    for text in ("blåbær/gå hjem.mp4", "blåbær/gå hjem", "blåbær\\gå hjem.mp4"):
        source = Resolver(str(tmp_path)).resolve(unicodedata.normalize(written, text))  # type: ignore[arg-type]
        assert Path(source.location).is_file()
        assert source.filename == "gå hjem.mp4"


def test_which_texts_look_like_videos() -> None:
    assert looks_like_video("a/B.MOV ")
    assert looks_like_video("https://example.org/a.mp4?x=1.txt")
    assert not looks_like_video("https://example.org/a.html?x=b.mp4")
    assert not looks_like_video("mp4")


def test_a_folder_is_walked_in_order_without_hidden_files_and_loops(folder: Path) -> None:
    (folder / "._yes.mp4").touch()
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x.mp4").touch()
    (folder / "notes.txt").touch()
    if os.name != "nt":
        (folder / "clips" / "loop").symlink_to(folder, target_is_directory=True)
    names = [path.name for path in videos_in(folder) if isinstance(path, Path)]
    assert names == ["UPPER.MP4", "to  rom .mp4", "two.mov", "two.mp4", "yes.mkv"]


def test_what_a_folder_leaves_out_is_told(tmp_path: Path) -> None:
    for name in ("a.mp4", "B.MOV", "no_extension", "notes.txt", ".hidden"):
        (tmp_path / name).touch()
    assert [path.name for path in passed_over(tmp_path)] == ["no_extension", "notes.txt"]
    notes = open_manifest(tmp_path).recognised.notes
    assert any("2 files were passed over" in note and "no_extension" in note for note in notes)
    (record,) = open_manifest(tmp_path / "no_extension", as_video=True)
    assert isinstance(record, Record)
    assert record.word == "no_extension"
