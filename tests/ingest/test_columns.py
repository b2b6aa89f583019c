from __future__ import annotations

from collections.abc import Mapping

import pytest

from tracker_core.errors import ManifestError
from tracker_core.ingest.columns import Columns, has_header, normalised, recognise


def recognised(
    *lines: str, explicit: Mapping[str, str] | None = None, files: frozenset[str] = frozenset()
) -> Columns:
    rows = [line.split("|") for line in lines]
    return recognise(
        rows,
        explicit or {},
        files.__contains__,
        header=has_header(rows, explicit or {}, files.__contains__),
        manifest="m.csv",
    )


def roles(*lines: str, explicit: Mapping[str, str] | None = None) -> dict[str, str]:
    columns = recognised(*lines, explicit=explicit)
    return {role: columns.names[index] for role, index in columns.roles.items()}


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        (
            "Participant ID|Video file|Gloss|ASL-LEX Code",
            "P1|a.mp4|AGAIN|A_01",
            {"path": "Video file", "word": "Gloss"},
        ),
        (
            "VIDEO_ID|VIDEO_NAME|SENTENCE_ID|SENTENCE_NAME|START|END|START_REALIGNED|END_REALIGNED"
            "|SENTENCE",
            "a|a-8-rgb|a_0|a_0-8|0.1|2.1|0.2|2.2|hello there",
            {
                "path": "VIDEO_NAME",
                "word": "SENTENCE",
                "start": "START_REALIGNED",
                "end": "END_REALIGNED",
            },
        ),
        (
            "name|video|start|end|speaker|orth|translation",
            "01April|01April/1/*.png|-1|-1|S1|MORGEN REGEN|morgen regnet es",
            {"path": "name", "word": "orth", "start": "start", "end": "end"},
        ),
        (
            "attachment_id|text|user_id|height|width|length|train|begin|end",
            "c83d|Привет|u|1920|1080|95|True|32|70",
            {
                "path": "attachment_id",
                "word": "text",
                "start_frame": "begin",
                "end_frame": "end",
            },
        ),
        (
            "gloss|video_id|url|fps|frame_start|frame_end|source",
            "book|69241|https://example.org/69241.mp4|25|1|-1|site",
            {
                "path": "url",
                "word": "gloss",
                "start_frame": "frame_start",
                "end_frame": "frame_end",
                "fps": "fps",
            },
        ),
        (
            "Ord|Videofil|Kategori|Start|Slutt|Kommentar",
            "takk|a.mkv|x|0,0|1,7|",
            {"path": "Videofil", "word": "Ord", "start": "Start", "end": "Slutt"},
        ),
        ("file_name|text", "a.mp4|hello", {"path": "file_name", "word": "text"}),
        ("label|video", "3|a.mp4", {"path": "video", "word": "label"}),
        (
            "label|gloss|filnamn|filename",
            "3|far|a.mp4|a.mp4",
            {"path": "filnamn", "word": "gloss"},
        ),
        (
            "word|filename|remote_url|local_path",
            "takk|a.mp4|https://example.org/a.mp4|clips/a.mp4",
            {"path": "local_path", "url": "remote_url", "word": "word"},
        ),
        (
            "Tegn|Lenke|Fra (s)|Til (s)",
            "takk|https://example.org/a.mp4|1|2",
            {"path": "Lenke", "word": "Tegn", "start": "Fra (s)", "end": "Til (s)"},
        ),
        (
            "Wort|Datei|Anfang|Ende",
            "danke|a.mp4|0:01|0:02",
            {"path": "Datei", "word": "Wort", "start": "Anfang", "end": "Ende"},
        ),
        (
            "mot|chemin|début|fin",
            "merci|a.mp4|0,5|1,5",
            {"path": "chemin", "word": "mot", "start": "début", "end": "fin"},
        ),
        (
            "Begin Time - ss.msec|End Time - ss.msec|Gloss|File Path",
            "1.5|2.5|X|a.mp4",
            {
                "path": "File Path",
                "word": "Gloss",
                "start": "Begin Time - ss.msec",
                "end": "End Time - ss.msec",
            },
        ),
        ("klippet|betydning", "a.mp4|takk", {"path": "klippet", "word": "betydning"}),
        ("NL gloss|opptaket", "BOOM|a.mp4", {"path": "opptaket", "word": "NL gloss"}),
        ("videoFile|startFrame|endFrame|glossId", "a.mp4|1|2|7", {
            "path": "videoFile", "start_frame": "startFrame", "end_frame": "endFrame"
        }),
        ("path|from|to|word", "a.mp4|en|no|x", {"path": "path", "word": "word"}),
        # MS-ASL: seconds in start_time and end_time, frames in start and end; file is a title.
        (
            "org_text|clean_text|start_time|signer_id|signer|start|end|file|label|height|fps"
            "|end_time|url|text|box|width",
            "BOOK [it]|book|0.5|0|-1|15|75|Lesson 3|830|360|30.0|2.5|https://example.org/w?v=a|book"
            "|[0.1, 0.2]|640",
            {
                "path": "url", "word": "text", "start": "start_time", "end": "end_time",
                "start_frame": "start", "end_frame": "end", "fps": "fps",
            },
        ),
        # The JSON of WLASL as a table, with the columns in its own order.
        (
            "gloss|bbox|fps|frame_end|frame_start|instance_id|signer_id|source|split|url"
            "|variation_id|video_id",
            "book|[1, 2]|25|-1|1|0|118|site|train|https://example.org/b.mp4|0|69241",
            {
                "path": "url", "word": "gloss", "start_frame": "frame_start",
                "end_frame": "frame_end", "fps": "fps",
            },
        ),
        # Global Signbank
        (
            "Signbank ID|Dataset|Lemma ID Gloss (Dutch)|Annotation ID Gloss (Dutch)"
            "|Annotation ID Gloss (English)|Senses (Dutch)|Handedness|Video",
            "12|NGT|BOOM|BOOM-A|TREE-A|1. boom|1|BO/BOOM-A-12.mp4",
            {"path": "Video", "word": "Annotation ID Gloss (Dutch)"},
        ),
        (
            "Signbank ID|Annotation ID Gloss: Dutch|Annotation ID Gloss: English|Keywords|Video",
            "12|BOOM-A|TREE-A|boom|BO/BOOM-A-12.mp4",
            {"path": "Video", "word": "Annotation ID Gloss: Dutch"},
        ),
        (
            "Lemma ID Gloss|ID Gloss|Keywords|Video URL",
            "BOK|BOK1|bok|https://example.org/b.mp4",
            {"path": "Video URL", "word": "ID Gloss"},
        ),
        ("sentence|name en|video", "hi|x|a.mp4", {"path": "video", "word": "sentence"}),
        ("English word|gloss|video", "tree|BOOM|a.mp4", {"path": "video", "word": "gloss"}),
        ("label|NL gloss|video", "3|BOOM|a.mp4", {"path": "video", "word": "NL gloss"}),
        # NZSL Share
        (
            "word|maori|secondary|notes|created_at|contributor_email|videos|illustrations",
            "book|pukapuka||x|2020|a@e.org|https://example.org/b.mp4|https://example.org/b.png",
            {"path": "videos", "word": "word"},
        ),
        # Kaggle, isolated signs
        (
            "path|participant_id|sequence_id|sign",
            "7/1.mp4|7|1|tv",
            {"path": "path", "word": "sign"},
        ),
        # ELAN: several formats of the same time, also in German
        (
            "Begin Time - hh:mm:ss.ms|Begin Time - ss.msec|Begin Time - msec"
            "|End Time - hh:mm:ss.ms|End Time - ss.msec|End Time - msec|Duration - ss.msec"
            "|Gloss|File Path",
            "00:00:01.500|1.5|1500|00:00:02.000|2.0|2000|0.5|TAKK|file:///m/a.eaf",
            {
                "path": "File Path", "word": "Gloss", "start": "Begin Time - hh:mm:ss.ms",
                "end": "End Time - hh:mm:ss.ms",
            },
        ),
        (
            "Begin Time - hh:mm:ss:ff (PAL)|Begin Time - msec|End Time - hh:mm:ss:ff (PAL)"
            "|End Time - msec|Annotation|File Name",
            "00:00:01:12|1480|00:00:02:00|2000|TAKK|a.eaf",
            {
                "path": "File Name", "word": "Annotation", "start": "Begin Time - msec",
                "end": "End Time - msec",
            },
        ),
        (
            "Anfangszeit - msec|Endzeit - msec|Glosse|Datei",
            "1500|2000|DANKE|a.mp4",
            {
                "path": "Datei", "word": "Glosse", "start": "Anfangszeit - msec",
                "end": "Endzeit - msec",
            },
        ),
        (
            "Begin Time - ss.msec|Duration - ss.msec|Gloss|File Name",
            "1.5|0.5|TAKK|a.mp4",
            {
                "path": "File Name", "word": "Gloss", "start": "Begin Time - ss.msec",
                "duration": "Duration - ss.msec",
            },
        ),
        # Norwegian
        (
            "Tegn-ID|Norsk|Engelsk|Filmfil|Inn|Ut",
            "1|tre|tree|tre.mp4|00:00:01,5|00:00:02",
            {"path": "Filmfil", "word": "Norsk", "start": "Inn", "end": "Ut"},
        ),
        (
            "Ord (bokmål)|Ord (nynorsk)|Opptak|Startbilde|Sluttbilde",
            "ikke|ikkje|ikke.mp4|10|20",
            {
                "path": "Opptak", "word": "Ord (bokmål)", "start_frame": "Startbilde",
                "end_frame": "Sluttbilde",
            },
        ),
        (
            "Oppslag|Klipp|Fra tidskode|Til tidskode|Bildefrekvens",
            "ikke|ikke.mp4|00:00:01:10|00:00:02:00|25",
            {
                "path": "Klipp", "word": "Oppslag", "start": "Fra tidskode", "end": "Til tidskode",
                "fps": "Bildefrekvens",
            },
        ),
        (
            "Glose|Filnavn|Starttidspunkt|Varighet",
            "ikke|ikke.mp4|1,5|2",
            {
                "path": "Filnavn", "word": "Glose", "start": "Starttidspunkt",
                "duration": "Varighet",
            },
        ),
        # A duration is the whole file's, and an offset the media's, where nothing starts there.
        ("word|video|duration|offset", "x|a.mp4|2|3", {"path": "video", "word": "word"}),
        (
            "word|video|onset|offset",
            "x|a.mp4|2|3",
            {"path": "video", "word": "word", "start": "onset", "end": "offset"},
        ),
    ],
)  # fmt: skip
def test_names_of_real_dictionaries(header: str, row: str, expected: dict[str, str]) -> None:
    assert roles(header, row) == expected


