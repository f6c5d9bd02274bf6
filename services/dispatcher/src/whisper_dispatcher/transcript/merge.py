"""One transcript out of the results of a plan's windows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import groupby

from pydantic import BaseModel, ConfigDict

from whisper_contracts.messages import Plan, Segment, WindowResult, WindowSpan, Word
from whisper_dispatcher.transcript.languages import is_spaceless

MAX_REPEATS = 3
"""So often people do say the same sentence in a row."""


class TranscriptSegment(Segment):
    seek: int = 0
    """Start of its window in Whisper's frames of 10 ms."""


class Transcript(BaseModel):
    model_config = ConfigDict(frozen=True)

    language: str
    """ISO-639-1; empty when no window told one."""
    duration_s: float
    segments: tuple[TranscriptSegment, ...]
    text: str


def merge(plan: Plan, results: Mapping[int, WindowResult]) -> Transcript:
    """The transcript of the windows that are there; missing ones leave a gap.

    Windows tile the recording without overlap, so nothing has to be matched. The text of a leading part is
    always a prefix of the text of more windows, which is what lets a stream send only what is new.
    """
    segments: list[TranscriptSegment] = []
    text = ""
    for index, span in enumerate(plan.windows):
        if index not in results:
            continue
        spoken = window_segments(results[index], span)
        segments += spoken
        text = _appended(text, " ".join("".join(segment.text for segment in spoken).split()))
    return Transcript(
        language=_language(results.values()),
        duration_s=plan.duration_s,
        segments=tuple(segments),
        text=text,
    )


def window_segments(result: WindowResult, span: WindowSpan) -> list[TranscriptSegment]:
    """What one window adds to the transcript, whatever the others hold."""
    return _placed(_without_loops(result.segments), span)


def ready_prefix(plan: Plan, results: Mapping[int, WindowResult]) -> int:
    """How many leading windows of the plan have a result."""
    return next((i for i in range(len(plan.windows)) if i not in results), len(plan.windows))


def _without_loops(segments: Iterable[Segment]) -> list[Segment]:
    """Segments with text; a run of more than MAX_REPEATS equal ones becomes its first.

    Whisper's decoder can fall into a loop and write one sentence until the window ends. It does so inside a
    window only, as every window is decoded afresh.
    """
    kept: list[Segment] = []
    for key, group in groupby(segments, key=lambda segment: " ".join(segment.text.split()).casefold()):
        run = list(group)
        if key:
            kept += run[:1] if len(run) > MAX_REPEATS else run
    return kept


def _placed(segments: list[Segment], span: WindowSpan) -> list[TranscriptSegment]:
    """Times inside the window, starts never going back, and no segment reaching into the next one."""
    starts: list[float] = []
    for segment in segments:
        starts.append(_clamp(segment.start_s, starts[-1] if starts else span.start_s, span.end_s))
    limits = [*starts, span.end_s][1:]
    placed = []
    for segment, start_s, limit_s in zip(segments, starts, limits, strict=True):
        end_s = _clamp(segment.end_s, start_s, limit_s)
        fields = segment.model_copy(
            update={"start_s": start_s, "end_s": end_s, "words": _placed_words(segment.words, start_s, end_s)}
        )
        placed.append(TranscriptSegment(**dict(fields), seek=round(span.start_s * 100)))
    return placed


def _placed_words(words: Iterable[Word], start_s: float, end_s: float) -> tuple[Word, ...]:
    placed: list[Word] = []
    for word in words:
        start_s = _clamp(word.start_s, start_s, end_s)
        placed.append(word.model_copy(update={"start_s": start_s, "end_s": _clamp(word.end_s, start_s, end_s)}))
    return tuple(placed)


def _clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _appended(text: str, addition: str) -> str:
    """A cut lies in a pause, never in a word: a space belongs there, except where the script has none."""
    if not text or not addition:
        return text + addition
    return text + ("" if is_spaceless(text[-1]) and is_spaceless(addition[0]) else " ") + addition


def _language(results: Iterable[WindowResult]) -> str:
    """The language with the most seconds of speech; of equal ones the first."""
    speech_s: dict[str, float] = defaultdict(float)
    for result in sorted(results, key=lambda result: result.index):
        if result.language:
            speech_s[result.language] += sum(segment.end_s - segment.start_s for segment in result.segments)
    return max(speech_s, key=lambda language: speech_s[language], default="")
