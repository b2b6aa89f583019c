from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker_core.ingest.timecode import parse_frame, parse_rate, parse_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1.7", 1.7),
        ("1,7", 1.7),
        (" 0,0 ", 0.0),
        ("12", 12.0),
        (".5", 0.5),
        ("1.5 s", 1.5),
        ("2 sek.", 2.0),
        ("300 ms", 0.3),
        ("01:02", 62.0),
        ("1:02,5", 62.5),
        ("75:30", 4530.0),
        ("00:01:02", 62.0),
        ("01:00:00.250", 3600.25),
        ("00:00:01,500", 1.5),
        ("5e-05", 0.00005),
        ("0 days 00:00:01.500000", 1.5),
        ("", None),
        ("-1", None),
        ("NaN", None),
        ("-", None),
    ],
)
def test_seconds(text: str, seconds: float | None) -> None:
    assert parse_seconds(text) == seconds


def test_milliseconds_where_the_column_says_so_and_the_cell_says_nothing_else() -> None:
    assert parse_seconds("1500", milliseconds=True) == 1.5
    assert parse_seconds("1,5 s", milliseconds=True) == 1.5
    assert parse_seconds("00:00:02", milliseconds=True) == 2.0


def test_smpte_timecode_needs_the_rate() -> None:
    assert parse_seconds("00:00:02:12", rate=24) == 2.5
    # 29.97: after one minute of thirty numbers a second, 1.001 minutes have passed.
    assert parse_seconds("00:01:00:00", rate=30000 / 1001) == pytest.approx(60.06)
    # Dropped numbers bring the clock back: ten minutes are ten minutes, within a frame.
    assert parse_seconds("00:10:00;00", rate=30000 / 1001) == pytest.approx(600, abs=0.02)
    assert parse_seconds("00:01:00;02", rate=30000 / 1001) == pytest.approx(60.06, abs=1e-9)
    with pytest.raises(ValueError, match="add a column fps"):
        parse_seconds("00:00:02:12")
    with pytest.raises(ValueError, match="not a timecode at 25"):
        parse_seconds("00:00:02:25", rate=25)


@pytest.mark.parametrize(
    "text", ["abc", "1.2.3", "1:75", "0:60:00", "inf", "1e3", "-2", "1 234,5", "1:2:3:4:5", "½"]
)
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"'.+' (is not a time|has more than 59)"):
        parse_seconds(text)


@given(st.integers(0, 360_000_000))
def test_a_clock_says_its_milliseconds(milliseconds: int) -> None:
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds, thousandths = divmod(rest, 1000)
    text = f"{hours:02d}:{minutes:02d}:{seconds:02d}.{thousandths:03d}"
    assert parse_seconds(text) == pytest.approx(milliseconds / 1000, abs=1e-6)


@given(st.text())
def test_any_text_is_a_time_or_a_sentence(text: str) -> None:
    for parse in (parse_seconds, parse_frame, parse_rate):
        try:
            value = parse(text)
        except ValueError as error:
            assert "is not" in str(error) or "has more" in str(error) or "counts" in str(error)
        else:
            assert value is None or value >= 0


def test_frames_and_rates() -> None:
    assert parse_frame("12") == 12
    assert parse_frame("12.0") == 12
    assert parse_frame("-1") is None
    with pytest.raises(ValueError, match=r"'12\.5' is not a frame number"):
        parse_frame("12.5")
    assert parse_rate("25") == 25
    assert parse_rate("29,97") == 29.97
    assert parse_rate("30000/1001") == pytest.approx(29.97003)
    for text in ("0", "1/0", "fast", "25 s"):
        with pytest.raises(ValueError, match="frames per second"):
            parse_rate(text)