def test_units_come_from_the_names() -> None:
    elan = recognised("file|Begin Time - msec|End Time - msec", "a.mp4|1500|2500")
    assert elan.start_in_ms
    assert elan.end_in_ms
    assert recognised("file|start_ms|slutt (s)", "a.mp4|1500|2").end_in_ms is False
    assert not recognised("file|Begin Time - hh:mm:ss.ms", "a.mp4|00:00:01.5").start_in_ms
    assert recognised("gloss|frame_start|frame_end|file", "x|1|2|a.mp4").frames_from_one
    assert not recognised("word|frame_start|frame_end|file", "x|1|2|a.mp4").frames_from_one


def test_the_clips_of_how2sign_are_cut_already() -> None:
    lines = (
        "VIDEO_NAME|SENTENCE_NAME|START_REALIGNED|END_REALIGNED|SENTENCE",
        "a-8|a_0-8|0.2|2.2|hello there",
    )
    long = recognised(*lines, files=frozenset({"a-8", "a_0-8"}))
    assert long.roles == {"path": 0, "word": 4, "start": 2, "end": 3}
    clips = recognised(*lines, files=frozenset({"a_0-8"}))
    assert clips.roles == {"path": 1, "word": 4}
    assert "cut already" in clips.notes[0]


def test_a_role_can_be_left_empty() -> None:
    """Trimmed videos of Slovo or WLASL: the frame numbers are those of the long ones."""
    lines = ("attachment_id|text|begin|end", "c8|Да|32|70")
    assert '--columns "start_frame=,end_frame="' in recognised(*lines).notes[0]
    chosen = roles(*lines, explicit={"start_frame": "", "end_frame": ""})
    assert chosen == {"path": "attachment_id", "word": "text"}
    lines = ("path|url|word", "a.mp4|https://example.org/b.mp4|x")
    assert roles(*lines, explicit={"path": ""}) == {"path": "url", "word": "word"}
    with pytest.raises(ManifestError, match="no column that names video files"):
        roles(*lines, explicit={"path": "", "url": ""})


