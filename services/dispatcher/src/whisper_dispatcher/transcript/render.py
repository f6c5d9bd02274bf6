"""A transcript in the formats of OpenAI's API."""

from __future__ import annotations

import html
import math
import re
import textwrap
import zlib
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from whisper_contracts.messages import Segment
from whisper_dispatcher.transcript.languages import NAMES
from whisper_dispatcher.transcript.merge import Transcript, TranscriptSegment

TextFormat = Literal["text", "srt", "vtt"]
Granularity = Literal["segment", "word"]

LINE_CHARACTERS = 42
CUE_LINES = 2


@dataclass(frozen=True)
class Cue:
    """What is on the screen at once."""

    start_s: float
    end_s: float
    text: str


def render(transcript: Transcript, format: TextFormat) -> str:  # noqa: A002 - the API's word
    match format:
        case "text":
            return f"{transcript.text}\n"
        case "srt":
            return _srt(cues(transcript))
        case "vtt":
            return _vtt(cues(transcript))


def as_json(transcript: Transcript) -> dict[str, Any]:
    return {"text": transcript.text, "usage": _usage(transcript)}


def as_verbose_json(
    transcript: Transcript,
    task: Literal["transcribe", "translate"] = "transcribe",
    granularities: Collection[Granularity] = (),
) -> dict[str, Any]:
    """granularities: `timestamp_granularities[]` as sent; none means segments."""
    body: dict[str, Any] = {
        "task": task,
        "language": "english" if task == "translate" else NAMES.get(transcript.language, transcript.language),
        "duration": round(transcript.duration_s, 3),
        "text": transcript.text,
    }
    if not granularities or "segment" in granularities:
        body["segments"] = [_segment(i, segment) for i, segment in enumerate(transcript.segments)]
    if "word" in granularities:
        body["words"] = [
            {"word": word.word, "start": word.start_s, "end": word.end_s}
            for segment in transcript.segments
            for word in segment.words
        ]
    return body | {"usage": _usage(transcript)}


def cues(transcript: Transcript) -> list[Cue]:
    return [cue for segment in transcript.segments for cue in _split(segment)]


def _segment(index: int, segment: TranscriptSegment) -> dict[str, Any]:
    return {
        "id": index,
        "seek": segment.seek,
        "start": segment.start_s,
        "end": segment.end_s,
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": _compression_ratio(segment.text),
        "no_speech_prob": segment.no_speech_prob,
    }


def _usage(transcript: Transcript) -> dict[str, Any]:
    return {"type": "duration", "seconds": math.ceil(transcript.duration_s)}


def _compression_ratio(text: str) -> float:
    """As Whisper computes it; above 2.4 the text repeats itself."""
    data = text.strip().encode()
    return len(data) / len(zlib.compress(data))


def _split(segment: Segment) -> list[Cue]:
    """Cues of at most two lines; inside the segment a cue begins and ends with its words."""
    text = " ".join(segment.text.split())
    lines = textwrap.wrap(text, LINE_CHARACTERS, break_on_hyphens=False)
    blocks = [lines[i : i + CUE_LINES] for i in range(0, len(lines), CUE_LINES)]
    times = _Times.of(segment, text)
    split: list[Cue] = []
    position = 0
    for block in blocks:
        begin = text.index(block[0], position)
        position = text.index(block[-1], begin + len(block[0]) if len(block) > 1 else begin) + len(block[-1])
        split.append(Cue(times.at(begin), times.at(position), "\n".join(block)))
    return split


@dataclass(frozen=True)
class _Times:
    """When each character of a segment is said: known at the edges of words, proportional between."""

    positions: list[int]
    seconds: list[float]

    @classmethod
    def of(cls, segment: Segment, text: str) -> _Times:
        points = [(0, segment.start_s)]
        for word in segment.words:
            begin = text.find(word.word, points[-1][0])
            if begin >= 0:
                points += [(begin, word.start_s), (begin + len(word.word), word.end_s)]
        inner = [point for point in points if 0 < point[0] < len(text)]
        points = [(0, segment.start_s), *inner, (len(text), segment.end_s)]
        return cls([position for position, _ in points], [at_s for _, at_s in points])

    def at(self, position: int) -> float:
        right = min(bisect_right(self.positions, position), len(self.positions) - 1)
        left = right - 1
        share = (position - self.positions[left]) / (self.positions[right] - self.positions[left])
        return self.seconds[left] + share * (self.seconds[right] - self.seconds[left])


def _srt(cues: list[Cue]) -> str:
    return "".join(
        # An arrow inside the text would be read as a line of times.
        f"{number}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n{re.sub('-{2,}>', '->', cue.text)}\n\n"
        for number, cue in enumerate(cues, start=1)
    )


def _vtt(cues: list[Cue]) -> str:
    return "WEBVTT\n\n" + "".join(
        f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n{html.escape(cue.text, quote=False)}\n\n"
        for cue in cues
    )


def _clock(at_s: float, mark: str) -> str:
    minutes, milliseconds = divmod(round(at_s * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}{mark}{milliseconds % 1000:03}"
