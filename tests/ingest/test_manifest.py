from __future__ import annotations

import csv
import io
import os
import sys
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tracker_core.errors import ManifestError
from tracker_core.ingest.manifest import Manifest, Record, RowProblem, open_manifest


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def records(manifest: Iterable[Record | RowProblem]) -> list[Record]:
    return [item for item in manifest if isinstance(item, Record)]


def problems(manifest: Iterable[Record | RowProblem]) -> list[RowProblem]:
    return [item for item in manifest if isinstance(item, RowProblem)]


def only(manifest: Manifest) -> Record:
    (item,) = manifest
    assert isinstance(item, Record), item
    return item


# -- tables ----------------------------------------------------------------------------------


def test_a_record_holds_all_that_the_row_says(tmp_path: Path) -> None:
    manifest = open_manifest(
        write(tmp_path / "m.csv", "Ord;Videofil;Start;Slutt;Merk\ntakk;a/b.MP4;0,5;00:01,5; x \n")
    )
    assert only(manifest) == Record(
        line=2,
        word="takk",
        location=str(tmp_path / "a" / "b.MP4"),
        remote_url=None,
        filename="b.MP4",
        start_s=0.5,
        end_s=1.5,
        extra={"Merk": " x "},
    )


def test_what_was_recognised_is_told_before_anything_is_read(tmp_path: Path) -> None:
    manifest = open_manifest(write(tmp_path / "m.csv", "Ord;Videofil;Merk\ntakk;a.mp4;x\n"))
    assert manifest.recognised.columns == {"path": "Videofil", "word": "Ord"}
    told = manifest.recognised.describe()
    assert "table, utf-8, delimiter ';', with a header" in told
    assert "path        'Videofil'" in told
    assert "kept as extra: Merk" in told
    assert f"None of the first 1 files is there ({tmp_path / 'a.mp4'})" in told
    (tmp_path / "a.mp4").touch()
    assert "note" not in open_manifest(tmp_path / "m.csv").recognised.describe()


def test_words(tmp_path: Path) -> None:
    text = "ord,fil\n å  spise ,a.mp4\nblåbær,b.mp4\n,blåbær.mp4\n"
    manifest = open_manifest(write(tmp_path / "m.csv", text))
    assert [record.word for record in records(manifest)] == ["å spise", "blåbær", "blåbær"]


def test_the_root_replaces_the_folder_of_the_manifest(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", "word,file\ntakk,a.mp4\n")
    assert only(open_manifest(path)).location == str(tmp_path / "a.mp4")
    root = tmp_path / "elsewhere"
    assert only(open_manifest(path, root=root)).location == str(root / "a.mp4")
    assert only(open_manifest(path, root="s3://b/c")).location == "s3://b/c/a.mp4"
    assert only(open_manifest(path.as_uri(), root=root.as_uri())).location == str(root / "a.mp4")


def test_a_local_path_and_a_url_of_the_same_video(tmp_path: Path) -> None:
    text = "word,local_path,remote_url\na,a.mp4,s3://b/a.mp4\nb,,s3://b/b.mp4\nc,c.mp4,\nd,,\n"
    manifest = open_manifest(write(tmp_path / "m.csv", text))
    assert [(record.location, record.remote_url) for record in records(manifest)] == [
        (str(tmp_path / "a.mp4"), "s3://b/a.mp4"),
        ("s3://b/b.mp4", "s3://b/b.mp4"),
        (str(tmp_path / "c.mp4"), None),
    ]
    assert problems(manifest) == [RowProblem(5, "it names no video")]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ("0;0", (None, None)),
        ("0,0;00:00:00.0", (None, None)),
        (";", (None, None)),
        ("-1;-1", (None, None)),
        (";0", (None, None)),
        ("0;", (0.0, None)),
        ("1,5;", (1.5, None)),
        (";2", (None, 2.0)),
        ("0;1,7", (0.0, 1.7)),
        ("00:00:01:12;00:00:02:00", (1.5, 2.0)),
    ],
)
def test_segments(tmp_path: Path, cells: str, expected: tuple[float | None, float | None]) -> None:
    path = write(tmp_path / "m.csv", f"file;start;end;fps\na.mp4;{cells};24\nb.mp4;0;1;24\n")
    first = next(iter(open_manifest(path)))
    assert isinstance(first, Record)
    assert (first.start_s, first.end_s) == expected


