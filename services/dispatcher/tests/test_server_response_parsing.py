"""Bodies as whisper-server writes them; the first is one it really sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from whisper_contracts.failures import FailureReason, JobFailed
from whisper_contracts.messages import Segment, Word
from whisper_dispatcher.transcript.server_response import ServerResponse, parse_verbose_json

HELLO = """{"task":"transcribe","language":"english","duration":2.042375087738037,"text":" hello wor\\nld\\n",
"segments":[{"id":0,"text":" hello world","start":0.0,"end":1.8,"tokens":[23748,995],
"words":[{"word":" hello","start":0.05,"end":0.4,"t_dtw":-1,"probability":0.75},
{"word":" world","start":0.4,"end":0.8,"t_dtw":-1,"probability":0.5}],
"temperature":0.0,"avg_logprob":-0.0625,"no_speech_prob":0.125}]}"""


def tokens(*words: str) -> list[dict[str, Any]]:
    """One token every tenth of a second."""
    return [{"word": word, "start": i / 10, "end": (i + 1) / 10, "probability": 0.5} for i, word in enumerate(words)]


def words_of(text: str, *pieces: str) -> list[tuple[str, float, float]]:
    body = {"language": "english", "segments": [{"text": text, "start": 0, "end": 9, "words": tokens(*pieces)}]}
    (segment,) = parse_verbose_json(json.dumps(body), offset_s=0, window_s=9).segments
    return [(word.word, word.start_s, word.end_s) for word in segment.words]


def test_a_real_answer_is_read_with_absolute_times() -> None:
    assert parse_verbose_json(HELLO.encode(), offset_s=60.5, window_s=28) == ServerResponse(
        language="en",
        segments=(
            Segment(
                start_s=60.5,
                end_s=62.3,
                text=" hello world",
                tokens=(23748, 995),
                avg_logprob=-0.0625,
                no_speech_prob=0.125,
                words=(
                    Word(word="hello", start_s=60.55, end_s=60.9, probability=0.75),
                    Word(word="world", start_s=60.9, end_s=61.3, probability=0.5),
                ),
            ),
        ),
    )


@pytest.mark.parametrize(
    ("text", "pieces", "words"),
    [
        (" un believable.", (" un", " bel", "iev", "able", "."), ["un", "believable."]),
        ("hello", ("hel", "lo"), ["hello"]),
        (" Жди, дом", (" Ж", "ди", ",", " д", "ом"), ["Жди,", "дом"]),
        ("你好。世界", ("你", "好", "。", "世", "界"), ["你", "好。", "世", "界"]),
        (" a  b", (" a", " ", " b"), ["a", "b"]),
    ],
)
def test_tokens_are_joined_at_leading_spaces(text: str, pieces: tuple[str, ...], words: list[str]) -> None:
    assert [word for word, _, _ in words_of(text, *pieces)] == words


@pytest.mark.parametrize(
    ("text", "pieces", "words"),
    [
        (" при да", (" п", "\ufffd", "\ufffd", "и", " да"), [("при", 0.0, 0.4), ("да", 0.4, 0.5)]),
        (" ж ш", (" \ufffd", "\ufffd", " \ufffd", "\ufffd"), [("ж", 0.0, 0.2), ("ш", 0.2, 0.4)]),
        ("龘好", ("\ufffd", "\ufffd", "\ufffd", "好"), [("龘", 0.0, 0.3), ("好", 0.3, 0.4)]),
        (" ok 🎉", (" ok", " \ufffd", "\ufffd"), [("ok", 0.0, 0.1), ("🎉", 0.1, 0.3)]),
    ],
)
def test_a_character_split_over_tokens_is_spelled_as_in_the_text(
    text: str, pieces: tuple[str, ...], words: list[tuple[str, float, float]]
) -> None:
    assert words_of(text, *pieces) == words


def test_without_token_times_there_are_no_words() -> None:
    body = {"segments": [{"text": " hi", "start": 0, "end": 1, "words": [{"word": " hi", "probability": 0.9}]}]}
    (segment,) = parse_verbose_json(json.dumps(body), offset_s=0, window_s=5).segments
    assert segment.words == ()
    assert segment.text == " hi"


def test_a_segment_without_times_spans_the_window() -> None:
    (segment,) = parse_verbose_json('{"segments":[{"text":" hi"}]}', offset_s=10, window_s=5).segments
    assert (segment.start_s, segment.end_s) == (10, 15)


def test_nan_written_as_null_is_zero() -> None:
    body = '{"language":"german","segments":[{"text":"","start":0,"end":1,"avg_logprob":null,"no_speech_prob":null}]}'
    response = parse_verbose_json(body, offset_s=0, window_s=1)
    assert response.language == "de"
    assert response.segments[0].avg_logprob == 0.0


def test_silence_has_no_segments() -> None:
    assert parse_verbose_json('{"language":"english","text":"","segments":[]}', offset_s=0, window_s=1).segments == ()


@pytest.mark.parametrize("body", [b"", b"Invalid request", b'{"text":" hi"}', b"[]", b'{"segments":[{"start":1}]}'])
def test_anything_else_is_a_server_error(body: bytes) -> None:
    with pytest.raises(JobFailed) as failed:
        parse_verbose_json(body, offset_s=0, window_s=1)
    assert failed.value.reason is FailureReason.SERVER_ERROR
