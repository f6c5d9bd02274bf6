from __future__ import annotations

import pytest

from whisper_dispatcher.transcript.word_error import word_error_rate


@pytest.mark.parametrize(
    ("expected", "got", "rate"),
    [
        ("hello world", "Hello, world!", 0.0),
        ("x-ray don’t", "xray don't", 0.0),
        ("yes—no", "yes no", 0.0),
        ("one two three four", "one too three four", 0.25),
        ("one two three four", "one three four", 0.25),
        ("one two three four", "one two two three four", 0.25),
        ("one two", "two one", 1.0),
        ("one", "one two three", 2.0),
        ("", "", 0.0),
        ("", "you you", 2.0),
        ("one two", "", 1.0),
        ("Привет, мир", "привет мир", 0.0),
        ("你好世界。", "你好,世间", 0.25),
    ],
)
def test_errors_are_counted_per_expected_word(expected: str, got: str, rate: float) -> None:
    assert word_error_rate(expected, got) == rate