@pytest.mark.parametrize("cells", ["2;1", "1;1", "1;0", "x;2", "0;inf", "0;1:75"])
def test_a_segment_that_cannot_be_is_a_problem(tmp_path: Path, cells: str) -> None:
    path = write(tmp_path / "m.csv", f"file;start;end\nb.mp4;0;1\na.mp4;{cells}\n")
    assert [problem.line for problem in problems(open_manifest(path))] == [3]


def test_frames(tmp_path: Path) -> None:
    slovo = "attachment_id\ttext\tbegin\tend\nc8\tПривет\t32\t70\nd9\tПока\t0\t0\n"
    (tmp_path / "c8.mp4").touch()
    first, second = records(open_manifest(write(tmp_path / "m.tsv", slovo)))
    assert first.filename == "c8.mp4"
    assert (first.start_frame, first.end_frame, first.start_s, first.end_s) == (32, 70, None, None)
    assert (second.start_frame, second.end_frame) == (None, None)

    wlasl = "gloss,video,fps,frame_start,frame_end\nbook,a.mp4,25,1,50\nbook,b.mp4,25,26,-1\n"
    first, second = records(open_manifest(write(tmp_path / "w.csv", wlasl)))
    assert (first.start_frame, first.end_frame, first.start_s, first.end_s) == (0, 50, 0.0, 2.0)
    assert (second.start_frame, second.end_frame, second.start_s, second.end_s) == (
        25,
        None,
        1.0,
        None,
    )


def test_a_duration_beside_a_start(tmp_path: Path) -> None:
    text = "file,start,duration\na.mp4,0.1,0.2\nb.mp4,,7\nc.mp4,2,\nd.mp4,1,0\n"
    found = open_manifest(write(tmp_path / "m.csv", text))
    assert [(record.start_s, record.end_s) for record in records(found)] == [
        (0.1, 0.3),
        (None, None),
        (2.0, None),
    ]
    assert problems(found) == [RowProblem(5, "its end (1) is not after its start (1)")]
    path = write(tmp_path / "ms.csv", "file,start (s),duration (ms)\na.mp4,1,500\n")
    assert only(open_manifest(path)).end_s == 1.5


def test_elan_names_its_own_file_above_the_table(tmp_path: Path) -> None:
    (tmp_path / "s1.mpg").touch()
    text = (
        '"#file:///C:/x/s1.eaf"\n#file:///D:/x/s1.mpg -- offset: 0\n'
        "Begin Time - msec\tEnd Time - msec\tGloss\tFile Name\n1500\t2000\tTAKK\ts1.eaf\n"
    )
    record = only(open_manifest(write(tmp_path / "m.txt", text)))
    assert (record.line, record.word, record.filename) == (4, "TAKK", "s1.mpg")
    assert (record.start_s, record.end_s) == (1.5, 2.0)
    path = write(tmp_path / "hash.csv", "# File, Label, StartFrame\nb.mp4, far, 7\n")
    assert only(open_manifest(path)).start_frame == 7, "a number sign alone is part of a name"


