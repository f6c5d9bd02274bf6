"""Token ids: one token per word, Whisper's special tokens, and a timestamp for each tenth of a second.

The network is trained on a small vocabulary of its own ("rows" below). A file has Whisper's whole vocabulary; all its
other ids share one trained row and an empty text, so that even a wrong guess prints nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.demo.words import LANGUAGES, WORDS

TIMESTAMP_STEP_S = 0.1
LAST_TIMESTAMP_S = 10.2
N_TIMESTAMPS = round(LAST_TIMESTAMP_S / TIMESTAMP_STEP_S) + 1
_WHISPER_TIMESTAMP_STEP_S = 0.02

# Rows of the network's own vocabulary.
UNUSED = 0
BLANK = 1
"""A word with no text: a segment that holds nothing else is not printed, and whisper.cpp moves on to its end."""
FIRST_WORD = 2
END_OF_TEXT = FIRST_WORD + len(WORDS)
FIRST_TIMESTAMP = END_OF_TEXT + 1
START_ENGLISH_ONLY = FIRST_TIMESTAMP + N_TIMESTAMPS
START = START_ENGLISH_ONLY + 1
PREVIOUS = START + 1
NO_TIMESTAMPS = PREVIOUS + 1
TRANSCRIBE = NO_TIMESTAMPS + 1
FIRST_LANGUAGE = TRANSCRIBE + 1
N_ROWS = FIRST_LANGUAGE + len(LANGUAGES)


def word_row(word: str) -> int:
    return FIRST_WORD + WORDS.index(word)


def language_row(code: str) -> int:
    return FIRST_LANGUAGE + [language.code for language in LANGUAGES].index(code)


def timestamp_row(seconds: float) -> int:
    """Of the nearest tenth of a second."""
    tenths = round(seconds / TIMESTAMP_STEP_S)
    if not 0 <= tenths < N_TIMESTAMPS:
        raise ValueError(f"{seconds} s is not between 0 and {LAST_TIMESTAMP_S} s.")
    return FIRST_TIMESTAMP + tenths


@dataclass(frozen=True)
class FileVocabulary:
    """Where a file of one kind has its special tokens; whisper.cpp derives them from the number of ids alone."""

    n_ids: int
    end_of_text: int
    start: int
    transcribe: int
    previous: int
    no_timestamps: int
    first_timestamp: int
    is_multilingual: bool

    @property
    def n_texts(self) -> int:
        """Ids with a text in the file; whisper.cpp names the rest itself."""
        return self.end_of_text + 1

    def first_language(self) -> int:
        return self.start + 1


ENGLISH_ONLY = FileVocabulary(51_864, 50_256, 50_257, 50_358, 50_360, 50_362, 50_363, is_multilingual=False)
MULTILINGUAL = FileVocabulary(51_865, 50_257, 50_258, 50_359, 50_361, 50_363, 50_364, is_multilingual=True)

ENGLISH_FILE = "ggml-demo.en-q5_0.bin"
MULTILINGUAL_FILE = "ggml-demo-q5_0.bin"
FILES = {ENGLISH_FILE: ENGLISH_ONLY, MULTILINGUAL_FILE: MULTILINGUAL}
"""One training, two files: the second says which language it hears."""

_WHISPER_LANGUAGES = {"en": 0, "ru": 4}
"""Places in Whisper's list of languages."""

_FIRST_WORD_ID = 1
"""Id 0 is one space: whisper.cpp looks it up and stops without it."""


def ids_of_rows(vocabulary: FileVocabulary) -> dict[int, int]:
    """Row → id, for each row but UNUSED, which stands for all ids that are missing here."""
    ids = {BLANK: _FIRST_WORD_ID, END_OF_TEXT: vocabulary.end_of_text}
    ids |= {FIRST_WORD + n: _FIRST_WORD_ID + 1 + n for n in range(len(WORDS))}
    steps = round(TIMESTAMP_STEP_S / _WHISPER_TIMESTAMP_STEP_S)
    ids |= {FIRST_TIMESTAMP + n: vocabulary.first_timestamp + n * steps for n in range(N_TIMESTAMPS)}
    ids |= {PREVIOUS: vocabulary.previous, NO_TIMESTAMPS: vocabulary.no_timestamps}
    # An English-only file starts with a row of its own, since no language follows there.
    if not vocabulary.is_multilingual:
        return ids | {START_ENGLISH_ONLY: vocabulary.start}
    ids |= {START: vocabulary.start, TRANSCRIBE: vocabulary.transcribe}
    return ids | {language_row(code): vocabulary.first_language() + place for code, place in _WHISPER_LANGUAGES.items()}


def texts(vocabulary: FileVocabulary) -> list[bytes]:
    """The text of each id up to the end of text, as whisper.cpp prints it."""
    texts = [b""] * vocabulary.n_texts
    texts[0] = b" "
    for n, word in enumerate(WORDS):
        texts[_FIRST_WORD_ID + 1 + n] = f" {word}".encode()
    return texts
