"""From a transcript to what stands in the chat. Telegram counts UTF-16 units."""

from __future__ import annotations

import re
from dataclasses import dataclass

from whisper_bot.records import Note
from whisper_bot.sentences import failure_sentence, sentence
from whisper_contracts.failures import FailureReason
from whisperfleet.client import Job

MAX_TEXT_UNITS = 4096
QUOTE_FROM_UNITS = 600
"""A longer text is folded, so that it does not push a chat away."""
CAPTION_UNITS = 300
MAX_PARTS = 10
"""Above, a file is kinder than messages."""

_SENTENCE_END = re.compile(r"[.!?…。！？]['\")\]»”]*\s+")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Button:
    text: str
    data: str


@dataclass(frozen=True, slots=True)
class TextAnswer:
    text: str
    is_quote: bool = False
    buttons: tuple[Button, ...] = ()

    @property
    def units(self) -> int:
        return utf16_units(self.text)


@dataclass(frozen=True, slots=True)
class FileAnswer:
    file_name: str
    content: bytes
    caption: str = ""
    buttons: tuple[Button, ...] = ()


def utf16_units(text: str) -> int:
    return len(text) + sum(1 for character in text if ord(character) > 0xFFFF)


def prefix_characters(text: str, units: int) -> int:
    """How many characters fit into so many units."""
    used = 0
    for index, character in enumerate(text):
        used += 2 if ord(character) > 0xFFFF else 1
        if used > units:
            return index
    return len(text)


def split(text: str, units: int = MAX_TEXT_UNITS) -> list[str]:
    """Parts of at most so many units, cut after a sentence, else at a space, else where it must be.

    Nothing but white space at the cuts is left out.
    """
    parts = []
    rest = text.strip()
    while rest:
        end = _cut(rest, prefix_characters(rest, units))
        parts.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return parts


def _cut(text: str, limit: int) -> int:
    if limit >= len(text):
        return len(text)
    # A sentence that ends in the first half would leave the message mostly empty.
    sentence = [match.end() for match in _SENTENCE_END.finditer(text, 0, limit + 1)]
    if sentence and sentence[-1] > limit // 2:
        return sentence[-1]
    words = [match.start() for match in _SPACE.finditer(text, 0, limit + 1) if match.start()]
    return words[-1] if words else limit


def shortened(text: str, units: int) -> str:
    if utf16_units(text) <= units:
        return text
    return split(text, units - 2)[0] + " …"


def text_answer(text: str, buttons: tuple[Button, ...] = ()) -> TextAnswer:
    return TextAnswer(text, is_quote=utf16_units(text) > QUOTE_FROM_UNITS, buttons=buttons)


def file_answer(text: str, extension: str, buttons: tuple[Button, ...], caption_of: str = "") -> FileAnswer:
    caption = shortened(caption_of.strip(), CAPTION_UNITS)
    return FileAnswer(f"transcript.{extension}", (text.strip() + "\n").encode(), caption, buttons)


def answers(note: Note, text: str, srt: str) -> list[TextAnswer | FileAnswer]:
    """What stands in the chat in the end: one message, or several where somebody asked for that."""
    if not text:
        return [TextAnswer(sentence("no_speech", note.reads))]
    srt_button = Button(sentence("button_srt", note.reads), f"srt:{note.message_id}")
    txt_button = Button(sentence("button_txt", note.reads), f"txt:{note.message_id}")
    if note.answer_format == "srt":
        return [file_answer(srt, "srt", (txt_button,), text)]
    parts = split(text)
    if note.answer_format == "messages" and len(parts) <= MAX_PARTS:
        return [*(TextAnswer(part) for part in parts[:-1]), TextAnswer(parts[-1], buttons=(srt_button, txt_button))]
    if note.answer_format == "txt" or len(parts) > 1:
        return [file_answer(text, "txt", (srt_button,), text)]
    return [text_answer(parts[0], (srt_button, txt_button))]


def progress_text(job: Job, language: str) -> str:
    if job.windows.total:
        return sentence("progress", language, percent=100 * job.windows.done // job.windows.total)
    if job.queue_position:
        return sentence("queued", language, position=job.queue_position)
    return sentence("received", language)


def refusal_text(code: str, language: str) -> str:
    """code: why the gateway took no upload."""
    reason = FailureReason.UNSUPPORTED_LANGUAGE if code == "invalid_language" else code
    return failure_sentence(reason, language) if reason in set(FailureReason) else sentence("failed_refused", language)
