from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from tracker_core.errors import ManifestError
from tracker_core.ingest.columns import count_known
from tracker_core.ingest.dialect import (
    ONE_COLUMN,
    Dialect,
    Row,
    detect_dialect,
    detect_encoding,
    parse,
    rows,
)
from tracker_core.ingest.sources import looks_like_video

COMMA = Dialect("utf-8", False, ",")


def parsed(text: str, **options: object) -> list[Row]:
    return list(parse(iter(text.splitlines(keepends=True)), COMMA, **options))  # type: ignore[arg-type]


def dialect_of(path: Path, content: str) -> Dialect:
    path.write_text(content, encoding="utf-8")
    return detect_dialect(path, "utf-8", False, known_names=count_known, is_video=looks_like_video)


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"word,video\nthanks,a.mp4\n", "utf-8"),
        ("ord;fil\nblå;å.mp4\n".encode(), "utf-8"),
        ("ord;fil\nblå;å.mp4\n".encode("utf-8-sig"), "utf-8-sig"),
        ("ord;fil\nblå;å.mp4\n".encode("cp1252"), "cp1252"),
        (codecs.BOM_UTF16_LE + "ord;fil\nblå;å.mp4\n".encode("utf-16-le"), "utf-16"),
        (codecs.BOM_UTF16_BE + "ord;fil\nblå;å.mp4\n".encode("utf-16-be"), "utf-16"),
        (codecs.BOM_UTF32_LE + "ord;fil\n".encode("utf-32-le"), "utf-32"),
        ("ord;fil\nblå;å.mp4\n".encode("utf-16-le"), "utf-16-le"),
        ("ord;fil\nblå;å.mp4\n".encode("utf-16-be"), "utf-16-be"),
        (b"", "utf-8"),
    ],
)
def test_encodings(tmp_path: Path, content: bytes, encoding: str) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(content)
    assert detect_encoding(path) == (encoding, False)


@pytest.mark.parametrize(("last", "encoding"), [("blå", "cp1252"), ("blå", "utf-8")])
def test_the_only_foreign_byte_may_stand_at_the_very_end(
    tmp_path: Path, last: str, encoding: str
) -> None:
    path = tmp_path / "m.csv"
    ascii_rows = b"thanks,a.mp4\n" * 300_000  # 3.9 MB, several blocks
    path.write_bytes(ascii_rows + f"{last},b.mp4\n".encode(encoding))
    assert detect_encoding(path) == (encoding, False)
    found = list(rows(path, Dialect(encoding, False, ",")))
    assert found[-1] == Row(300_001, [last, "b.mp4"])


def test_a_character_that_spans_two_blocks_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(b"x" * (1024 * 1024 - 1) + "å\n".encode())
    assert detect_encoding(path) == ("utf-8", False)


def test_a_zero_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(b"hello,a.mp4\n" * 50 + b"a\0b,b.mp4\n")
    assert detect_encoding(path) == ("utf-8", True)
    assert [row.line for row in rows(path, Dialect("utf-8", True, ",")) if row.problem] == [51]


