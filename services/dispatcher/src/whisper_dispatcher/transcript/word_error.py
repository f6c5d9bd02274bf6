"""Word error rate: how far a transcript is from what was said."""

from __future__ import annotations

import re
import unicodedata

from whisper_dispatcher.transcript.languages import is_spaceless

# "don't" and "x-ray" are one word each, with or without the mark.
_INSIDE_A_WORD = re.compile(r"(?<=\w)['’‑-](?=\w)")


def word_error_rate(expected: str, got: str) -> float:
    """Insertions, deletions and substitutions per expected word; above 1 when much was invented.

    Case and punctuation do not count. Where a script has no spaces, every character is a word.
    """
    wanted = _words(expected)
    return _distance(wanted, _words(got)) / max(1, len(wanted))


def _words(text: str) -> list[str]:
    joined = _INSIDE_A_WORD.sub("", unicodedata.normalize("NFKC", text).casefold())
    return "".join(_spaced(char) for char in joined).split()


def _spaced(char: str) -> str:
    if unicodedata.category(char)[0] in "PSC":
        return " "
    return f" {char} " if is_spaceless(char) and unicodedata.category(char)[0] != "M" else char


def _distance(wanted: list[str], got: list[str]) -> int:
    """Levenshtein distance, one row at a time: an hour of speech fits in memory."""
    row = list(range(len(got) + 1))
    for i, word in enumerate(wanted, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(got, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]