def test_milliseconds(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", "file,start_ms,end_ms\na.mp4,1500,2500\n")
    assert (only(open_manifest(path)).start_s, only(open_manifest(path)).end_s) == (1.5, 2.5)


def test_malformed_rows_are_told_with_their_line_and_the_others_are_read(tmp_path: Path) -> None:
    text = (
        "word,video,start,note\n"
        "a,a.mp4,0,\n"
        "b,b.mp4\n"  # 3: lacks start
        "c,c.mp4,0\n"  # 4: lacks only the note, as Excel writes it
        "d,d.mp4,0,,,\n"  # 5: empty cells too many, as Excel writes it
        "e,e.mp4,0,x,y\n"  # 6
        '"f,f.mp4,0,\n'  # 7: quote never closed
        "\n"
        ",,,\n"
        "g,,0,\n"  # 10: no path
        "h,h.mp4,soon,\n"  # 11
        "a,a.mp4,0.0,again\n"  # 12: repeats line 2
        'i,i.mp4,0,"two\nlines"\n'
        "j,j.mp4,0,\n"
    )
    manifest = open_manifest(write(tmp_path / "m.csv", text))
    assert [(record.line, record.word) for record in records(manifest)] == [
        (2, "a"),
        (4, "c"),
        (5, "d"),
        (13, "i"),
        (15, "j"),
    ]
    assert problems(manifest) == [
        RowProblem(3, "it has 2 cells where the header has 4"),
        RowProblem(6, "it has 5 cells where the header has 4"),
        RowProblem(
            7,
            "a quote is opened and not closed in the same row "
            '(a quote inside a quoted cell is written twice: "")',
        ),
        RowProblem(10, "it names no video"),
        RowProblem(11, "'soon' is not a time (use seconds, MM:SS or HH:MM:SS.mmm)"),
        RowProblem(12, "it repeats line 2", repeats=True),
    ]
    with pytest.raises(ManifestError, match=r"m\.csv, line 3: it has 2 cells"):
        list(open_manifest(tmp_path / "m.csv", strict=True))


def test_a_row_that_repeats_another_is_not_malformed(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", "word,video\nfar,a.mp4\nfar, a.mp4\nfår,a.mp4\n")
    assert [record.word for record in records(open_manifest(path, strict=True))] == ["far", "får"]
    assert problems(open_manifest(path)) == [RowProblem(3, "it repeats line 2", repeats=True)]


def test_a_manifest_can_be_read_twice(tmp_path: Path) -> None:
    manifest = open_manifest(write(tmp_path / "m.csv", "file\na.mp4\nb.mp4\n"))
    assert list(manifest) == list(manifest)
    assert len(list(manifest)) == 2


def test_a_manifest_that_goes_away(tmp_path: Path) -> None:
    manifest = open_manifest(write(tmp_path / "m.csv", "file\na.mp4\n"))
    (tmp_path / "m.csv").unlink()
    with pytest.raises(ManifestError, match="cannot be read"):
        list(manifest)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"is empty; a manifest lists one video per row"),
        ("\n;;;\n\n", r"is empty"),
        ("\ufeff", r"is empty"),
        ("word,video\n", r"has a header \(word, video\) and no rows"),
        ("word,video\n,\n", r"has a header \(word, video\) and no rows"),
        ("Category,Item\nNeeds,Food\n", r"no column that names video files"),
        ("front,side\na.mp4,b.mp4\n", r'--columns "path=front" or --columns "path=side"'),
        ('"word,video\n', r"line 1: a quote is opened and never closed"),
    ],
)
def test_nothing_to_do_is_never_a_success(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        open_manifest(write(tmp_path / "m.csv", text))


def test_explicit_columns_and_encoding(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", "a;b\nblå;x.mp4\n", "mac_roman")
    manifest = open_manifest(path, columns={"word": "a"}, encoding="mac-roman")
    assert only(manifest).word == "blå"
    with pytest.raises(ManifestError, match="no column 'c' for word: its columns are 'a', 'b'"):
        open_manifest(path, columns={"word": "c"})
    for encoding in ("nonsense", "base64"):
        with pytest.raises(ManifestError, match=f"no text encoding '{encoding}'"):
            open_manifest(path, encoding=encoding)


def test_damaged_bytes_cost_their_row_only(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes("ord,fil\nblå,a.mp4\nsmør,b.mp4\n".encode() + b"f\xe5r,c.mp4\n")
    manifest = open_manifest(path)
    assert [record.word for record in records(manifest)] == ["blå", "smør"]
    assert problems(manifest) == [RowProblem(4, "it holds bytes that are not utf-8 text")]
    assert "bytes are not utf-8" in manifest.recognised.describe()


# -- folders, globs, files, URLs ---------------------------------------------------------------


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("takk.MP4", "b/far.mov", "b/notes.txt", "words.csv"):
        (tmp_path / name).touch()
    manifest = open_manifest(tmp_path)
    assert manifest.recognised.kind == "folder"
    assert "words.csv was not read" in manifest.recognised.describe()
    assert [(record.word, record.filename, record.line) for record in records(manifest)] == [
        ("far", "far.mov", 0),
        ("takk", "takk.MP4", 0),
    ]
    assert all(Path(record.location).is_file() for record in records(manifest))
    with pytest.raises(ManifestError, match="is no table"):
        open_manifest(tmp_path, columns={"word": "Ord"})


@pytest.mark.skipif(sys.platform != "linux", reason="where file names are any bytes")
def test_a_file_name_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"bl\xe5.mp4")).touch()
    (tmp_path / "takk.mp4").touch()
    bad, good = open_manifest(tmp_path)
    assert isinstance(bad, RowProblem)
    assert "is not UTF-8; rename the file" in bad.message
    assert isinstance(good, Record)


def test_a_folder_with_metadata_as_of_hugging_face(tmp_path: Path) -> None:
    write(tmp_path / "metadata.csv", "file_name,text\ndata/1.mp4,hello\n")
    record = only(open_manifest(tmp_path))
    assert record.location == str(tmp_path / "data" / "1.mp4")
    assert record.word == "hello"


def test_a_glob_and_a_single_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").mkdir()
    for name in ("b.mp4", "x/a.mp4", "x/a.txt", "with [brackets].mp4"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    found = records(open_manifest("**/*"))
    assert [record.filename for record in found] == ["b.mp4", "with [brackets].mp4", "a.mp4"]
    assert all(Path(record.location).is_absolute() for record in found)
    assert only(open_manifest("b.mp4")).location == str(tmp_path / "b.mp4")
    assert only(open_manifest("with [brackets].mp4")).word == "with [brackets]"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("absent.csv", "no file or folder 'absent.csv'"),
        ("*.mp4", r"matches nothing"),
        ("*.txt", r"matches 1 files, none of them a video"),
        ("folder", "holds no video files"),
        ("a\0b", "no file or folder|cannot be read"),
        ("memory://absent/m.csv", r"memory://absent/m\.csv cannot be read"),
        ("nonsense://x/m.csv", "cannot be read"),
    ],
)
def test_sources_without_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.txt").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ManifestError, match=message):
        open_manifest(source)