def test_one_damaged_row_does_not_turn_a_utf8_file_into_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes("blå,a.mp4\nsmør,b.mp4\n".encode() + b"f\xe5r,c.mp4\nost,d.mp4\n")
    assert detect_encoding(path) == ("utf-8", True)
    found = list(rows(path, Dialect("utf-8", True, ",")))
    assert [row.problem for row in found] == [
        None,
        None,
        "it holds bytes that are not utf-8 text",
        None,
    ]
    assert found[1].cells == ["smør", "b.mp4"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04rest of a workbook", "Excel or OpenDocument workbook.*save it as CSV"),
        (b"\xd0\xcf\x11\xe0 old", "Excel workbook of the old kind"),
        (b"\xef\xbb\xbf\n<!DOCTYPE HTML>\n<p>a.mp4", "is a web page; .*may need a login"),
        (b"<html lang='nb'>a.mp4", "is a web page"),
        (b"\x1f\x8b\x08", "unpack it"),
        (bytes(range(256)) * 10, "is not text"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=message):
        detect_encoding(path)


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ("word,video\nhello,a.mp4\n", ","),
        ("word;video\nhello;a.mp4\n", ";"),
        ("word\tvideo\nhello, world\ta.mp4\n", "\t"),
        ("name|video|start\nx|a.mp4|0\n", "|"),
        ("Ord;Fil;Kommentar\na;a.mp4;x, y, z\nb;b.mp4;u, v, w\n", ";"),
        ("a.mp4;0,0;1,7\nb.mp4;0,5;1,9\n", ";"),
        ("takk,a.mp4\nbok,b.mp4\n", ","),
        ("takk,a.mp4\nbok,b.mp4,c\nost,d.mp4\n", ","),
        ("a.mp4\nHello, world.mp4\nc.mp4\n", ONE_COLUMN),
        ("file\nHello, world.mp4\n", ONE_COLUMN),
        ("sep=|\nword,x|video\nhello|a.mp4\n", "|"),
        ('"sep=;"\nword;video\nhello;a.mp4\n', ";"),
    ],
)
def test_delimiters(tmp_path: Path, content: str, delimiter: str) -> None:
    dialect = dialect_of(tmp_path / "m.csv", content)
    assert dialect.delimiter == delimiter
    assert dialect.skipped_lines == content.lstrip('"').startswith("sep=")


def test_a_space_before_a_quote_is_not_part_of_the_cell(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    dialect = dialect_of(path, 'word, video\n"walk, slowly", "a, b.mp4"\nx, "c.mp4"\n')
    assert [row.cells for row in rows(path, dialect)][1] == ["walk, slowly", "a, b.mp4"]


def test_rows_say_the_line_they_start_on() -> None:
    text = 'a,b\r\n"one\r\ntwo",x\r\n\r\nlast,y\n'
    assert parsed(text) == [
        Row(1, ["a", "b"]),
        Row(2, ["one\r\ntwo", "x"]),
        Row(4, []),
        Row(5, ["last", "y"]),
    ]


def test_line_ends_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(b"a,1\rb,2\rc,3\r")
    assert [row.line for row in rows(path, COMMA)] == [1, 2, 3]


def test_a_quote_that_is_never_closed_costs_one_row() -> None:
    found = parsed('a,1\n"b,2\nc,3\nd,4\n')
    assert found[1].line == 2
    assert found[1].problem == "a quote is opened and never closed"
    assert found[2:] == [Row(3, ["c", "3"]), Row(4, ["d", "4"])]


def test_a_quote_closed_by_a_later_quoted_cell_costs_one_row() -> None:
    found = parsed('"b,2\nc,3\n"d",4\ne,5\n')
    assert [row.problem is None for row in found] == [False, True, True, True]
    assert [row.cells for row in found[1:]] == [["c", "3"], ["d", "4"], ["e", "5"]]


def test_two_broken_quotes_do_not_hide_the_rows_between_them() -> None:
    """Taken together, lines 1 to 3 would be one good row of two cells."""
    text = '"b,b.mp4\nc,c.mp4\nd",d.mp4\ne,e.mp4\n'
    found = parsed(text, width=2, is_record=lambda cells: looks_like_video(cells[-1]))
    assert [(row.line, row.problem is None) for row in found] == [
        (1, False),
        (2, True),
        (3, True),
        (4, True),
    ]


def test_text_after_a_closing_quote_is_said() -> None:
    (row,) = parsed('"say "hi"",a.mp4\n')
    assert row.problem is not None
    assert "written twice" in row.problem


def test_a_quote_inside_a_plain_cell_is_a_character() -> None:
    assert parsed('a 5" nail,b\n') == [Row(1, ['a 5" nail', "b"])]


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("a,1\n" + "x" * 3_000_000 + "\nb,2\n")
    found = list(rows(path, COMMA))
    assert [row.line for row in found] == [1, 2, 3]
    assert found[1].problem == "it is longer than 1048576 characters"
    assert found[2].cells == ["b", "2"]
