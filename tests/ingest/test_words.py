from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker_core.ingest.words import MAX_BYTES, word_folder


def caseless(name: str) -> str:
    """Return what a file system that ignores case and normal form compares by."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


WORDS = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="aAåÅeEéÉßſıİ .~/0f", max_size=6),
    st.sampled_from(["con", "NUL", "com1.txt", "takk", "Takk", "a" * 130, "a" * 131, ".", "~"]),
)


@pytest.mark.parametrize(
    "word", ["takk", "å spise", "får", "far", "手話", "не", "it's", "😀", "c++"]
)
def test_an_ordinary_word_is_its_own_folder(word: str) -> None:
    assert word_folder(word) == word


SPECIAL = ["Far", "AGAIN", "CON", "nul.txt", "com¹", "takk.", " takk", "a/b", "hva?", "", ".", ".."]
SPECIAL += ["a\tb", "ord~0123456789", "straße", "a[1]"]


@pytest.mark.parametrize("word", SPECIAL)
def test_any_other_word_keeps_what_is_readable_and_gains_a_hash(word: str) -> None:
    assert re.fullmatch(r".+~[0-9a-f]{10}", word_folder(word))


@pytest.mark.parametrize("word", ["x" * 121, "å" * 61, "👩\u200d🚀", "-\x00", "\ud800", "a\ufe0f"])
def test_so_does_one_that_is_too_long_or_holds_what_cannot_be_seen(word: str) -> None:
    assert re.fullmatch(r".+~[0-9a-f]{10}", word_folder(word))


def test_the_names_are_stable() -> None:
    """Packages on disk are found again by these names, so they must never change."""
    assert word_folder("Far") == "Far~dcd75041b7"
    assert word_folder("a/b") == "a_b~c14cddc033"


@given(WORDS, WORDS)
def test_two_words_never_share_a_folder(first: str, second: str) -> None:
    same = unicodedata.normalize("NFC", first) == unicodedata.normalize("NFC", second)
    assert (caseless(word_folder(first)) == caseless(word_folder(second))) == same


TWINS: list[Callable[[str], str]] = [
    str.upper,
    str.lower,
    str.swapcase,
    str.casefold,
    str.title,
    lambda word: f"{word}.",
    lambda word: f"{word} ",
    lambda word: word.replace("/", "_"),
    lambda word: word[:118],
    word_folder,
]


@given(WORDS, st.sampled_from(TWINS))
def test_a_word_and_its_twin_never_share_a_folder(word: str, twin_of: Callable[[str], str]) -> None:
    twin = twin_of(word)
    same = unicodedata.normalize("NFC", word) == unicodedata.normalize("NFC", twin)
    assert (caseless(word_folder(word)) == caseless(word_folder(twin))) == same


@given(WORDS)
def test_the_normal_form_of_the_word_does_not_matter(word: str) -> None:
    assert word_folder(unicodedata.normalize("NFD", word)) == word_folder(word)


@given(st.one_of(WORDS, st.text(min_size=100, max_size=200)))
def test_every_folder_is_allowed_everywhere(word: str) -> None:
    folder = word_folder(word)
    assert 0 < len(folder.encode("utf-8")) <= MAX_BYTES
    assert not set(folder) & set('<>:"/\\|?*')
    assert not any(unicodedata.category(character) == "Cc" for character in folder)
    assert folder == folder.strip(" .")
    stem = folder.split(".")[0].strip().upper()
    assert stem not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}
