"""The word of a manifest as the name of a folder, on every file system alike."""

from __future__ import annotations

import hashlib
import re
import unicodedata

MAX_BYTES = 120
"""Longest folder name, in UTF-8 bytes: leaves room within the 255 of NTFS, APFS and ext4."""

_HASH_LENGTH = 10
_HASHED = re.compile(rf"~[0-9a-f]{{{_HASH_LENGTH}}}\Z")
# Refused by Windows, or read as a pattern, an escape or a fragment by shells and URLs.
_UNSAFE = frozenset('<>:"/\\|?*[]{}#%`')
# Device names that Windows reserves, with any extension (Microsoft, "Naming Files, Paths, and
# Namespaces").
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9¹²³])\Z", re.I)
# Control, format (zero-width joiners, which HFS+ ignores), unassigned, private, surrogates,
# line and paragraph separators.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


def word_folder(word: str) -> str:
    """Return a folder name for `word` that no other word shares.

    Two words get the same name only where they are the same text in NFC. Names stay apart on file
    systems that ignore case or Unicode normal form (NTFS, APFS). A word in lower case without
    special characters is its own name (``takk``, ``å spise``); any other keeps what is readable of
    it and gains ``~`` and ten hexadecimal digits of its SHA-256 (``Far`` -> ``Far~...``).

    The name depends on the word alone, is at most `MAX_BYTES` bytes of UTF-8, and is never
    reserved, empty, hidden, or ended by a dot or a space.
    """
    word = unicodedata.normalize("NFC", word)
    if _is_plain(word):
        return word
    digest = hashlib.sha256(word.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    readable = "".join("_" if _is_unsafe(character) else character for character in word)
    readable = readable.strip(" .") or "_"
    if _is_reserved(readable):
        readable = f"_{readable}"
    return f"{_shorten(readable, MAX_BYTES - _HASH_LENGTH - 1)}~{digest}"


def _is_plain(word: str) -> bool:
    return (
        word != ""
        and len(word.encode("utf-8", "surrogatepass")) <= MAX_BYTES
        and word == word.strip(" .")
        and not any(map(_is_unsafe, word))
        and not _is_reserved(word)
        and not _HASHED.search(word)
        # Caseless twins (Far, far; straße, strasse) must not both be plain. Casefolding is what
        # APFS compares by; the upper case is what NTFS compares by.
        and unicodedata.normalize("NFC", word.casefold()) == word
        and word.upper().lower() == word
    )


def _is_unsafe(character: str) -> bool:
    if character in _UNSAFE or unicodedata.category(character) in _UNSAFE_CATEGORIES:
        return True
    if unicodedata.category(character) == "Zs":
        return character != " "
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _is_reserved(name: str) -> bool:
    return _RESERVED.match(name.split(".", 1)[0].rstrip(" ")) is not None


def _shorten(text: str, size: int) -> str:
    return text.encode("utf-8")[:size].decode("utf-8", "ignore")