def test_a_manifest_at_a_url() -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    files.pipe("/set/m.csv", b"word,file\ntakk,clips/a.mp4\nbok,https://example.org/b.mp4\n")
    files.pipe("/set/clips/c.mp4", b"")
    assert [record.remote_url for record in records(open_manifest("memory://set/m.csv"))] == [
        "memory://set/clips/a.mp4",
        "https://example.org/b.mp4",
    ]
    (found,) = records(open_manifest("memory://set/"))
    assert (found.word, found.location) == ("c", found.remote_url)
    assert only(open_manifest("https://example.org/b.mp4?x=1")).filename == "b.mp4"
    files.pipe("/set/login", b"<!DOCTYPE html><title>Log in</title>")
    with pytest.raises(ManifestError, match=r"^memory://set/login is a web page"):
        open_manifest("memory://set/login")
    with pytest.raises(ManifestError, match=r"none\.csv cannot be read: there is nothing"):
        open_manifest("memory://set/none.csv")


# -- any table that can be written is read back ------------------------------------------------

TEXT = st.text(
    st.characters(
        blacklist_categories=["Cs", "Cc", "Zl", "Zp"], blacklist_characters="\ufeff\ufffd"
    ),
    max_size=12,
)
NOTES = st.lists(TEXT, min_size=1, max_size=3).map("\n".join)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.tuples(TEXT, NOTES, TEXT), min_size=1, max_size=8),
    form=st.tuples(
        st.sampled_from(",;\t|"),
        st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
        st.sampled_from(["\n", "\r\n"]),
    ),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    header=st.booleans(),
)
def test_rows_are_read_back_as_they_were_written(
    tmp_path: Path,
    rows: list[tuple[str, str, str]],
    form: tuple[str, Literal[0, 1, 2], str],
    encoding: str,
    header: bool,
) -> None:
    delimiter, quoting, line_end = form
    buffer = io.StringIO(newline="")
    writer = csv.writer(
        buffer,
        delimiter=delimiter,
        quoting=quoting,
        lineterminator=line_end,
    )
    if header:
        writer.writerow(["video", "note", "word", "second note"])
    for number, (word, note, second) in enumerate(rows):
        writer.writerow([f"clips/{number}.mp4", note, word, second])
    text = buffer.getvalue()
    try:
        content = text.encode(encoding)
    except UnicodeEncodeError:
        assume(False)
    if encoding == "cp1252":  # bytes that are UTF-8 as well are read as that
        assume(_is_not_utf8(content) or text.isascii())
    path = tmp_path / "m.csv"
    path.write_bytes(content)
    columns = None if header else {"path": "1", "word": "3"}
    found = list(open_manifest(path, columns=columns))
    assert [
        (record.filename, list(record.extra.values()))
        for record in found
        if isinstance(record, Record)
    ] == [(f"{number}.mp4", [note, second]) for number, (_, note, second) in enumerate(rows)]
    for number, (item, (word, _, _)) in enumerate(zip(found, rows, strict=True)):
        assert isinstance(item, Record)
        assert item.word.split() == (_nfc(word).split() or [str(number)])


