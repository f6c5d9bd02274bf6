"""Reading whisper-server's `verbose_json`."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from whisper_contracts.failures import FailureReason, JobFailed
from whisper_contracts.messages import Segment, Word
from whisper_dispatcher.transcript.languages import is_spaceless, to_code

_BROKEN = "\N{REPLACEMENT CHARACTER}"


class _Token(BaseModel):
    word: str
    start: float | None = None
    end: float | None = None
    probability: float | None = None


class _Segment(BaseModel):
    text: str
    start: float | None = None
    end: float | None = None
    tokens: tuple[int, ...] = ()
    words: tuple[_Token, ...] = ()
    # The server divides by the number of tokens; an empty segment makes NaN, which it writes as null.
    temperature: float | None = None
    avg_logprob: float | None = None
    no_speech_prob: float | None = None


class _Body(BaseModel):
    language: str = ""
    segments: tuple[_Segment, ...]


@dataclass(frozen=True)
class ServerResponse:
    """The fields of a WindowResult that the server knows. Times are seconds of the recording."""

    language: str
    """ISO-639-1, empty when the server names none that Whisper has."""
    segments: tuple[Segment, ...]


def parse_verbose_json(body: bytes | str, *, offset_s: float, window_s: float) -> ServerResponse:
    """offset_s: where the window starts in the recording. window_s: how long it is.

    Text comes from the segments: the top-level `text` is cut into lines in the middle of words.
    Raises JobFailed(SERVER_ERROR), which is worth a retry, when the body is anything else.
    """
    try:
        parsed = _Body.model_validate_json(body)
    except ValidationError as error:
        raise JobFailed(
            FailureReason.SERVER_ERROR,
            f"The speech server's answer is not verbose_json ({error.error_count()} faults). "
            "Requeue the job; if it fails again, check the server's version.",
        ) from error
    segments = tuple(_segment(segment, offset_s, window_s) for segment in parsed.segments)
    return ServerResponse(language=to_code(parsed.language) or "", segments=segments)


def _segment(segment: _Segment, offset_s: float, window_s: float) -> Segment:
    return Segment(
        start_s=_absolute(segment.start or 0.0, offset_s),
        end_s=_absolute(window_s if segment.end is None else segment.end, offset_s),
        text=segment.text,
        tokens=segment.tokens,
        temperature=segment.temperature or 0.0,
        avg_logprob=segment.avg_logprob or 0.0,
        no_speech_prob=segment.no_speech_prob or 0.0,
        words=tuple(_words(segment, offset_s)),
    )


def _words(segment: _Segment, offset_s: float) -> Iterator[Word]:
    """Tokens joined into words; none when the server was not asked for token times."""
    group: list[tuple[_Token, str]] = []
    for unit in _units(segment):
        if group and _starts_word(unit[1]):
            yield from _word(group, offset_s)
            group = []
        group.append(unit)
    yield from _word(group, offset_s)


def _word(group: list[tuple[_Token, str]], offset_s: float) -> Iterator[Word]:
    text = "".join(piece for _, piece in group).strip()
    timed = [(token.start, token.end) for token, _ in group if token.start is not None and token.end is not None]
    if text and timed:
        probabilities = [token.probability or 0.0 for token, _ in group]
        yield Word(
            word=text,
            start_s=_absolute(timed[0][0], offset_s),
            end_s=_absolute(timed[-1][1], offset_s),
            probability=sum(probabilities) / len(probabilities),
        )


def _units(segment: _Segment) -> list[tuple[_Token, str]]:
    """Tokens with their text, those that share a character merged.

    A token may end inside a UTF-8 sequence; the server writes the halves as replacement characters, while
    the segment's text is whole. So the halves are put together and spelled as the text spells them.
    """
    units: list[_Token] = []
    for token in segment.words:
        if units and token.word.startswith(_BROKEN):
            first = units[-1]
            units[-1] = first.model_copy(update={"word": first.word + token.word, "end": token.end})
        else:
            units.append(token)
    return list(zip(units, _spelling(units, segment.text), strict=True))


def _spelling(units: list[_Token], text: str) -> Iterator[str]:
    position = 0
    for i, unit in enumerate(units):
        end = position + len(unit.word)
        if _BROKEN in unit.word:
            anchor = units[i + 1].word.partition(_BROKEN)[0] if i + 1 < len(units) else ""
            intact = len(unit.word.partition(_BROKEN)[0])
            end = text.find(anchor, position + intact + 1) if anchor else len(text)
            end = len(text) if end < 0 else end
        yield text[position:end]
        position = end


def _starts_word(piece: str) -> bool:
    first = piece[:1]
    return first.isspace() or (first != "" and is_spaceless(first) and unicodedata.category(first)[0] not in "PM")


def _absolute(local_s: float, offset_s: float) -> float:
    return round(offset_s + local_s, 3)