def test_times_that_nothing_names_are_told() -> None:
    lines = (
        "Gloss|00:00:01.500|1.5|00:00:02.000|2.0|TAKK|a.mp4",
        "Gloss|00:00:02.500|2.5|00:00:03.000|3.0|BOK|a.mp4",
    )
    assert "the times in column 2, 4 are" in recognised(*lines).notes[-1]
    chosen = recognised(*lines, explicit={"start": "2", "end": "4", "word": "6"})
    assert chosen.roles == {"path": 6, "word": 5, "start": 1, "end": 3}
    assert not any("column 2" in note for note in chosen.notes)


@pytest.mark.parametrize(
    ("lines", "header"),
    [
        (("word|video", "takk|a.mp4"), True),
        (("takk|a.mp4", "bok|b.mp4"), False),
        (("klippet|hva", "a.mp4|takk"), True),
        (("sign/thanks|164", "sign/no|12"), False),
        (("sign/thanks|164",), False),
        (("film/stop|stop", "film/ord|ord"), False),
        (("i tirsdags|2458", "agtigt|266"), False),
        (("Alphabet|Easy", "Animals|"), True),
        (("word|video",), True),
    ],
)
def test_header_or_none(lines: tuple[str, ...], header: bool) -> None:
    assert has_header([line.split("|") for line in lines], {}, frozenset().__contains__) is header