def _is_not_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def _nfc(text: str) -> str:
    import unicodedata

    return unicodedata.normalize("NFC", text)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    broken=st.sets(st.integers(0, 29), max_size=6), fault=st.sampled_from(['"{}', '{}"x"', '{}""'])
)
def test_a_broken_quote_never_hides_another_row(
    tmp_path: Path, broken: set[int], fault: str
) -> None:
    """Whatever becomes of the broken rows, each of the others is read."""
    lines = ["word,video,note"]
    for number in range(30):
        row = f'"w {number}",{number}.mp4,"n, {number}"'
        lines.append(f'"{row}' if number in broken and fault == '"{}' else row)
        if number in broken and fault != '"{}':
            lines[-1] = f'"w {number},{number}.mp4,n'
    found = records(open_manifest(write(tmp_path / "m.csv", "\n".join(lines))))
    whole = {f"{number}.mp4" for number in range(30)} - {f"{number}.mp4" for number in broken}
    assert whole <= {record.filename for record in found}


def test_memory_does_not_grow_with_the_manifest(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    with path.open("w") as stream:
        stream.write("word,video,note\n")
        for number in range(60_000):
            stream.write(f"word {number},clips/{number}.mp4,{'x' * 200}\n")
    manifest = open_manifest(path)
    tracemalloc.start()
    count = sum(1 for _ in manifest)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 60_000
    # The file is 14 MB; what is kept of each row is a digest and its line.
    assert peak < 60_000 * 250


# -- the manifests of the shared data ----------------------------------------------------------

EXCEL = [
    ("takk", "thanks.mkv", 0.0, 1.7),
    ("bok", "book.mkv", 0.0, 3.6),
    ("å spise", "eat.mkv", None, None),
    ("melk", "milk.mkv", None, None),
    ("å lære", "learn.mkv", None, None),
    ("takk", "Basic_Greetings__Hello.mp4", None, None),
    ("finnes ikke", "finnes_ikke.mkv", None, None),
    ("no", "no.mkv", None, None),
    ("ja", "yes.mkv", None, None),
    ("blåbær", "blåbærsyltetøy.mp4", None, None),
]


@pytest.mark.parametrize(
    ("name", "encoding", "delimiter", "first_line"),
    [
        ("norsk_excel_cp1252_semikolon.csv", "cp1252", ";", 2),
        ("norsk_excel_utf8sig_semikolon.csv", "utf-8-sig", ";", 2),
        ("excel_sep_hint.csv", "cp1252", ";", 3),
        ("excel_unicode_text_utf16le_tab.txt", "utf-16", "\t", 2),
    ],
)
def test_excel(
    shared_data: Path, name: str, encoding: str, delimiter: str, first_line: int
) -> None:
    manifest = open_manifest(shared_data / "csv" / "synth" / name, root=shared_data)
    recognised = manifest.recognised
    assert (recognised.encoding, recognised.delimiter) == (encoding, delimiter)
    assert recognised.columns == {
        "path": "Videofil",
        "word": "Ord",
        "start": "Start",
        "end": "Slutt",
    }
    found = records(manifest)
    assert not problems(manifest)
    assert [(r.word, r.filename, r.start_s, r.end_s) for r in found] == EXCEL
    assert [r.line - first_line for r in found] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert [r.filename for r in found if not Path(r.location).is_file()] == ["finnes_ikke.mkv"]
    assert found[4].extra == {"Kategori": "verb", "Kommentar": "linje 1\nlinje 2"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "synth/asl_citizen_style.csv",
            [
                (2, "AGAIN", "again.mkv"),
                (3, "HELP", "help.mkv"),
                (4, "WALK, SLOWLY", "walk.mkv"),
                (5, "YES", "yes.mkv"),
            ],
        ),
        ("synth/headerless_name_label.csv", [(1, "164", "thanks.mkv"), (2, "12", "no.mkv")]),
        (
            "synth/how2sign_style.tsv",
            [
                (2, "no", "parts_intel_man_4_signs.mp4"),
                (3, "yes", "parts_intel_man_4_signs.mp4"),
            ],
        ),
        ("synth/mixed_case_header_spaces.csv", [(2, "thanks", "thanks.mkv")]),
    ],
)
def test_other_styles(shared_data: Path, name: str, expected: list[tuple[int, str, str]]) -> None:
    manifest = open_manifest(shared_data / "csv" / name, root=shared_data)
    assert not problems(manifest)
    assert [(r.line, r.word, r.filename) for r in records(manifest)] == expected
    assert all(Path(record.location).is_file() for record in records(manifest))


