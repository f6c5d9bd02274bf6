from __future__ import annotations

from itertools import pairwise

import pytest

from whisper_contracts.messages import Plan, Segment, WindowResult, WindowSpan, Word
from whisper_dispatcher.transcript.merge import MAX_REPEATS, Transcript, TranscriptSegment, merge, ready_prefix


def plan(*edges_s: float) -> Plan:
    spans = tuple(WindowSpan(start_s=a, end_s=b) for a, b in pairwise(edges_s))
    return Plan(duration_s=edges_s[-1], windows=spans, class_="bulk")


def segment(start_s: float, end_s: float, text: str) -> Segment:
    return Segment(start_s=start_s, end_s=end_s, text=text)


def results(*windows: list[Segment], language: str = "en") -> dict[int, WindowResult]:
    return {i: WindowResult(index=i, language=language, segments=tuple(window)) for i, window in enumerate(windows)}


def times(transcript: Transcript) -> list[tuple[float, float]]:
    return [(segment.start_s, segment.end_s) for segment in transcript.segments]


def test_two_windows_become_one_transcript() -> None:
    merged = merge(
        plan(0, 20, 31.5),
        results([segment(0, 2, " hello  world"), segment(2, 4, " one.")], [segment(20.25, 21, " two")]),
    )
    assert merged == Transcript(
        language="en",
        duration_s=31.5,
        segments=(
            TranscriptSegment(start_s=0, end_s=2, text=" hello  world"),
            TranscriptSegment(start_s=2, end_s=4, text=" one."),
            TranscriptSegment(start_s=20.25, end_s=21, text=" two", seek=2000),
        ),
        text="hello world one. two",
    )


def test_the_order_of_arrival_does_not_matter() -> None:
    windows = results([segment(0, 1, " a")], [segment(10, 11, " b")])
    assert merge(plan(0, 10, 20), dict(reversed(windows.items()))) == merge(plan(0, 10, 20), windows)


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ([(9, 12)], [(10, 12)]),
        ([(18, 25)], [(18, 20)]),
        ([(25, 26)], [(20, 20)]),
        ([(15, 12)], [(15, 15)]),
        ([(10, 20), (12, 14)], [(10, 12), (12, 14)]),
        ([(14, 15), (11, 16)], [(14, 14), (14, 16)]),
    ],
)
def test_times_stay_in_the_window_and_never_go_back(
    inside: list[tuple[float, float]], expected: list[tuple[float, float]]
) -> None:
    window = [segment(a, b, f" {i}") for i, (a, b) in enumerate(inside)]
    assert times(merge(plan(0, 10, 20), results([], window))) == expected


def test_words_stay_in_their_segment() -> None:
    words = (
        Word(word="a", start_s=0, end_s=1),
        Word(word="b", start_s=0.5, end_s=9),
        Word(word="c", start_s=3, end_s=4),
    )
    spoken = Segment(start_s=0.5, end_s=2, text=" a b c", words=words)
    (placed,) = merge(plan(0, 5), results([spoken])).segments
    assert [(word.word, word.start_s, word.end_s) for word in placed.words] == [
        ("a", 0.5, 1),
        ("b", 0.5, 2),
        ("c", 2, 2),
    ]


@pytest.mark.parametrize(("said", "kept"), [(MAX_REPEATS, MAX_REPEATS), (MAX_REPEATS + 1, 1), (12, 1)])
def test_a_loop_of_the_decoder_collapses_to_its_first_segment(said: int, kept: int) -> None:
    looped = [segment(i, i + 1, " Thank you." if i % 2 else " thank  you.") for i in range(said)]
    merged = merge(plan(0, 30), results([*looped, segment(20, 21, " bye")]))
    assert times(merged) == [(i, i + 1) for i in range(kept)] + [(20, 21)]
    assert merged.text.casefold() == "thank you. " * kept + "bye"


def test_a_repetition_over_windows_is_no_loop() -> None:
    windows = results(*[[segment(i, i + 1, " no"), segment(i + 1, i + 2, " no")] for i in range(0, 30, 10)])
    assert merge(plan(0, 10, 20, 30), windows).text == "no no no no no no"


def test_blank_segments_are_dropped() -> None:
    merged = merge(plan(0, 5), results([segment(0, 1, " "), segment(1, 2, " hi"), segment(2, 3, "")]))
    assert times(merged) == [(1, 2)]


def test_a_segment_goes_on_without_a_space_inside_a_window() -> None:
    assert merge(plan(0, 5), results([segment(0, 1, " can"), segment(1, 2, "not")])).text == "cannot"


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ("Hello", "World", "Hello World"),
        ("你好", "世界", "你好世界"),
        ("你好", "OK", "你好 OK"),
        ("안녕", "세상", "안녕 세상"),
        ("", " hi", "hi"),
    ],
)
def test_windows_are_joined_as_the_script_writes_words(first: str, second: str, text: str) -> None:
    assert merge(plan(0, 5, 9), results([segment(0, 1, first)], [segment(6, 7, second)])).text == text


def test_the_language_of_most_speech_wins() -> None:
    windows = {
        0: WindowResult(index=0, language="de", segments=(segment(0, 2, " ja"),)),
        1: WindowResult(index=1, language="de"),
        2: WindowResult(index=2, language="en", segments=(segment(20, 29, " a long sentence"),)),
    }
    assert merge(plan(0, 10, 20, 30), windows).language == "en"


def test_silence_keeps_the_language_that_was_heard_first() -> None:
    windows = {1: WindowResult(index=1, language="fr"), 0: WindowResult(index=0, language="de")}
    assert merge(plan(0, 10, 20), windows).language == "de"


def test_a_leading_part_is_a_prefix_of_the_whole() -> None:
    windows = results([segment(0, 1, " one")], [], [segment(20, 21, "two")], [segment(30, 31, " three ")])
    whole = plan(0, 10, 20, 30, 40)
    texts = [merge(whole, {i: windows[i] for i in range(n)}).text for n in range(5)]
    assert texts == ["", "one", "one", "one two", "one two three"]


@pytest.mark.parametrize(("there", "ready"), [((), 0), ((1, 2), 0), ((0,), 1), ((0, 2), 1), ((0, 1, 2), 3)])
def test_the_ready_prefix_ends_at_the_first_gap(there: tuple[int, ...], ready: int) -> None:
    assert ready_prefix(plan(0, 10, 20, 30), {i: WindowResult(index=i) for i in there}) == ready
