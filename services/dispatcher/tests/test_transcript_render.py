from __future__ import annotations

import pytest
from openai.types.audio import TranscriptionVerbose

from whisper_contracts.messages import Segment, Word
from whisper_dispatcher.transcript.merge import Transcript, TranscriptSegment
from whisper_dispatcher.transcript.render import Granularity, TextFormat, as_json, as_verbose_json, cues, render

SHORT = Transcript(
    language="en",
    duration_s=3723.2500001,
    text="R&D <ok> --> done. bye",
    segments=(
        TranscriptSegment(start_s=0.5, end_s=1.9996, text=" R&D <ok> --> done.", tokens=(1, 2), avg_logprob=-0.25),
        TranscriptSegment(
            start_s=3722,
            end_s=3723.25,
            text=" bye",
            tokens=(3,),
            temperature=0.2,
            avg_logprob=-0.5,
            no_speech_prob=0.125,
            words=(Word(word="bye", start_s=3722.1, end_s=3722.5, probability=0.9),),
            seek=370000,
        ),
    ),
)
SILENCE = Transcript(language="en", duration_s=2.0, text="", segments=())

SRT = """1
00:00:00,500 --> 00:00:02,000
R&D <ok> -> done.

2
01:02:02,000 --> 01:02:03,250
bye

"""
VTT = """WEBVTT

00:00:00.500 --> 00:00:02.000
R&amp;D &lt;ok&gt; --&gt; done.

01:02:02.000 --> 01:02:03.250
bye

"""


@pytest.mark.parametrize(
    ("transcript", "format_", "expected"),
    [
        (SHORT, "text", "R&D <ok> --> done. bye\n"),
        (SHORT, "srt", SRT),
        (SHORT, "vtt", VTT),
        (SILENCE, "text", "\n"),
        (SILENCE, "srt", ""),
        (SILENCE, "vtt", "WEBVTT\n\n"),
    ],
)
def test_every_text_format(transcript: Transcript, format_: TextFormat, expected: str) -> None:
    assert render(transcript, format_) == expected


@pytest.mark.parametrize("arrow", ["-->", "--->", "----->"])
def test_no_arrow_in_a_text_is_read_as_a_line_of_times(arrow: str) -> None:
    segment = TranscriptSegment(start_s=0, end_s=1, text=f" left {arrow} right")
    spoken = Transcript(language="en", duration_s=1, text=segment.text, segments=(segment,))
    assert render(spoken, "srt").splitlines()[2] == "left -> right"


LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
CUES = [
    "one two three four five six seven eight\nnine ten eleven twelve thirteen fourteen",
    "fifteen sixteen seventeen",
]


def said(text: str, words: tuple[Word, ...] = ()) -> Transcript:
    segment = Segment(start_s=10, end_s=20, text=text, words=words)
    return Transcript(language="en", duration_s=30, text=text, segments=(TranscriptSegment(**dict(segment)),))


def test_a_long_segment_is_split_with_proportional_times() -> None:
    split = cues(said(f" {LONG}"))
    assert [cue.text for cue in split] == CUES
    assert (split[0].start_s, split[-1].end_s) == (10, 20)
    assert split[0].end_s == pytest.approx(10 + 10 * len(CUES[0]) / len(LONG))
    assert split[1].start_s == pytest.approx(10 + 10 * (len(CUES[0]) + 1) / len(LONG))


def test_a_long_segment_is_split_at_its_words_times() -> None:
    spoken = LONG.split()
    words = tuple(Word(word=word, start_s=10 + i / 2, end_s=10.4 + i / 2) for i, word in enumerate(spoken))
    split = cues(said(LONG, words))
    assert [(cue.start_s, cue.end_s) for cue in split] == [(10, 16.9), (17, 20)]


def test_no_cue_is_wider_than_two_lines_of_42_in_a_script_without_spaces() -> None:
    text = "語" * 100
    split = cues(said(text))
    assert [cue.text for cue in split] == ["語" * 42 + "\n" + "語" * 42, "語" * 16]
    assert split[0].end_s == split[1].start_s == pytest.approx(18.4)


def test_lines_that_repeat_keep_their_order_in_time() -> None:
    split = cues(said(" ".join(["no"] * 60)))
    edges_s = [edge for cue in split for edge in (cue.start_s, cue.end_s)]
    assert edges_s == sorted(edges_s)
    assert edges_s[-1] == 20
    assert len({cue.start_s for cue in split}) == len(split) == 3


def test_json_is_the_text_and_the_seconds_begun() -> None:
    assert as_json(SHORT) == {"text": SHORT.text, "usage": {"type": "duration", "seconds": 3724}}
    assert as_json(SILENCE) == {"text": "", "usage": {"type": "duration", "seconds": 2}}


SEGMENTS = [
    {
        "id": 0,
        "seek": 0,
        "start": 0.5,
        "end": 1.9996,
        "text": " R&D <ok> --> done.",
        "tokens": [1, 2],
        "temperature": 0.0,
        "avg_logprob": -0.25,
        "compression_ratio": 18 / 26,
        "no_speech_prob": 0.0,
    },
    {
        "id": 1,
        "seek": 370000,
        "start": 3722.0,
        "end": 3723.25,
        "text": " bye",
        "tokens": [3],
        "temperature": 0.2,
        "avg_logprob": -0.5,
        "compression_ratio": 3 / 11,
        "no_speech_prob": 0.125,
    },
]
WORDS = [{"word": "bye", "start": 3722.1, "end": 3722.5}]


@pytest.mark.parametrize(
    ("granularities", "parts"),
    [
        ((), {"segments": SEGMENTS}),
        (("segment",), {"segments": SEGMENTS}),
        (("word",), {"words": WORDS}),
        (("word", "segment"), {"segments": SEGMENTS, "words": WORDS}),
    ],
)
def test_verbose_json_has_what_was_asked_for(granularities: tuple[Granularity, ...], parts: dict[str, object]) -> None:
    body = as_verbose_json(SHORT, "transcribe", granularities)
    assert body == {
        "task": "transcribe",
        "language": "english",
        "duration": 3723.25,
        "text": SHORT.text,
        **parts,
        "usage": {"type": "duration", "seconds": 3724},
    }
    TranscriptionVerbose.model_validate(body, strict=True)


@pytest.mark.parametrize(
    ("code", "task", "language"),
    [("de", "transcribe", "german"), ("de", "translate", "english"), ("", "transcribe", "")],
)
def test_verbose_json_names_the_language_of_the_text(code: str, task: str, language: str) -> None:
    transcript = SILENCE.model_copy(update={"language": code})
    assert as_verbose_json(transcript, task)["language"] == language  # type: ignore[arg-type]