def test_how2sign_segments(shared_data: Path) -> None:
    manifest = open_manifest(shared_data / "csv/synth/how2sign_style.tsv", root=shared_data)
    assert [(r.start_s, r.end_s) for r in records(manifest)] == [(0.0, 2.17), (2.2, 4.33)]


def test_ragged_rows(shared_data: Path) -> None:
    manifest = open_manifest(shared_data / "csv/synth/ragged_rows.csv", root=shared_data)
    assert list(manifest) == [
        RowProblem(2, "it has 2 cells where the header has 3"),
        RowProblem(3, "it has 5 cells where the header has 3"),
        RowProblem(4, "a quote is opened and never closed"),
    ]


def test_spoken_to_signed(shared_data: Path) -> None:
    manifest = open_manifest(shared_data / "csv/real/spoken2signed_dummy_lexicon_index.csv")
    assert [(r.word, r.filename, r.start_s, r.end_s) for r in records(manifest)] == [
        (word, f"{word}.pose", None, None) for word in ("kleine", "kinder", "essen", "pizza")
    ]
    assert "None of the first 4 files is there" in manifest.recognised.describe()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("synth/empty.csv", "is empty"),
        ("synth/only_header.csv", r"has a header \(word, video\) and no rows"),
        ("real/fsl_CONTENTS_Dictionary.csv", "'Category', 'Item', 'Meaning', 'How to sign'"),
        ("real/fsl_EASY_MED_HARD.csv", "'Alphabet', 'Easy', 'column 3', 'Electronics'"),
        ("real/globalsignbank_ngt_lexicon.csv", "'NL gloss', 'EN gloss'"),
        ("real/signbankplus_signsuisse.csv", "'country_code', 'texts', 'sign_writing'"),
        (
            "real/tegnsprog_opslag.txt",
            "it has no header, and its first row is 'i tirsdags', '2458'",
        ),
    ],
)
def test_dictionaries_without_videos_are_refused(
    shared_data: Path, name: str, message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        open_manifest(shared_data / "csv" / name, root=shared_data)


def test_every_csv_has_its_expectation(shared_data: Path) -> None:
    """A file that is added to the data has to be added above."""
    names = {path.name for path in (shared_data / "csv").glob("*/*")}
    tests = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in sorted(names) if name not in tests] == []


def test_the_list_of_all_clips_and_the_folder_agree(shared_data: Path) -> None:
    listed = records(open_manifest(shared_data / "manifest.csv"))
    assert len(listed) > 100
    assert all(os.path.exists(record.location) for record in listed)  # noqa: PTH110
    in_list = {r.location for r in listed if f"{os.sep}sign{os.sep}" in r.location}
    in_folder = {r.location for r in records(open_manifest(shared_data / "sign"))}
    assert in_folder <= in_list
    assert in_folder