def test_a_table_without_header_is_read_by_its_values() -> None:
    columns = recognised("7|takk|a.mp4", "8|bok|b.mp4")
    assert not columns.header
    assert columns.roles == {"path": 2, "word": 1}
    assert columns.names == ("column 1", "column 2", "column 3")


def test_explicit_columns_win() -> None:
    lines = ("Ord|Engelsk ord|Videofil|Kopi", "takk|thanks|a.mp4|b.mp4")
    chosen = roles(*lines, explicit={"word": "engelsk ord", "path": "Kopi"})
    assert chosen == {"path": "Kopi", "word": "Engelsk ord"}
    assert roles(*lines, explicit={"path": "4"})["path"] == "Kopi"
    # Asked for by name, a column is a name even where its values could be anything.
    assert roles("x|y", "1|2", explicit={"path": "y"})["path"] == "y"
    frames = roles("video|from_frame_no|x", "a.mp4|1|2", explicit={"start": "x"})
    assert frames["start"] == "x"


def test_an_explicit_column_that_is_not_there_is_said_with_those_that_are() -> None:
    with pytest.raises(ManifestError, match=r"no column 'Wort' for word: its columns are 'Ord'"):
        recognised("Ord|Videofil", "takk|a.mp4", explicit={"word": "Wort"})
    with pytest.raises(ManifestError, match=r"no header; give a number from 1 to 2"):
        recognised("takk|a.mp4", "bok|b.mp4", explicit={"word": "Ord"})
    with pytest.raises(ManifestError, match=r"no column '3' for word"):
        recognised("takk|a.mp4", "bok|b.mp4", explicit={"word": "3"})
    with pytest.raises(ManifestError, match=r"no column role 'sti'; the roles are path, url"):
        recognised("Ord|Videofil", "takk|a.mp4", explicit={"sti": "Videofil"})


def test_two_equally_good_columns_are_a_question_with_the_option_to_answer_it() -> None:
    with pytest.raises(ManifestError) as caught:
        recognised("front|side|word", "a.mp4|b.mp4|takk")
    assert '--columns "path=front" or --columns "path=side"' in str(caught.value)
    with pytest.raises(ManifestError) as caught:
        recognised("a.mp4|b.mp4|takk", "c.mp4|d.mp4|bok")
    assert '--columns "path=1" or --columns "path=2"' in str(caught.value)
    with pytest.raises(ManifestError, match=r'"path=file" or .*"path=filename"'):
        recognised("file|filename", "a.mp4|b.mp4")
    assert roles("file|filename", "a.mp4|a.mp4")["path"] == "file"
    assert roles("file|filename", "session 1|a.mp4")["path"] == "filename"


def test_a_table_without_videos_is_refused_with_its_columns() -> None:
    with pytest.raises(ManifestError, match=r"no column that names video files: its columns are"):
        recognised("Category|Item", "Needs|Food")
    with pytest.raises(ManifestError, match=r"its first row is 'takk', '12'"):
        recognised("takk|12", "bok|13")


def test_names_without_extension_are_recognised_by_the_files_that_are_there() -> None:
    files = frozenset({"thanks"})
    assert recognised("thanks|takk", "book|bok", files=files).roles["path"] == 0
    assert recognised("id|hva", "thanks|takk", files=files).roles["path"] == 0
    wlasl = recognised("gloss|video_id|url", "x|thanks|https://e.org/watch", files=files)
    assert wlasl.roles == {"path": 1, "url": 2, "word": 0}


def test_empty_and_repeated_names_become_unique() -> None:
    columns = recognised("video||note|note", "a.mp4|1|2|3")
    assert columns.names == ("video", "column 2", "note", "note (2)")


def test_normalised_names() -> None:
    assert normalised("\ufeff START_REALIGNED ") == "start realigned"
    assert normalised("videoFile") == normalised("Video-fILE") == "video file"
    assert normalised("Øvelse (s)") == "øvelse s"
