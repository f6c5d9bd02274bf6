from __future__ import annotations

import pytest

from whisper_contracts.messages import Segment, TranscribeOptions, WindowResult
from whisper_dispatcher.planner.feeding import PROMPT_CHARACTERS, language_of, next_windows, tail_of

ENGLISH = TranscribeOptions(model="m", language="en")
UNKNOWN = TranscribeOptions(model="m")
SEQUENTIAL = TranscribeOptions(model="m", language="en", mode="sequential")


@pytest.mark.parametrize(
    ("options", "done", "published", "expected"),
    [
        (ENGLISH, set(), set(), [0, 1, 2]),
        (ENGLISH, set(), {0, 1, 2}, []),
        (ENGLISH, {1}, {0, 1, 2}, [3]),
        (ENGLISH, {0, 1, 2}, {0, 1, 2}, [3, 4]),
        # A result of an earlier planner counts, whoever published its window.
        (ENGLISH, {3}, {0}, [1, 2]),
        # Lost windows, which are not published any more, come first.
        (ENGLISH, {1, 2}, {1, 2}, [0, 3, 4]),
        (UNKNOWN, set(), set(), [0]),
        (UNKNOWN, set(), {0}, []),
        (UNKNOWN, {0}, {0}, [1]),
        (UNKNOWN, {0}, {0, 1}, []),
        (SEQUENTIAL, set(), set(), [0]),
        (SEQUENTIAL, {0}, {0}, [1]),
        (SEQUENTIAL, {0}, {0, 1}, []),
    ],
)
def test_so_many_windows_are_queued_ahead_and_no_more(
    options: TranscribeOptions, done: set[int], published: set[int], expected: list[int]
) -> None:
    assert next_windows(5, done, published, options, ahead=3) == expected


@pytest.mark.parametrize("options", [ENGLISH, UNKNOWN, SEQUENTIAL])
def test_every_window_is_queued_once(options: TranscribeOptions) -> None:
    done: set[int] = set()
    published: set[int] = set()
    order = []
    while len(done) < 20:
        new = next_windows(20, done, published, options, ahead=4)
        order += new
        published |= set(new)
        assert len(published - done) <= 4
        done.add(max(published - done))
    assert sorted(order) == list(range(20))


def test_only_a_window_with_words_tells_the_language() -> None:
    words = (Segment(start_s=0, end_s=1, text=" Guten Tag."),)
    assert language_of(WindowResult(index=0, language="de", segments=words)) == "de"
    assert language_of(WindowResult(index=0, language="", segments=words)) is None
    assert language_of(WindowResult(index=0, language="de", segments=(Segment(start_s=0, end_s=1, text=" "),))) is None
    assert language_of(WindowResult(index=0, language="nn")) is None
    assert language_of(None) is None


def test_a_window_is_prompted_with_what_was_said_before_it() -> None:
    segments = (Segment(start_s=0, end_s=1, text=" Hello Juliet."), Segment(start_s=1, end_s=2, text=" Good night."))
    said = WindowResult(index=0, segments=segments)
    assert tail_of(said, "Names: Juliet.") == "Names: Juliet.  Hello Juliet. Good night."
    assert tail_of(None, "Names.") == "Names."
    long = WindowResult(index=0, segments=(Segment(start_s=0, end_s=1, text="a" * 1000 + "b"),))
    assert tail_of(long, "") == "a" * (PROMPT_CHARACTERS - 1) + "b"
