"""Names and values of columns -> what each column is for."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tracker_core.errors import ManifestError
from tracker_core.ingest.sources import is_url, looks_like_location, looks_like_video
from tracker_core.ingest.timecode import is_given, parse_frame, parse_rate, parse_seconds

ROLES = ("path", "url", "word", "start", "end", "start_frame", "end_frame", "duration", "fps")
"""What a column can be for.

``url`` stands beside ``path`` where a manifest has both, ``duration`` beside ``start`` where it has
no end.
"""


def _ranks(*tiers: str) -> dict[str, int]:
    return {name.strip(): rank for rank, tier in enumerate(tiers) for name in tier.split(",")}


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(","))


# Each string is one tier; an earlier tier wins. Names are as `normalised` leaves them.
_PATH = _ranks(
    "local path, localpath",
    "video path, videopath, path to video, video file, videofile, video filename, video file name, "
    "videofil, video fil, videosti, videofilnavn, videofilnamn, video name, videoname, videonavn, "
    "mediefil, mediafil, filmfil, opptaksfil, media path, "
    "videodatei, videopfad, fichier vidéo, fichier video, nom de la vidéo, videobestand",
    "path, file path, filepath, full path, fullpath, absolute path, abs path, relative path, "
    "rel path, sti, filsti, fil sti, sökväg, pfad, dateipfad, chemin, pad, bestandspad",
    "file, file name, filename, fil, filnavn, filnamn, datei, dateiname, fichier, nom du fichier, "
    "nom de fichier, bestand, bestandsnaam",
    "video, videos, vidéo, videoklipp, video clip, videoclip, filmklipp",
)
_URL = _ranks(
    "video url, videourl, remote url, video link, video uri, videolenke, videolink, download url, "
    "s3 url, s3 uri",
    "url, uri, link, lenke, lenkje, länk, lien, href, web url, s3 path, s3 key",
)
# May name the file, and may not: taken only where the values look like files or are files.
_VAGUE_PATH = _ranks(
    "clip, clips, klipp, film, movie, media, media file, recording, opptak, inspelning, optagelse, "
    "source, src, kilde, asset",
    "name, navn, namn, id, key, clip name, clip id, utterance id, sentence name",
)
_FILE_ID = _ranks("attachment id, video id, videoid, youtube id")
_WORD = _ranks(
    "word, ord, norsk ord",
    "gloss, glosse, glossa, glose, main gloss, glos, id gloss, idgloss, annotation id gloss, "
    "annotation idgloss, sign name",
    "tegn, sign, tecken, teikn, gebärde, geste, signe, gebaar, wort, mot, woord, oppslag, "
    "oppslagsord, uppslagsord, opslagsord, lemma, lemma id gloss, term, begrep, begrepp, begreb, "
    "uttrykk, orth, words, glosses",
    "text, tekst, texte, texts, phrase, sentence, setning, mening, sætning, satz, item, "
    "transcription, transcript, utterance, caption, keywords, translation, oversettelse, "
    "översättning, oversættelse, übersetzung, traduction, annotation, annotasjon, subtitle, "
    "undertekst",
    "label, labels, etikett, class, class name, classname, klasse, klass, category name",
    "title, tittel, titel, name, navn, namn, meaning, betydning",
    "norsk, bokmål, nynorsk, svenska, dansk, deutsch, english, engelsk",
)
_NO_WORD = 99
# "Annotation ID Gloss (Dutch)": a name of a word and the language it is in.
_LANGUAGES = _names(
    "norsk,bokmål,nynorsk,norwegian,engelsk,english,svensk,svenska,swedish,dansk,danish,suomi,"
    "finnish,nederlands,dutch,deutsch,tysk,german,français,fransk,french,flemish,turkish,"
    "no,nb,nn,en,sv,da,fi,nl,de,fr"
)
_RATE = _names(
    "fps,frame rate,framerate,frames per second,video fps,bildefrekvens,bilder per sekund,"
    "bildrate,bildfrekvens,images par seconde"
)
_START = _names(
    "start,starts,begin,begins,beginning,beg,from,fra,frå,från,von,onset,startpunkt,debut,début,"
    "anfang,beginn,starttime,starttid,starttidspunkt,startzeit,anfangszeit,beginnzeit,begintime,in,"
    "inn,innpunkt"
)
_END = _names(
    "end,ends,stop,to,til,till,bis,slutt,slut,ende,fin,sluttid,slutttid,sluttpunkt,endtime,"
    "endtid,sluttidspunkt,slutttidspunkt,stoptime,stopptid,stopp,endzeit,out,ut,utpunkt,offset"
)
_DURATION = _names("duration,dur,varighet,lengde,längd,længde,varighed,dauer,durée,duur")
_TIME_FILLERS = _names(
    "time,tid,zeit,temps,at,realigned,segment,clip,video,sign,position,pos,point,hh,mm,ff,pal,ntsc,"
    "tc,t,timecode,timestamp,tidskode,tidspunkt,klokkeslett,klipp,posisjon"
)
_SECONDS = _names("s,ss,sec,secs,second,seconds,sek,sekund,sekunder,sekunden,secondes")
_MILLISECONDS = _names(
    "ms,msec,msecs,millis,millisec,millisecond,milliseconds,millisekunder,millisekund"
)
_FRAMES = _names("frame,frames,frameno,framenumber,bilde,bilder,ruter,bildruta")


def normalised(name: str) -> str:
    """Return the name in one spelling: NFKC, caseless, one space between words."""
    name = unicodedata.normalize("NFKC", name.replace("\ufeff", ""))
    name = re.sub(r"(?<=[a-zæøå])(?=[A-ZÆØÅ][a-zæøå])", " ", name)  # videoFile
    return " ".join(re.sub(r"[\W_]+", " ", name.casefold()).split())


@dataclass(frozen=True)
class Columns:
    """What the columns of one manifest are for.

    Attributes:
        header: whether the first row holds names.
        names: a unique name for each column (``column 2`` where it has none).
        roles: index of the column of each role that was found; a subset of `ROLES`.
        start_in_ms, end_in_ms: the unit of start and end is milliseconds, otherwise seconds.
        frames_from_one: frames are counted from 1 and the end is inclusive, as in WLASL.
        notes: sentences about choices a person may want to know of.
    """

    header: bool
    names: tuple[str, ...]
    roles: Mapping[str, int]
    start_in_ms: bool = False
    end_in_ms: bool = False
    frames_from_one: bool = False
    notes: tuple[str, ...] = field(default=())


def count_known(cells: Sequence[str]) -> int:
    """Return how many of the cells are names that `recognise` knows."""
    return sum(_is_known(cell) for cell in cells)


def _is_known(cell: str) -> bool:
    name = normalised(cell)
    known = (_PATH, _URL, _VAGUE_PATH, _FILE_ID, _WORD, _RATE)
    return any(name in names for names in known) or _timing(name) is not None


def recognise(
    rows: Sequence[Sequence[str]],
    explicit: Mapping[str, str],
    exists: Callable[[str], bool],
    *,
    header: bool,
    manifest: str,
) -> Columns:
    """Return what the columns are for.

    Args:
        rows: the first rows that are not blank; at least one.
        explicit: role -> column name, or its number from 1 where no column has that name; empty
            where no column is to have the role.
        exists: tells whether a cell names a file that is there.
        header: whether the first row holds names (`has_header`).
        manifest: its name, for messages.

    Raises:
        ManifestError: no column names the videos, two could, or `explicit` names none there is.
    """
    unknown = sorted(set(explicit) - set(ROLES))
    if unknown:
        raise ManifestError(
            f"There is no column role {unknown[0]!r}; the roles are {', '.join(ROLES)}."
        )
    first = [cell.strip() for cell in rows[0]]
    names = _unique_names(first if header else [""] * len(first))
    chosen = {
        role: _explicit(role, name, first, header, manifest)
        for role, name in explicit.items()
        if name.strip()
    }
    values = [
        [row[index].strip() for row in rows[header:] if index < len(row)]
        for index in range(len(names))
    ]
    unwanted = frozenset(explicit) - frozenset(chosen)
    return _Recogniser(manifest, header, names, values, exists, unwanted).run(chosen)


def has_header(
    rows: Sequence[Sequence[str]], explicit: Mapping[str, str], exists: Callable[[str], bool]
) -> bool:
    """Tell whether the first row holds names: one that is asked for, known ones, or no values."""
    first, rest = rows[0], rows[1:]
    asked_for = [name for name in explicit.values() if not name.strip().isdecimal()]
    if any(_index(name, first) is not None for name in asked_for):
        return True
    if any(looks_like_video(cell) or (cell != "" and exists(cell)) for cell in first):
        return False
    known = count_known(first)
    columns = [[row[index] for row in rest if index < len(row)] for index in range(len(first))]
    if known >= 2 or any(_share(looks_like_video, values) > 0.5 for values in columns):
        return True

    def like_the_rest(test: Callable[[str], bool]) -> bool:
        return any(
            test(cell) and all(map(test, values))
            for cell, values in zip(first, columns, strict=True)
        )

    if like_the_rest(looks_like_location):
        return False
    return known == 1 or not like_the_rest(_is_number)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9.,;:\s]+", text) is not None


def _share(test: Callable[[str], bool], values: Sequence[str]) -> float:
    given = [value for value in values if value]
    return sum(map(test, given)) / len(given) if given else 0.0


def _index(name: str, header: Sequence[str]) -> int | None:
    for spelling in (str.strip, normalised):
        spelled = [spelling(cell) for cell in header]
        if spelling(name) in spelled and spelling(name):
            return spelled.index(spelling(name))
    return None


def _explicit(role: str, name: str, first: Sequence[str], header: bool, manifest: str) -> int:
    if header and (by_name := _index(name, first)) is not None:
        return by_name
    if name.strip().isdecimal() and 1 <= int(name) <= len(first):
        return int(name) - 1
    there = (
        f"its columns are {_listed(first)}"
        if header
        else f"it seems to have no header; give a number from 1 to {len(first)} instead "
        f"(the first row is {_listed(first)})"
    )
    raise ManifestError(f"{manifest} has no column {name!r} for {role}: {there}.")


def _listed(names: Sequence[str]) -> str:
    shown = [repr(name if len(name) <= 40 else f"{name[:40]}…") for name in names[:40]]
    return ", ".join(shown) + (", …" if len(names) > 40 else "")


def _unique_names(header: Sequence[str]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    copies: Counter[str] = Counter()
    for number, cell in enumerate(header, start=1):
        name = unicodedata.normalize("NFC", cell.replace("\ufeff", "")) or f"column {number}"
        unique = name
        while unique in names:
            copies[name] += 1
            unique = f"{name} ({copies[name] + 1})"
        names[unique] = None
    return tuple(names)


def _timing(name: str) -> tuple[str, str] | None:
    """Return (start, end or duration; unit) for a normalised name: s, ms or frames."""
    tokens = name.split()
    units = _SECONDS | _MILLISECONDS | _FRAMES
    for suffix in ("frame", "bilde", "sec", "sekund", "ms"):  # startframe, endms
        stem = name.removesuffix(suffix)
        if stem != name and stem in _START | _END:
            tokens = [stem, suffix]
    core = [token for token in tokens if token not in units and token not in _TIME_FILLERS]
    if len(core) != 1 or core[0] not in _START | _END | _DURATION:
        return None
    which = "start" if core[0] in _START else "end" if core[0] in _END else "duration"
    if not _FRAMES.isdisjoint(tokens):
        return which, "frames"
    # "ss msec" and "hh mm ss ms" of ELAN are seconds and a clock, "msec" alone is milliseconds.
    milliseconds = not _MILLISECONDS.isdisjoint(tokens) and "ss" not in tokens
    return which, "ms" if milliseconds else "s"


class _Recogniser:
    """The choices for one manifest, each made on names first and values where names leave doubt."""

    def __init__(
        self,
        manifest: str,
        header: bool,
        names: tuple[str, ...],
        values: list[list[str]],
        exists: Callable[[str], bool],
        unwanted: frozenset[str],
    ) -> None:
        self.manifest = manifest
        self.header = header
        self.names = names
        self.keys = [normalised(name) if header else "" for name in names]
        self.values = values
        self.exists = exists
        self.unwanted = unwanted
        self.are_clips = False
        self.notes: list[str] = []

    def run(self, explicit: Mapping[str, int]) -> Columns:
        roles = dict(explicit)
        taken = set(roles.values())
        if self._is_open("url", roles) and (url := self._best(_URL, taken)) is not None:
            roles["url"] = url
        if self._is_open("path", roles):
            has_url = "url" in roles
            taken = set(roles.values())
            path = self._how2sign_clips(taken)
            if path is None:
                path = self._path(taken, has_url)
            if path is not None:
                roles["path"] = path
        if "path" not in roles and "url" in roles:
            roles["path"] = roles.pop("url")
        if "path" not in roles:
            raise ManifestError(self._no_video())
        taken = set(roles.values())
        if self._is_open("word", roles) and (word := self._word(taken)) is not None:
            roles["word"] = word
        self._rate(roles)
        units = self._times(roles)
        keys = set(self.keys)
        from_one = {"gloss", "frame start", "frame end"} <= keys and "start_frame" in roles
        if from_one:
            self.notes.append("Frames are counted from 1 and the end is included, as in WLASL.")
        return Columns(
            header=self.header,
            names=self.names,
            roles={role: roles[role] for role in ROLES if role in roles},
            start_in_ms=units.get("start") == "ms",
            end_in_ms=units.get("end") == "ms",
            frames_from_one=from_one,
            notes=tuple(self.notes),
        )

    def _is_open(self, role: str, roles: Mapping[str, int]) -> bool:
        return role not in roles and role not in self.unwanted

    # -- which video -------------------------------------------------------------------------

    def _path(self, taken: set[int], has_url: bool) -> int | None:
        named = self._named(_PATH, taken)
        if has_url:  # "file" of MS-ASL is a title; where it is not a file, the URL is fetched
            named = [i for i in named if _PATH[self.keys[i]] == 0 or self._may_name_files(i)]
        patterns = [i for i in named if _share(_is_picture_pattern, self.values[i]) > 0.5]
        named = [i for i in named if i not in patterns]
        if named:
            best = min(_PATH[self.keys[i]] for i in named)
            return self._only([i for i in named if _PATH[self.keys[i]] == best])
        if patterns and "name" in self.keys:  # PHOENIX
            self.notes.append(
                f"{self.names[patterns[0]]!r} holds patterns of pictures, so the videos are "
                "looked for under 'name'."
            )
            return self.keys.index("name")
        ids = self._named(_FILE_ID, taken)
        if has_url:
            there = [i for i in ids if self._is_there(i)]
            return there[0] if there else None
        free = [index for index in range(len(self.names)) if index not in taken]
        vague = [i for i in self._named(_VAGUE_PATH, taken) if self._names_files(i)]
        if vague:
            return min(vague, key=lambda i: (_VAGUE_PATH[self.keys[i]], i))
        videos = [index for index in free if _share(looks_like_video, self.values[index]) > 0.5]
        if not videos and ids:
            return ids[0]
        if not videos:
            videos = [index for index in free if self._names_files(index)]
        if not videos:
            raise ManifestError(self._no_video())
        path = self._only(videos)
        self.notes.append(
            f"The videos are taken from {self.names[path]!r}, because its values look like files."
        )
        return path

    def _how2sign_clips(self, taken: set[int]) -> int | None:
        """Return the column of the sentences' clips where these are here and the videos are not."""
        if not {"video name", "sentence name"} <= set(self.keys):
            return None
        video, clip = self.keys.index("video name"), self.keys.index("sentence name")
        if clip in taken or self._is_there(video) or not self._is_there(clip):
            return None
        self.are_clips = True
        self.notes.append(
            f"The files are the clips of {self.names[clip]!r}, which are cut already, so start and "
            "end, which are of the long videos, are not used."
        )
        return clip

    def _is_there(self, index: int) -> bool:
        return any(self.exists(value) for value in self.values[index][:20] if value)

    def _may_name_files(self, index: int) -> bool:
        return not any(self.values[index]) or self._names_files(index)

    def _named(self, known: Mapping[str, int], taken: set[int]) -> list[int]:
        """Return the columns of these names: those with values, or else those without."""
        named = [i for i, key in enumerate(self.keys) if key in known and i not in taken]
        return [index for index in named if any(self.values[index])] or named

    def _best(self, known: Mapping[str, int], taken: set[int]) -> int | None:
        named = self._named(known, taken)
        return min(named, key=lambda i: (known[self.keys[i]], i)) if named else None

    def _names_files(self, index: int) -> bool:
        values = self.values[index]
        return (
            _share(looks_like_video, values) > 0.5
            or (not self.header and _share(_is_path, values) > 0.5)
            or self._is_there(index)
        )

    def _only(self, candidates: Sequence[int]) -> int:
        """Return the one that holds videos, or refuse to choose between two that do."""
        sure = [i for i in candidates if _share(looks_like_video, self.values[i]) > 0.5]
        candidates = sure or candidates
        if all(self.values[index] == self.values[candidates[0]] for index in candidates):
            return candidates[0]
        names = [self.names[index] for index in candidates]
        options = " or ".join(f'--columns "path={self._address(i)}"' for i in candidates)
        raise ManifestError(
            f"{self.manifest} has {len(names)} columns that could name the video: "
            f"{_listed(names)}. Say which one: {options}."
        )

    def _address(self, index: int) -> str:
        """Return what `columns` takes for this column: its name, or its number if it has none."""
        name = self.names[index]
        return name if self.header and _index(name, self.names) == index else str(index + 1)

    def _no_video(self) -> str:
        what = (
            f"its columns are {_listed(self.names)}"
            if self.header
            else "it has no header, and its first row is "
            + _listed([values[0] if values else "" for values in self.values])
        )
        return (
            f"{self.manifest} has no column that names video files: {what}. If one does, say "
            'which: --columns "path=...", with its name or its number.'
        )

    # -- which word --------------------------------------------------------------------------

    def _word(self, taken: set[int]) -> int | None:
        if not self.header:
            free = [index for index in range(len(self.names)) if index not in taken]
            lettered = [i for i in free if _share(_has_letters, self.values[i]) > 0.5]
            if not free:
                return None
            word = (lettered or free)[0]
            self.notes.append(f"The word is taken from {self.names[word]!r}.")
            return word
        word_column = self._best(_WORD, taken)
        rank = _NO_WORD if word_column is None else _WORD[self.keys[word_column]]
        # A plain "Gloss" is surer than an "English word"; a "Label" is not.
        if rank > 2 and (longer := self._best_of_longer(taken, rank)) is not None:
            word_column = longer
        if word_column is None:
            self.notes.append(
                "No column holds the word, so it is the file's name without its extension "
                '(or say which: --columns "word=...").'
            )
        return word_column

    def _best_of_longer(self, taken: set[int], rank: int) -> int | None:
        """Return a column such as ``NL gloss`` or ``Lemma (Dutch)``, of better rank than `rank`."""
        best = None
        for index, key in enumerate(self.keys):
            stem, _, last = key.rpartition(" ")
            found = _WORD.get(stem if last in _LANGUAGES else last, _NO_WORD)
            if last not in _LANGUAGES and found > 1:
                continue  # "NL gloss" names a word, "file title" does not
            if found < rank and index not in taken and any(self.values[index]):
                best, rank = index, found
        if best is not None:
            self.notes.append(f"The word is taken from {self.names[best]!r}.")
        return best

    # -- which part of it --------------------------------------------------------------------

    def _rate(self, roles: dict[str, int]) -> None:
        if not self._is_open("fps", roles):
            return
        for index, key in enumerate(self.keys):
            if key in _RATE and index not in roles.values():
                if self._mostly(parse_rate, index):
                    roles["fps"] = index
                return

    def _times(self, roles: dict[str, int]) -> dict[str, str]:
        """Add start, end and duration to the roles; return the unit of each."""
        keys = set(self.keys)
        slovo = {"attachment id", "begin", "end"} <= keys
        in_frames = slovo or {"start", "end", "start time", "end time"} <= keys  # the latter MS-ASL
        units: dict[str, str] = {}
        for role in ("start", "end", "duration"):
            if role in roles:
                timing = _timing(self.keys[roles[role]])
                units[role] = timing[1] if timing else "s"
                if units[role] == "frames" and role != "duration":
                    roles[f"{role}_frame"] = roles.pop(role)
        for index in [] if self.are_clips else self._by_preference():
            timing = _timing(self.keys[index])
            if timing is None or index in roles.values() or self._is_other_offset(index):
                continue
            which, unit = timing
            if in_frames and self.keys[index] in ("begin", "start", "end"):
                unit = "frames"
            role = f"{which}_frame" if unit == "frames" else which
            if not self._is_open(role, roles) or (which == "duration" and not _lacks_end(roles)):
                continue
            if self._mostly(parse_frame if unit == "frames" else _parse_any_time, index):
                roles[role] = index
                units[which] = unit if unit != "frames" else units.get(which, unit)
            else:
                self.notes.append(f"{self.names[index]!r} holds no times and is not used as one.")
        if slovo and "start_frame" in roles:
            self.notes.append(
                "'begin' and 'end' are frame numbers, as in Slovo; for its trimmed videos, which "
                'are cut already, say --columns "start_frame=,end_frame=".'
            )
        if not self.header and not units:
            self._note_clocks()
        return units | ({"end": units["duration"]} if "duration" in roles else {})

    def _by_preference(self) -> list[int]:
        """Return the columns in the order in which one time is preferred to another of its kind."""

        def rank(index: int) -> tuple[bool, bool, bool]:
            tokens = self.keys[index].split()
            # A duration is of use only where there is no end. A realigned time replaces the first
            # one (How2Sign). A timecode that counts frames needs their rate.
            return not _DURATION.isdisjoint(tokens), "realigned" not in tokens, "ff" in tokens

        return sorted(range(len(self.keys)), key=rank)

    def _is_other_offset(self, index: int) -> bool:
        """Tell whether it is an offset of something: it ends a segment only beside an onset."""
        key = self.keys[index]
        return "offset" in key.split() and key.replace("offset", "onset") not in self.keys

    def _note_clocks(self) -> None:
        clocks = [
            str(index + 1)
            for index in range(len(self.names))
            if _share(_is_clock, self.values[index]) > 0.5
        ]
        if clocks:
            self.notes.append(
                f"Without a header nothing says what the times in column {', '.join(clocks)} are, "
                'so whole files are taken (or say which: --columns "start=...,end=...").'
            )

    def _mostly(self, parse: Callable[[str], float | None], index: int) -> bool:
        given = [value for value in self.values[index] if is_given(value)]
        return not given or sum(_parses(parse, value) for value in given) * 2 >= len(given)


def _lacks_end(roles: Mapping[str, int]) -> bool:
    return "start" in roles and "end" not in roles


def _is_clock(value: str) -> bool:
    return re.fullmatch(r"[0-9]+:[0-9]{2}:[0-9]{2}([.,:;][0-9]+)?", value) is not None


def _is_path(value: str) -> bool:
    return is_url(value) or "/" in value or "\\" in value


def _is_picture_pattern(value: str) -> bool:
    return re.search(r"\*\.(png|jpe?g|\*)\Z", value, re.IGNORECASE) is not None


def _has_letters(value: str) -> bool:
    return any(map(str.isalpha, value))


def _parse_any_time(value: str) -> float | None:
    return parse_seconds(value, rate=1000.0)


def _parses(parse: Callable[[str], float | None], value: str) -> bool:
    try:
        parse(value)
    except ValueError:
        return False
    return True
